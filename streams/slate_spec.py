"""The spec of slates: ``streams/feed.linchpin``, or the file that ``PINSTREAM_SPEC`` names.

It is read again whenever it changes, and the next slates are made with it. One that cannot be used is logged, told by
``/ready`` and metrics, and refused: the one before goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from operators.linchpin.columns import Column, Kind, Shape, columns_of
from operators.linchpin.errors import At, Fault, RunError, SpecError
from operators.linchpin.graph import Graph, check_inputs, graph_of
from operators.linchpin.program import Program
from operators.linchpin.transforms.models import weighted_sum
from operators.slate.candidates import Floats
from operators.slate.features import INPUTS, Signals, inputs
from operators.slate.utility import ACTIONS, Weights
from streams.metrics import Metrics
from streams.settings import PROJECT

log = logging.getLogger(__name__)
SHIPPED = PROJECT / "streams" / "feed.linchpin"
#: The outputs that slates are made with.
FEATURES, UTILITY = "features", "utility"
#: Beside the signals, the utility may use what the ranker expects, by the name of each action.
EXPECTED = {name: Shape(Kind.FLOAT) for name in ACTIONS}


class Settings(Protocol):
    """What is needed of the settings."""

    @property
    def spec(self) -> Path: ...
    @property
    def transforms(self) -> str: ...
    @property
    def model_repository(self) -> Path: ...


@dataclass(frozen=True)
class SlateSpec:
    """A spec that slates can be made with."""

    graph: Graph
    #: What it was read from: its text, and the files that it names.
    text: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def version(self) -> str:
        """The same for specs that say the same."""
        return self.graph.version

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each column of :meth:`features` is called."""
        return self.graph.labels(FEATURES)

    def features(self, signals: Signals) -> Floats:
        """What the ranker sees, ``(n, len(names))`` float32. Raises RunError when a transform fails."""
        return self._array(self._features.run(inputs(signals))[FEATURES])

    def utility(self, signals: Signals, probabilities: Floats, weights: Weights | None = None) -> Floats:
        """``(n, 4)`` probabilities in the order of ``ACTIONS`` → ``(n,)`` expected worth of showing each pin.

        ``weights`` take the place of what the spec says. Raises RunError when a transform fails.
        """
        expected: dict[str, Any] = dict(zip(ACTIONS, np.ascontiguousarray(probabilities.T), strict=True))
        if weights is not None:
            return weighted_sum(*expected.values(), weights=[getattr(weights, name) for name in ACTIONS])
        columns = expected if self._utility.graph.inputs.keys() <= expected.keys() else inputs(signals) | expected
        return self._array(self._utility.run(columns)[UTILITY])

    @cached_property
    def _features(self) -> Program:
        return Program(self.graph, [FEATURES])

    @cached_property
    def _utility(self) -> Program:
        return Program(self.graph, [UTILITY])

    @staticmethod
    def _array(column: Column) -> Floats:
        return cast(Floats, column)


@dataclass
class _Read:
    """What a file was when it was last read. ``refused`` says what is wrong with it."""

    stamps: dict[Path, Any]
    spec: SlateSpec
    refused: str = ""


_read: dict[Path, _Read] = {}
#: The latest specs that served, by version.
_served: dict[str, SlateSpec] = {}
_MOST_SERVED = 32


def spec_of(settings: Settings, metrics: Metrics | None = None) -> SlateSpec:
    """The spec of this moment. Never raises for a file that cannot be used: the one before goes on, or the shipped."""
    before = _read.get(settings.spec)
    if before is not None and all(_stamp(path) == stamp for path, stamp in before.stamps.items()):
        return before.spec
    # Also the ranker's: a spec that was refused because the ranker was trained without it is looked at again after.
    files: set[Path] = {settings.spec, settings.model_repository / "ranker", *_rankers(settings.model_repository)[-1:]}
    stamps = {path: _stamp(path) for path in files | set(before.stamps if before else ())}
    try:
        spec = load(settings.spec, files, settings.transforms, ranker_names(settings.model_repository))
        now = _Read({}, spec)
        _served[spec.version] = spec
        while len(_served) > _MOST_SERVED:
            del _served[next(iter(_served))]
        log.info("%s serves in version %s", settings.spec, spec.version)
    except (OSError, ValueError, ImportError) as wrong:
        refused = str(wrong)
        log.error("%s is not used:\n%s", settings.spec, refused)
        now = _Read({}, before.spec if before else shipped(), refused)
    # Stamped before it was read: a file that changes meanwhile is read once more.
    now.stamps = {path: stamps.get(path) or _stamp(path) for path in files}
    _read[settings.spec] = now
    if metrics is not None:
        metrics.spec(now.spec.version, refused=bool(now.refused))
    return now.spec


