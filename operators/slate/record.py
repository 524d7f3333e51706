"""Record: all that a slate was made from, so that it can be explained, and made again bit for bit.

Kept is the least that suffices: what filters were told of each candidate, what was known of each that they kept, what
the ranker expected, how alike the pins on the slate are to those that they were chosen among, the choices, the seed and
the version of the spec. What follows from these is computed again: drops, features, utilities, shares, places.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import SOURCES, Candidates, Floats
from operators.slate.choices import Choices
from operators.slate.exploration import Newness
from operators.slate.features import Signals
from operators.slate.filters import Mask, Question, kept
from operators.small_sets import contains

#: Raised whenever what is written changes; a reader refuses other formats.
FORMAT = 1
_CODEC = pa.Codec("zstd", compression_level=1)
_COLUMNS = tuple(field.name for field in fields(Signals) if field.name not in ("now", "scores"))
_NEW = ("owner_exposure", "earned")
_FACTS = ("known", "deleted", "unsafe", "seen", "saved", "hidden")


class RecordUnreadable(ValueError):
    """The bytes are no record, or of a format that this release does not know."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is said once for a slate."""

    format: int = FORMAT
    pinner: int
    trigger_event: int
    now: int
    choices: Choices
    #: Nobody knew the pinner, or too little was left.
    popular: bool
    #: Version of the spec.
    spec: str
    models: dict[str, str]
    degraded: list[str]
    #: The sources, in the order of the scores' columns; how many pins each found; its share of the candidates.
    sources: list[str]
    found: dict[str, int]
    shares: dict[str, int]
    #: Impressions and actions by source, of the pinner and of everybody, that the shares were drawn from.
    own: list[list[int]]
    everybody: list[list[int]]
    #: Weighted actions for each examined impression, of all pins.
    rate: float


@dataclass(frozen=True, slots=True)
class Record:
    """``n`` candidates that filters saw, ``k`` that they kept."""

    header: Header
    candidates: Candidates  # (n,)
    question: Question  # (n,)
    domains: Ints  # (n,)
    signals: Signals  # (k,)
    newness: Newness  # (k,)
    #: Could still be shown when the ranker had answered, ``(k,)``.
    showable: Mask
    #: ``(k, 4)``, None where the ranker gave nothing that could be used.
    probabilities: Floats | None
    #: Of each pool that diversity chose among: which of it stand in the slate, and their rows of the kernel,
    #: ``(chosen,)`` and ``(chosen, pool)``.
    near: list[tuple[NDArray[np.int32], Floats]]
    #: The message that went out.
    message: bytes = b""


class _Layout(msgspec.Struct, frozen=True):
    header: Header
    #: Name, type and shape of each array.
    arrays: list[tuple[str, str, list[int]]]
    message: int


_WRITE, _READ = msgspec.json.Encoder(), msgspec.json.Decoder(_Layout)


def encode_record(record: Record) -> bytes:
    """A record as compressed bytes."""
    question, candidates = record.question, record.candidates
    flags = np.zeros(len(candidates), np.uint8)
    for bit, name in enumerate(_FACTS):
        told: NDArray[Any] = getattr(question, name)
        flags |= (told if told.dtype == np.bool_ else contains(question.pins, told)).astype(np.uint8) << bit
    again = np.flatnonzero(question.pictures != question.pins)
    proposed = ~np.isnan(candidates.scores)
    arrays: dict[str, NDArray[Any]] = {
        "pins": candidates.pins,
        "owners": question.owners,
        "domains": record.domains,
        "again": again.astype(np.int32),
        "pictures": question.pictures[again],
        "flags": flags,
        "showable": record.showable.astype(np.uint8),
        "proposed": np.packbits(proposed.T),
        "scores": candidates.scores.T[proposed.T],
        "signals": np.stack([getattr(record.signals, name) for name in _COLUMNS]),
        "newness": np.stack([getattr(record.newness, name) for name in _NEW]),
    }
    if record.probabilities is not None:
        arrays["probabilities"] = record.probabilities
    for number, (chosen, rows) in enumerate(record.near):
        arrays[f"chosen{number}"], arrays[f"near{number}"] = chosen, rows
    layout = _WRITE.encode(
        _Layout(
            record.header,
            [(name, array.dtype.str, list(array.shape)) for name, array in arrays.items()],
            len(record.message),
        )
    )
    parts = [len(layout).to_bytes(4, "little"), layout, record.message, *map(_shuffled, arrays.values())]
    body = b"".join(parts)
    return len(body).to_bytes(4, "little") + bytes(_CODEC.compress(body))


