"""Kernels compile at their first call, so no deadline for single examples."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("operators", deadline=None, max_examples=50)
settings.load_profile("operators")
