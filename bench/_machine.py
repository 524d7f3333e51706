"""What the machine itself did while something was measured."""

from __future__ import annotations

import psutil


class Stolen:
    """Processor time that a virtual machine's host gave to others since this was made: figures with it are lower."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def percent(self) -> float:
        """Of the time that some process here wanted a processor."""
        after = psutil.cpu_times()
        spent = {name: value - getattr(self._before, name) for name, value in after._asdict().items()}
        stolen = spent.get("steal", 0.0)
        # Linux counts a guest's time in its user's as well.
        wanted = sum(spent[name] for name in ("user", "nice", "system", "irq", "softirq") if name in spent) + stolen
        return round(100 * stolen / wanted, 1) if wanted > 0 else 0.0
