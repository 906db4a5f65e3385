"""The runner in double precision, for exact comparisons."""

import runpy

import torch

torch.set_default_dtype(torch.float64)
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
