"""What both forms of ClickHouse share: errors, insert settings, and parameters bound into SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: No batch has as many rows: an insert is never cut into several blocks.
UNCUT = 1 << 40

#: One call, one block, one part — in the table and in the target of every view (``docs/exactness.md``).
#: Two blocks would be two commits, and a crash could fall between them.
ONE_BLOCK: dict[str, int] = {
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_threads": 1,
    "max_insert_block_size": UNCUT,
    "max_block_size": 1 << 30,
    "min_insert_block_size_rows": UNCUT,
    "min_insert_block_size_bytes": 0,
    "min_insert_block_size_rows_for_materialized_views": UNCUT,
    "min_insert_block_size_bytes_for_materialized_views": 0,
    "parallel_view_processing": 0,
    "group_by_two_level_threshold": 0,
    "group_by_two_level_threshold_bytes": 0,
    "max_bytes_before_external_group_by": 0,
    "max_bytes_ratio_before_external_group_by": 0,
    # The views group already; merging each block once more before it is written took half of the time.
    "optimize_on_insert": 0,
}


def insert_settings(token: str) -> dict[str, int | str]:
    """Settings of an insert; with a ``token`` the same insert counts once, in the table and in its views."""
    if not token:
        return dict(ONE_BLOCK)
    return {
        **ONE_BLOCK,
        "insert_deduplication_token": token,
        "insert_deduplicate": 1,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
    }


class ClickHouseError(Exception):
    """ClickHouse refused a statement: repeating it will not help. ``code`` is ClickHouse's own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text.strip())
        self.code = code


#: The embedded ClickHouse's own: an insert under a claim that is not the last of its partition.
CLAIM_LOST = 9001
CLAIMS_HEADER = "X-PinStream-Claims"
#: As well: where the rows of an insert lie in memory, what such memory is called, and the answer that it is not there.
MEMORY_HEADER, MEMORY_NAME, NO_MEMORY = "X-PinStream-Memory", "pinstream-insert", 9002

#: Codes that a later attempt may not meet: memory, too many queries, too many parts, no space (243 when it is
#: looked at before, 74 and 75 while writing, 76 when a file is made), a damaged part (246: the embedded process
#: ends and mends it at its next start), timeout, network.
TRANSIENT_CODES = frozenset({74, 75, 76, 159, 202, 209, 210, 241, 242, 243, 246, 252, 319, 425})

_PLACEHOLDER = re.compile(r"'(?:[^'\\]|\\.)*'|\{(\w+):([A-Za-z0-9_(), ]+)\}")


def bind(sql: str, parameters: Mapping[str, Any] | None) -> str:
    """``sql`` with each ``{name:Type}`` replaced by a literal of that type; text in quotes is left alone.

    Values are written by type, so nothing a value holds can become SQL. Raises KeyError for a missing
    parameter, TypeError or ValueError for one that does not fit its type.
    """

    def literal(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        if match[1] not in (parameters or {}):
            raise KeyError(f"the query needs a parameter {match[1]!r}")
        return _literal((parameters or {})[match[1]], match[2].replace(" ", ""))

    return _PLACEHOLDER.sub(literal, sql)


def _literal(value: Any, kind: str) -> str:
    if kind.startswith("Array("):
        items: Sequence[Any] = value.tolist() if isinstance(value, np.ndarray) else value
        inner = kind[6:-1]
        listed = "[" + ",".join(_literal(item, inner) for item in items) + "]"
        return listed if items else f"CAST([] AS {kind})"
    if kind.startswith(("Int", "UInt")):
        return str(int(value))
    if kind.startswith("Float"):
        number = float(value)
        return repr(number) if np.isfinite(number) else f"toFloat64('{number}')"
    if kind == "String":
        return quoted(str(value))
    if kind == "Identifier":
        return identifier(str(value))
    raise TypeError(
        f"a parameter of type {kind} is not supported; use Int, UInt, Float, String, Identifier or Array of them"
    )


def quoted(text: str) -> str:
    """``text`` as a string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """``name`` as a table's or column's name."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
