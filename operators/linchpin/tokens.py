"""Tokens: the words of a spec, each with its place."""

from __future__ import annotations

import re
from typing import NamedTuple

from operators.linchpin.errors import At, Fault

#: Longer texts are no specs; a number with more characters is no number of this world.
LONGEST, LONGEST_NUMBER = 1_000_000, 40

_TOKEN = re.compile(
    r"""
    (?P<blank> [ \t\r\n]+ | \#[^\n]* )
  | (?P<arrow> <- )
  | (?P<number> [+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[A-Za-z_0-9.]* )
  | (?P<text> "(?:[^"\\\n]|\\[^\n])*" )
  | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<mark> [(){}\[\],=:@] )
  | (?P<wrong> "[^\n]* | . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """``kind`` is arrow, number, text, name, mark or end."""

    kind: str
    text: str
    at: At


def tokens(text: str) -> tuple[list[Token], list[Fault]]:
    """The tokens of a spec, the last of kind ``end``, and what is none."""
    if len(text) > LONGEST:
        return [Token("end", "", At(1, 1))], [Fault(At(1, 1), f"longer than {LONGEST:,} characters")]
    found: list[Token] = []
    faults: list[Fault] = []
    line, begins = 1, 0
    for match in _TOKEN.finditer(text):
        kind, word = match.lastgroup or "", match.group()
        at = At(line, match.start() - begins + 1)
        if kind == "wrong":
            faults.append(Fault(at, "text without a closing quote" if word[0] == '"' else f"unexpected {word!r}"))
        elif kind != "blank":
            found.append(Token(kind, word, at))
        if "\n" in word:
            line += word.count("\n")
            begins = match.start() + word.rindex("\n") + 1
    found.append(Token("end", "", At(line, len(text) - begins + 1)))
    return found, faults
