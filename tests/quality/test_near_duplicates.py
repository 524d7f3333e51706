"""Near-duplicates on real photos: copies are found, and nothing else is joined (``bench/quality/near_duplicates.py``).

``PINSTREAM_FULL=1`` copies every photo; ``PINSTREAM_SPLIT=train`` shows what the threshold was chosen on.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.quality.near_duplicates import FEW, GOALS, LEAST, NEAR, THRESHOLDS, measured

pytestmark = pytest.mark.data

SPLIT = os.environ.get("PINSTREAM_SPLIT", "validation")


def test_copies_are_found_and_others_left_apart(shared_data: Path):
    found = measured(shared_data, SPLIT, 1 if os.environ.get("PINSTREAM_FULL") == "1" else FEW)
    print(f"\n{SPLIT}: {found.photos} photos, copies of {found.copied}; recall within so many bits of 256")
    print(f"{'':34}" + "".join(f"{bits:7}" for bits in THRESHOLDS))
    for kind, recalls in found.recalls.items():
        print(f"{kind:34}" + "".join(f"{recall:7.3f}" for recall in recalls))
    for what, counts in (
        (f"copies joined to others, of {found.strangers:,}", found.copies_joined),
        (f"photos joined, of {found.pairs:,} pairs", found.photos_joined),
    ):
        print(f"{what:34}" + "".join(f"{count:7}" for count in counts))
    print(*(f"  {bits}: {one} {other}" for bits, one, other in found.near), sep="\n")
    at = THRESHOLDS.index(NEAR)
    assert found.photos_joined[at] == 0, found.near
    assert found.copies_joined[at] == 0
    for kind in found.recalls:
        goal = GOALS.get(kind, LEAST)
        assert goal is None or found.recall(kind) >= goal, (kind, found.recalls)
