"""The spec of slates: what the shipped one computes, and how a changed one is taken up or refused."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as turned

from operators.linchpin.errors import SpecError
from operators.slate.candidates import SOURCES
from operators.slate.features import Signals
from operators.slate.utility import ACTIONS, Weights
from streams.metrics import Metrics
from streams.settings import PROJECT, Settings
from streams.slate_spec import SHIPPED, load, ranker_names, refused, shipped, spec_of
from tests.streams.former_features import DAY_MS, HOUR_MS, former_features, former_names

NAMES, features = shipped().names, shipped().features
PROBABILITIES = np.random.default_rng(0).random((50, 4)).astype(np.float32)


def signals(**given) -> Signals:
    n = len(next(iter(given.values()))) if given else 1
    columns = {field.name: np.full(n, np.nan, np.float32) for field in fields(Signals)}
    columns |= {"now": np.zeros(n, np.int64), "scores": np.full((n, len(SOURCES)), np.nan, np.float32)}
    return Signals(**(columns | {name: np.asarray(value) for name, value in given.items()}))


def column(name: str, table: np.ndarray) -> list[float]:
    return table[:, NAMES.index(name)].tolist()


def test_one_column_a_name_and_no_name_twice():
    table = features(signals(quality=[1.0, 2.0]))
    assert table.shape == (2, len(NAMES)) and table.dtype == np.float32
    assert len(set(NAMES)) == len(NAMES)


def test_unknown_is_zero_with_a_flag_beside_it():
    table = features(signals(relevance=[0.5, np.nan], domain_quality=[np.nan, 2.0]))
    assert np.isfinite(table).all()
    assert column("relevance", table) == [0.5, 0] and column("no_relevance", table) == [0, 1]
    assert column("domain_quality", table) == [0, 2] and column("no_domain_quality", table) == [1, 0]


def test_ages_are_logged_hours_and_counts_are_logged():
    table = features(signals(age=[0.0, 3.0 * HOUR_MS], exposure=[0.0, np.e - 1], activity=[1.0, 1.0]))
    assert column("log_age", table) == pytest.approx([0, np.log(4)])
    assert column("log_exposure", table) == pytest.approx([0, 1])


def test_the_hour_turns_once_a_day_and_midnight_is_next_to_eleven():
    hours = np.array([0, 6, 12, 24, 23]) * HOUR_MS
    table = features(signals(now=hours, quality=np.ones(5)))
    assert column("hour_sin", table)[:3] == pytest.approx([0, 1, 0], abs=1e-6)
    clock = table[:, [NAMES.index("hour_sin"), NAMES.index("hour_cos")]]
    assert np.allclose(clock[0], clock[3]) and DAY_MS == 24 * HOUR_MS
    assert np.linalg.norm(clock[4] - clock[0]) < 0.3


def test_each_source_has_its_column_and_they_are_counted():
    scores = np.full((2, len(SOURCES)), np.nan, np.float32)
    scores[0, SOURCES.index("visual")] = 0.75
    scores[0, SOURCES.index("boards")] = np.e - 1
    table = features(signals(scores=scores))
    assert column("from_visual", table) == [0.75, 0] and column("from_boards", table) == pytest.approx([1, 0])
    assert column("sources", table) == [2, 0]


def test_rows_do_not_depend_on_each_other():
    random = np.random.default_rng(0)
    both = signals(
        **{f.name: random.normal(size=6).astype(np.float32) for f in fields(Signals) if f.name not in ("now", "scores")}
    )
    one = signals(**{f.name: getattr(both, f.name)[2:3] for f in fields(Signals)})
    assert np.array_equal(features(both)[2:3], features(one))


def test_the_names_and_every_bit_are_those_of_the_code_that_the_spec_took_the_place_of():
    assert former_names() == NAMES
    known = random_signals(5_000, np.random.default_rng(1))
    assert features(known).tobytes() == former_features(known).tobytes()


def random_signals(n: int, chance: np.random.Generator) -> Signals:
    """Values of every size, a third of them unknown, some infinite."""
    columns = {}
    for name in (each.name for each in fields(Signals)):
        shape = (n, len(SOURCES)) if name == "scores" else (n,)
        values = (chance.normal(size=shape) * 10.0 ** chance.integers(-3, 9, shape)).astype(np.float32)
        values[chance.random(shape) < 0.3] = np.nan
        values[chance.random(shape) < 0.01] = chance.choice([np.inf, -np.inf])
        columns[name] = values
    return Signals(**columns | {"now": chance.integers(0, 2**42, n)})


def rows(signals: Signals, part: slice) -> Signals:
    return Signals(**{each.name: getattr(signals, each.name)[part] for each in fields(Signals)})


@given(st.integers(0, 2**32), st.lists(st.integers(0, 70), min_size=1, max_size=8))
def test_a_row_has_the_same_bits_in_every_batch(seed, sizes):
    known = random_signals(sum(sizes), np.random.default_rng(seed))
    probabilities = np.random.default_rng(seed).random((sum(sizes), 4)).astype(np.float32)
    ends = np.cumsum(sizes).tolist()
    parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    assert b"".join(features(rows(known, part)).tobytes() for part in parts) == features(known).tobytes()
    worth = [shipped().utility(rows(known, part), probabilities[part]).tobytes() for part in parts]
    assert b"".join(worth) == shipped().utility(known, probabilities).tobytes()


def utility(probabilities, weights=None):
    return shipped().utility(signals(quality=np.zeros(len(probabilities))), probabilities, weights)


def test_the_weighted_sum():
    weights = Weights(save=2, closeup=1, outbound_click=0.5, hide=-4)
    chances = np.array([[0.5, 0.25, 0.5, 0.125]], np.float32)
    assert utility(chances, weights) == pytest.approx([1 + 0.25 + 0.25 - 0.5])
    assert np.array_equal(utility(PROBABILITIES), utility(PROBABILITIES, Weights()))
    by_blas = PROBABILITIES @ np.array([1.0, 0.3, 0.5, -3.0], np.float32)
    assert np.allclose(utility(PROBABILITIES), by_blas, rtol=0, atol=1e-6)


def test_a_heavier_hide_never_raises_a_pin_above_one_that_is_hidden_less():
    def place(weight):
        order = np.argsort(-utility(PROBABILITIES, turned(Weights(), hide=weight)))
        return np.corrcoef(np.argsort(order), PROBABILITIES[:, 3])[0, 1]

    places = [place(weight) for weight in (0, -1, -3, -10, -100)]
    assert places == sorted(places) and places[-1] > 0.99


@pytest.fixture
def own(tmp_path):
    """Settings whose spec is a copy of the shipped one, and a function that writes it anew."""
    settings = replace(Settings(), spec=tmp_path / "own.linchpin")
    text = SHIPPED.read_text()

    def write(*changes: tuple[str, str]) -> None:
        changed = text
        for before, after in changes:
            assert before in changed
            changed = changed.replace(before, after)
        fresh = settings.spec.with_suffix(".new")
        fresh.write_text(changed)
        fresh.replace(settings.spec)

    write()
    return settings, write


def test_the_ranker_was_trained_with_the_shipped_spec():
    assert ranker_names(PROJECT / "model_repo") == NAMES


def test_a_changed_spec_is_taken_up_and_a_broken_one_is_not(own):
    settings, write = own
    metrics = Metrics()

    def told(name):
        return metrics.registry.get_sample_value(name)

    first = spec_of(settings, metrics)
    assert first.version == shipped().version and refused(settings) == "" and told("pinstream_spec_refused") == 0
    write(("1.0, 0.3, 0.5, -3.0", "1.0, 0.3, 0.5, -9.0"))
    second = spec_of(settings, metrics)
    assert second.version != first.version and spec_of(settings) is second
    chances = np.array([[0.1, 0, 0, 0.1]], np.float32)
    known = signals(quality=[1.0])
    assert second.utility(known, chances) == pytest.approx([0.1 - 0.9])
    write(("CountKnown", "CountKnwon"), ("Log1p(age)", "Log1p(ago)"))
    assert spec_of(settings, metrics) is second and told("pinstream_spec_refused") == 1
    assert "did you mean CountKnown?" in refused(settings) and "did you mean age?" in refused(settings)
    write()
    assert spec_of(settings, metrics).version == first.version and refused(settings) == ""
    assert told("pinstream_spec_refused") == 0
    assert metrics.registry.get_sample_value("pinstream_spec_reads_total", {"outcome": "taken"}) == 3


def test_a_spec_that_is_broken_from_the_start_leaves_the_shipped_one(own):
    settings, write = own
    settings.spec.unlink()
    assert spec_of(settings) is shipped() and "No such file" in refused(settings)
    settings.spec.write_bytes(b"\xff\xfe")
    assert spec_of(settings) is shipped() and "UTF-8" in refused(settings)
    write()
    assert refused(settings) == ""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("from_fresh, from_followed, sources,", "from_fresh, from_followed,", "it needs sources"),
        ("log_exposure, log_age,", "log_age, log_exposure,", "their order was"),
        ("input quality: float", "input qualty: float\nquality <- Copy(qualty)", "did you mean quality?"),
        ("input follows: float", "input follows: vector[3]", "follows is float, not vector[3]"),
        ("output features, utility", "output features", "slates need an output utility"),
    ],
)
def test_a_spec_that_slates_cannot_be_made_with_is_refused(own, before, after, message):
    settings, write = own
    write((before, after))
    assert spec_of(settings) is shipped() and message in refused(settings)


def test_files_beside_a_spec_are_watched_and_none_elsewhere_is_read(own):
    settings, write = own
    table = settings.spec.with_name("worth.json")
    with_table = (
        "output features, utility",
        'seen <- Bucket(exposure){edges=[10]}\nextra <- Lookup(seen){table=@"worth.json"}\n'
        "output features, utility, extra",
    )
    write(with_table)
    assert "worth.json: No such file" in refused(settings)
    table.write_text('{"ids": [1, 2], "values": [0.5, 0.25]}')
    assert refused(settings) == ""
    first = spec_of(settings).version
    table.write_text('{"ids": [1, 2], "values": [0.5, 0.125]}')
    assert spec_of(settings).version != first
    write((with_table[0], with_table[1].replace("worth.json", "../worth.json")))
    assert "not beside the spec" in refused(settings)


def test_transforms_of_ones_own_and_one_that_fails(own, tmp_path, monkeypatch):
    settings, write = own
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_transforms.py").write_text(
        "from operators.linchpin.columns import Float\n"
        "from operators.linchpin.transform import transform\n\n"
        '@transform(missing="kept")\n'
        "def halve(x: Float) -> Float:\n"
        '    """Half of x."""\n'
        "    return x / 2\n\n"
        '@transform(missing="kept")\n'
        "def broken(x: Float) -> Float:\n"
        '    """Nothing."""\n'
        "    return x[:-1]\n"
    )
    mine = replace(settings, transforms="own_transforms")
    write(("follows, hour_sin", "half, hour_sin"), ("sources <-", "half <- Halve(follows)\nsources <-"))
    with pytest.raises(SpecError, match="unknown transform Halve"):
        load(settings.spec)
    spec = load(mine.spec, transforms=mine.transforms)
    assert spec.features(signals(follows=[1.0]))[0, spec.names.index("half")] == 0.5
    write(("from_fresh <- Copy(", "from_fresh <- Broken("))
    with pytest.raises(SpecError, match="from_fresh: expected float"):
        load(mine.spec, transforms=mine.transforms)
    with pytest.raises(ImportError):
        load(mine.spec, transforms="no_such_module")


def test_settings_name_the_spec():
    assert asdict(Settings.load({}))["spec"] == SHIPPED
    assert Settings.load({"PINSTREAM_SPEC": "/a/b"}).spec.name == "b" and len(ACTIONS) == 4
