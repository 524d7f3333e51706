"""Words of any script, and the phrases they make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.annotations.phrases import LONGEST, phrases
from operators.annotations.words import (
    BREAK,
    MOST_WORDS,
    Field,
    link_words,
    phrase_of,
    pin_text,
    seen_text,
    stands_alone,
    word_id,
    words,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mid-Century  DINING table", ["mid", "century", "dining", "table"]),
        ("Rug, flatwoven", ["rug", BREAK, "flatwoven"]),
        ("children’s Straße", ["children's", "strasse"]),
        ("ﬁne ｗｉｄｅ", ["fine", "wide"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("東京 2023", ["東", "京", "2023"]),
        ("กรุง", ["ก", "รุ", "ง"]),
        ("...", []),
        ("a\u0301b", ["áb"]),
    ],
)
def test_words_are_folded_and_parted_in_any_script(text: str, expected: list[str]) -> None:
    assert list(words(text)) == expected


def test_a_link_says_its_path_without_numbers_and_endings() -> None:
    link = "https://shop.example/mid_century/dining-table-45.html?ref=9"
    assert list(link_words(link)) == ["mid", "century", BREAK, "dining", "table"]
    assert list(link_words("http://[broken")) == []


def test_fields_are_bounded_and_parted() -> None:
    text = pin_text("sofa " * 500, "soft", "", "living room")
    assert text.words.count("sofa") == MOST_WORDS[Field.TITLE]
    assert text.words[-4:] == ["soft", BREAK, "living", "room"]
    assert text.fields[-2:] == [Field.BOARD, Field.BOARD]
    assert set(seen_text(["dining table", "vase"]).fields) == {Field.SEEN}
    assert seen_text(["dining table", "vase"]).words == [BREAK, "dining", "table", BREAK, "vase"]


@given(st.text(max_size=80))
def test_folding_twice_changes_nothing(text: str) -> None:
    once = [word for word in words(text) if word]
    assert [word for part in once for word in words(part) if word] == once
    assert all(word_id(word) > 0 for word in once)


def test_what_may_be_a_phrase_by_itself() -> None:
    assert [word for word in ("x", "5", "2023", "東", "ox", BREAK) if stands_alone(word)] == ["東", "ox"]
    assert phrase_of(["東", "京", "tower", "5"]) == "東京 tower 5"


WORDS = st.lists(st.integers(0, 4), max_size=20).map(lambda row: np.array(row, np.int64))


@given(WORDS)
def test_a_phrase_has_one_number_wherever_it_stands(row: np.ndarray) -> None:
    named = phrases(row).ids
    numbers: dict[tuple[int, ...], int] = {}
    for start in range(len(row)):
        for length in range(1, LONGEST + 1):
            run = tuple(row[start : start + length].tolist())
            if len(run) < length or 0 in run:
                assert named[start, length - 1] == 0
            else:
                assert named[start, length - 1] == numbers.setdefault(run, int(named[start, length - 1])) > 0
    assert len(set(numbers.values())) == len(numbers)
    assert set(phrases(row).distinct().tolist()) == set(numbers.values())
