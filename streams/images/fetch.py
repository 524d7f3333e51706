"""Fetch the bytes of an image reference: ``file:``, ``http(s):`` or ``data:``. Treats every reference as hostile."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import stat
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

import aiohttp

from operators.rejection import Reason
from streams.images.addresses import PrivateAddress, public_socket
from streams.images.rejection import ImageRejected
from streams.settings import PROJECT, Settings

MOST_BYTES = 20 * 2**20
MOST_REDIRECTS = 5
#: Seconds for the whole fetch, redirects included.
TOTAL_SECONDS = 15.0
CHUNK_BYTES = 64 * 2**10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})
USER_AGENT = "PinStream/0.1 (image fetcher)"


class ImageFetcher:
    """Fetches images; one per batch, as a context, so that no connection outlives it.

    ``total_seconds`` and ``most_bytes`` bound one image.
    """

    def __init__(
        self, settings: Settings, *, total_seconds: float = TOTAL_SECONDS, most_bytes: int = MOST_BYTES
    ) -> None:
        self._folders = settings.readable_folders
        self._trusted = settings.trusted_image_hosts
        self._total_seconds, self._most_bytes = total_seconds, most_bytes
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> ImageFetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    async def fetch(self, reference: str) -> bytes:
        """The bytes at ``reference``, not yet known to be an image. Raises ImageRejected."""
        scheme = reference.partition(":")[0].lower()
        if scheme == "data":
            return self._inline(reference)
        if scheme == "file":
            return await asyncio.to_thread(self._file, reference)
        if scheme in ("http", "https"):
            try:
                async with asyncio.timeout(self._total_seconds):
                    return await self._http(reference)
            except TimeoutError:
                raise ImageRejected(Reason.IMAGE_SLOW, f"not here after {self._total_seconds:g} s") from None
        raise ImageRejected(Reason.IMAGE_BAD_REFERENCE, f"{reference[:80]!r} is no file, http(s) or data address")

    def _inline(self, reference: str) -> bytes:
        """``data:image/png;base64,…`` (RFC 2397)."""
        head, comma, body = reference.partition(",")
        if not comma or not head.lower().startswith("data:image/"):
            raise ImageRejected(Reason.IMAGE_BAD_REFERENCE, f"{head[:80]!r} is no inline image")
        if len(body) > self._most_bytes * 4 // 3 + 4:
            raise ImageRejected(Reason.IMAGE_TOO_LARGE, f"more than {self._most_bytes} bytes inline")
        raw = unquote_to_bytes(body)
        if not head.lower().endswith(";base64"):
            return raw
        try:
            return base64.b64decode(raw, validate=True)
        except binascii.Error as error:
            raise ImageRejected(Reason.IMAGE_BAD_REFERENCE, f"base64: {error}") from None

    def _file(self, reference: str) -> bytes:
        """``file:///absolute`` or ``file:relative/to/the/project``, below a readable folder once links are followed."""
        parts = urlsplit(reference)
        if parts.netloc not in ("", "localhost"):
            raise ImageRejected(Reason.IMAGE_BAD_REFERENCE, f"file on another host: {parts.netloc}")
        try:
            path = (PROJECT / unquote(parts.path)).resolve()
            if not any(path.is_relative_to(folder) for folder in self._folders):
                raise ImageRejected(
                    Reason.IMAGE_FORBIDDEN_PATH, f"{path} is in none of the folders set by PINSTREAM_IMAGE_FOLDERS"
                )
            return self._read(path)
        except FileNotFoundError:
            raise ImageRejected(Reason.IMAGE_MISSING, f"no file {parts.path}") from None
        except (OSError, ValueError, RuntimeError) as error:  # a link loop, a null character, no permission
            raise ImageRejected(Reason.IMAGE_UNREADABLE, str(error)) from None

    def _read(self, path: Path) -> bytes:
        # Non-blocking, because opening a named pipe would wait for a writer for ever; no links, they were followed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ImageRejected(Reason.IMAGE_UNREADABLE, f"{path} is no regular file")
            content = file.read(self._most_bytes + 1)
        if len(content) > self._most_bytes:
            raise self._too_large()
        return content

    async def _http(self, url: str) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            try:
                async with self._session(url).get(url, allow_redirects=False) as answer:
                    if answer.status not in REDIRECTS:
                        return await self._body(answer)
                    url = urljoin(url, answer.headers.get("Location", ""))
            except aiohttp.ClientConnectorError as error:
                if isinstance(error.os_error, PrivateAddress):
                    raise ImageRejected(
                        Reason.IMAGE_PRIVATE_ADDRESS, f"{error.host} is on a private network; see PINSTREAM_IMAGE_HOSTS"
                    ) from None
                raise ImageRejected(Reason.IMAGE_UNREADABLE, str(error)) from None
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError) as error:
                raise ImageRejected(Reason.IMAGE_BAD_REFERENCE, f"{url[:200]!r}: {error}") from None
            except aiohttp.ClientPayloadError as error:
                raise ImageRejected(Reason.IMAGE_TRUNCATED, str(error)) from None
            except (aiohttp.ClientError, OSError) as error:
                if isinstance(error, TimeoutError):
                    raise
                raise ImageRejected(Reason.IMAGE_UNREADABLE, f"{type(error).__name__}: {error}") from None
        raise ImageRejected(Reason.IMAGE_UNREADABLE, f"more than {MOST_REDIRECTS} redirects")

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        if answer.status != 200:
            reason = Reason.IMAGE_MISSING if answer.status in GONE else Reason.IMAGE_UNREADABLE
            raise ImageRejected(reason, f"{answer.url.host} answered {answer.status}")
        if (answer.content_length or 0) > self._most_bytes:
            raise self._too_large()
        content = bytearray()
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            content += chunk
            if len(content) > self._most_bytes:  # counted after decompression
                raise self._too_large()
        return bytes(content)

    def _session(self, url: str) -> aiohttp.ClientSession:
        """The session for this address: without the check of addresses only for hosts that the operator trusts."""
        parts = urlsplit(url)
        if parts.scheme.lower() not in ("http", "https"):
            raise ImageRejected(Reason.IMAGE_BAD_REFERENCE, f"redirected to {url[:80]!r}")
        host = (parts.hostname or "").lower()
        trusted = not self._trusted.isdisjoint((host, f"{host}:{parts.port}"))
        if trusted not in self._sessions:
            connector = aiohttp.TCPConnector(socket_factory=None if trusted else public_socket, use_dns_cache=False)
            self._sessions[trusted] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),  # the whole fetch has one limit, see fetch()
                headers={"User-Agent": USER_AGENT, "Accept": "image/*"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._sessions[trusted]

    def _too_large(self) -> ImageRejected:
        return ImageRejected(Reason.IMAGE_TOO_LARGE, f"more than {self._most_bytes} bytes")
