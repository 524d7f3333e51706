"""Compiled ids against the published hashes that they are."""

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from operators.content_id import content_ids
from operators.identity import MAX_ID, stable_id
from operators.text_id import hash_places

signed = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(*[signed] * 7), min_size=1, max_size=5))
def test_a_content_id_is_xxh64_of_the_row(rows: list[tuple[int, ...]]) -> None:
    columns = np.array(rows, np.int64).T
    expected = [(xxhash.xxh64_intdigest(np.array(row, "<i8").tobytes()) & MAX_ID) or 1 for row in rows]
    assert content_ids(columns).tolist() == expected


def test_two_million_rows_that_differ_little_have_two_million_ids() -> None:
    n = 2_000_000
    i = np.arange(n)
    # As simulators and bursts make them: same pinner, neighbouring pins, times and positions.
    columns = np.stack((i % 5, i // 1_000 % 7, i % 1_000, i % 3, 1_770_000_000_000 + i // 7_000, i % 2, i % 11 - 1))
    ids = content_ids(columns)
    assert len(np.unique(ids)) == n, "pin, pinner and time alone tell the rows apart"
    assert ids.min() >= 1
    # Every bit of the id is set half of the time.
    share = [float(np.mean(ids >> bit & 1)) for bit in range(63)]
    assert 0.495 < min(share) <= max(share) < 0.505


def test_content_is_seven_columns() -> None:
    with pytest.raises(ValueError, match="seven columns, not 6"):
        content_ids(np.zeros((6, 2), np.int64))


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).map(str.encode).filter(lambda b: len(b) <= 128)))
def test_a_text_id_is_the_stable_id(texts: list[bytes]) -> None:
    texts = [*texts, b"pin-1", b"x" * 127, b"x" * 128]
    buffer = np.frombuffer(b"".join(texts), np.uint8)
    starts = np.cumsum([0, *map(len, texts)])[:-1]
    ids = np.array([-(start << 8 | len(text)) for start, text in zip(starts.tolist(), texts, strict=True)] + [5, 0])
    hash_places(buffer, ids)
    for text, found in zip(texts, ids.tolist(), strict=False):
        # Digits alone stand for themselves, which is settled before anything is hashed.
        if not (text.isascii() and text.isdigit()):
            assert found == stable_id(text.decode())
    assert ids[-2:].tolist() == [5, 0]
