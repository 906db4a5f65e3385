"""What a client is told where it gets no image."""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(ValueError):
    """A request that gets a reason instead of an image.

    Attributes:
        status: of the HTTP reply: 422 an image that cannot be translated, 404 none of that name, 403 not allowed here,
            409 not possible here, 502 the PACS did not take it, 503 the model was replaced.
        instances: SOP Instance UIDs to choose from, where the reason is that there are several.
    """

    def __init__(self, reason: str, status: int = 422, instances: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.instances = instances
