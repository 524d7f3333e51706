"""A compiled reader of flat JSON objects: records go straight into columns, with no Python object for any of them.

One pass over the bytes takes whatever is plainly right: keys in any order, white space wherever JSON allows it,
integers, ids as text, known words, ``null`` where it may stand, unknown keys with a simple value. All else is *odd*:
escapes, non-ASCII, floats where integers belong, nesting, a missing field, a value out of range, broken JSON. Odd
records are not judged here but by :mod:`operators.parsing`, so this may be narrow but never wrong: what it takes, it
takes just as the exact path would (``tests/operators/test_scan_fuzz.py``).

The kernel knows JSON and nothing of events: fields and limits come in as tables. numba's cache of compiled code
watches this file only, and would miss a limit that changes in another.
"""

from __future__ import annotations

from typing import Any

from numba import njit

#: Rows of the table of fields, which has one column a field: its name as :func:`packed` (0 where the topic lacks
#: it), what it holds, its limits, its value when absent, and (0 or 1) whether it is required or may be ``null``.
NAME, HOLDS, LOWEST, HIGHEST, DEFAULT, REQUIRED, NULLABLE = range(7)
#: What a field holds: an integer, an id (an integer, or text that stands for one), or one of the words known for it.
INTEGER, ID, WORD = range(3)
#: Columns of the table of words, which has one row a word: the field it may stand in, the word, its code.
FIELD, SPELLED, CODE = range(3)
#: A text id longer than this is odd: it takes more than one block of BLAKE2b.
LONGEST_TEXT = 128

_MOST_DIGITS = 19  # of 2**63 - 1
_ODD = -1  # stands in the place of a position


def packed(word: str) -> int:
    """A word of one to eight ASCII characters as an integer, big-endian: how names are compared."""
    if not 1 <= len(word) <= 8 or not word.isascii():
        raise ValueError(f"{word!r} is not one to eight ASCII characters")
    return int.from_bytes(word.encode(), "big")


#: Without numba's reference counts: keeping those of the arrays at every call took six times as long as all the rest.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
_compiled = njit(**_OPTIONS)
_inlined = njit(forceinline=True, **_OPTIONS)

_QUOTE, _COLON, _COMMA, _OPEN, _CLOSE, _BACKSLASH = map(ord, '":,{}\\')
_ZERO, _NINE, _MINUS, _DOT, _A, _N, _Z = map(ord, "09-.anz")
_SPACE, _TAB, _NEWLINE, _RETURN, _FIRST_NON_ASCII = 0x20, 0x09, 0x0A, 0x0D, 0x80
_NULL, _TRUE, _FALSE = packed("null"), packed("true"), packed("false")


@_compiled
def scan(buffer, starts, lengths, longest, fields, words, columns, odd, unknown):  # type: ignore[no-untyped-def]
    """Read every record, none longer than ``longest`` bytes.

    In: ``buffer`` uint8; ``starts`` and ``lengths`` int64 ``(n,)``; tables ``fields`` ``(7, f)``, ``words`` ``(w, 3)``.
    Out: ``columns`` int64 ``(f, n)``, where a text id is ``-(start << 8 | length)`` of its place in the buffer; bool
    ``(n,)``: ``odd``, where the columns hold nothing of use, and ``unknown``, where a field is not in the table.
    """
    required = 0
    for field in range(fields.shape[1]):
        required |= fields[REQUIRED, field] << field
    for row in range(len(starts)):
        for field in range(fields.shape[1]):
            columns[field, row] = fields[DEFAULT, field]
        odd[row], unknown[row] = True, False
        end = starts[row] + lengths[row]
        if 0 <= lengths[row] <= longest and starts[row] >= 0 and end <= len(buffer):
            at, seen, unknown[row] = _object(buffer, starts[row], end, fields, words, columns, row)
            odd[row] = at != end or seen & required != required


@_inlined
def _object(buffer, at, end, fields, words, columns, row):  # type: ignore[no-untyped-def]
    """An object with the white space around it: (where it ends, the fields seen as bits, whether any is unknown)."""
    seen, unknown = 0, False
    at = _sign(buffer, at, end, _OPEN)
    while at != _ODD:
        at = _sign(buffer, at, end, _QUOTE)
        name, at = _word(buffer, at, end)
        at = _space(buffer, _sign(buffer, at, end, _COLON), end)
        if at in (_ODD, end):
            return _ODD, seen, unknown
        field = _field(fields, name)
        if field < 0:
            unknown = True
            at = _simple_value(buffer, at, end)
        else:
            seen |= 1 << field  # of a key that stands twice the last one counts, as on the exact path
            columns[field, row], at = _value(buffer, at, end, fields, words, field)
        at = _space(buffer, at, end)
        if at in (_ODD, end):
            return _ODD, seen, unknown
        if buffer[at] == _CLOSE:
            return _space(buffer, at + 1, end), seen, unknown
        at = _sign(buffer, at, end, _COMMA)
    return _ODD, seen, unknown


