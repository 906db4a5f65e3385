"""MONAI Label's store of a folder, which keeps to that folder."""

from __future__ import annotations

from typing import Any

from monailabel.datastore.local import LocalDatastore

from .answered import answered
from .refused import Refused
from .safe_names import check_name

__all__ = ["FolderStore"]


class FolderStore(LocalDatastore):
    """MONAI Label's own takes an id or a tag for a path, and writes wherever it leads."""

    def knows(self, image_id: Any) -> bool:
        """Whether it is the id of an image of this folder."""
        return image_id in self.list_images()

    @answered
    def get_image_uri(self, image_id: str) -> str:
        check_name("the id of the image", image_id)
        return str(super().get_image_uri(image_id))

    @answered
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        if image_id:  # MONAI Label makes one up where there is none
            check_name("the id of the image", image_id)
        if str(image_filename).lower().endswith(".json"):  # its own list of images is one
            raise Refused("a .json file is no image.")
        return str(super().add_image(image_id, image_filename, image_info))

    @answered
    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        check_name("the id of the image", image_id)
        check_name("the tag of the label", label_tag)
        return str(super().save_label(image_id, label_filename, label_tag, label_info))
