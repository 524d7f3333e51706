"""What a spec means: names, kinds, circles, and what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.linchpin.columns import Kind, Shape
from operators.linchpin.errors import RunError, SpecError
from operators.linchpin.graph import check_inputs, graph_of
from operators.linchpin.program import Program
from tests.operators.linchpin.specs import everything, files, rows


def faults(text: str, read=None) -> list[str]:
    with pytest.raises(SpecError) as wrong:
        graph_of(text, read) if read else graph_of(text)
    return str(wrong.value).splitlines()


def test_all_faults_of_meaning_are_told_at_once():
    text = """input a: flot
input b: float
input v: vector
x <- Log2p(b)
y <- Log1p(b, b){unti=3, unit=1, unit=2}
z <- Clip(q){low="a", high=true}
b <- Log1p(b)
w <- Bucket(b){edges=[2, 1]}
c <- Cosine(b, b)
p <- Platt(b){slope=1}
needs_x <- Log1p(x)
s <- WeightedSum(b, b){weights=[1]}
f <- Forest(b){model="forest.json"}
g <- Forest(b){model=@"forest.json"}
h <- Log1p(b){wave=1}
k <- Cycle(b){wave="tan"}
output y, nope, y"""
    assert faults(text) == [
        "1:10: unknown kind flot, did you mean float?",
        "3:10: a vector has a width, vector[8]",
        "4:6: unknown transform Log2p, did you mean Log1p?",
        "5:6: Log1p takes 1 input (x: float | vector), found 2",
        "5:18: Log1p has no parameter unti, did you mean unit?",
        "5:34: unit is given twice",
        "6:11: unknown input q",
        '6:18: low of Clip: expected a number, found "a"',
        "6:28: high of Clip: expected a number, found true",
        "7:1: b is there already, in line 2",
        "8:6: Bucket: edges are ascending, and one at least",
        "9:13: Cosine takes a: vector, but b is float",
        "9:16: Cosine takes b: vector, but b is float",
        "10:6: Platt needs shift (a number)",
        "12:6: WeightedSum: weights are 1, but there are 2 numbers to weigh",
        '13:22: model of Forest: expected @"file" of Forest, found "forest.json"',
        "14:22: model of Forest: there are no files here",
        "15:15: Log1p has no parameter wave: it takes unit",
        "16:12: Cycle takes time: time, but b is float",
        '16:20: wave of Cycle: expected "sin" or "cos", found "tan"',
        "17:11: unknown input nope",
        "17:17: y is an output already",
    ]


def test_circles_are_told_once_each_and_what_needs_them_is_not():
    text = "input a: float\nx <- Add(y, a)\ny <- Add(z)\nz <- Add(x)\nown <- Add(own)\nw <- Add(x)\noutput w, own"
    assert faults(text) == ["2:1: x needs itself: x → y → z → x", "5:1: own needs itself: own → own"]


def test_statements_may_stand_in_any_order():
    graph = graph_of("output c\nc <- Add(b, a)\nb <- Log1p(a)\ninput a: float")
    assert [step.name for step in graph.steps] == ["b", "c"]
    assert Program(graph).run({"a": [0.0, 1.0]})["c"] == pytest.approx([0, 1 + np.log(2)])


def test_a_long_chain_is_no_trouble():
    links = "\n".join(f"x{at + 1} <- Scale(x{at}){{plus=1}}" for at in range(1_500))
    graph = graph_of(f"input x0: float\n{links}\noutput x1500")
    assert Program(graph).run({"x0": [0.0]})["x1500"].tolist() == [1500]
    assert faults(f"{links}\nx0 <- Add(x1500)\noutput x1") == [
        "1:1: x1 needs itself: x1 → x0 → x1500 → x1499 → … → x2 → x1"
    ]


def test_files_that_are_damaged_are_told_where_they_are_named():
    for broken in (
        b"",
        b"{}",
        b"[1]",
        b'{"ids": [1, 1], "values": [1, 2]}',
        b'{"ids": [1], "values": [[1], [2]]}',
        b"PK",
    ):
        told = faults('input a: id\nb <- Lookup(a){table=@"t"}\noutput b', lambda _, data=broken: data)
        assert len(told) == 1 and told[0].startswith("2:22: table of Lookup: not a table")
    leaf = (
        '{"children_left": [%s], "children_right": [%s], "feature": [%s], "threshold": [0, 0, 0], "value": [0, 1, 2]}'
    )
    for left, right, feature in (
        ("0, -1, -1", "2, -1, -1", "0, -2, -2"),
        ("1, -1, -1", "3, -1, -1", "0, -2, -2"),
        ("1, -1, -1", "2, -1, -1", "-2, -2, -2"),
    ):
        data = ('{"trees": [%s]}' % (leaf % (left, right, feature))).encode()
        told = faults('input a: float\nb <- Forest(a){model=@"t"}\noutput b', lambda _, data=data: data)
        assert "children come after their parent" in told[0]


def test_a_forest_that_looks_further_than_its_inputs_is_refused():
    text = 'input a: float\nb <- Forest(a){model=@"forest.json"}\noutput b'
    assert "but its inputs have 1" in faults(text, files().__getitem__)[0]


def test_what_no_output_needs_is_left_out_and_changes_nothing():
    graph = everything()
    names = {step.name for step in graph.pruned().steps}
    assert {step.name for step in graph.steps} - names == {"unused", "unused_too", "country_id"}
    columns = rows(50)
    found = Program(graph).run(columns)
    for name in graph.outputs:
        alone = Program(graph, [name])
        assert set(alone.graph.inputs) <= set(graph.inputs)
        some = {each: columns[each] for each in alone.graph.inputs}
        assert alone.run(some)[name].tobytes() == found[name].tobytes()
    assert set(Program(graph, ["step"]).graph.inputs) == {"created", "now"}
    with pytest.raises(KeyError, match="did you mean score"):
        graph.pruned(["scores"])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=20), st.data())
def test_pruning_never_changes_an_output(pairs, data):
    lines = [f"n{at} <- Add({_one_of(left, at)}, {_one_of(right, at)})" for at, (left, right) in enumerate(pairs)]
    wanted = data.draw(st.sets(st.integers(0, len(pairs) - 1), min_size=1))
    head = "input a: float\ninput b: float\n" + "\n".join(lines)
    whole = graph_of(f"{head}\noutput {', '.join(f'n{at}' for at in range(len(pairs)))}")
    part = graph_of(f"{head}\noutput {', '.join(f'n{at}' for at in sorted(wanted))}")
    columns = {"a": np.float32([0.1, np.nan, 1e30]), "b": np.float32([3, 2, 1e-30])}
    everything_ran = Program(whole).run(columns)
    for name, column in Program(part).run(columns).items():
        assert column.tobytes() == everything_ran[name].tobytes()
    assert len(Program(part).graph.steps) <= len(pairs)


def _one_of(number: int, before: int) -> str:
    return ["a", "b", *(f"n{at}" for at in range(before))][number % (before + 2)]


def test_the_version_is_that_of_what_is_said_and_of_the_files():
    text = 'input a: id\nb <- Lookup(a){table=@"t"}\noutput b'
    table = b'{"ids": [1], "values": [2]}'
    version = graph_of(text, lambda _: table).version
    assert graph_of("# other words\n" + text.replace(" ", "  "), lambda _: table).version == version
    assert graph_of(text, lambda _: table.replace(b"2", b"3")).version != version
    assert (
        graph_of(text.replace("@", "default=1, table=@").replace("{table=d", "{d"), lambda _: table).version != version
    )


def test_columns_that_are_offered():
    graph = graph_of("input quality: float\ninput other: id\nb <- Log1p(quality)\noutput b")
    check_inputs(graph.pruned(), {"quality": Shape(Kind.FLOAT)})
    with pytest.raises(SpecError, match="1:7: nobody fills the input quality, did you mean qualities"):
        check_inputs(graph.pruned(), {"qualities": Shape(Kind.FLOAT)})
    with pytest.raises(SpecError, match="1:16: quality is id, not float"):
        check_inputs(graph.pruned(), {"quality": Shape(Kind.ID)})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "the column a is not there"),
        ({"a": [1.0], "v": np.zeros((2, 3))}, r"v: expected vector\[3\] \(1, 3\), found \(2, 3\)"),
        ({"a": ["x"], "v": np.zeros((1, 3))}, "a: expected float, found values of type"),
        ({"a": [1.0], "v": np.zeros((1, 4))}, r"found \(1, 4\)"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, message):
    program = Program(graph_of("input a: float\ninput v: vector[3]\nb <- Concat(a, v)\noutput b"))
    with pytest.raises(RunError, match=message):
        program.run(columns)
