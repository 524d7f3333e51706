"""Moves from one encoder to another, as people wish them; workers follow what stands in ClickHouse.

filling → ready → serving → retired, and back; dropping → dropped from anywhere but serving. Each move may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.encoders.filling import fills, parity_of
from streams.encoders.states import KEPT, Standing, Standings, State, moved, serving, standings, suffix_of, write
from streams.stores.protocols import EventStore
from streams.stores.triton import ENCODER

#: Less of the rows in both indexes, or of the nearest ones found, is no cut-over without a word more.
LEAST_PARITY, LEAST_RECALL = 0.99, 0.9


class MoveRefused(Exception):
    """The wish cannot be followed; the message says why, and what to do."""


async def begin(events: EventStore, model: str, ready: Mapping[str, str]) -> Standing:
    """Have a second index filled by a model; ``ready`` is what Triton serves, model → version.

    Raises:
        MoveRefused: it is no encoder, does not serve, or is called like another one.
    """
    try:
        suffix = suffix_of(model)
    except ValueError as error:
        raise MoveRefused(str(error)) from None
    if model not in ready:
        raise MoveRefused(f"Triton does not serve {model}: `pinstream models deploy {model}` loads it, or says why not")
    found = await standings(events)
    if model in found and found[model].state in KEPT:
        return found[model]
    known = [_named(one, ready) for one in found.values()]
    wanted = Standing(model, suffix or ready[model], State.FILLING, found[model].changed if model in found else 0)
    if clash := [one.model for one in known if one.version == wanted.version and one.model != model]:
        raise MoveRefused(f"vectors of {clash[0]} are called {wanted.version}, too: give {model} another name")
    wanted = moved(wanted, State.FILLING)
    # The first time, also the encoder that served all along gets its row.
    await write(events, [*(one for one in known if not one.changed), wanted])
    return wanted


async def cut_over(events: EventStore, model: str, ready: Mapping[str, str], *, anyway: bool = False) -> Standing:
    """Have a model's index serve. Raises MoveRefused when it is not ready, or worse than it should be."""
    found = await standings(events)
    one = _known(found, model)
    if one.state is State.SERVING:
        return one
    if one.state not in (State.READY, State.RETIRED):
        raise MoveRefused(f"{model} is {one.state}: only a whole index can serve; `pinstream models migrate {model}`")
    if model not in ready:
        raise MoveRefused(f"Triton does not serve {model}: `pinstream models deploy {model}` loads it, or says why not")
    if not anyway:
        parity = parity_of((await fills(events)).get(model))
        for name in ("pins", "objects") if parity else ():
            share = getattr(parity, name)
            if share.parity < LEAST_PARITY or share.recall < LEAST_RECALL:
                raise MoveRefused(
                    f"{share.parity:.1%} of the {name} are in both indexes (at least {LEAST_PARITY:.0%} should be) and "
                    f"{share.recall:.1%} of the nearest are found (at least {LEAST_RECALL:.0%}): --anyway cuts over"
                )
    return await _swap(events, found, one, State.RETIRED)


async def roll_back(events: EventStore) -> Standing | None:
    """Have the encoder serve that did before; None where there is nothing to go back to, as after a rollback."""
    found = await standings(events)
    retired = [one for one in found.values() if one.state is State.RETIRED]
    if not retired:
        return None
    return await _swap(events, found, max(retired, key=lambda one: one.changed), State.READY)


async def drop(events: EventStore, model: str) -> Standing:
    """Have a model's index dropped. Raises MoveRefused for the one that serves."""
    one = _known(await standings(events), model)
    if one.state is State.SERVING:
        raise MoveRefused(f"{model} serves: cut over to another encoder before it is dropped")
    if one.state in (State.DROPPING, State.DROPPED):
        return one
    wanted = moved(one, State.DROPPING)
    await write(events, [wanted])
    return wanted


async def _swap(events: EventStore, found: Standings, one: Standing, left: State) -> Standing:
    """``one`` serves, and what served is ``left``: both at once, so that exactly one serves at any moment."""
    wanted = moved(one, State.SERVING)
    before = moved(serving(found), left)
    await write(events, [before, wanted])
    return wanted


def _known(found: Standings, model: str) -> Standing:
    if model not in found:
        raise MoveRefused(f"{model} has no index: `pinstream models migrate {model}` fills one")
    return found[model]


def _named(one: Standing, ready: Mapping[str, str]) -> Standing:
    return one if one.version else one._replace(version=ready.get(ENCODER, ""))
