"""Whose turn it is, so that after any number of turns each has had its share of them."""

from __future__ import annotations

from collections.abc import Mapping

#: Sums of shares are compared with this much room, so that rounding does not decide a tie.
_ROUNDING = 1e-9


class Turns:
    """Turns among sources by their ratios, which need not add up to 1.

    With ``m`` sources no count is ever further from its quota, ratio × turns, than ``1 - 1/(2m - 2)``, which is the
    best any rule can promise; always serving the largest deficit, or D'Hondt's divisors, promises less. R. Tijdeman,
    "The chairman assignment problem", Discrete Mathematics 32 (1980).
    """

    def __init__(self, ratios: Mapping[str, float]) -> None:
        total = sum(ratios.values())
        self.ratios = {name: ratio / total for name, ratio in ratios.items()}
        self._owed = dict.fromkeys(ratios, 0.0)
        self._least = 1 / max(2 * len(ratios) - 2, 1)

    def next(self) -> str:
        """The source whose turn it is; equal ones by ratio, then by name.

        Of those that are owed enough it is the one that would soonest be owed too much.
        """
        for name, ratio in self.ratios.items():
            self._owed[name] += ratio
        served = min(
            (name for name, owed in self._owed.items() if owed >= self._least - _ROUNDING),
            key=lambda name: (round(self._slack(name), 9), -self.ratios[name], name),
        )
        self._owed[served] -= 1
        return served

    def _slack(self, name: str) -> float:
        """Turns until the source is owed too much."""
        return (1 - self._least - self._owed[name]) / self.ratios[name]
