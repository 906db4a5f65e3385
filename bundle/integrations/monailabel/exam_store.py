"""MONAI Label's store of a DICOMweb server, with the objects as they are, and the way back."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore

from .answered import answered
from .refused import Refused
from .safe_names import check_name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["ExamStore"]

logger = logging.getLogger(__name__)
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
NOT_FROM_HERE = "an image that did not come from the PACS is not pushed to it."
UP_TO_DATE = 60.0  # seconds that a list of the server's series is used; MONAI Label's own is for two hours


class ExamStore(DICOMWebDatastore):
    """Images are series, each fetched into a folder of whole DICOM objects.

    MONAI Label would convert them to NIfTI, which has no window, no side and no patient.

    Args:
        client: of the DICOMweb server.
        search_filter: of the series that are listed.
        cache_path: folder for what is fetched; None for MONAI Label's own below the home folder.
        may_push: whether a request may have its result stored on the server.
    """

    def __init__(self, client: Any, search_filter: dict[str, Any], cache_path: str | None, may_push: bool) -> None:
        self.may_push = may_push
        self._series: list[str] = []
        self._until = 0.0
        super().__init__(client, search_filter, cache_path, fetch_by_frame=False, convert_to_nifti=False)

    def list_images(self) -> list[str]:
        if time.monotonic() > self._until:
            found = self._client.search_for_series(search_filters=self._search_filter)
            self._series = [str(one["0020000E"]["Value"][0]) for one in found]  # SeriesInstanceUID
            self._until = time.monotonic() + UP_TO_DATE
        return list(self._series)

    def refresh(self) -> None:
        self._until = 0.0
        super().refresh()

    def knows(self, image_id: Any) -> bool:
        """Whether it is the Series Instance UID of a series that the server lists, be it that its list is cut short."""
        if not isinstance(image_id, str) or len(image_id) > 64 or not UID.fullmatch(image_id):
            return False
        if image_id in self.list_images():
            return True
        found = self._client.search_for_series(search_filters={**self._search_filter, "SeriesInstanceUID": image_id})
        return any(str(one["0020000E"]["Value"][0]) == image_id for one in found)

    @answered
    def get_image_uri(self, image_id: str) -> str:
        check_name("the id of the image", image_id)
        try:
            return str(super().get_image_uri(image_id))
        except IndexError:
            raise Refused(f"the DICOMweb server has no series {image_id}.", 404) from None

    @answered
    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        check_name("the id of the label", label_id)
        check_name("the tag of the label", label_tag)
        return str(super().get_label_uri(label_id, label_tag, image_id))

    @answered
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        raise Refused("the images of this server are those of its PACS: send the file along with the request.", 409)

    @answered
    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], label_id: str = ""
    ) -> str:
        """Keep a result in the cache. MONAI Label's own way is for segmentations: it makes DICOM SEG of some."""
        check_name("the id of the image", image_id)
        check_name("the tag of the label", label_tag)
        known = self._datastore.objects
        if image_id not in known:
            known[image_id] = ImageLabelModel(image=DataModel(ext="", info=self._dicom_info(image_id)))
        return LocalDatastore.save_label(self, image_id, label_filename, label_tag, label_info)

    def check_push(self, image_id: str) -> None:
        """Refuse what must not be sent, before it is made.

        Args:
            image_id: by which the request named its image; "" for a file that came with it.

        Raises:
            Refused: where pushing was not allowed at the start, or the image is no series that this server lists.
        """
        if not self.may_push:
            raise Refused("this server does not push to its PACS: start it with --conf push true.", 403)
        if not self.knows(image_id):
            raise Refused(NOT_FROM_HERE, 409)

    def push(self, ds: Dataset, series: str, image_id: str) -> None:
        """Store a derived object on the server (STOW-RS).

        Args:
            ds: the object.
            series: Series Instance UID of the LE object that it was made of.
            image_id: that of the request.

        Raises:
            Refused: where the LE object is of another series, or the server did not confirm that it has it.
        """
        if series != image_id:
            raise Refused(NOT_FROM_HERE, 409)
        try:
            told = self._client.store_instances([ds])
        except Exception as error:  # its text may hold the URL of a query, and that a name
            status = getattr(getattr(error, "response", None), "status_code", "")
            what = f"refused the object with HTTP status {status}" if status else f"failed ({type(error).__name__})"
            raise Refused(f"the DICOMweb server {what}; nothing was stored.", 502) from None
        stored = {str(item.get("ReferencedSOPInstanceUID")) for item in told.get("ReferencedSOPSequence") or []}
        if str(ds.SOPInstanceUID) not in stored:
            raise Refused("the DICOMweb server did not confirm that it stored the object.", 502)
        logger.info(f"stored on the DICOMweb server: {ds.SOPInstanceUID}")
