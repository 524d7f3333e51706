"""Reads what an ONNX file holds, without the onnx package: its layers in order, and their numbers.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; the wire format is that of Protocol Buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: Numbers of fields: ModelProto → GraphProto → NodeProto and TensorProto.
GRAPH = 7
NODE, INITIALIZER = 1, 5
NODE_INPUT, OP_TYPE = 1, 4
DIMS, DATA_TYPE, TENSOR_NAME, RAW_DATA = 1, 2, 8, 9
FLOAT = 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Layer(NamedTuple):
    """One operator and the arrays that it brings along, such as the kernel and the bias of a ``Conv``."""

    kind: str
    arrays: list[np.ndarray]


def layers(path: Path) -> list[Layer]:
    """The operators of a graph in the order in which they run.

    Raises:
        ValueError: the file is no ONNX model, or is cut off.
    """
    graph = next((value for field, value in _fields(memoryview(path.read_bytes())) if field == GRAPH), None)
    if not isinstance(graph, memoryview):
        raise ValueError(f"{path.name} is no ONNX model")
    parts = list(_fields(graph))
    arrays = dict(_array(value) for field, value in parts if field == INITIALIZER and isinstance(value, memoryview))
    nodes = [list(_fields(value)) for field, value in parts if field == NODE and isinstance(value, memoryview)]
    return [
        Layer(
            next(str(value, "utf-8") for field, value in node if field == OP_TYPE),
            [arrays[name] for field, value in node if field == NODE_INPUT and (name := str(value, "utf-8")) in arrays],
        )
        for node in nodes
    ]


def _array(tensor: memoryview) -> tuple[str, np.ndarray]:
    """A tensor's name and its numbers; those that are no float32, such as shapes, stay bytes."""
    parts = list(_fields(tensor))
    one = dict(parts)
    raw = bytes(one.get(RAW_DATA, b""))
    kind = np.float32 if one.get(DATA_TYPE) == FLOAT else np.uint8
    shape = [value for field, value in parts if field == DIMS] if kind is np.float32 else [-1]
    return str(one[TENSOR_NAME], "utf-8"), np.frombuffer(raw, kind).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field of a message: its number, and its value or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield field, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"field {field} has the unknown wire type {kind}; is it an ONNX model?")
        if at + size > len(message):
            raise ValueError(f"the file ends inside field {field}")
        yield field, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number at this place, seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        if at >= len(message):
            raise ValueError("the file ends inside a number")
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