def spec_called(version: str) -> SlateSpec | None:
    """A spec that has served in this process lately, or the shipped one, by its version."""
    return _served.get(version) or (shipped() if shipped().version == version else None)


def spec_from(text: str, files: Mapping[str, bytes], transforms: str = "") -> SlateSpec:
    """A spec from what it was read from. Raises SpecError, and ImportError for a module that is not there."""
    import_transforms(transforms)

    def read_file(name: str) -> bytes:
        try:
            return files[name]
        except KeyError:
            raise ValueError(f"{name} was not kept") from None

    return SlateSpec(graph_of(text, read_file), text, files)


def refused(settings: Settings) -> str:
    """What is wrong with the file that is there now, one fault a line; empty where it serves."""
    spec_of(settings)
    return _read[settings.spec].refused


def load(
    path: Path, files: set[Path] | None = None, transforms: str = "", ranker: Sequence[str] | None = None
) -> SlateSpec:
    """The spec in a file, checked against what slates can give it.

    Args:
        path: whose folder has the files that the spec names.
        files: those files are added.
        transforms: modules to import first, comma-separated.
        ranker: what the ranker's columns are called, where it is known.

    Raises:
        OSError: the file cannot be read.
        ImportError: a module is not there.
        SpecError: every fault.
    """
    contents: dict[str, bytes] = {}
    graph = read_graph(path, files, transforms, contents)
    for name, kind in ((FEATURES, Kind.VECTOR), (UTILITY, Kind.FLOAT)):
        if name not in graph.outputs or graph.shapes[name].kind is not kind:
            raise SpecError([Fault(At(1, 1), f"slates need an output {name}, a {kind}")])
    check_inputs(graph.pruned([FEATURES]), INPUTS)
    check_inputs(graph.pruned([UTILITY]), INPUTS | EXPECTED)
    _try(graph)
    spec = SlateSpec(graph, path.read_text(), contents)
    if ranker is not None and spec.names != tuple(ranker):
        raise SpecError([Fault(_at(graph, FEATURES), _unlike(spec.names, tuple(ranker)))])
    return spec


def read_graph(
    path: Path, files: set[Path] | None = None, transforms: str = "", contents: dict[str, bytes] | None = None
) -> Graph:
    """The graph of any spec in a file. Raises OSError, ImportError or SpecError, as :func:`load` does.

    What the files that it names hold is added to ``contents``.
    """
    import_transforms(transforms)
    folder = path.resolve().parent

    def read_file(name: str) -> bytes:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder):
            raise ValueError(f"{name} is not beside the spec")
        if files is not None:
            files.add(file)
        try:
            data = file.read_bytes()
        except OSError as gone:
            raise ValueError(f"{name}: {gone.strerror}") from gone
        if contents is not None:
            contents[name] = data
        return data

    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as wrong:
        raise SpecError([Fault(At(1, 1), f"not UTF-8: {wrong}")]) from wrong
    return graph_of(text, read_file)


def import_transforms(modules: str) -> None:
    """Let modules register their transforms; comma-separated. Raises ImportError for one that is not there."""
    for module in filter(None, (each.strip() for each in modules.split(","))):
        import_module(module)


@cache
def shipped() -> SlateSpec:
    """The spec that ships."""
    return load(SHIPPED)


def ranker_names(repository: Path) -> tuple[str, ...] | None:
    """What the columns are called that the newest ranker was trained with; None where its folder is elsewhere."""
    if not (versions := _rankers(repository)):
        return None
    with np.load(versions[-1]) as stored:
        return tuple(stored["names"].tolist()) if "names" in stored.files else None


def _rankers(repository: Path) -> list[Path]:
    found = [path for path in repository.glob("ranker/*/weights.npz") if path.parent.name.isdigit()]
    return sorted(found, key=lambda path: int(path.parent.name))


def _try(graph: Graph) -> None:
    """A transform that fails whatever it is given is found here and not by the first slate."""
    for rows in (0, 2):
        try:
            Program(graph, [FEATURES, UTILITY]).run(columns_of([{}] * rows, INPUTS | EXPECTED))
        except RunError as wrong:
            raise SpecError([Fault(_at(graph, str(wrong).split(" ")[0]), str(wrong))]) from wrong


def _unlike(names: tuple[str, ...], ranker: tuple[str, ...]) -> str:
    more, less = [each for each in names if each not in ranker], [each for each in ranker if each not in names]
    parts = [f"it does not know {', '.join(more)}"] * bool(more) + [f"it needs {', '.join(less)}"] * bool(less)
    why = "; ".join(parts) or f"their order was {', '.join(ranker)}"
    return f"the ranker was trained with other features: {why}. Train it with this spec (make train-ranker)"


def _at(graph: Graph, name: str) -> At:
    return next((step.at for step in graph.steps if step.name == name), At(1, 1))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
