"""Explain: in plain words, why a pin has its place in a slate, or why it has none."""

from __future__ import annotations

from operators.slate.slate import Item, Slate

#: Filter → why it drops a pin.
DROPPED = {
    "deleted": "its owner deleted it",
    "unknown": "the catalogue does not know it",
    "unsafe": "its picture is likely not safe for work",
    "own": "the pinner posted it",
    "hidden": "the pinner hid it",
    "saved": "the pinner has saved it already",
    "duplicate": "its picture is that of a better candidate",
    "seen": "it was shown to the pinner before",
}


def explain(slate: Slate, pin: int) -> str:
    """One or two sentences about ``pin``."""
    for place, item in enumerate(slate.items):
        if item.pin == pin:
            return _placed(slate, place, item)
    for name, pins in slate.dropped_pins.items():
        if pin in pins:
            return f"Not in the slate: {DROPPED.get(name, name)} (filter {name})."
    return "Not in the slate: no source proposed it, others scored better, or it is beyond the drops kept by name."


def _placed(slate: Slate, place: int, item: Item) -> str:
    sources = ", ".join(f"{name} ({score:.3g})" for name, score in item.sources.items()) or "fallback"
    how = f"Place {place + 1} of {len(slate.items)}, score {item.score:.4g}, from {sources}."
    if item.probabilities is None:
        return f"{how} Ordered by its sources and quality, because the ranker did not answer."
    p = item.probabilities
    return (
        f"{how} Expected: save {p.save:.1%}, closeup {p.closeup:.1%}, click {p.outbound_click:.1%}, hide {p.hide:.1%}."
    )
