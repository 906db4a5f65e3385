"""MONAI Label's batch over all images, which goes on where one of them cannot be translated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.utils.others.generic import remove_file

from .infer_task import wants_push
from .refused import Refused

__all__ = ["ForgivingBatch"]

logger = logging.getLogger(__name__)


class ForgivingBatch(BatchInferTask):
    """The answer has an entry for each image: its result, or the reason why there is none under ``failed``.

    Of a series with several LE images all are translated where the results are pushed, under ``instances``; its label
    could hold only one of them.
    """

    def __call__(self, request: Mapping[str, Any], datastore: Any, infer: Callable[..., Any]) -> dict[str, Any]:
        def forgiving(one: dict[str, Any], store: Any) -> dict[str, Any]:
            try:
                return infer(one, store)
            except HTTPException as error:
                cause = error.__cause__
                if isinstance(cause, Refused) and cause.instances and wants_push(one):
                    return {"instances": {uid: pushed({**one, "instance": uid}, store) for uid in cause.instances}}
                reason = str(error.detail)
            except Exception as error:  # its text may quote a header
                logger.debug("failed", exc_info=True)
                reason = type(error).__name__
            logger.warning(f"{one.get('image')}: {reason}")
            return {"failed": reason}

        def pushed(one: dict[str, Any], store: Any) -> dict[str, Any]:
            made = forgiving({**one, "save_label": False}, store)
            remove_file(made.pop("file", ""))
            made.pop("label", None)
            return made

        datastore.refresh()
        made: dict[str, Any] = super().__call__({**request, "multi_gpu": False}, datastore, forgiving)
        return made
