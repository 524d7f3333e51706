"""Why an image cannot be used."""

from __future__ import annotations

from operators.rejection import Reason


class ImageRejected(Exception):
    """This image will not do, now or on another try. ``reason`` is one of the ``image_…`` codes."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail
