"""The bundle in the form of MONAI's Model Zoo: self-contained, its code in a package ``scripts``."""

from .write import write_zoo_bundle

__all__ = ["write_zoo_bundle"]
