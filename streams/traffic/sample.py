"""The shipped sample (``examples/sample``): its files, titles, and events moved to the present."""

from __future__ import annotations

import time
from collections.abc import Iterator

from streams.settings import PROJECT
from streams.traffic.lines import Line
from streams.traffic.replay import Account, latest_time, read_lines, shifted

FOLDER = PROJECT / "examples" / "sample"
PINS, PINNERS, TRAFFIC = (str(FOLDER / f"{name}.jsonl.zst") for name in ("pins", "pinners", "traffic"))


class Sample:
    """The sample's events, with one shift for all files so that the last of them happens now."""

    def __init__(self) -> None:
        """Raises OSError when the sample is not there."""
        self.shift = int(time.time() * 1000) - latest_time([PINS, PINNERS, TRAFFIC])

    def lines(self, *paths: str, account: Account) -> Iterator[Line]:
        """The events of files in turn, counted in ``account`` as they are read."""
        return shifted(read_lines(paths, account), self.shift)


def titles() -> dict[int, str]:
    """Title of each pin of the sample."""
    return {int(line.event["pin"]): str(line.event["title"]) for line in read_lines([PINS], Account())}


def topics_of_pins() -> dict[int, str]:
    """What each pin of the sample shows (``dress``, ``hat``, …), as its link says."""
    return {int(line.event["pin"]): str(line.event["link"]).split("/")[3] for line in read_lines([PINS], Account())}
