"""Transforms: what each computes, what it makes of what is missing, and that a row's bits are its own."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.identity import stable_id
from operators.linchpin.columns import NO_TIME, Column, Float, Kind, Sets, Vector, part
from operators.linchpin.graph import graph_of
from operators.linchpin.models import Forest, Layers
from operators.linchpin.program import Program
from operators.linchpin.transform import REGISTRY, transform
from tests.operators.linchpin.specs import everything, files, rows, tree

NAN = float("nan")
PROGRAM = Program(everything())


def one(statement: str, read=None, **columns):
    """``b`` of ``b <- …`` over columns ``name=(kind, values)``."""
    declared = "".join(f"input {name}: {kind}\n" for name, (kind, _) in columns.items())
    graph = graph_of(f"{declared}b <- {statement}\noutput b", *([read] if read else []))
    return Program(graph).run({name: values for name, (_, values) in columns.items()})["b"]


def times(*values):
    return "time", np.array(values)


def vectors(*rows):
    return f"vector[{len(rows[0])}]", np.array(rows, np.float32)


def floats(*values):
    return "float", np.array(values, np.float32)


@pytest.mark.parametrize(
    ("statement", "columns", "expected"),
    [
        ("Log1p(a){unit=2}", {"a": floats(-1, 0, 2)}, [0, 0, np.log(2)]),
        ("Clip(a){low=0, high=1}", {"a": floats(-1, 0.5, 2)}, [0, 0.5, 1]),
        ("Scale(a){by=2, plus=-1}", {"a": floats(3)}, [5]),
        ("Sigmoid(a)", {"a": floats(0, 100, -100)}, [0.5, 1, 0]),
        ("Platt(a){slope=2, shift=-2}", {"a": floats(1)}, [0.5]),
        ("Ratio(a, c){mean=0.1, prior=10}", {"a": floats(0, 9), "c": floats(0, 90)}, [0.1, 0.1]),
        ("Ratio(a, c)", {"a": floats(0), "c": floats(0)}, [NAN]),
        ("Bucket(a){edges=[0, 1]}", {"a": floats(-1, 0, 0.5, 1, NAN)}, [1, 2, 2, 3, 0]),
        ("Above(a){limit=1}", {"a": floats(1, 2, NAN)}, [0, 1, NAN]),
        ("Add(a, a, c)", {"a": floats(1), "c": floats(3)}, [5]),
        ("Multiply(a, c)", {"a": floats(2), "c": floats(3)}, [6]),
        ("Largest(a, c)", {"a": floats(2, NAN, NAN), "c": floats(3, 1, NAN)}, [3, 1, NAN]),
        ("IfMissing(a){value=7}", {"a": floats(1, NAN, np.inf, -np.inf)}, [1, 7, 7, 7]),
        ("OrElse(a, c)", {"a": floats(1, NAN), "c": floats(3, 4)}, [1, 4]),
        ("Missing(a)", {"a": floats(1, NAN)}, [0, 1]),
        ("Missing(a)", {"a": ("id", np.array([5, 0]))}, [0, 1]),
        ("Missing(a)", {"a": ("text", np.array(["x", None], object))}, [0, 1]),
        ("Missing(a)", {"a": ("set", Sets.of([[1], []]))}, [0, 1]),
        ("Missing(a)", {"a": vectors([1, 2], [NAN, 2])}, [0, 1]),
        ("CountKnown(a, c)", {"a": floats(1, NAN), "c": floats(3, NAN)}, [2, 0]),
        ("Copy(a)", {"a": floats(1, NAN)}, [1, NAN]),
        ("Age(a, c){unit=1s}", {"a": times(0, 9_000, NO_TIME), "c": times(5_000, 5_000, 5_000)}, [5, 0, NAN]),
        ("Decay(v, a, c){half_life=1s}", {"v": floats(8, 8), "a": times(0, NO_TIME), "c": times(2000, 2000)}, [2, NAN]),
        ("Cycle(a){period=1d}", {"a": times(0, 21_600_000, NO_TIME)}, [0, 1, NAN]),
        ("Cycle(a){period=1d, wave=\"cos\"}", {"a": times(0, 43_200_000)}, [1, -1]),
        ("TextId(a)", {"a": ("text", np.array(["pin-7", "12", "", None], object))}, [stable_id("pin-7"), 12, 0, 0]),
        ("OneHot(a){values=[3, 5]}", {"a": ("id", np.array([5, 3, 4, 0]))}, [[0, 1], [1, 0], [0, 0], [0, 0]]),
        ("OneHot(a){values=[\"x\"]}", {"a": ("text", np.array(["x", "y", None], object))}, [[1], [0], [0]]),
        ("Lookup(a){ids=[9, 3], values=[0.5, 2], default=-1}", {"a": ("id", np.array([3, 9, 4, 0]))}, [2, 0.5, -1, -1]),
        ("Lookup(a){ids=[\"x\"], values=[4]}", {"a": ("id", np.array([stable_id("x"), 4]))}, [4, NAN]),
        ("Size(a)", {"a": ("set", Sets.of([[3, 1, 3], []]))}, [2, 0]),
        ("Contains(a, c)", {"a": ("set", Sets.of([[3, 1], [], [2]])), "c": ("id", np.array([3, 3, 0]))}, [1, 0, 0]),
        ("Overlap(a, c)", {"a": ("set", Sets.of([[3, 1], []])), "c": ("set", Sets.of([[1, 2], [1]]))}, [1 / 3, NAN]),
        ("Pick(a){at=1}", {"a": vectors([1, 2])}, [2]),
        ("Dot(a, c)", {"a": ("vector[5]", np.arange(5.0)[None]), "c": ("vector[5]", np.ones((1, 5)))}, [10]),
        ("Cosine(a, c)", {"a": vectors([3, 4], [0, 0]), "c": vectors([4, 3], [1, 1])}, [0.96, NAN]),
        ("Normalise(a){mean=[1, 1], scale=[2, 0.1], bound=5}", {"a": vectors([3, 9])}, [[1, 5]]),
        ("AddVectors(a, c)", {"a": vectors([3, 4]), "c": vectors([1, 1])}, [[4, 5]]),
        ("Concat(a, c)", {"a": floats(7), "c": vectors([1, NAN])}, [[7, 1, NAN]]),
        ("WeightedSum(a, c){weights=[2, -1]}", {"a": floats(3), "c": floats(4)}, [2]),
        ("Linear(a, c){weights=[1, 2, 3], bias=10}", {"a": floats(1), "c": vectors([1, 1])}, [16]),
    ],
)  # fmt: skip
def test_what_a_transform_computes(statement, columns, expected):
    assert np.allclose(one(statement, **columns), expected, rtol=1e-6, equal_nan=True)


def test_every_transform_that_ships_is_in_the_table_above_or_below():
    tried = {"Hash", "Cross", "Embedding", "Forest", "Mlp"}
    table = test_what_a_transform_computes.pytestmark[0].args[1]
    tried |= {statement.split("(")[0] for statement, _, _ in table}
    assert tried == {name for name, each in REGISTRY.items() if each.function.__module__.startswith("operators.")}


def test_a_bucket_is_the_same_everywhere_and_buckets_are_filled_evenly():
    ids = ("id", np.array([1, 2, 2**62, 0]))
    assert one("Hash(a){buckets=1000}", a=ids).tolist() == [466, 111, 76, 0]
    many = one("Cross(a, c){buckets=16}", a=("id", np.arange(1, 16_001)), c=("id", np.full(16_000, 3)))
    counts = np.bincount(many, minlength=17)
    assert counts[0] == 0 and counts[1:].min() > 800
    swapped = one("Cross(c, a){buckets=16}", a=("id", np.arange(1, 16_001)), c=("id", np.full(16_000, 3)))
    assert (many == swapped).mean() < 0.2
    words = one("Hash(a){buckets=1000}", a=("text", np.array(["1", "x", None], object)))
    assert words[0] == one("Hash(a){buckets=1000}", a=ids)[0] and words[2] == 0


def test_embeddings_have_a_default_for_unknown_ids():
    def read(_):
        return b'{"ids": ["x", 7], "values": [[1, 2], [3, 4]]}'

    ids = ("id", np.array([7, stable_id("x"), 8, 0]))
    found = one('Embedding(a){table=@"t", default=9}', read, a=ids)
    assert found.tolist() == [[3, 4], [1, 2], [9, 9], [9, 9]]
    assert np.isnan(one('Embedding(a){table=@"t"}', read, a=ids)[2:]).all()


def walked(trees: list[dict], row: np.ndarray) -> float:
    total = 0.0
    for each in trees:
        node = 0
        while each["children_left"][node] >= 0:
            value = row[each["feature"][node]]
            left = each["missing_go_to_left"][node] if np.isnan(value) else value <= each["threshold"][node]
            node = each["children_left" if left else "children_right"][node]
        total += each["value"][node]
    return total


def test_a_forest_walks_its_trees():
    chance = np.random.default_rng(0)
    trees = [tree(chance, 6) for _ in range(20)]
    x = chance.normal(size=(200, 6)).astype(np.float32)
    x[chance.random(x.shape) < 0.2] = np.nan
    forest = Forest.of(trees, base=0.5, rate=0.1)
    assert np.allclose(forest(x), [0.5 + 0.1 * walked(trees, row) for row in x])
    read = {"f": json.dumps({"trees": trees, "base": 0.5, "rate": 0.1}).encode()}.__getitem__
    assert np.array_equal(one('Forest(a){model=@"f"}', read, a=("vector[6]", x)), forest(x).astype(np.float32))


def test_layers_are_what_numpy_says():
    layers = json.loads(files()["layers.json"])["layers"]
    x = np.random.default_rng(0).normal(size=(9, 28)).astype(np.float32)
    hidden = np.maximum(x @ np.array(layers[0]["weight"]) + layers[0]["bias"], 0)
    assert np.allclose(Layers.of(layers)(x), np.tanh(hidden @ np.array(layers[1]["weight"])), atol=1e-5)


#: What a function under test may be given for its parameters.
GIVEN = {
    "edges": "[0, 1]", "slope": "2", "shift": "1", "limit": "0", "half_life": "1h", "buckets": "9", "at": "0",
    "weights": "[2.5]", "mean": "[0, 0]", "scale": "[1, 1]", "layers": '@"l"', "model": '@"f"', "table": '@"t"',
}  # fmt: skip
COLUMN = {
    Kind.FLOAT: ("float", np.float32([1, NAN, -2])), Kind.ID: ("id", np.array([3, 0, 4])),
    Kind.TIME: ("time", np.array([5, NO_TIME, 6])), Kind.TEXT: ("text", np.array(["x", None, "y"], object)),
    Kind.SET: ("set", Sets.of([[1], [], [2]])), Kind.VECTOR: ("vector[2]", np.float32([[1, 2], [NAN, NAN], [0, 1]])),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(name for name, each in REGISTRY.items() if each.missing == "kept"))
def test_what_keeps_missing_keeps_it_from_every_input(name):
    found = REGISTRY[name]
    layer = json.dumps({"layers": [{"weight": [[1], [1]]}]}).encode()
    for which in range(len(found.inputs)):
        kinds = [next(kind for kind in Kind if kind in each.kinds) for each in found.inputs]
        columns = {}
        for number, kind in enumerate(kinds):
            word, values = COLUMN[kind]
            whole = Sets.of([[1], [1], [1]]) if kind is Kind.SET else values[[0, 0, 0]]
            columns[f"c{number}"] = (word, values if number == which else whole)
        options = [f"{each}={GIVEN[each]}" for each, option in found.options.items() if option.default is ...]
        made = one(f"{name}({', '.join(columns)}){{{', '.join(options)}}}", lambda _: layer, **columns)
        gone = made == 0 if made.dtype == np.int64 else np.isnan(made.reshape(3, -1)).all(axis=1)
        assert gone.tolist() == [False, True, False]


def bits(columns: dict[str, Column]) -> dict[str, bytes]:
    return {name: column.tobytes() for name, column in columns.items()}


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_row_has_the_same_bits_in_every_batch(seed, sizes):
    columns = rows(sum(sizes), seed)
    whole = bits(PROGRAM.run(columns))
    joined = dict.fromkeys(whole, b"")
    start = 0
    for size in sizes:
        some = PROGRAM.run({name: part(each, slice(start, start + size)) for name, each in columns.items()})
        joined = {name: joined[name] + column for name, column in bits(some).items()}
        start += size
    assert joined == whole


def test_one_by_one_in_any_memory_order():
    columns = rows(300)
    whole = PROGRAM.run(columns)
    columns["pin"] = np.asfortranarray(columns["pin"])
    columns["saves"] = np.repeat(columns["saves"], 2)[::2]
    for row in range(300):
        alone = PROGRAM.run({name: part(each, slice(row, row + 1)) for name, each in columns.items()})
        assert all(alone[name].tobytes() == whole[name][row : row + 1].tobytes() for name in whole)


def test_a_function_becomes_a_word():
    @transform(missing="kept")
    def test_only_halve(x: Float, *, times: int = 1) -> Float:
        """Half of x."""
        return x.astype(np.float64) / 2**times

    try:
        found = one("TestOnlyHalve(a){times=2}", a=floats(8, NAN))
        assert found.dtype == np.float32 and found[0] == 2 and np.isnan(found[1])
    finally:
        del REGISTRY["TestOnlyHalve"]


def test_a_function_that_does_not_say_what_it_takes_or_gives_is_refused():
    def no_annotation(x) -> Float:
        """A."""

    def no_result(x: Float):
        """A."""

    def no_doc(x: Float) -> Float:
        return x

    def no_width(x: Float) -> Vector:
        """A."""

    def log1p(x: Float) -> Float:
        """Another."""

    wrong = {"needs an annotation": no_annotation, "the result needs": no_result, "docstring": no_doc}
    for message, function in {**wrong, "how wide": no_width}.items():
        with pytest.raises(TypeError, match=message):
            transform(missing="kept")(function)
    with pytest.raises(ValueError, match="Log1p exists already"):
        transform(missing="kept")(log1p)
