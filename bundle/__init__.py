"""Virtual contrast-enhanced mammography: Seg-CycleGAN (arXiv 2505.03018) as a MONAI bundle."""

__version__ = "0.1.0"
