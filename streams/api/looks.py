"""GET /v1/pins/{pin}/objects, …/similar, …/similar-looks and …/shop-the-look: Lens on a live pin."""

from __future__ import annotations

import msgspec
from aiohttp import web

from streams.api.answers import answer, identity, integer, known
from streams.api.catalogue import living
from streams.api.lens import box_in_query, rejected
from streams.api.pins import SeenObject
from streams.api.problems import Problem
from streams.engine import Engine, as_it_serves
from streams.images.rejection import ImageRejected
from streams.lens_looks import Dot, Shelf, shop_the_look, similar_looks
from streams.lens_objects import ObjectHit, scenes
from streams.lens_photo import Box
from streams.lens_pins import Part, PinObject, objects_of, of_box, of_objects, picture
from streams.lens_recall import Recall
from streams.understanding import MOST_OBJECTS

#: Pins in an answer, and for each object of one.
N, MOST = 25, 100
N_EACH, MOST_EACH = 6, 24


class PinObjects(msgspec.Struct):
    """The dots of a pin: what was seen in it, most certain first."""

    pin: int
    objects: list[SeenObject]


class FoundObject(msgspec.Struct):
    """An object of another pin and its cosine with the one asked for. ``object`` is 0 for a pin's whole picture."""

    pin: int
    object: int
    label: str
    box: Box
    similarity: float


class Scene(msgspec.Struct):
    """A pin with such objects. ``score`` is over all objects asked for; ``best`` is the likest object in it, and
    ``query`` the one that it is like, counted from 0."""

    pin: int
    score: float
    best: FoundObject
    query: int


class Asked(msgspec.Struct):
    """An object that was searched for; ``label`` is empty for a box, and for the pin as a whole."""

    label: str
    confidence: float
    box: Box


class Similar(msgspec.Struct):
    """Scenes, best first, for ``objects`` of a pin."""

    pin: int
    objects: list[Asked]
    scenes: list[Scene]


class LookDot(msgspec.Struct):
    """Something worn or carried, and things of the same kind in other pins, likest first."""

    object: SeenObject
    items: list[FoundObject]


class SimilarLooks(msgspec.Struct):
    """Dots on what is worn or carried in a pin."""

    pin: int
    dots: list[LookDot]


class ShopProduct(msgspec.Struct):
    """A product. ``exact``: so alike that it is taken for the very same. ``colours`` is the distance (ΔE) of its
    palette from the scene's object; null where a picture cannot be had."""

    found: FoundObject
    exact: bool
    colours: float | None


class Category(msgspec.Struct):
    """One kind of thing in the scene: where it stands, and products for it, exact ones first."""

    label: str
    objects: list[SeenObject]
    products: list[ShopProduct]


class ShopTheLook(msgspec.Struct):
    """Products for a scene. ``degraded`` has ``palette`` where colours could not be compared."""

    pin: int
    categories: list[Category]
    degraded: list[str]


def routes(engine: Engine) -> list[web.RouteDef]:
    recall = Recall()

    async def objects(request: web.Request) -> web.Response:
        known(request)
        pin = living(engine, identity(request, "pin"))
        return answer(PinObjects(pin, [_seen(one) for one in await objects_of(engine, pin)]))

    async def similar(request: web.Request) -> web.Response:
        known(request, "n", "object", "box")
        n = integer(request, "n", N, 1, MOST)
        pin = living(engine, identity(request, "pin"))
        mine = as_it_serves(engine)
        part = await _part(mine, recall, request, pin)
        found = await scenes(mine, part.vectors, part.weights, n, without=[pin])
        asked = [Asked(one.label, one.confidence, one.box) for one in part.objects]
        return answer(
            Similar(pin, asked, [Scene(one.hit.scene, one.score, _found(one.hit), one.hit.query) for one in found])
        )

    async def looks(request: web.Request) -> web.Response:
        known(request, "n")
        n = integer(request, "n", N_EACH, 1, MOST_EACH)
        pin = living(engine, identity(request, "pin"))
        dots = await similar_looks(as_it_serves(engine), pin, await objects_of(engine, pin), n)
        return answer(SimilarLooks(pin, [_dot(one) for one in dots]))

    async def shop(request: web.Request) -> web.Response:
        known(request, "n")
        n = integer(request, "n", N_EACH, 1, MOST_EACH)
        pin = living(engine, identity(request, "pin"))
        seen = await objects_of(engine, pin)
        scene = await picture(engine, pin)
        shelves, degraded = await shop_the_look(as_it_serves(engine), pin, seen, scene, n)
        return answer(ShopTheLook(pin, [_category(one) for one in shelves], degraded))

    base = "/v1/pins/{pin}"
    return [
        web.get(f"{base}/objects", objects),
        web.get(f"{base}/similar", similar),
        web.get(f"{base}/similar-looks", looks),
        web.get(f"{base}/shop-the-look", shop),
    ]


async def _part(engine: Engine, recall: Recall, request: web.Request, pin: int) -> Part:
    """What of the pin to search with: one object, a box, or everything. Raises Problem 400, 404 or 422."""
    box, chosen = box_in_query(request), request.query.get("object")
    if box is not None and chosen is not None:
        raise Problem(400, "invalid-parameter", "Give object or box, not both.")
    if box is not None:
        pixels = await picture(engine, pin)
        if pixels is None:
            detail = f"The picture of pin {pin} was not kept or cannot be had. Ask by object, or send it to /v1/lens."
            raise Problem(422, "no-picture", detail)
        try:
            return await of_box(engine, recall, pixels, box)
        except ImageRejected as error:
            raise rejected(error) from None
    seen = await objects_of(engine, pin)
    if chosen is None:
        return await of_objects(engine, pin, seen, whole=True)
    place = integer(request, "object", 0, 0, MOST_OBJECTS - 1)
    if place >= len(seen):
        raise Problem(404, "not-found", f"Pin {pin} has {len(seen)} objects; they are counted from 0.")
    return await of_objects(engine, pin, [seen[place]])


def _seen(one: PinObject) -> SeenObject:
    return SeenObject(one.object, one.label, one.confidence, one.box)


def _found(hit: ObjectHit) -> FoundObject:
    return FoundObject(hit.scene, hit.object, hit.label, hit.box, hit.similarity)


def _dot(dot: Dot) -> LookDot:
    return LookDot(_seen(dot.object), [_found(hit) for hit in dot.hits])


def _category(shelf: Shelf) -> Category:
    products = [ShopProduct(_found(one.hit), one.exact, one.colours) for one in shelf.products]
    return Category(shelf.label, [_seen(one) for one in shelf.objects], products)
