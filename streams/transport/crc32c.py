"""CRC-32C (Castagnoli), as Kafka checks its record batches with it, for numba-compiled callers.

With the processor's own instruction where there is one (x86-64 with SSE 4.2), else by tables, eight bytes at a
time (Kounavis and Berry, 2005): both far above the speed of aiokafka's.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reflected
_LITTLE_ENDIAN = sys.byteorder == "little"
#: Is there an instruction for it, and does numba compile for this very processor (it can be told otherwise)?
_HAS_INSTRUCTION = (
    _LITTLE_ENDIAN
    and bool(binding.get_host_cpu_features().get("sse4.2"))
    and config.CPU_NAME is None  # pyright: ignore[reportAttributeAccessIssue]
    and config.CPU_FEATURES is None  # pyright: ignore[reportAttributeAccessIssue]
)


def _tables() -> NDArray[np.uint32]:
    """``table[k, b]``: the effect of byte ``b`` with ``k`` bytes after it."""
    table = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        table[0, byte] = crc
    for k in range(1, 8):
        table[k] = (table[k - 1] >> 8) ^ table[0, table[k - 1] & 0xFF]
    return table


_TABLE = _tables()


@intrinsic
def _instruction(_typing: Any, crc: Any, word: Any) -> Any:
    """The CRC after eight more bytes, by the processor."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word64 = ir.IntType(64)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(word64, [word64, word64]), "llvm.x86.sse42.crc32.64.64"
        )
        return builder.call(function, arguments)

    return types.uint64(types.uint64, types.uint64), codegen


@njit(cache=True, nogil=True)
def _by_instruction(crc, words):  # type: ignore[no-untyped-def]
    for row in range(len(words)):
        crc = _instruction(crc, words[row])  # pyright: ignore[reportCallIssue]
    return crc


@njit(cache=True, nogil=True)
def _by_tables(crc, words):  # type: ignore[no-untyped-def]
    byte = np.uint64(0xFF)
    for row in range(len(words)):
        word = words[row] ^ crc
        crc = np.uint64(
            _TABLE[7, word & byte]
            ^ _TABLE[6, (word >> np.uint64(8)) & byte]
            ^ _TABLE[5, (word >> np.uint64(16)) & byte]
            ^ _TABLE[4, (word >> np.uint64(24)) & byte]
            ^ _TABLE[3, (word >> np.uint64(32)) & byte]
            ^ _TABLE[2, (word >> np.uint64(40)) & byte]
            ^ _TABLE[1, (word >> np.uint64(48)) & byte]
            ^ _TABLE[0, word >> np.uint64(56)]
        )
    return crc


_advance = _by_instruction if _HAS_INSTRUCTION else _by_tables


@njit(cache=True, nogil=True)
def crc32c(buffer, start, end):  # type: ignore[no-untyped-def]
    """The CRC-32C of ``buffer[start:end]``, a uint8 array, as uint64."""
    crc = np.uint64(0xFFFFFFFF)
    whole = start
    if _LITTLE_ENDIAN:
        whole = start + (end - start) // 8 * 8
        crc = _advance(crc, buffer[start:whole].view(np.uint64))
    for place in range(whole, end):
        crc = np.uint64(_TABLE[0, (crc ^ np.uint64(buffer[place])) & np.uint64(0xFF)]) ^ (crc >> np.uint64(8))
    return crc ^ np.uint64(0xFFFFFFFF)
