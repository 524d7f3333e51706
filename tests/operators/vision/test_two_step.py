"""Two-step detection: what a text makes likely, and when the detector is spared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.annotations.words import Text, pin_text
from operators.vision.detectable import NAMES, PLACES
from operators.vision.two_step import likely, worth_a_look

some_words = st.sampled_from(
    ["chair", "cushion", "teddy bear", "kitchen", "rug", "with", "blue", "NILS", ",", "стул", "椅子"]
)
texts = st.lists(some_words, max_size=12).map(" ".join)


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("NILS Chair", "chair"),
        ("POÄNG Rocking-chair", "chair"),
        ("Chair with armrests", "chair"),
        ("KRAMIG Soft toy", "teddy bear"),
        ("Wine glass, clear", "wine glass"),
        ("A puppy on the sofa", "dog"),
        ("EKTORP Three-seat sofa", "sofa"),
    ],
)
def test_a_title_makes_its_object_likeliest(title: str, label: str) -> None:
    assert label in [one.label for one in likely(pin_text(title)) if one.likelihood == 1.0]


def test_the_longest_name_decides() -> None:
    assert [one.label for one in likely(pin_text("hot dog"))] == ["hot dog"]
    assert [one.label for one in likely(pin_text("teddy bear"))] == ["teddy bear"]


def test_what_a_word_only_stands_beside_is_less_likely() -> None:
    (cushion,) = likely(pin_text("JUSTINA chair cushion"))
    (chair,) = likely(pin_text("JUSTINA chair"))
    assert 0 < cushion.likelihood < chair.likelihood


def test_a_place_makes_its_things_likely_but_less_than_their_names() -> None:
    found = dict(likely(pin_text("A small kitchen")))
    assert set(found) == set(PLACES["kitchen"]) and max(found.values()) < 0.5
    assert dict(likely(pin_text("An oven in a small kitchen")))["oven"] == 1.0


@given(texts, texts, st.floats(0, 1))
def test_more_said_never_makes_less_likely(title: str, description: str, threshold: float) -> None:
    short, long = pin_text(title), pin_text(title, description)
    before, after = dict(likely(short)), dict(likely(long))
    assert all(after[label] >= likelihood for label, likelihood in before.items())
    assert all(0 <= likelihood <= 1 + 1e-12 for likelihood in after.values())
    if any(word.isascii() for word in short.words if word) and worth_a_look(short, threshold):
        assert worth_a_look(long, threshold)


@given(texts, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_asks_for_more(title: str, one: float, other: float) -> None:
    text, (low, high) = pin_text(title), sorted((one, other))
    assert worth_a_look(text, low) or not worth_a_look(text, high)


@pytest.mark.parametrize("text", [Text([], []), pin_text(""), pin_text("…!"), pin_text("белый стул"), pin_text("椅子")])
def test_without_words_that_can_be_read_nothing_speaks_against_a_look(text: Text) -> None:
    assert worth_a_look(text, 1.0)


def test_zero_asks_for_every_picture() -> None:
    assert worth_a_look(pin_text("ADUM Rug, high pile"), 0.0)
    assert not worth_a_look(pin_text("ADUM Rug, high pile"), 0.01)


def test_every_label_is_one_of_the_detectors(coco_names: list[str]) -> None:
    assert sorted(NAMES) == sorted(coco_names)
    assert {label for labels in PLACES.values() for label in labels} <= set(coco_names)


@pytest.fixture
def coco_names() -> list[str]:
    """The names that come with the detector's weights, as set-up fetched them."""
    from streams.settings import Settings

    file = Settings.load().home / "weights" / "coco.names"
    if not file.exists():
        pytest.skip(f"{file} is missing: run `make setup`")
    return file.read_text().split("\n")[:80]
