"""Words of any script, and the phrases they make."""

from __future__ import annotations

import tracemalloc
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.annotations.phrases import LONGEST, phrases
from operators.annotations.words import (
    BREAK,
    LONG_WORD,
    MOST_CHARACTERS,
    MOST_WORDS,
    Field,
    _known_id,
    is_unspaced,
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
    assert words(text) == expected


def test_a_link_says_its_path_without_numbers_and_endings() -> None:
    link = "https://shop.example/mid_century/dining-table-45.html?ref=9"
    assert link_words(link) == ["mid", "century", BREAK, "dining", "table"]
    assert link_words("http://[broken") == []


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


def plainly(text: str) -> list[str]:
    """The same words, character after character."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).replace("’", "'")
    found, gap, spaced = list[str](), "", False
    for at, char in enumerate(folded):
        goes_on = bool(found) and not gap
        if char.isalnum() and is_unspaced(char):
            found, gap, spaced = [*after(found, gap), char], "", False
        elif char.isalnum() and not (goes_on and spaced):
            found, gap, spaced = [*after(found, gap), char], "", True
        elif (
            char.isalnum()
            or (goes_on and unicodedata.category(char) in ("Mn", "Mc"))
            or (
                char == "'"
                and goes_on
                and spaced
                and folded[at + 1 : at + 2].isalnum()
                and not is_unspaced(folded[at + 1])
            )
        ):
            found[-1] += char
        else:
            gap += char
    return found


def after(found: list[str], gap: str) -> list[str]:
    parted = bool(found) and any(not char.isspace() and char not in "-‐‑" for char in gap)
    return [*found, BREAK] if parted else found


@given(st.text(st.sampled_from("ab1_'’ -‐.,東กßﬁ½é٣\t\u00a0\u0301\u0e31\u0903"), max_size=25) | st.text(max_size=25))
def test_words_are_what_a_plain_reader_takes_them_for(text: str) -> None:
    assert words(text) == plainly(text)


@pytest.mark.parametrize("unit", ["word ", "a", "- ", ",. ", "東", "\ufdfa", "\u0301\u0316", "a'", "x1 é-"])
def test_of_a_text_without_end_only_the_beginning_is_read(unit: str) -> None:
    endless = unit * (16_000_000 // len(unit))
    link = f"https://a.org/{endless}"
    tracemalloc.start()
    try:
        text = pin_text(endless, endless, link, endless)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000 and len(text.words) <= sum(MOST_WORDS)
    start = endless[:MOST_CHARACTERS]
    assert text == pin_text(start, start, link[:MOST_CHARACTERS], start)


def test_no_memory_is_kept_of_long_words() -> None:
    before = _known_id.cache_info().currsize
    assert len({word_id(str(n) * LONG_WORD) for n in range(10, 90)}) == 80
    assert _known_id.cache_info().currsize == before


WORDS = st.lists(st.integers(0, 4), max_size=20).map(lambda row: np.array(row, np.int64))


@given(WORDS)
def test_a_phrase_has_one_number_wherever_it_stands(row: np.ndarray) -> None:
    named = phrases(row)
    numbers: dict[tuple[int, ...], int] = {}
    for start in range(len(row)):
        for length in range(1, LONGEST + 1):
            run = tuple(row[start : start + length].tolist())
            if len(run) < length or 0 in run:
                assert named[start, length - 1] == 0
            else:
                assert named[start, length - 1] == numbers.setdefault(run, int(named[start, length - 1])) > 0
    assert len(set(numbers.values())) == len(numbers)
    assert set(named[named > 0].tolist()) == set(numbers.values())
