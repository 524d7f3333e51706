"""Quality recomputed from the raw rows: one SQL statement for pins, one for pinners, one for domains.

The same formulas as ``operators.quality`` (``docs/quality.md``), so each checks the other. Parameter:
``{now:Int64}``, milliseconds. ``engagement`` holds each event once, ``safety`` what is taken off for unsafe pictures.
"""

from __future__ import annotations

from typing import Literal

from operators.decay import QUALITY_HALF_LIFE_MS
from operators.events import Kind, Surface
from operators.positions import EXAMINATION, UNKNOWN
from operators.quality import (
    ACTION_WEIGHTS,
    ACTIONS,
    GIVEN,
    LIFT_PRIOR,
    MEAN_PRIOR,
    POSTS,
    RECEIVED,
)
from operators.safety import CERTAIN, HARMLESS, PENALTY

Entity = Literal["pins", "pinners", "domains"]
_KINDS = (Kind.CLOSEUP, Kind.OUTBOUND_CLICK, Kind.SAVE, Kind.HIDE)


def examination_sql() -> str:
    """``operators.positions.examination`` over the columns ``surface`` and ``position``, as an SQL expression."""
    surfaces = ", ".join(str(int(surface)) for surface in Surface)
    etas = ", ".join(str(EXAMINATION[surface]) for surface in Surface)
    eta = f"transform(toInt64(surface), [{surfaces}], [{etas}], {EXAMINATION[max(Surface)]})"
    return f"if(position < 0, {UNKNOWN}, pow(1. + position, -{eta}))"


def quality_sql(entity: Entity) -> str:
    """The statement for one kind of entity.

    ``pins``: pin, owner, domain, exposure, quality, followers, wider. ``pinners``: pinner, quality, posts,
    received, given. ``domains``: domain, exposure, quality. Rows are in no order.
    """
    final = {"pins": _PINS, "pinners": _PINNERS, "domains": _DOMAINS}[entity]
    return f"WITH {_COMMON}\n{final}"


def _sums(condition: str = "1") -> str:
    """Decayed exposure and actions of the rows that meet a condition, as one tuple."""
    sums = [f"sumIf(weight * {examination_sql()}, kind = {Kind.IMPRESSION.value} AND {condition})"]
    sums += [f"sumIf(weight, kind = {kind.value} AND {condition})" for kind in _KINDS]
    return f"tuple({', '.join(sums)})"


def _quality(sums: str) -> str:
    """Σ weight · log lift of a tuple of sums, beside the tuple ``total``."""
    terms: list[str] = []
    for at, action_weight in enumerate(ACTION_WEIGHTS.tolist(), start=2):
        rate = f"if(total.1 > 0, total.{at} / total.1, 0)"
        terms.append(f"{action_weight} * log(({sums}.{at} + {LIFT_PRIOR}) / ({rate} * {sums}.1 + {LIFT_PRIOR}))")
    return "(" + " + ".join(terms) + ")"


assert len(ACTIONS) == len(_KINDS)
_WEIGHT = f"pow(2., (time - {{now:Int64}}) / {QUALITY_HALF_LIFE_MS}.)"
#: Of the column ``unsafe``, NULL where there is no score.
_PENALTY = (
    f"{PENALTY} * least(1., greatest(0., (toFloat64(ifNull(unsafe, 0)) - {HARMLESS}) / ({CERTAIN} - {HARMLESS})))"
)
_POSITIVE = ", ".join(str(kind.value) for kind in _KINDS[:3])

_COMMON = f"""
weighted AS (SELECT *, {_WEIGHT} AS weight FROM engagement),
(SELECT {_sums()} FROM weighted) AS total,
by_pin AS (
    SELECT pin, {_sums()} AS both, {_sums("is_follower = 1")} AS of_followers, {_sums("is_follower = 0")} AS of_wider,
           argMax((owner, domain), (time, event_id, owner, domain)) AS newest
    FROM weighted GROUP BY pin
),
judged AS (SELECT pin, unsafe FROM safety FINAL),
pin_quality AS (
    SELECT pin, newest.1 AS owner, newest.2 AS domain, both.1 AS exposure,
           both.2 + both.3 + both.4 AS positive, {_PENALTY} AS off, {_quality("both")} - off AS quality,
           {_quality("of_followers")} - off AS followers, {_quality("of_wider")} - off AS wider
    FROM by_pin LEFT JOIN judged USING pin
),
(SELECT if(sum(exposure) > 0, sum(exposure * quality) / sum(exposure), 0) FROM pin_quality) AS mean"""

_PINS = "SELECT pin, owner, domain, exposure, quality, followers, wider FROM pin_quality"

_DOMAINS = f"""
SELECT domain, x AS exposure, (xq + {MEAN_PRIOR} * mean) / (x + {MEAN_PRIOR}) AS quality
FROM (
    SELECT domain, sum(exposure) AS x, sum(exposure * quality) AS xq
    FROM pin_quality WHERE domain != 0 GROUP BY domain
)"""

_PINNERS = f"""
, parts AS (
    SELECT owner AS pinner, exposure AS x, exposure * quality AS xq, positive AS p, 0. AS g
    FROM pin_quality WHERE owner != 0
    UNION ALL
    SELECT pinner, 0., 0., 0., weight FROM weighted WHERE pinner != 0 AND kind IN ({_POSITIVE})
)
SELECT pinner,
       (sum(xq) + {MEAN_PRIOR} * mean) / (sum(x) + {MEAN_PRIOR}) AS posts,
       log((sum(p) + {LIFT_PRIOR})
           / (if(total.1 > 0, (total.2 + total.3 + total.4) / total.1, 0) * sum(x) + {LIFT_PRIOR})) AS received,
       log1p(sum(g)) / (1 + log1p(sum(g))) AS given,
       {POSTS} * posts + {RECEIVED} * received + {GIVEN} * given AS quality
FROM parts GROUP BY pinner"""
