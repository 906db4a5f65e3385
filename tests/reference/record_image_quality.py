"""Records VIF by sewar and piq, and MSE, PSNR and SSIM by scikit-image: ``image_quality.json`` beside this file.

    pip install sewar==0.4.10 piq==0.8.0
    python tests/reference/record_image_quality.py ../shared/data/cdd_cesm_512

The images are those of ``tests/metrics/reference_pairs.py``, 8 bits, both packages in float64 on the 0-255 scale with a
noise variance of 2. piq imports torchvision for networks that VIF does not use; where that is missing, an empty module
takes its place.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "metrics"))
if importlib.util.find_spec("torchvision") is None:
    sys.modules |= {"torchvision": mock.MagicMock(), "torchvision.models": mock.MagicMock()}

import piq  # noqa: E402
from reference_pairs import made_pairs, real_pairs  # noqa: E402
from sewar.full_ref import vifp  # noqa: E402


def values_of(pred: np.ndarray, target: np.ndarray) -> dict[str, float]:
    tensors = (torch.from_numpy(image)[None, None].double() for image in (pred, target))
    unit_pred, unit_target = pred / 255, target / 255
    return {
        "vif_sewar": float(vifp(target, pred, sigma_nsq=2)),
        "vif_piq": float(piq.vif_p(*tensors, sigma_n_sq=2.0, data_range=255)),
        "mse": float(mean_squared_error(unit_target, unit_pred)),
        "psnr": float(peak_signal_noise_ratio(unit_target, unit_pred, data_range=1)),
        "ssim": float(
            structural_similarity(
                unit_target, unit_pred, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
            )
        ),
    }


if __name__ == "__main__":
    pairs = made_pairs() | real_pairs(Path(sys.argv[1]))
    record = {
        "made_by": "tests/reference/record_image_quality.py",
        "versions": {name: version(name) for name in ("sewar", "piq", "scikit-image", "torch", "numpy")},
        "tolerance": 1e-5,
        "pairs": {name: values_of(*pair) for name, pair in pairs.items()},
    }
    (HERE / "image_quality.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
