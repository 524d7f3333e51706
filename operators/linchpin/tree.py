"""The tree of a spec, and its text again. Places take no part in comparisons: two texts that say the same are equal."""

from __future__ import annotations

from dataclasses import dataclass, field

from operators.linchpin.errors import At

#: Unit → milliseconds, largest first.
UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


class Duration(int):
    """Milliseconds, written with a unit: ``7d``."""

    def __str__(self) -> str:
        unit = next((unit for unit, size in UNITS.items() if self and self % size == 0), "ms")
        return f"{int(self) // UNITS[unit]}{unit}"


@dataclass(frozen=True, slots=True)
class File:
    """``@"name"``: a file beside the spec."""

    name: str


Value = bool | int | float | str | File | tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A name where it is used."""

    text: str
    at: At = field(compare=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    """``name = value``; ``at`` is the value's place."""

    name: Name
    value: Value
    at: At = field(compare=False)


@dataclass(frozen=True, slots=True)
class Input:
    """``input name: kind`` or ``input name: vector[width]``."""

    name: Name
    kind: Name
    width: int = 0

    def __str__(self) -> str:
        return f"input {self.name.text}: {self.kind.text}" + (f"[{self.width}]" if self.width else "")


@dataclass(frozen=True, slots=True)
class Node:
    """``name <- Transform(inputs){parameters}``."""

    name: Name
    transform: Name
    inputs: tuple[Name, ...]
    parameters: tuple[Parameter, ...]

    def __str__(self) -> str:
        inputs = ", ".join(each.text for each in self.inputs)
        parameters = ", ".join(f"{each.name.text}={written(each.value)}" for each in self.parameters)
        return f"{self.name.text} <- {self.transform.text}({inputs})" + (f"{{{parameters}}}" if parameters else "")


@dataclass(frozen=True, slots=True)
class Output:
    """``output name, name``."""

    names: tuple[Name, ...]

    def __str__(self) -> str:
        return "output " + ", ".join(each.text for each in self.names)


@dataclass(frozen=True, slots=True)
class Tree:
    """The statements of a spec, in order. ``str`` gives a text that parses to the same tree."""

    statements: tuple[Input | Node | Output, ...]

    def __str__(self) -> str:
        return "".join(f"{each}\n" for each in self.statements)


def written(value: Value) -> str:
    """A value as it stands in a spec."""
    match value:
        case bool():
            return "true" if value else "false"
        case Duration() | int():
            return str(value)
        case float():
            return repr(value)
        case str():
            return _quoted(value)
        case File():
            return f"@{_quoted(value.name)}"
        case _:
            return f"[{', '.join(map(written, value))}]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
