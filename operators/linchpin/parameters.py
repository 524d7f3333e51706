"""Parameters: what stands in the braces, checked against what the transform's function takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin

from operators.linchpin.errors import Fault, nearest
from operators.linchpin.transform import Option, Transform
from operators.linchpin.tree import File, Node, Value, written

#: Gives the bytes of a file beside the spec. Raises OSError or ValueError.
ReadFile = Callable[[str], bytes]


class Decoded(Protocol):
    """What a parameter may be annotated with that comes from a file: tables, forests, layers."""

    @classmethod
    def decode(cls, data: bytes) -> Decoded:
        """Raises ValueError, saying what is wrong with the file."""
        ...


def no_files(name: str) -> bytes:
    """For specs that stand alone."""
    raise ValueError("there are no files here")


def parameters_of(node: Node, transform: Transform, read: ReadFile, faults: list[Fault]) -> dict[str, Any] | None:
    """Parameter → value with defaults, for the transform's function; None when there are faults, which are added."""
    found: dict[str, Any] = {}
    before = len(faults)
    for given in node.parameters:
        name = given.name.text
        option = transform.options.get(name)
        if option is None:
            takes = f"it takes {', '.join(transform.options)}" if transform.options else "it takes none"
            hint = nearest(name, transform.options) or f": {takes}"
            faults.append(Fault(given.name.at, f"{transform.name} has no parameter {name}{hint}"))
        elif name in found:
            faults.append(Fault(given.name.at, f"{name} is given twice"))
        else:
            try:
                found[name] = _value(given.value, option.type, read)
            except (OSError, ValueError) as wrong:
                found[name] = None
                faults.append(Fault(given.at, f"{name} of {transform.name}: {wrong}"))
    for option in _left(transform.options, found):
        if option.default is ...:
            faults.append(Fault(node.transform.at, f"{transform.name} needs {option.name} ({described(option.type)})"))
        found[option.name] = option.default
    return found if len(faults) == before else None


def described(kind: Any) -> str:
    """A type in the words of a spec."""
    if get_origin(kind) is Literal:
        return " or ".join(written(each) for each in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(described(each) for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is tuple:
        return f"a list: each {described(get_args(kind)[0])}"
    plain = {float: "a number", int: "a whole number", str: "text in quotes", bool: "true or false"}
    return plain.get(kind, '@"file" of ' + getattr(kind, "__name__", str(kind)))


def _left(options: Mapping[str, Option], found: Mapping[str, Any]) -> Iterator[Option]:
    return (option for name, option in options.items() if name not in found)


def _value(value: Value, kind: Any, read: ReadFile) -> Any:
    origin = get_origin(kind)
    if origin is Literal:
        if value in get_args(kind) and not isinstance(value, bool):
            return value
    elif origin in (Union, UnionType):
        for each in get_args(kind):
            if _fits(value, each):
                return _value(value, each, read)
    elif _fits(value, kind):
        if origin is tuple and isinstance(value, tuple):
            return tuple(_value(each, get_args(kind)[0], read) for each in value)
        if isinstance(value, File):
            return kind.decode(read(value.name))
        return kind(value)
    raise ValueError(f"expected {described(kind)}, found {_short(value)}")


def _fits(value: Value, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(kind)[0]) for each in value)
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, File):
        return hasattr(kind, "decode") and kind is not bytes
    if kind is float:
        return isinstance(value, int | float)
    return kind in (int, str) and isinstance(value, kind)


def _short(value: Value) -> str:
    text = written(value)
    return text if len(text) <= 60 else text[:60] + "…"
