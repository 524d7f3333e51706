"""An encoder that sees colours, and an engine with tables that it serves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.migrate import migrate
from operators.accepted import AcceptedPin
from streams.encoders.following import Encoders, follow
from streams.engine import Engine
from streams.settings import EMBEDDED, Settings
from streams.stores.protocols import Detection, StoreUnavailable
from streams.understanding import SeenObject, Understanding
from tests.streams.serving import make_engine, nowhere

#: A pin of each colour; the second two are nearly the first two.
COLOURS = {1: (250, 10, 10), 2: (10, 250, 10), 3: (240, 20, 10), 4: (20, 240, 10)}
LEFT = (0.0, 0.0, 0.5, 1.0)
READY = {"encoder": "2", "encoder_3": "1", "detector": "1"}


class Eyes:
    """An encoder that sees colours; that of ``encoder_3`` sees the same, in numbers that mean something else."""

    circuit = None

    def __init__(self, version: str = "2", turn: int = 0) -> None:
        self.version, self.turn, self.gone, self.meanwhile = version, turn, False, None

    def of(self, model: str, version: str) -> Eyes:
        return Eyes(version, turn=3)

    async def versions(self, at_most_old: float = 0.0) -> dict[str, str]:
        return {"detector": "1", "encoder": self.version}

    async def detect(self, images):
        return [[Detection("vase", 0.9, LEFT)] for _ in images]

    async def encode(self, images):
        if self.gone:
            raise StoreUnavailable("triton", "gone")
        means = np.array([image.reshape(-1, 3).mean(axis=0) for image in images], np.float32)
        vectors = np.zeros((len(images), 6), np.float32)
        vectors[:, self.turn : self.turn + 3] = means / np.linalg.norm(means, axis=1, keepdims=True)
        if self.meanwhile:
            self.meanwhile()
        return vectors

    async def judge(self, images):
        return [0.0] * len(images)

    async def close(self) -> None: ...


def picture(number: int) -> np.ndarray:
    return np.full((40, 40, 3), COLOURS[number], np.uint8)


async def seen(eyes: Eyes, number: int, version: int = 1) -> Understanding:
    whole, part = await eyes.encode([picture(number), picture(number)[:, :20]])
    found = SeenObject(number * 10, Detection("vase", 0.9, LEFT), part)
    return Understanding(AcceptedPin(pin=number, version=version), whole, [found])


async def with_tables(home: Path, eyes: Eyes, settings: Settings | None = None) -> Engine:
    """An engine before anything moved, on the ClickHouse at ``PINSTREAM_PORT_CLICKHOUSE``, whose tables are empty."""
    made = make_engine(settings or replace(nowhere(home, milvus="lite"), clickhouse=EMBEDDED))
    await migrate(made.events)
    for table in ("encoders", "encoder_fills", "encoder_misses", "pin_vectors", "objects", "pins", "safety"):
        await made.events.command(f"TRUNCATE TABLE {table}")
    await put_to_work(made, eyes)
    return made


async def put_to_work(made: Engine, eyes: Eyes) -> None:
    """Have an engine look with these eyes."""
    made.encoders = Encoders(eyes, made.vectors)  # type: ignore[arg-type]
    await follow(made)
    made.encoders.put_to_work(made)
