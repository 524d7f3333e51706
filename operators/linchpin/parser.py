"""Parser: text → tree. A statement that cannot be read is told and skipped, so that all faults are told at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from operators.linchpin.errors import At, Fault, SpecError
from operators.linchpin.tokens import LONGEST_NUMBER, Token, tokens
from operators.linchpin.tree import UNITS, Duration, File, Input, Name, Node, Output, Parameter, Tree, Value

T = TypeVar("T")
RESERVED = ("input", "output", "true", "false")
#: Lists hold values, or lists of values.
DEEPEST = 2

_NUMBER = re.compile(r"([+-]?[0-9]+)|([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[dhms])")
_ESCAPE = re.compile(r"\\(.)")


def parse(text: str) -> Tree:
    """The tree of a spec.

    Raises:
        SpecError: with every fault of the form; what names mean is checked by ``operators.linchpin.graph.check``.
    """
    tree, faults, _ = read(text)
    if faults:
        raise SpecError(faults)
    return tree


class Reading(NamedTuple):
    """What can be read of a spec, what cannot, and the names of statements that could not be read."""

    tree: Tree
    faults: list[Fault]
    broken: set[str]


def read(text: str) -> Reading:
    """As much of a spec as can be read."""
    found, faults = tokens(text)
    parser = _Parser(found, faults)
    return Reading(Tree(tuple(parser.statements())), faults, parser.broken)


class _Unreadable(Exception):
    def __init__(self, at: At, message: str) -> None:
        self.fault = Fault(at, message)


class _Parser:
    def __init__(self, found: list[Token], faults: list[Fault]) -> None:
        self._tokens, self._faults, self._next = found, faults, 0
        self.broken: set[str] = set()

    def statements(self) -> list[Input | Node | Output]:
        out: list[Input | Node | Output] = []
        while self._peek().kind != "end":
            began = self._next
            try:
                out.append(self._statement())
            except _Unreadable as wrong:
                self._faults.append(wrong.fault)
                # What these would have been called is not told as unknown as well.
                self.broken.update(each.text for each in self._tokens[began : began + 2] if each.kind == "name")
                self._next = max(self._next, began + 1)
                self._skip()
        return out

    def _statement(self) -> Input | Node | Output:
        word = self._peek()
        if word.kind != "name":
            raise _Unreadable(word.at, f"expected a statement, found {_shown(word)}")
        if word.text == "input":
            self._take()
            return self._input()
        if word.text == "output":
            self._take()
            return Output(tuple(self._several(self._name)))
        name = self._name()
        self._mark("<-", f"after {name.text}")
        transform = self._name("a transform")
        self._mark("(", f"after {transform.text}")
        inputs = self._until(")", self._name)
        parameters: list[Parameter] = []
        if self._peek().text == "{":
            self._take()
            parameters = self._until("}", self._parameter)
        return Node(name, transform, tuple(inputs), tuple(parameters))

    def _input(self) -> Input:
        name = self._name()
        self._mark(":", f"after {name.text}, then its kind")
        kind, width = self._name(), 0
        if self._peek().text == "[":
            self._take()
            number = self._peek()
            value = self._value()
            if isinstance(value, bool | Duration) or not isinstance(value, int) or not 1 <= value <= 65536:
                raise _Unreadable(number.at, "a width is a whole number from 1 to 65536")
            width = value
            self._mark("]", "after the width")
        return Input(name, kind, width)

    def _parameter(self) -> Parameter:
        name = self._name()
        self._mark("=", f"after {name.text}")
        at = self._peek().at
        return Parameter(name, self._value(), at)

    def _value(self, depth: int = 0) -> Value:
        token = self._take()
        match token.kind, token.text:
            case "number", text:
                return _number(text, token.at)
            case "text", text:
                return _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], text[1:-1])
            case "name", ("true" | "false") as text:
                return text == "true"
            case "name", text:
                raise _Unreadable(token.at, f"expected a value, found {text}: text needs quotes")
            case _, "@":
                name = self._take()
                if name.kind != "text":
                    raise _Unreadable(name.at, 'expected the name of a file after @, as in @"forest.json"')
                return File(_ESCAPE.sub(r"\1", name.text[1:-1]))
            case _, "[":
                if depth == DEEPEST:
                    raise _Unreadable(token.at, f"lists are at most {DEEPEST} deep")
                return tuple(self._until("]", lambda: self._value(depth + 1)))
            case _:
                self._next -= token.kind == "end"
                raise _Unreadable(token.at, f"expected a value, found {_shown(token)}")

    def _name(self, what: str = "a name") -> Name:
        token = self._peek()
        if token.kind != "name":
            raise _Unreadable(token.at, f"expected {what}, found {_shown(token)}")
        if token.text in RESERVED:
            raise _Unreadable(token.at, f"{token.text} is a word of the language and cannot be a name")
        self._next += 1
        return Name(token.text, token.at)

    def _several(self, one: Callable[[], T]) -> list[T]:
        found = [one()]
        while self._peek().text == ",":
            self._take()
            found.append(one())
        return found

    def _until(self, closing: str, one: Callable[[], T]) -> list[T]:
        """Things with commas between them, and one may follow the last."""
        found: list[T] = []
        while self._peek().text != closing:
            found.append(one())
            if self._peek().text != ",":
                break
            self._take()
        token = self._peek()
        if token.text != closing or token.kind != "mark":
            raise _Unreadable(token.at, f"expected , or {closing}, found {_shown(token)}")
        self._take()
        return found

    def _mark(self, text: str, where: str) -> None:
        token = self._peek()
        if token.text != text or token.kind not in ("mark", "arrow"):
            raise _Unreadable(token.at, f"expected {text} {where}, found {_shown(token)}")
        self._take()

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _skip(self) -> None:
        """To where the next statement begins."""
        while (token := self._peek()).kind != "end":
            after = self._tokens[self._next + 1]
            if token.kind == "name" and (after.kind == "arrow" or token.text in ("input", "output")):
                return
            self._next += 1


def _number(text: str, at: At) -> int | float:
    if len(text) > LONGEST_NUMBER:
        raise _Unreadable(at, f"a number of more than {LONGEST_NUMBER} characters")
    if whole := _DURATION.fullmatch(text):
        milliseconds = float(whole[1]) * UNITS[whole[2]]
        if not milliseconds.is_integer() or milliseconds >= 2**53:
            raise _Unreadable(at, f"{text} is not a whole number of milliseconds below 2^53")
        return Duration(milliseconds)
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise _Unreadable(at, f"{text} is no number; durations are written 500ms, 90s, 5m, 6h or 7d")
    if found[1]:
        if not -(2**63) <= int(text) < 2**63:
            raise _Unreadable(at, f"{text} does not fit 64 bits")
        return int(text)
    number = float(text)
    if abs(number) == float("inf"):
        raise _Unreadable(at, f"{text} is too large")
    return number


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else token.text if len(token.text) <= 40 else token.text[:40] + "…"
