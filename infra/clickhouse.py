"""The embedded ClickHouse as a part of ``pinstream up``."""

from __future__ import annotations

import sys
import urllib.request
from http.client import HTTPException

from infra.part import Part
from streams.settings import Settings


def part(settings: Settings) -> Part:
    port = settings.port("clickhouse")
    folder = settings.home / "data" / "clickhouse"

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{settings.clickhouse_http}/ping", timeout=1) as answer:  # noqa: S310
                return answer.status == 200
        except (OSError, HTTPException):
            return False

    return Part(
        name="clickhouse",
        command=[
            *(sys.executable, "-m", "infra.clickhouse_server"),
            *("--folder", str(folder), "--host", settings.host, "--port", str(port)),
        ],
        ports={"clickhouse": port},
        address=settings.clickhouse_http,
        ready=ready,
        folder=folder,
        nice=5,
    )