@_inlined
def _field(fields, name):  # type: ignore[no-untyped-def]
    """The column of a name, -1 when it is unknown."""
    if name > 0:
        for field in range(fields.shape[1]):
            if fields[NAME, field] == name:
                return field
    return -1


@_inlined
def _value(buffer, at, end, fields, words, field):  # type: ignore[no-untyped-def]
    """The value of a known field: (value, after it)."""
    holds, first = fields[HOLDS, field], buffer[at]
    if first == _N and fields[NULLABLE, field]:
        name, at = _bare_word(buffer, at, end)
        return fields[DEFAULT, field], at if name == _NULL else _ODD
    if holds == WORD:
        if first == _QUOTE:
            spelled, at = _word(buffer, at + 1, end)
            for known in range(len(words)):
                if words[known, FIELD] == field and words[known, SPELLED] == spelled:
                    return words[known, CODE], at
        return 0, _ODD
    if first == _QUOTE:
        return _text_id(buffer, at + 1, end) if holds == ID else (0, _ODD)
    value, after = _digits(buffer, at, end)
    plain = buffer[at] != _ZERO or after == at + 1
    if plain and fields[LOWEST, field] <= value <= fields[HIGHEST, field]:
        return value, after
    return 0, _ODD


@_inlined
def _text_id(buffer, at, end):  # type: ignore[no-untyped-def]
    """An id as text, from after its quote: its digits' value, or else minus its place; see ``identity.stable_id``."""
    value, after = _digits(buffer, at, end)
    if value > 0 and after < end and buffer[after] == _QUOTE:
        return value, after + 1
    _, after = _word(buffer, at, end)
    length = after - 1 - at
    if after == _ODD or not 1 <= length <= LONGEST_TEXT:
        return 0, _ODD
    return -(at << 8 | length), after


@_inlined
def _simple_value(buffer, at, end):  # type: ignore[no-untyped-def]
    """After a value that nobody needs: plain text, a number without exponent, ``true``, ``false``, ``null``."""
    first = buffer[at]
    if first == _QUOTE:
        return _word(buffer, at + 1, end)[1]
    if first >= _A:
        name, at = _bare_word(buffer, at, end)
        return at if name in (_NULL, _TRUE, _FALSE) else _ODD
    if first == _MINUS:
        at += 1
    after = _run_of_digits(buffer, at, end)
    if after == at or (buffer[at] == _ZERO and after > at + 1):
        return _ODD
    if after < end and buffer[after] == _DOT:
        at = after + 1
        after = _run_of_digits(buffer, at, end)
        if after == at:
            return _ODD
    return after


@_inlined
def _word(buffer, at, end):  # type: ignore[no-untyped-def]
    """Plain text from after its quote: (it packed, 0 unless it has 1 to 8 characters; after its closing quote)."""
    name, start = 0, at
    while _ODD < at < end:
        byte = buffer[at]
        if byte == _QUOTE:
            return (name if at - start <= 8 else 0), at + 1
        if byte < _SPACE or byte == _BACKSLASH or byte >= _FIRST_NON_ASCII:
            break
        name = name << 8 | byte
        at += 1
    return 0, _ODD


@_inlined
def _bare_word(buffer, at, end):  # type: ignore[no-untyped-def]
    """Letters a to z: (their last eight, packed; after them)."""
    name = 0
    while at < end and _A <= buffer[at] <= _Z:
        name = name << 8 | buffer[at]
        at += 1
    return name, at


@_inlined
def _digits(buffer, at, end):  # type: ignore[no-untyped-def]
    """(the value of digits, after them); the value is negative when there are none or it exceeds 2**63 - 1."""
    value, start = 0, at
    while at < end and _ZERO <= buffer[at] <= _NINE:
        value = 10 * value + (buffer[at] - _ZERO)
        at += 1
    # Nineteen digits are below 2**64, so that one too many shows in the sign.
    return (value if 1 <= at - start <= _MOST_DIGITS else -1), at


@_inlined
def _run_of_digits(buffer, at, end):  # type: ignore[no-untyped-def]
    while at < end and _ZERO <= buffer[at] <= _NINE:
        at += 1
    return at


@_inlined
def _sign(buffer, at, end, sign):  # type: ignore[no-untyped-def]
    """After a sign that may have white space before it."""
    at = _space(buffer, at, end)
    return at + 1 if _ODD < at < end and buffer[at] == sign else _ODD


@_inlined
def _space(buffer, at, end):  # type: ignore[no-untyped-def]
    """After any white space."""
    while _ODD < at < end and buffer[at] <= _SPACE:
        byte = buffer[at]
        if byte != _SPACE and byte != _NEWLINE and byte != _RETURN and byte != _TAB:
            return _ODD
        at += 1
    return at
