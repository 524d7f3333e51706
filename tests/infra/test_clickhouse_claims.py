"""The fence: of all that believe a partition to be theirs, only the one that claimed it last writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.clickhouse_claims import Claims
from infra.clickhouse_engine import QueryError
from streams.recount import complete_last_blocks
from streams.stores.clickhouse import ClickHouseHTTP
from streams.stores.protocols import ClaimLost
from tests.chaos.proxy import FaultProxy
from tests.clickhouse_process import EmbeddedServer, engagement, token

MINE = [("saves", 0)]


async def test_a_claim_waits_for_what_the_earlier_one_let_in(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims")
    first = await claims.take(["saves:0", "saves:1"])
    async with claims.writing(first):
        second = asyncio.create_task(claims.take(["saves:0"]))
        other = asyncio.create_task(claims.take(["clicks:0"]))
        await asyncio.wait_for(other, 5)
        assert not second.done(), "an insert under the first claim is still under way"
        with pytest.raises(QueryError, match="saves:0"):
            async with claims.writing(first):
                pass
    taken = await asyncio.wait_for(second, 5)
    async with claims.writing(taken | {"saves:1": first["saves:1"]}):
        pass


async def test_claims_outlive_the_process(tmp_path: Path) -> None:
    first = await Claims(tmp_path / "claims").take(["saves:0"])
    second = await Claims(tmp_path / "claims").take(["saves:0"])
    again = Claims(tmp_path / "claims")
    with pytest.raises(QueryError):
        async with again.writing(first):
            pass
    async with again.writing(second):
        pass


async def test_an_unknown_claim_is_refused(tmp_path: Path) -> None:
    """The file may be lost; whoever claimed before that claims again."""
    with pytest.raises(QueryError):
        async with Claims(tmp_path / "claims").writing({"saves:0": "1f"}):
            pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "clickhouse") as started:
        yield started


@pytest.mark.real
async def test_a_worker_that_was_given_up_writes_nothing(server: EmbeddedServer, store: ClickHouseHTTP) -> None:
    """Two workers have the same records in hand, in batches that begin and end elsewhere: each counts once."""
    old = await store.claim(MINE)
    before = engagement(0, 100)
    await store.insert("engagement", before, token=token(before), claims=old)

    new = await store.claim(MINE)
    last = await complete_last_blocks(store, MINE, new)
    assert last == {("saves", 0): 99}
    mine, late = engagement(100, 80), engagement(100, 50)
    await store.insert("engagement", mine, token=token(mine), claims=new)
    for _ in range(2):
        with pytest.raises(ClaimLost, match="saves:0"):
            await store.insert("engagement", late, token="late", claims=old)
        server.kill()
        server.start()
    rows = await store.query("SELECT count() AS n, uniqExact(offset) AS different FROM engagement")
    assert (rows["n"][0], rows["different"][0]) == (180, 180)
    await store.insert("engagement", engagement(180, 20), token="b", claims=new)


@pytest.mark.real
async def test_an_insert_that_was_on_its_way_when_another_took_over_is_refused(
    server: EmbeddedServer, store: ClickHouseHTTP
) -> None:
    """The old worker's bytes are held up, as by a machine that sleeps, and arrive when the new one has written."""
    with FaultProxy(server.port) as proxy:
        sleeper = ClickHouseHTTP(f"http://127.0.0.1:{proxy.port}")
        old = await sleeper.claim(MINE)
        proxy.blackhole()
        late = asyncio.create_task(sleeper.insert("engagement", engagement(0, 50), token="late", claims=old))
        await asyncio.sleep(0.5)
        new = await store.claim(MINE)
        assert await complete_last_blocks(store, MINE, new) == {}
        mine = engagement(0, 80)
        await store.insert("engagement", mine, token=token(mine), claims=new)
        proxy.heal()
        with pytest.raises(ClaimLost):
            await late
        await sleeper.close()
    rows = await store.query("SELECT count() AS n, uniqExact(offset) AS different FROM engagement")
    assert (rows["n"][0], rows["different"][0]) == (80, 80)


@pytest.mark.real
async def test_without_a_fence_the_same_would_count_twice(store: ClickHouseHTTP) -> None:
    """What the fence is for: a token names a batch, and the two workers' batches have different names."""
    mine, late = engagement(100, 80), engagement(100, 50)
    await store.insert("engagement", mine, token=token(mine))
    await store.insert("engagement", late, token="late")
    rows = await store.query("SELECT count() AS n, uniqExact(offset) AS different FROM engagement")
    assert (rows["n"][0], rows["different"][0]) == (130, 80)


@pytest.mark.real
async def test_a_block_is_refused_as_a_whole(store: ClickHouseHTTP) -> None:
    held = await store.claim([("saves", 0), ("clicks", 0)])
    await store.claim(MINE)
    with pytest.raises(ClaimLost):
        await store.insert("engagement", engagement(0, 10, topic="clicks"), token="both", claims=held)
    assert (await store.query("SELECT count() AS n FROM engagement"))["n"][0] == 0