def decode_record(data: bytes) -> Record:
    """What :func:`encode_record` wrote. Raises RecordUnreadable."""
    try:
        body = memoryview(bytes(_CODEC.decompress(data[4:], int.from_bytes(data[:4], "little"))))
        end = 4 + int.from_bytes(body[:4], "little")
        layout = _READ.decode(body[4:end])
        if layout.header.format != FORMAT:
            raise RecordUnreadable(f"a record of format {layout.header.format}; this release reads {FORMAT}")
        message = bytes(body[end : end + layout.message])
        end += layout.message
        arrays: dict[str, NDArray[Any]] = {}
        for name, kind, shape in layout.arrays:
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            arrays[name] = _unshuffled(body[end : end + size], np.dtype(kind)).reshape(shape)
            end += size
        return _record(layout.header, arrays, message)
    except RecordUnreadable:
        raise
    except (OSError, ValueError, KeyError, TypeError, msgspec.MsgspecError, pa.ArrowException) as wrong:
        raise RecordUnreadable(f"not a record: {wrong}") from wrong


def _record(header: Header, arrays: dict[str, NDArray[Any]], message: bytes) -> Record:
    pins, flags = arrays["pins"], arrays["flags"]
    n, sources = len(pins), len(header.sources)
    proposed = np.unpackbits(arrays["proposed"], count=n * sources).astype(np.bool_).reshape(sources, n)
    named = np.full((sources, n), np.nan, np.float32)
    named[proposed] = arrays["scores"]
    # Sources that are younger than the record proposed nothing.
    scores = np.full((n, len(SOURCES)), np.nan, np.float32)
    scores[:, [SOURCES.index(name) for name in header.sources]] = named.T
    facts = {name: (flags >> bit & 1).astype(np.bool_) for bit, name in enumerate(_FACTS)}
    pictures = pins.copy()
    pictures[arrays["again"]] = arrays["pictures"]
    columns = dict(zip(_COLUMNS, arrays["signals"], strict=True))
    owner_exposure, earned = arrays["newness"]
    question = Question(
        pinner=header.pinner, pins=pins, pictures=pictures, owners=arrays["owners"],
        known=facts["known"], deleted=facts["deleted"], unsafe=facts["unsafe"],
        seen=pins[facts["seen"]], saved=pins[facts["saved"]], hidden=pins[facts["hidden"]],
    )  # fmt: skip
    candidates = Candidates(pins, scores)
    keep = kept(question, header.choices.ordering.size).keep
    known = len(owner_exposure)
    if int(keep.sum()) != known:
        raise RecordUnreadable(f"filters keep {int(keep.sum())} of its candidates, but signals are of {known}")
    now = np.full(known, header.now, np.int64)
    return Record(
        header=header,
        candidates=candidates,
        question=question,
        domains=arrays["domains"],
        signals=Signals(**columns, now=now, scores=candidates.scores[keep]),
        newness=Newness(columns["exposure"], owner_exposure, earned),
        showable=arrays["showable"].astype(np.bool_),
        probabilities=arrays.get("probabilities"),
        near=[(arrays[f"chosen{at}"], arrays[f"near{at}"]) for at in range(2) if f"near{at}" in arrays],
        message=message,
    )


def _shuffled(array: NDArray[Any]) -> bytes:
    """First bytes first, then second ones …: numbers differ least in their high bytes, so these compress together."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).reshape(len(flat), flat.itemsize).T.tobytes()


def _unshuffled(data: memoryview, kind: np.dtype[Any]) -> NDArray[Any]:
    raw = np.frombuffer(data, np.uint8).reshape(kind.itemsize, -1)
    return np.ascontiguousarray(raw.T).reshape(-1).view(kind)
