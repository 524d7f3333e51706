"""Real saves, the quick form: topics beat popularity before the first action, several interests beat one vector."""

import os
from pathlib import Path

import pytest

from bench.quality.cold_start import contests_of
from streams.settings import PROJECT

DATA = Path(os.environ.get("PINSTREAM_DATA") or PROJECT.parent / "shared" / "data")


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "saves").is_dir(), reason=f"no {DATA / 'saves'}: set PINSTREAM_DATA")
def test_topics_beat_popularity_and_interests_a_single_vector():
    cold, interests = contests_of(DATA, "validation", 1, 60, 4_000)
    assert all(cold.reached().values()), "\n".join(cold.lines())
    assert interests.reached()["relevance"], "\n".join(interests.lines())
    streamed = next(each for each in cold.entries if each.system == "streamed")
    assert streamed.mean("NDCG@20, 20") > streamed.mean("NDCG@20, 0")
