# Seg-CycleGAN for CESM. Research software: what it makes is synthetic, not for diagnosis.
#
#   docker build -t seg-cyclegan-cesm .                                                         CPU
#   docker build -t seg-cyclegan-cesm:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .    CUDA
#
# How to run it, and what was tried of it: docs/how-to/offline_and_docker.md
FROM python:3.11-slim

# where torch comes from, beside PyPI: the index of CPU builds, which sort above PyPI's (2.13.0+cpu, 2.13.0); or PyPI
# alone, whose Linux wheels bring CUDA
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# extras of pyproject.toml: fast (OpenVINO, ONNX Runtime), pacs
ARG EXTRAS=fast,pacs

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /opt/cesm

# Triton compiles C while it runs: configs/fast.json on CUDA
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --extra-index-url ${TORCH_INDEX} -c constraints.txt torch
COPY bundle/ bundle/
RUN pip install -c constraints.txt -e ".[${EXTRAS}]"
COPY configs/ configs/
COPY scripts/ scripts/
COPY docs/ docs/

# nobody's rights but these: data to read, models and results to write
RUN useradd --create-home --uid 1000 cesm && mkdir data models eval && chown cesm data models eval
USER cesm
VOLUME ["/opt/cesm/data", "/opt/cesm/models", "/opt/cesm/eval"]

ENTRYPOINT ["python", "-m", "monai.bundle"]
CMD ["--help"]
