"""The tree of interests: the shipped one is sound, and phrases find their node by their longest ending."""

from __future__ import annotations

import pytest

from operators.annotations.confidence import Annotation
from operators.annotations.taxonomy import Taxonomy
from streams.annotating import taxonomy

TREE = {
    "home": {"names": ["home"], "seats": {"names": ["chair"], "office-chairs": ["swivel chair"]}, "rugs": ["rug"]},
    "fashion": {"dresses": ["dress"]},
}


def test_the_longest_ending_decides_and_ancestors_follow() -> None:
    found = dict(Taxonomy(TREE).interests([Annotation("Grey swivel chair", 0.5), Annotation("chair", 0.3)]))
    assert found["home/seats/office-chairs"] == pytest.approx(0.4)
    assert found["home/seats"] == found["home"] == pytest.approx(0.4)
    assert dict(Taxonomy(TREE).interests([Annotation("chair cover", 0.9)])) == {}


def test_phrases_of_one_node_agree_and_what_is_hardly_said_is_left_out() -> None:
    said = [Annotation("rug", 0.5), Annotation("wool rug", 0.5), Annotation("dress", 0.05)]
    found = dict(Taxonomy(TREE).interests(said))
    assert found == {"home": pytest.approx(0.7), "home/rugs": pytest.approx(0.7)}


@pytest.mark.parametrize("tree", [{"a": ["rug"], "b": ["Rug!"]}, {"a": ["..."]}])
def test_a_name_that_says_nothing_or_two_things_is_refused(tree: dict) -> None:
    with pytest.raises(ValueError, match="empty, or also the name"):
        Taxonomy(tree)


def test_the_shipped_tree_knows_things_by_name() -> None:
    shipped = taxonomy()
    assert 100 <= len(shipped.nodes) <= 250 and len(set(shipped.nodes)) == len(shipped.nodes)
    for phrase, node in (("dining table", "home/furniture/tables/dining-tables"), ("t shirt", "fashion/tops/t-shirts")):
        assert shipped.interests([Annotation(phrase, 1.0)])[0].node in (node, node.split("/")[0])
        assert node in dict(shipped.interests([Annotation(phrase, 1.0)]))
