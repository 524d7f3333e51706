"""Words of any script, in order, with breaks where a phrase cannot go on.

Folded by Unicode's NFKC and case folding. Scripts that are written without spaces are taken character by character,
so that their words are phrases like any others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import islice, pairwise
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
import xxhash

from operators.batch import Ints
from operators.identity import MAX_ID

#: Stands between words that are not of one phrase.
BREAK = ""
#: Characters of a field that are looked at: a title may be as long as a message.
MOST_CHARACTERS = 4_000


class Field(IntEnum):
    """Where a word of a pin stands. The numbers index tables of weights; append only."""

    TITLE = 0
    DESCRIPTION = 1
    LINK = 2
    BOARD = 3
    SEEN = 4


#: Words of each field that are kept.
MOST_WORDS = {Field.TITLE: 32, Field.DESCRIPTION: 64, Field.LINK: 12, Field.BOARD: 12, Field.SEEN: 64}


class Text(NamedTuple):
    """Words of a pin, :data:`BREAK` between phrases, and the field of each, both of length ``n``."""

    words: list[str]
    fields: list[int]

    def ids(self) -> Ints:
        """``(n,)``: a positive number for each word, 0 for a break."""
        return np.array([word_id(word) for word in self.words], np.int64)


def _ranges(points: Iterable[int]) -> str:
    """A regular expression's class for ascending code points."""
    spans: list[list[int]] = []
    for point in points:
        if spans and point == spans[-1][1] + 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)


# Signs that belong to the letter before them: re counts them among neither letters nor digits.
_MARKS = _ranges(point for point in range(0x300, 0x10000) if unicodedata.category(chr(point)) in ("Mn", "Mc"))
#: Thai, Lao, Burmese, Khmer, kana and Han: written without spaces between words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SPACED = rf"(?:(?![{_UNSPACED}])[^\W_])"
_WORD = re.compile(
    rf"(?=[^\W_])[{_UNSPACED}][{_MARKS}]*|{_SPACED}(?:{_SPACED}|[{_MARKS}])*(?:['’]{_SPACED}(?:{_SPACED}|[{_MARKS}])*)*"
)
#: What may stand between two words of one phrase.
_WITHIN = re.compile(r"[\s‐‑-]*")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_HAS_LETTER = re.compile(r"[^\W\d_]")


def words(text: str) -> Iterator[str]:
    """The words of a text in order, with :data:`BREAK` wherever something else than a space or hyphen parts them."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold())
    end = 0
    for found in _WORD.finditer(folded):
        if end and not _WITHIN.fullmatch(folded, end, found.start()):
            yield BREAK
        end = found.end()
        yield found.group().replace("’", "'")


def link_words(link: str) -> Iterator[str]:
    """The words of a link's path; who hosts it says little of what a pin shows. A link that is none has no words."""
    try:
        path = unquote(urlsplit(link[:MOST_CHARACTERS]).path)
    except ValueError:
        return
    for word in words(re.sub(r"[_+]", " ", re.sub(r"\.\w{2,5}$", "", path))):
        if word == BREAK or _HAS_LETTER.search(word):
            yield word


def pin_text(title: str, description: str = "", link: str = "", board: str = "") -> Text:
    """All words of a pin, field after field."""
    parts = {
        Field.TITLE: words(title),
        Field.DESCRIPTION: words(description),
        Field.LINK: link_words(link),
        Field.BOARD: words(board),
    }
    return joined((field, islice(part, MOST_WORDS[field])) for field, part in parts.items())


def seen_text(phrases: Iterable[str]) -> Text:
    """The words of phrases that are not in the pin's own text; they begin with a break, as they stand behind it."""
    text = joined((Field.SEEN, words(phrase)) for phrase in islice(phrases, MOST_WORDS[Field.SEEN]))
    return Text([BREAK, *text.words], [int(Field.SEEN), *text.fields]) if text.words else text


def joined(parts: Iterable[tuple[int, Iterable[str]]]) -> Text:
    """One text of several, a break between them."""
    text = Text([], [])
    for field, part in parts:
        some = list(part)
        if some and text.words:
            some.insert(0, BREAK)
        text.words.extend(some)
        text.fields.extend([int(field)] * len(some))
    return text


@lru_cache(1 << 16)
def word_id(word: str) -> int:
    """A positive 63-bit number for a word, 0 for a break; two words of one number are not to be expected."""
    return (xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) & MAX_ID) or 1 if word else 0


@lru_cache(1 << 16)
def stands_alone(word: str) -> bool:
    """May this word be a phrase by itself? Numbers and single letters may not."""
    return bool(_HAS_LETTER.search(word)) and (len(word) > 1 or is_unspaced(word))


@lru_cache(1 << 16)
def is_unspaced(word: str) -> bool:
    """Is it of a script that is written without spaces?"""
    return bool(_IS_UNSPACED.match(word))


def phrase_of(some: Sequence[str]) -> str:
    """Words as people write them: with spaces, except between characters of scripts that have none."""
    if not any(map(is_unspaced, some)):
        return " ".join(some)
    glued = (not (is_unspaced(one) and is_unspaced(other)) for one, other in pairwise(some))
    return some[0] + "".join(" " * apart + word for apart, word in zip(glued, some[1:], strict=True))
