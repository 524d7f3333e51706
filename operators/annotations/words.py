"""Words of any script, in order, with breaks where a phrase cannot go on.

Folded by Unicode's NFKC and case folding. Scripts that are written without spaces are taken character by character,
so that their words are phrases like any others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from itertools import islice, pairwise
from urllib.parse import unquote, urlsplit

import xxhash

from operators.identity import MAX_ID

#: Stands between words that are not of one phrase.
BREAK = ""
#: Characters of a field that are looked at: a title may be as long as a message.
MOST_CHARACTERS = 4_000
#: Numbers of longer words are not remembered: a word may be as long as a text.
LONG_WORD = 64


class Field(IntEnum):
    """Where a word of a pin stands. The numbers index tables of weights; append only."""

    TITLE = 0
    DESCRIPTION = 1
    LINK = 2
    BOARD = 3
    SEEN = 4


#: Words of each field that are kept, breaks included.
MOST_WORDS = (32, 64, 12, 12, 64)


@dataclass
class Text:
    """Words of a pin, :data:`BREAK` between phrases, and the field of each, both of length ``n``."""

    words: list[str]
    fields: list[int]

    @cached_property
    def ids(self) -> list[int]:
        """A positive number for each word, 0 for a break."""
        return [word_id(word) for word in self.words]


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
_SPACED = rf"[^\W_{_UNSPACED}]"
_RUN = rf"{_SPACED}++(?:[{_MARKS}]++{_SPACED}*+)*+"
_WORD = rf"(?=[^\W_])[{_UNSPACED}][{_MARKS}]*+|{_RUN}(?:'{_RUN})*+"
#: What may stand between two words of one phrase.
_WITHIN = r"\s‐‑-"
# A word, or what parts two phrases: findall gives the word, or "" for the latter. Only the first character of a gap may
# begin a match, and nothing is tried twice: a text of spaces takes no longer than one of words.
_PARTS = re.compile(rf"({_WORD})|(?<![{_WITHIN}])[{_WITHIN}]*+[\W_]++")
# More signs on one letter than any language has (UAX #15, stream-safe text): putting them in order is quadratic.
_HEAP = re.compile(rf"([{_MARKS}]{{30}})[{_MARKS}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_HAS_LETTER = re.compile(r"[^\W\d_]")
#: In a link: what ends the name of a file, and what stands there for a space.
_ENDING, _JOINTS = re.compile(r"\.\w{2,5}$"), re.compile(r"[_+]")


def words(text: str) -> list[str]:
    """The words of a text in order, with :data:`BREAK` wherever something else than a space or hyphen parts them."""
    parts = _PARTS.findall(_folded(text[:MOST_CHARACTERS]))
    if parts and parts[-1] == BREAK:
        parts.pop()
    return parts[1:] if parts and parts[0] == BREAK else parts


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    # One character may stand for eighteen.
    once = unicodedata.normalize("NFKC", _HEAP.sub(r"\1", text)).casefold()[:MOST_CHARACTERS]
    return unicodedata.normalize("NFKC", once).replace("’", "'")


def link_words(link: str) -> list[str]:
    """The words of a link's path; who hosts it says little of what a pin shows. A link that is none has no words."""
    try:
        path = unquote(urlsplit(link[:MOST_CHARACTERS]).path)
    except ValueError:
        return []
    said = words(_JOINTS.sub(" ", _ENDING.sub("", path)))
    return [word for word in said if word == BREAK or _HAS_LETTER.search(word)]


def pin_text(title: str, description: str = "", link: str = "", board: str = "") -> Text:
    """All words of a pin, field after field."""
    parts = zip(Field, (words, words, link_words, words), (title, description, link, board), strict=False)
    return joined((field, take(part)[: MOST_WORDS[field]]) for field, take, part in parts if part)


def seen_text(phrases: Iterable[str]) -> Text:
    """The words of phrases that are not in the pin's own text; they begin with a break, as they stand behind it."""
    text = joined((Field.SEEN, words(phrase)) for phrase in islice(phrases, MOST_WORDS[Field.SEEN]))
    return Text([BREAK, *text.words], [int(Field.SEEN), *text.fields]) if text.words else text


def joined(parts: Iterable[tuple[int, Sequence[str]]]) -> Text:
    """One text of several, a break between them."""
    text = Text([], [])
    for field, some in parts:
        if not some:
            continue
        if text.words:
            text.words.append(BREAK)
        text.words.extend(some)
        text.fields.extend([int(field)] * (len(text.words) - len(text.fields)))
    return text


def word_id(word: str) -> int:
    """A positive 63-bit number for a word, 0 for a break; two words of one number are not to be expected."""
    return _known_id(word) if len(word) <= LONG_WORD else _word_id(word)


def _word_id(word: str) -> int:
    return (xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) & MAX_ID) or 1 if word else 0


_known_id = lru_cache(1 << 16)(_word_id)


def stands_alone(word: str) -> bool:
    """May this word be a phrase by itself? Numbers and single letters may not."""
    return bool(word.isalpha() or _HAS_LETTER.search(word)) and (len(word) > 1 or is_unspaced(word))


def is_unspaced(word: str) -> bool:
    """Is it of a script that is written without spaces?"""
    return bool(_IS_UNSPACED.match(word))


def phrase_of(some: Sequence[str]) -> str:
    """Words as people write them: with spaces, except between characters of scripts that have none."""
    spaced = " ".join(some)
    if spaced.isascii() or not any(map(is_unspaced, some)):
        return spaced
    glued = (not (is_unspaced(one) and is_unspaced(other)) for one, other in pairwise(some))
    return some[0] + "".join(" " * apart + word for apart, word in zip(glued, some[1:], strict=True))
