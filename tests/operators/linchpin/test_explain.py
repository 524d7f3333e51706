"""A row explained: every node, the terms of sums, and what each input does to the result."""

import numpy as np
import pytest

from operators.linchpin.errors import RunError
from operators.linchpin.explain import explain
from operators.linchpin.graph import graph_of
from operators.linchpin.program import Program
from tests.operators.linchpin.specs import NOW, everything, rows

SPEC = """
input saves: float
input hides: float
input owner: id
liked <- Log1p(saves)
known <- Lookup(owner){ids=[7], values=[0.5], default=0}
score <- Linear(liked, hides, known){weights=[1, -2, 4], bias=0.25}
unused <- Log1p(hides)
output score
"""
PROGRAM = Program(graph_of(SPEC))


def test_every_node_and_every_term():
    told = explain(PROGRAM, {"saves": float(np.e - 1), "hides": 0.5, "owner": 7})
    assert [line.name for line in told.lines] == ["saves", "hides", "owner", "liked", "known", "score"]
    assert told.outputs == {"score": pytest.approx(0.25 + 1 - 1 + 2)}
    assert told.lines[-1].terms == {"liked": pytest.approx(1), "hides": -1, "known": 2}
    assert sum(told.lines[-1].terms.values()) + 0.25 == pytest.approx(told.outputs["score"])


def test_what_each_input_does_to_the_score_largest_first():
    told = explain(PROGRAM, {"saves": float(np.e - 1), "hides": 0.5, "owner": 7}).contributions["score"]
    assert told == {"owner": pytest.approx(2), "saves": pytest.approx(1), "hides": -1}
    assert next(iter(told)) == "owner"


def test_what_a_row_leaves_out_is_missing_and_what_does_not_fit_is_told():
    told = explain(PROGRAM, {"owner": 8})
    assert told.outputs == {"score": None} and told.lines[0].value is None and told.contributions == {"score": {}}
    with pytest.raises(RunError, match="saves: not a column of float"):
        explain(PROGRAM, {"saves": "many"})
    with pytest.raises(RunError, match="owner: not a column of id: whole numbers only"):
        explain(PROGRAM, {"owner": 1.5})


def test_a_row_of_every_kind_is_explained_as_it_is_computed():
    program = Program(everything())
    given = {
        "saves": 3, "shown": 40, "created": NOW - 10**8, "now": NOW, "owner": 1003, "domain": 7, "country": "de",
        "topics": [1, 2], "wishes": [2, 1003], "pin": [0.5] * 16, "taste": None,
    }  # fmt: skip
    told = explain(program, given)
    values = {line.name: line.value for line in told.lines}
    assert values["steps"] == [0, 0, 1, 0, 0] and values["mine"] == 1 and values["common"] == pytest.approx(1 / 3)
    assert values["close"] is None and values["topics"] == [1, 2] and values["country"] == "de"
    assert {"saves", "owner"} <= set(told.contributions["score"])
    assert rows(1).keys() == program.graph.inputs.keys()
