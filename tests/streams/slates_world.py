"""An engine over a real hot state, exact vectors and a ranker whose wishes are known."""

import asyncio
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind, PinEvent
from operators.slate.choices import Choices
from operators.slate.ordering import Ordering
from streams.circuit import Circuit
from streams.metrics import Metrics
from streams.settings import Settings
from streams.slate_spec import shipped
from streams.state import HotState
from streams.stores.protocols import Ranked, StoreUnavailable
from streams.vector_cache import VectorCache
from training.exact_vectors import ExactVectors

DAY = 86_400_000
NAMES = shipped().names
NOW = 1_800_000_000_000
ANN, BOB, EVE = 1, 2, 3
TOPICS, EACH = 4, 30
PINS = np.arange(100, 100 + TOPICS * EACH)
CHOICES = Choices(ordering=Ordering(size=10), source_seconds=5.0, vectors_seconds=5.0, rank_seconds=5.0)


def topic(pin: int) -> int:
    return (pin - 100) // EACH


class Ranker:
    """Expects a save where the pin is relevant; counts its calls."""

    def __init__(self):
        self.calls, self.rows, self.fails, self.waits = 0, 0, False, 0.0
        self.circuit = Circuit("triton")

    async def rank(self, features):
        self.calls, self.rows = self.calls + 1, self.rows + len(features)
        await asyncio.sleep(self.waits)
        if self.fails:
            raise StoreUnavailable("triton", "gone")
        save = 1 / (1 + np.exp(-8 * (features[:, NAMES.index("nearest")] - 0.5)))
        zero = np.zeros(len(features))
        columns = [save, zero, zero, features[:, NAMES.index("from_fresh")]]
        return Ranked(np.stack(columns, axis=1).astype(np.float32), "7")

    async def versions(self, at_most_old=0.0):
        return {"ranker": "7", "detector": "1"}


class Vectors(ExactVectors):
    searches, fails = 0, False

    async def search(self, *arguments, **more):
        self.searches += 1
        if self.fails:
            raise StoreUnavailable("milvus", "gone")
        return await super().search(*arguments, **more)

    async def fetch(self, *arguments):
        if self.fails:
            raise StoreUnavailable("milvus", "gone")
        return await super().fetch(*arguments)


def engine_of(home):
    """120 pins of four topics by seven owners, each topic a board; nobody has done anything yet."""
    random = np.random.default_rng(0)
    centres = np.eye(TOPICS, 8)[[topic(pin) for pin in PINS.tolist()]]
    vectors = (centres + random.normal(0, 0.1, (len(PINS), 8))).astype(np.float32)
    store = Vectors(PINS, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    state = HotState()
    created = NOW - 30 * DAY
    state.apply_pins(
        [
            (
                row,
                PinEvent(
                    type="created",
                    pin=pin,
                    pinner=50 + row % 7,
                    board=900 + topic(pin),
                    domain="a.org",
                    time=created + row,
                ),
            )
            for row, pin in enumerate(PINS.tolist())
        ]
    )
    state.now = NOW
    return SimpleNamespace(
        settings=SimpleNamespace(**asdict(Settings(home=home))), metrics=Metrics(), vectors=store, models=Ranker(),
        state=state, vector_cache=VectorCache(store), pinsage=None,
    )  # fmt: skip


def act(engine, pinner: int, kind: Kind, *pins: int, time: int = NOW - 1000) -> None:
    n = len(pins)
    columns = {name: np.zeros(n, np.int64) for name in ENGAGEMENT_COLUMNS}
    columns |= {"pinner": np.full(n, pinner), "pin": np.array(pins), "time": np.full(n, time)}
    columns |= {"kind": np.full(n, kind, np.uint8), "position": np.full(n, -1, np.int16)}
    columns |= {"surface": np.ones(n, np.uint8), "is_follower": np.zeros(n, np.uint8)}
    columns["board"] = np.full(n, 10_000 + pinner) if kind == Kind.SAVE else columns["board"]
    columns["event_id"] = np.random.default_rng().integers(1, 2**62, n)
    batch = Engagement(source=Source("saves", 0, 0, n), **columns)
    engine.state.apply(engine.state.catalogue.enrich(batch, engine.state.follows))
