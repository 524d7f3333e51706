"""Documents lead somewhere: every relative link in them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams.settings import PROJECT

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(document: Path):
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert not [link for link in links if not (document.parent / link).exists()]


def test_the_documents_are_found():
    assert {"README.md", "docs/architecture.md"} <= {str(path.relative_to(PROJECT)) for path in DOCUMENTS}
