#!/usr/bin/env bash
# A MONAI Label 0.8.5 environment of its own: install_monailabel.sh DIR [PYTHON]. Does nothing where DIR has it already.
#
# It wants pydicom 2 and numpy 1, so it cannot share this bundle's environment. Its requirements are named here, because
# one of them, sam2, builds with a torch of its own and would bring gigabytes of CUDA libraries; mlflow, gdown and lmdb
# are not needed to serve. The second list is what this bundle needs there, the third what its tests need.
set -euo pipefail
dir=${1:?usage: install_monailabel.sh DIR [PYTHON]}
python=${2:-python3.11}
mark="$dir/.installed-$(sha256sum "$0" | cut -c1-12)"
mkdir -p "$(dirname "$dir")"
exec 9>"$dir.lock"
flock 9 # of two that come at once the second waits, and finds it done
[ -e "$mark" ] && exit 0

"$python" -m venv --clear "$dir"
pip() { "$dir/bin/python" -m pip --disable-pip-version-check "$@"; }
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
printf '%s\n' 'torch==2.13.0' 'numpy<2' 'pydicom==2.4.5' 'pynetdicom<3' 'monai==1.6.1' 'setuptools<80' >"$pins"

pip install -c "$pins" torch torchvision numpy 'setuptools<80' wheel
pip install -c "$pins" --no-build-isolation \
  'monai[fire,ignite,itk,nibabel,openslide,pillow,psutil,skimage,tensorboard,tqdm]' \
  uvicorn pydantic pydantic-settings python-dotenv fastapi python-multipart httpx schedule 'dicomweb-client[gcp]' \
  timeloop expiringdict expiring_dict cachetools watchdog pydicom pydicom-seg pynetdicom pynrrd numpymaxflow \
  girder-client ninja einops pyyaml filelock passlib pyjwt bcrypt shapely requests requests-toolbelt scikit-learn scipy \
  pandas python-gdcm pyjpegls pylibjpeg-openjpeg \
  pytest hypothesis matplotlib openpyxl statsmodels torchmetrics imagecodecs
pip install -c "$pins" --no-deps monailabel==0.8.5

# the torchvision of PyPI does not import beside a torch built for the CPU unless somebody declares two of its operators
cat >"$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/sitecustomize.py" <<'PYTHON'
import torch

if not torch.version.cuda:
    declared = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        declared.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
PYTHON
"$dir/bin/python" -c 'import monailabel, torchvision, pydicom, numpy; print(monailabel.__version__, pydicom.__version__, numpy.__version__)'
touch "$mark"
