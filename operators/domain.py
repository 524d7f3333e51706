"""The domain of a link: the name under which a site's pins are counted together."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*:(?!\d)", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_\-.]*[a-z0-9_])?|[0-9a-f:.]+", re.ASCII)


def domain_of(link: str) -> str:
    """The host of a web link: lower case, without ``www.``, user, port and trailing dot.

    International names come as their ASCII form (``bücher.example`` → ``xn--bcher-kva.example``).
    A link without a scheme is read as a web link. Empty where there is no host to name.
    """
    link = link.strip()
    scheme = _SCHEME.match(link)
    if scheme is None:
        link = "//" + link.removeprefix("//")
    elif scheme.group().lower() not in ("http:", "https:"):
        return ""
    try:
        host = urlsplit(link).hostname or ""
    except ValueError:  # e.g. an unfinished [IPv6
        return ""
    try:
        host = host.encode("idna").decode("ascii")
    except UnicodeError:  # an empty or overlong label
        return ""
    host = host.lower().rstrip(".").removeprefix("www.")
    return host if _HOST.fullmatch(host) else ""
