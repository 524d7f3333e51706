"""Mutations of JSON events: bits, splices, cuts, other values. The same chance gives the same bytes."""

from __future__ import annotations

import json
import random

from operators.fields import FIELDS
from operators.identity import MAX_ID

LOGGED = 1_770_000_000_000
#: What a mutation splices in: where JSON, or a limit, turns.
SPLICES = [
    *(bytes([byte]) for byte in b'0123456789-+.eE{}[]",: \n\t\r\\ntfu\x00\x1f\x7f\x80\xc3\xff'),
    *(json.dumps(name).encode() for name in (*FIELDS, "mood", "home", "closeup", "hide", "")),
    *(b"%d" % n for n in (0, 32767, 32768, 2**31 - 1, 2**31, MAX_ID, MAX_ID + 1, 2**64, 10**30)),
    *(b"%d" % n for n in (1_104_537_600_000, 1_104_537_599_999, LOGGED + 86_400_000, LOGGED + 86_400_001)),
    b"null", b"true", b"false", b"1.5", b"1e3", b"-1", b"-0", b"00", b"01", b"1.", b".5", b"1e999", b"NaN",
    b'"012"', b'""', b'"\\u0031"', b'"\xc3\xa9"', b'"\xc3"', b'"' + b"x" * 128 + b'"', b'"' + b"x" * 129 + b'"',
    b'"0"', b'"9223372036854775807"', b'"9223372036854775808"', b'"00000000000000000012"', b'"\\ud800"', b'"\\x"',
    b"{}", b"[]", b'{"a":[1]}', b', "v": 1', b', "mood": 0.5', b', "mood": -0', b', "type": "hide"', b', "pin": 5',
    b"\xef\xbb\xbf",
]  # fmt: skip


def mutated(value: bytes, chance: random.Random) -> bytes:
    out = bytearray(value)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(6):
            case 0:  # a flipped bit
                out[at : at + 1] = bytes([byte ^ (1 << chance.randrange(8)) for byte in out[at : at + 1]])
            case 1:
                out[at:at] = chance.choice(SPLICES)
            case 2:
                del out[at : at + chance.randint(1, 4)]
            case 3:
                out[at : at + chance.randint(1, 4)] = chance.choice(SPLICES)
            case 4:  # a value replaced by another one
                colon = out.find(b":", at)
                comma = out.find(b",", colon) if colon >= 0 else -1
                if comma > 0:
                    out[colon + 1 : comma] = chance.choice(SPLICES)
            case _:  # a part of itself, somewhere else
                other = chance.randrange(len(out) + 1)
                out[at:at] = out[other : other + chance.randint(1, 40)]
    return bytes(out)
