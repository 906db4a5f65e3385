"""From LE images on disk to virtual DES images on disk."""

from .image_folder import ImageFolder
from .save import SaveVirtualDesd
