"""The blender of Lens: ratios from what was understood, and rankings interleaved by them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.vision.blender import FLOOR, SOURCES, Seen, blend, blend_ratios

shares = st.floats(0, 1)
some_sources = st.sets(st.sampled_from(SOURCES), min_size=1)
categories = st.sampled_from(["", "dress", "pizza", "beach house", "chair"])
ONE_OBJECT = Seen((0.95,), (0.5,), 0.9, "handbag", 0.9)


@st.composite
def seen_photos(draw: st.DrawFn) -> Seen:
    confidences = sorted(draw(st.lists(shares, max_size=8)), reverse=True)
    areas = draw(st.lists(shares, min_size=len(confidences), max_size=len(confidences)))
    return Seen(tuple(confidences), tuple(areas), draw(shares), draw(categories), draw(shares))


@given(seen_photos(), some_sources)
def test_ratios_add_up_and_nobody_who_can_be_asked_is_silenced(seen: Seen, available: set[str]):
    ratios = blend_ratios(seen, available).ratios
    assert sum(ratios.values()) == pytest.approx(1, abs=1e-9)
    assert set(ratios) == set(SOURCES)
    for name, ratio in ratios.items():
        assert ratio >= FLOOR if name in available else ratio == 0


@given(seen_photos(), some_sources, shares)
def test_a_surer_detector_never_lowers_what_looks_give(seen: Seen, available: set[str], raised: float):
    if not seen.confidences:
        return
    surer = seen._replace(confidences=(max(raised, seen.confidences[0]), *seen.confidences[1:]))
    before, after = (blend_ratios(each, available).ratios for each in (seen, surer))
    assert after["visual"] + after["objects"] >= before["visual"] + before["objects"] - 1e-12


@given(seen_photos(), some_sources, shares)
def test_a_surer_category_never_lowers_what_words_give(seen: Seen, available: set[str], raised: float):
    surer = seen._replace(category_confidence=max(raised, seen.category_confidence))
    before, after = (blend_ratios(each, available).ratios for each in (seen, surer))
    assert after["text"] >= before["text"] - 1e-12


def test_a_surer_detector_raises_what_looks_give():
    """Never lower would hold for constants too."""
    looks = [
        1 - blend_ratios(ONE_OBJECT._replace(confidences=(c,))).ratios["text"] for c in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    assert all(after > before for before, after in pairwise(looks))


@dataclass(frozen=True)
class Example:
    seen: Seen
    first: str


EXAMPLES = {
    "one confident, large object": Example(ONE_OBJECT, "visual"),
    "a busy scene": Example(Seen((0.9, 0.8, 0.8, 0.7), (0.2, 0.1, 0.1, 0.05), 0.9, "chair", 0.9), "objects"),
    "food": Example(Seen((0.9,), (0.5,), 0.9, "pizza", 0.9), "text"),
    "a place": Example(Seen((), (), 0.9, "beach", 0.8), "text"),
    "nothing found, but named": Example(Seen((), (), 0.9, "wedding dress", 0.8), "text"),
    "a poor photo, but named": Example(Seen((0.3,), (0.2,), 0.1, "dress", 0.8), "text"),
    "nothing found, not named": Example(Seen((), (), 0.9, "", 0.0), "visual"),
    "a poor photo, not named": Example(Seen((), (), 0.1, "", 0.9), "visual"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_was_understood_decides_who_answers_most(name: str):
    ratios = blend_ratios(EXAMPLES[name].seen).ratios
    assert max(ratios, key=ratios.__getitem__) == EXAMPLES[name].first, ratios


def test_reasons_say_what_was_seen_in_numbers():
    busy = " ".join(blend_ratios(EXAMPLES["a busy scene"].seen, ("visual", "objects")).reasons)
    assert "4 objects were found, the first 90% certain" in busy
    assert "scene is busy" in busy
    assert "Text could not be asked" in busy
    assert "'pizza', 90% certain: food" in " ".join(blend_ratios(EXAMPLES["food"].seen).reasons)
    assert "quality 0.10" in " ".join(blend_ratios(EXAMPLES["a poor photo, but named"].seen).reasons)


@pytest.mark.parametrize("available", [(), ("visual", "smell")])
def test_sources_that_do_not_exist_are_refused(available: tuple[str, ...]):
    with pytest.raises(ValueError, match="sources are some of"):
        blend_ratios(ONE_OBJECT, available)


rankings = st.dictionaries(st.sampled_from(SOURCES), st.lists(st.integers(1, 60), max_size=30), max_size=3)
any_ratios = st.dictionaries(st.sampled_from(SOURCES), st.floats(0.01, 1), max_size=3)


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.integers(1, 3))
def test_every_prefix_follows_the_ratios_to_less_than_one_place(weights: list[float], m: int):
    ratios = {name: weight / sum(weights[:m]) for name, weight in zip(SOURCES[:m], weights, strict=False)}
    found = {name: range(1000 * at, 1000 * at + 200) for at, name in enumerate(ratios)}
    counts = dict.fromkeys(ratios, 0)
    for turn, (_, source) in enumerate(blend(found, ratios, 200), 1):
        counts[source] += 1
        for name, ratio in ratios.items():
            assert (
                abs(counts[name] - ratio * turn) <= 1 - 1 / max(2 * m - 2, 1) + 1e-6 if m > 1 else counts[name] == turn
            )


@given(rankings, any_ratios, st.integers(0, 80))
def test_ids_appear_once_in_their_sources_order_until_n_or_all_are_there(
    found: dict[str, list[int]], ratios: dict[str, float], n: int
):
    blended = blend(found, ratios, n)
    ids = [one for one, _ in blended]
    asked = {name: ids for name, ids in found.items() if name in ratios}
    assert len(ids) == len(set(ids)) == min(n, len({one for each in asked.values() for one in each}))
    for name in found:
        places = [found[name].index(one) for one, source in blended if source == name]
        assert places == sorted(places)
        assert name in ratios or not places


def test_an_id_counts_for_the_source_that_places_it_first_and_a_dry_source_leaves_its_share():
    found = {"visual": [1, 2, 3, 4, 5, 6], "objects": [1, 9], "text": [7]}
    assert blend(found, {"visual": 0.5, "objects": 0.5, "text": 0}, 6) == [
        (1, "objects"),
        (2, "visual"),
        (9, "objects"),
        (3, "visual"),
        (4, "visual"),
        (5, "visual"),
    ]
