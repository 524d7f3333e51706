"""What a run says in the end: a table for people, an object for machines."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

from tests.chaos.run import Outcome


def summary(outcome: Outcome) -> dict[str, Any]:
    """Everything as plain values."""
    times = [one.recovered for one in outcome.done if one.recovered is not None]
    kills = [one.recovered for one in outcome.done if one.recovered is not None and one.fault.what == "kill"]
    return {
        "seed": outcome.seed,
        "kills": sum(one.fault.what == "kill" for one in outcome.done),
        "faults": len(outcome.done),
        "recoveries": len(times),
        "recovery_seconds": _spread(times),
        "recovery_seconds_after_kills": _spread(kills),
        "seconds": round(outcome.seconds, 1),
        "skipped": outcome.skipped,
        "restarts": outcome.restarts,
        "exact": outcome.audit.exact,
        **outcome.audit.numbers,
        "differences": outcome.audit.differences,
        "memory": outcome.memory,
        "done": [
            one.fault.told()
            | {"at": round(one.at, 2), "recovered": one.recovered, "understood": one.understood, "said": one.said}
            for one in outcome.done
        ],
    }


def table(outcome: Outcome) -> str:
    """One line for each kind of fault, then the reckoning."""
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    times: dict[tuple[str, str], int] = defaultdict(int)
    for one in outcome.done:
        part = "worker" if one.fault.part.startswith("worker") else one.fault.part
        times[one.fault.what, part] += 1
        if one.recovered is not None:
            rows[one.fault.what, part].append(one.recovered)
    lines = [f"{'fault':14}{'part':12}{'times':>6}{'recovered':>11}{'median s':>10}{'p90 s':>8}{'worst s':>9}"]
    for key in sorted(times, key=lambda key: (key[0] != "kill", key)):
        lines.append(_line(*key, times[key], rows[key]))
    killed = [one for one in outcome.done if one.fault.what == "kill"]
    lines.append(_line("kill", "all", len(killed), [one.recovered for one in killed if one.recovered is not None]))
    everything = [one.recovered for one in outcome.done if one.recovered is not None]
    lines.append(_line("any", "all", len(outcome.done), everything))
    lines += [f"{name:40}{number:>12,}" for name, number in outcome.audit.numbers.items()]
    lines += [f"not done: {what}: {why}" for what, why in outcome.skipped.items()]
    lines += [f"DIFFERENT: {difference}" for difference in outcome.audit.differences]
    lines += list(outcome.memory)
    if outcome.audit.exact:
        lines.append("nothing lost, nothing double, everything equal to the log")
    return "\n".join(lines)


def _spread(times: list[float]) -> dict[str, float]:
    if not times:
        return {}
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered), 2),
        "p90": round(ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))], 2),
        "worst": round(ordered[-1], 2),
    }


def _line(what: str, part: str, times: int, recovered: list[float]) -> str:
    spread = _spread(recovered)
    figures = "".join(
        f"{spread.get(name, float('nan')):>{width}.1f}" for name, width in (("median", 10), ("p90", 8), ("worst", 9))
    )
    return f"{what:14}{part:12}{times:>6}{len(recovered):>11}{figures}"
