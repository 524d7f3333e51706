"""What a photo is of, as far as it decides how to search: food and places are found by words better than by looks.

A plate or a beach looks like any other, and what is wanted is a recipe or a journey, which is told in words.
"""

from __future__ import annotations

_FOODS = """
    banana apple sandwich orange broccoli carrot pizza donut cake food recipe breakfast lunch dinner dessert snack
    drink cocktail coffee salad soup bread cookie pasta cheese fruit vegetable meal dish
"""
_PLACES = """
    beach mountain lake city street restaurant cafe hotel garden park landscape travel destination island forest
    village bridge castle temple museum skyline waterfall desert
"""
#: COCO's foods, and words that annotations of food have.
FOODS = frozenset({"hot dog", *_FOODS.split()})
#: Words that annotations of places have; COCO has no such label.
PLACES = frozenset(_PLACES.split())


def is_food(category: str) -> bool:
    """Whether a label or annotation, such as ``pizza`` or ``lemon cake``, speaks of food."""
    return _speaks_of(category, FOODS)


def is_place(category: str) -> bool:
    """Whether a label or annotation, such as ``beach``, speaks of a place."""
    return _speaks_of(category, PLACES)


def _speaks_of(category: str, words: frozenset[str]) -> bool:
    said = category.casefold()
    return said in words or not words.isdisjoint(said.replace("-", " ").split())
