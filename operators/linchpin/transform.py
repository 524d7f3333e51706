"""Transforms: a plain Python function over columns becomes a word of the language.

    @transform(missing="kept")
    def halve(x: Float) -> Float:
        \"\"\"Half of x.\"\"\"
        return x / 2

Positional parameters are inputs (``*xs`` takes one or more), keyword-only ones are parameters of the spec, and the
annotations are checked when a spec is read. A function must treat each row by itself: the same row gives the same
bits in any batch. Products of matrices are therefore in ``operators.linchpin.kernels``, never ``@``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from numpy.typing import NDArray

from operators.linchpin.columns import Kind, Shape

Missing = Literal["kept", "handled"]
#: (shapes of the inputs, parameters) → width and labels of the vector that comes out, None where none does. Raises
#: ValueError where they do not fit.
ShapeOf = Callable[[Sequence[Shape], Mapping[str, Any]], tuple[int, tuple[str, ...]] | None]
#: (inputs of one row, parameters) → what each number of the inputs adds to the result.
TermsOf = Callable[..., Sequence[float]]


#: Annotation of a result that is of the kind and shape of the first input.
Same = Annotated[NDArray[Any], "same"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """One input of a transform."""

    name: str
    kinds: frozenset[Kind]

    def __str__(self) -> str:
        return f"{self.name}: {' | '.join(kind.value for kind in Kind if kind in self.kinds)}"


@dataclass(frozen=True, slots=True)
class Option:
    """One parameter of a transform: its type, and ``...`` for a default where it has to be given."""

    name: str
    type: Any
    default: Any


@dataclass(frozen=True, slots=True)
class Transform:
    """A word of the language. ``gives`` is None where the result is like the first input."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[Accepted, ...]
    #: The last input may be given several times.
    variadic: bool
    options: Mapping[str, Option]
    gives: Kind | None
    #: ``kept``: a row with any input missing gives missing. ``handled``: the doc says what becomes of it.
    missing: Missing
    doc: str
    shape: ShapeOf | None
    terms: TermsOf | None


REGISTRY: dict[str, Transform] = {}


def positive(*names: str) -> ShapeOf:
    """For ``shape=``: these parameters are above 0."""

    def check(_: Sequence[Shape], given: Mapping[str, Any]) -> None:
        for name in names:
            if not given[name] > 0:
                raise ValueError(f"{name} is above 0")

    return check


def transform(
    *, missing: Missing, name: str = "", shape: ShapeOf | None = None, terms: TermsOf | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function under ``name``, or its own in capitals (``weighted_sum`` → ``WeightedSum``).

    Raises:
        TypeError: an annotation is missing or unknown, or a vector comes out and ``shape`` does not tell how wide.
        ValueError: another function has the name.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        made = _made(function, name or _capitals(function.__name__), missing, shape, terms)
        before = REGISTRY.get(made.name)
        if before is not None and before.function.__qualname__ != function.__qualname__:
            raise ValueError(f"transform {made.name} exists already: {before.doc.splitlines()[0]}")
        REGISTRY[made.name] = made
        return function

    return register


def _made(
    function: Callable[..., Any], name: str, missing: Missing, shape: ShapeOf | None, terms: TermsOf | None
) -> Transform:
    hints = get_type_hints(function, include_extras=True)
    inputs: list[Accepted] = []
    options: dict[str, Option] = {}
    variadic = False
    for each in inspect.signature(function).parameters.values():
        if each.name not in hints:
            raise TypeError(f"transform {name}: parameter {each.name} needs an annotation")
        if each.kind is each.KEYWORD_ONLY:
            default = ... if each.default is each.empty else each.default
            options[each.name] = Option(each.name, hints[each.name], default)
            continue
        if not (kinds := _kinds(hints[each.name])):
            raise TypeError(f"transform {name}: input {each.name} must be Float, Id, Time, Text, IdSet or Vector")
        inputs.append(Accepted(each.name, kinds))
        variadic = each.kind is each.VAR_POSITIONAL
    if not inputs:
        raise TypeError(f"transform {name}: a transform needs an input")
    result = hints.get("return")
    gives = None if result == Same else next(iter(_kinds(result)), None)
    if gives is None and result != Same:
        raise TypeError(f"transform {name}: the result needs an annotation: Float, Id, Time, Text, IdSet, Vector, Same")
    if gives is Kind.VECTOR and shape is None:
        raise TypeError(f"transform {name}: shape= has to tell how wide the vector is")
    doc = inspect.getdoc(function) or ""
    if not doc:
        raise TypeError(f"transform {name}: a docstring has to say what it is for")
    return Transform(name, function, tuple(inputs), variadic, options, gives, missing, doc, shape, terms)


def _kinds(hint: Any) -> frozenset[Kind]:
    if get_origin(hint) is Annotated:
        return frozenset(each for each in get_args(hint)[1:] if isinstance(each, Kind))
    if get_origin(hint) in (Union, UnionType):
        return frozenset(kind for each in get_args(hint) for kind in _kinds(each))
    return frozenset()


def _capitals(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))
