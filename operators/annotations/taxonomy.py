"""Interests: a tree of topics, and how much a pin belongs to each, from its annotations.

Lexical, as the first step of Pinterest's Pin2Interest: a phrase belongs to the node that has its longest ending as a
name, and an ancestor is at least as sure as its surest descendant. What pins look like has its say through the
annotations of their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from operators.annotations.confidence import Annotation
from operators.annotations.words import BREAK, words

#: Interests of a pin, and the least that is worth telling.
MOST, LEAST = 16, 0.1
#: What a phrase is worth that merely ends in a name.
ENDING = 0.8
#: Characters; longer phrases are looked up anew each time.
LONG_PHRASE = 128

_OWN_NAMES = "names"


class Interest(NamedTuple):
    """A node, as the way to it from the root (``home/furniture/sofas``), and how sure it is, 0 … 1."""

    node: str
    confidence: float


class Taxonomy:
    """The tree. ``tree`` is as ``streams/interests.toml`` reads: tables are nodes, lists are names of nodes.

    Raises:
        ValueError: a name that says nothing, or names two nodes.
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._node: dict[tuple[str, ...], str] = {}
        self._ways: dict[str, list[str]] = {}
        for node, names in _walk(tree):
            self._ways[node] = _way(node)
            for name in names:
                said = _said(name)
                if not said or self._node.setdefault(said, node) != node:
                    raise ValueError(f"{name!r} of {node} is empty, or also the name of {self._node.get(said)}")
        #: What people may call a node, as letters and digits alone; what comes first in the tree has a name.
        self._meant: dict[str, str] = {}
        for node in self._ways:
            for called in (node, node.rpartition("/")[2]):
                self._meant.setdefault(_letters(called), node)
        for said, node in self._node.items():
            self._meant.setdefault(_letters("".join(said)), node)
        # The same few phrases are asked for again and again.
        self._known = lru_cache(1 << 16)(self._find)

    @property
    def nodes(self) -> list[str]:
        """All nodes, those above before those below."""
        return list(self._ways)

    def phrases(self, topic: str) -> list[str]:
        """Names of the node that a topic means and of those below it; the topic itself where it means none.

        A topic is a node's way (``home/furniture``), the last part of it, or one of its names; case, spaces and
        whatever else is no letter or digit do not count.
        """
        node = self._meant.get(_letters(topic), "")
        return self._below(node) if node else [topic]

    def _below(self, node: str) -> list[str]:
        return [" ".join(name) for name, of in self._node.items() if of == node or of.startswith(f"{node}/")]

    def interests(self, annotations: Iterable[Annotation]) -> list[Interest]:
        """What a pin with these annotations is about, surest first (equal ones by name), ancestors included."""
        doubts: dict[str, float] = {}
        for phrase, confidence in annotations:
            node, share = (self._known if len(phrase) <= LONG_PHRASE else self._find)(phrase)
            if node:
                doubts[node] = doubts.get(node, 1.0) * (1.0 - share * confidence)
        found: dict[str, float] = {}
        for node, doubt in doubts.items():
            for each in self._ways[node]:
                found[each] = max(found.get(each, 0.0), 1.0 - doubt)
        sure = [Interest(node, round(score, 6)) for node, score in found.items() if score >= LEAST]
        return sorted(sure, key=lambda each: (-each.confidence, each.node))[:MOST]

    def _find(self, phrase: str) -> tuple[str, float]:
        """The node that has the longest ending of a phrase as a name, and what that is worth; "" for none."""
        said = _said(phrase)
        for start in range(len(said)):
            if node := self._node.get(said[start:]):
                return node, ENDING if start else 1.0
        return "", 0.0


def _walk(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, list[str]]]:
    for name, below in tree.items():
        if name == _OWN_NAMES:
            continue
        node = f"{above}/{name}" if above else name
        if isinstance(below, Mapping):
            yield node, below.get(_OWN_NAMES, [])
            yield from _walk(below, node)
        else:
            yield node, below


def _way(node: str) -> list[str]:
    """The node and its ancestors."""
    parts = node.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _said(phrase: str) -> tuple[str, ...]:
    return tuple(word for word in words(phrase) if word != BREAK)
