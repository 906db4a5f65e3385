# Everything here sets itself up: Python 3.11 and make are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
RUN := $(PY) -m monai.bundle run
QUICK := configs/train.json','configs/quickstart.json
JOBS ?= 2

.PHONY: quickstart test prove lint docs clean

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.installed

# phantom, a small training, inference, evaluation beside the floors, a picture
quickstart: $(VENV)/.installed
	$(RUN) training --config_file "['$(QUICK)']"
	$(RUN) --config_file configs/inference.json --output_dir eval/quickstart/virtual_des --overwrite True
	$(RUN) evaluating --config_file "['$(QUICK)','configs/evaluate.json']"
	@echo "Look at eval/quickstart/panel.png (LE | DES | virtual DES | error) and at eval/quickstart/virtual_des/."

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) -m "not slow and not forks" --cov=bundle --cov-report=
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "forks and not slow" --cov=bundle --cov-append --cov-report=term:skip-covered --cov-fail-under=90

# the long forms of the tests: every kill, full sizes, real data
prove: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile -m slow

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# the documentation as a site that opens from its folder
docs: $(VENV)/.installed-dev
	$(PY) -m scripts.reference --check
	$(PY) -m sphinx -W --keep-going -n -q -c docs -d build/doctrees . build/docs
	@echo "Open build/docs/index.html."

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage*
