"""Checkpoints of a training that may be stopped at any time: whole or not there, and gone on with by the same plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


class OtherPlan(Exception):
    """The checkpoint is of another training, or cannot be read."""


def write(state: Any, file: Path) -> None:
    """A torch file, never half written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    torch.save(state, partial)
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(file)


def read(file: Path, plan: Any, device: str, anew: str = "remove it to start anew") -> dict[str, Any] | None:
    """What :func:`write` wrote of a training with this plan, a dataclass under ``plan``; None where there is no file.

    Raises:
        OtherPlan: the file is damaged or of another plan; ``anew`` says what to do then.
    """
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location=device, weights_only=True)
        written = type(plan)(**state["plan"])
    except Exception as error:  # whatever a damaged file raises
        raise OtherPlan(f"{file} cannot be read ({type(error).__name__}); {anew}") from None
    if written != plan:
        raise OtherPlan(f"{file} is of {written}, not of {plan}; {anew}")
    return state
