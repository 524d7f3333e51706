"""PinSage switched off: nothing of it is loaded, and nothing else is meant by another word."""

from __future__ import annotations

import pytest

from infra.triton import models
from streams.metrics import Metrics
from streams.pinsage import MOST_WAITING, PinSage
from streams.settings import Settings
from streams.stores.milvus import OF_AN_ENCODER, MilvusVectors


def test_off_leaves_the_model_out() -> None:
    on, off = (models(Settings.load({"PINSTREAM_PINSAGE": choice})) for choice in ("on", "off"))
    assert set(on) - set(off) == {"pinsage"} and "pinsage" in models(Settings.load({}))


def test_another_word_is_refused_with_the_fix() -> None:
    with pytest.raises(ValueError, match="PINSTREAM_PINSAGE='maybe': use on or off"):
        Settings.load({"PINSTREAM_PINSAGE": "maybe"})


def test_each_pin_waits_once_and_so_many_at_most() -> None:
    waiting = PinSage(MilvusVectors(Settings.load({})).alone("pinsage"), Metrics())
    waiting.arrived([3, 1, 3])
    waiting.arrived([1, 2])
    assert waiting.take(2) == [3, 1] and len(waiting) == 1
    waiting.give_back([3, 1])
    assert waiting.take(9) == [3, 1, 2] and len(waiting) == 0
    waiting.arrived(range(2 * MOST_WAITING))
    assert len(waiting) == MOST_WAITING


def test_encoders_come_and_go_without_it() -> None:
    vectors = MilvusVectors(Settings.load({}))
    alone = vectors.alone("pinsage")
    assert "pinsage" not in OF_AN_ENCODER and alone.named("pinsage") == "pinsage"
    assert vectors.of("3").alone("pinsage").named("pinsage") == "pinsage", "not of any encoder"
    assert alone.circuit is not vectors.circuit
