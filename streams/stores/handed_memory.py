"""Memory that another process of this machine reads by name, instead of being sent what is in it."""

from __future__ import annotations

import os
import secrets
from mmap import mmap

import pyarrow as pa

from streams.stores.clickhouse_sql import MEMORY_NAME

#: Bytes of address space kept for one; of memory it takes what is written.
LARGEST = 1 << 28


class HandedMemory:
    """A file in memory that is written anew again and again: its pages stay, where new ones cost more than the copy."""

    def __init__(self) -> None:
        """Raises OSError where the system has none."""
        self._name = f"{MEMORY_NAME}-{secrets.token_hex(8)}"
        self._file = os.memfd_create(self._name, os.MFD_CLOEXEC)
        os.ftruncate(self._file, LARGEST)
        self._map = mmap(self._file, LARGEST)

    @property
    def place(self) -> str:
        """Where a process of the same user opens it, and by what name it knows that it is this one."""
        return f"/proc/{os.getpid()}/fd/{self._file} {self._name}"

    def write(self, data: pa.RecordBatch, size: int) -> None:
        """Hold ``data`` alone, as an Arrow stream of ``size`` bytes, at most :data:`LARGEST`."""
        os.ftruncate(self._file, size)
        write_stream(pa.FixedSizeBufferWriter(pa.py_buffer(memoryview(self._map)[:size])), data)

    def close(self) -> None:
        """Give it up; who has it open may go on reading what it holds."""
        os.close(self._file)


def write_stream(sink: pa.NativeFile, data: pa.RecordBatch) -> None:
    """One record batch as an Arrow stream."""
    with pa.ipc.new_stream(sink, data.schema) as writer:
        writer.write_batch(data)
