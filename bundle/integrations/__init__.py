"""This bundle inside the systems of a hospital and of MONAI."""
