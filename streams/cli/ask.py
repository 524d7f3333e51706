"""Asking the worker's HTTP API from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import click

from streams.settings import Settings

TIMEOUT = 25.0


def ask(
    *path: str, query: Mapping[str, Any] | None = None, body: bytes | None = None, content_type: str = ""
) -> dict[str, Any]:
    """The JSON answer of ``GET /v1/<path…>``, or of POST with a ``body``; query parameters that are None are left out.

    Raises:
        click.ClickException: the worker is not running, or answered with a problem document.
    """
    settings = Settings.load()
    given = {name: value for name, value in (query or {}).items() if value is not None}
    base = f"http://{settings.host}:{settings.port('api')}"
    url = "/".join((base, "v1", *(quote(part, safe="") for part in path))) + (f"?{urlencode(given)}" if given else "")
    headers = {"Authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
    if body is not None:
        headers["Content-Type"] = content_type
    try:
        with urlopen(Request(url, body, headers), timeout=TIMEOUT) as response:  # noqa: S310 - always http
            return json.load(response)
    except HTTPError as error:
        raise click.ClickException(_explain(error)) from None
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"No worker answers at {base} ({reason}). Start one with `pinstream up` and `pinstream worker`; "
            "`pinstream doctor` says what is wrong."
        ) from None


def _explain(error: HTTPError) -> str:
    """The detail of a problem document, or the bare status when it is something else that answers there."""
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code} from {error.url}: this does not look like PinStream. See PINSTREAM_PORT_API."
