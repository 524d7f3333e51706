"""Questions asked of a worker without a pause, while something is changed: which failed, and which were mixed up."""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.integration.running import Worker

#: Cosines of one encoder repeat as well as this: halves, batches and an index in between.
TOLERANCE = 0.03


class Questions:
    """A thread that asks for feeds, for pins like a pin, and with photos, until it is told to stop."""

    def __init__(self, worker: Worker, photos: dict[int, Path], pinners: list[int], lasting: set[int]) -> None:
        """``lasting`` are pins that show the same picture all the while."""
        self.lasting = lasting
        self.worker, self.photos, self.pinners = worker, photos, pinners
        self.failed: list[str] = []
        self.mixed: list[str] = []
        self.asked: Counter[str] = Counter()
        self.encoders: Counter[str] = Counter()
        #: What each cosine was when it was first seen.
        self.known: dict[tuple[object, ...], float] = {}
        self._stop, self._may = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._may.set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Questions:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._may.set()
        self._thread.join(60)

    def pause(self) -> None:
        """Ask nothing more; returns when the last answer is there."""
        self._idle.clear()
        self._may.clear()
        assert self._idle.wait(60)

    def go_on(self) -> None:
        self._may.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._may.is_set():
                self._idle.set()
                self._may.wait(0.5)
                continue
            self._once()

    def _once(self) -> None:
        for pin, pinner in zip(self.photos, itertools.cycle(self.pinners), strict=False):
            for kind, of, question in (
                ("lens", pin, self._lens),
                ("similar", pin, self._similar),
                ("related", pin, self._related),
                ("feed", pinner, self._feed),
            ):
                if self._stop.is_set() or not self._may.is_set():
                    return
                self._ask(kind, of, question)

    def _ask(self, kind: str, of: int, question: Any) -> None:
        self.asked[kind] += 1
        try:
            question(of)
        except Exception as error:  # whatever it is, it is a question without an answer
            self.failed.append(f"{time.strftime('%H:%M:%S')} {kind} {of}: {error!r}")

    def _lens(self, pin: int) -> None:
        request = urllib.request.Request(
            f"{self.worker.url}/v1/lens?n=20", self.photos[pin].read_bytes(), {"Content-Type": "image/jpeg"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = json.load(answer)
        self.encoders[body["models"]["encoder"]] += 1
        mine = [hit for hit in body["hits"] if hit["pin"] == pin and hit["source"] != "text"]
        if not mine or mine[0]["similarity"] < 0.9:
            self.mixed.append(f"lens {pin} does not find itself: {mine}")
        for hit in body["hits"]:
            if hit["source"] != "text" and hit["pin"] in self.lasting:
                self._cosine(("lens", pin, hit["source"], hit["query"], hit["pin"], hit["object"]), hit["similarity"])

    def _similar(self, pin: int) -> None:
        body = self.worker.get(f"/v1/pins/{pin}/similar?n=20")
        for scene in body["scenes"]:
            best = scene["best"]
            if best["pin"] in self.lasting:
                self._cosine(("similar", pin, scene["query"], best["pin"], best["object"]), best["similarity"])

    def _related(self, pin: int) -> None:
        body = self.worker.get(f"/v1/pins/{pin}/related?n=20")
        assert not body["degraded"], body["degraded"]
        for item in body["items"]:
            if "visual" in item["sources"] and item["pin"] in self.lasting:
                self._cosine(("related", pin, item["pin"]), item["sources"]["visual"])

    def _feed(self, pinner: int) -> None:
        body = self.worker.get(f"/v1/feed/{pinner}?n=10")
        assert body["items"], "an empty feed"

    def _cosine(self, what: tuple[object, ...], found: float) -> None:
        before = self.known.setdefault(what, found)
        if abs(before - found) > TOLERANCE:
            self.mixed.append(f"{what} was {before:.3f} and is {found:.3f}")
