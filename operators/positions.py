"""Position bias: how likely a pin at some position was looked at.

The position-based model: an impression leads to an action with probability
``examination(surface, position) * attractiveness(pin)``, so dividing actions by the *examined*
impressions, not by all, gives attractiveness. Source: Richardson, Dominowska, Ragno, "Predicting
Clicks", WWW 2007; Joachims, Swaminathan, Schnabel, "Unbiased Learning-to-Rank", WSDM 2017, where
``1 / rank**eta`` is the propensity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.events import Surface

#: Surface → eta of ``1 / (1 + position)**eta``. The SQL of `signals_by_pin` says the same.
EXAMINATION: dict[Surface, float] = dict.fromkeys(Surface, 0.5)
#: Examination where the position is unknown (-1).
UNKNOWN = 1.0

_POSITIONS = 2**15
_TABLE = np.empty((len(Surface), _POSITIONS + 1))
for _surface, _eta in EXAMINATION.items():
    _TABLE[_surface, :-1] = (1.0 + np.arange(_POSITIONS)) ** -_eta
# Index -1, the unknown position, is the last column.
_TABLE[:, -1] = UNKNOWN


def examination(surface: NDArray[np.uint8], position: NDArray[np.int16]) -> NDArray[np.float64]:
    """Probability that an impression was examined, by surface and position (from 0; -1 unknown). All ``(n,)``."""
    return _TABLE[np.minimum(surface, len(Surface) - 1), np.maximum(position, -1)]
