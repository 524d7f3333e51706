"""What tests of the API share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from streams.engine import Engine
from tests.streams.serving import serving


@pytest.fixture
async def client(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aiohttp.ClientSession]:
    """What asks the API over the ``engine`` of a test's file."""
    async with serving(engine, monkeypatch) as made:
        yield made
