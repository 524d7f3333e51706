"""Is the most salient colour of a product's photo the one its shop names? (``bench/quality/salient_colours.py``)"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.quality.salient_colours import of_products

pytestmark = pytest.mark.data


def test_the_first_colour_is_the_products_far_more_often_than_the_mean_is(shared_data: Path):
    shares, count = of_products(shared_data / "rooms")
    print(f"\nproducts {count}, colour as named: {shares}")
    assert shares["first"] >= 1.5 * shares["mean of all pixels"]
