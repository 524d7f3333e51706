"""The real parts, each started once per session and only when a test asks for it, in a home of its own.

What set-up downloaded into the project's home (Kafka's jars, weights, …) is linked, never copied or fetched again.
"""

from __future__ import annotations

import os

# Before numpy is loaded: small products of matrices cost ten times as much where threads wait for busy cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient

from infra import ports, supervisor, topics
from infra.migrate import migrate
from streams.settings import PROJECT, Settings
from streams.stores.clickhouse import ClickHouseHTTP, open_event_store
from tests.clickhouse_process import EmbeddedServer
from tests.integration.running import Worker
from tests.lanes import ALONE, LANE, in_lane

#: Below the range from which the kernel takes ports for outgoing connections. Second workers are 1,000 above. Lanes
#: choose at the same time, so each has its own.
TEST_PORTS = {"shared": range(12_000, 15_400, 100), "apart": range(16_500, 19_000, 100)}.get(
    LANE, range(12_000, 19_000, 100)
)
#: What belongs to one run of the parts; everything else below a home was installed and is the same for all.
OWN_FOLDERS = {"data", "logs", "run"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what another lane runs (``tests/lanes.py``)."""
    mine: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        alone = item.get_closest_marker(ALONE) is not None
        mine[in_lane(LANE, item.fixturenames, alone=alone)].append(item)  # type: ignore[attr-defined]
    config.hook.pytest_deselected(items=mine[False])
    items[:] = mine[True]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of this session: embedded parts, free ports, a home outside the repository. Nothing runs yet.

    With ``PINSTREAM_TEST_STANDING=1`` the session uses the parts of ``pinstream up`` instead and leaves them running:
    for working on one test again and again. Topics and tables are then those of the settings, so use a home for it.
    """
    if os.environ.get("PINSTREAM_TEST_STANDING"):
        yield Settings.load()
        return
    mine = replace(
        Settings.load({}),
        home=tmp_path_factory.mktemp("pinstream"),
        port_base=free_base(),
        group=f"tests-{os.getpid()}",
    )
    yield mine
    supervisor.down(mine, lambda _: None)


@pytest.fixture(scope="session")
def kafka(settings: Settings) -> Settings:
    """A Kafka broker with every declared topic."""
    _start(settings, "kafka")
    topics.apply(settings)
    return settings


@pytest.fixture(scope="session")
def clickhouse(settings: Settings) -> Settings:
    """A ClickHouse without tables; migrate it, or use a database of your own."""
    return _start(settings, "clickhouse")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A ClickHouse for the tests of one file alone, without tables.

    A file where each test needs an empty one, or one over a folder that it made, has a fixture of this name.
    """
    with EmbeddedServer(tmp_path_factory.mktemp("server") / "clickhouse") as started:
        yield started


@pytest.fixture
async def store(server: EmbeddedServer) -> AsyncIterator[ClickHouseHTTP]:
    """A client of ``server``, where every table is."""
    made = ClickHouseHTTP(server.url)
    await migrate(made)
    yield made
    await made.close()


@pytest.fixture(scope="session")
def milvus(settings: Settings) -> Settings:
    """The standalone Milvus server, without collections."""
    return _start(settings, "milvus")


@pytest.fixture(scope="session")
def milvus_apart(milvus: Settings) -> Callable[[str], Settings]:
    """Settings for a database of one's own in the session's Milvus: the worker keeps its pins in the default one."""

    def database(name: str) -> Settings:
        client: Any = MilvusClient(milvus.milvus_uri)
        if name not in client.list_databases():
            client.create_database(name)
        client.close()
        return replace(milvus, milvus_database=name)

    return database


@pytest.fixture(scope="session")
def triton(settings: Settings) -> Settings:
    """Triton serving ``model_repo/``."""
    return _start(settings, "triton")


@pytest.fixture(scope="session")
def worker(kafka: Settings, clickhouse: Settings, milvus: Settings, triton: Settings) -> Iterator[Worker]:
    """A running worker on real Kafka, ClickHouse, Milvus and Triton."""

    async def tables() -> None:
        store = open_event_store(clickhouse)
        await migrate(store)
        await store.close()

    asyncio.run(tables())
    running = Worker(kafka)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, which no clone carries."""
    folder = Path(os.environ.get("PINSTREAM_DATA") or PROJECT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set PINSTREAM_DATA to the folder that holds it")
    return folder


def _start(settings: Settings, part: str) -> Settings:
    link_installed(settings, part)
    supervisor.up(settings, names=[part])
    return settings


def link_installed(settings: Settings, *parts: str) -> None:
    """Let a home find what these parts need, where set-up put it."""
    installed = Settings.load().home
    supervisor.install(replace(settings, home=installed), parts)
    for folder in installed.iterdir():
        link = settings.home / folder.name
        if folder.is_dir() and folder.name not in OWN_FOLDERS and not link.exists():
            link.symlink_to(folder)


def free_base() -> int:
    """A port base whose every port is free now; chosen at random, as other sessions may choose at this moment."""
    bases = list(TEST_PORTS)
    random.shuffle(bases)
    host = Settings.host
    for base in bases:
        if all(ports.is_free(host, port) for port in range(base, base + max(Settings.PORTS.values()) + 1)):
            return base
    raise RuntimeError(f"no free run of ports in {TEST_PORTS}")
