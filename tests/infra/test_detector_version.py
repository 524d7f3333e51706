"""Which detector Triton is started with: one version, the better one, and never one that cannot serve."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra import supervisor, triton
from infra.detector_version import DESCRIPTION, chosen, lets_serve, with_version
from infra.models_environment import ENVIRONMENT
from streams.cli.running import link_installed
from streams.encoders.deploying import Deployed, DeployRefused, deploy, take_away
from streams.images.decode import decode_now
from streams.settings import PROJECT, Settings
from streams.stores.protocols import Detection
from streams.stores.triton import TritonModels
from streams.stores.triton_repository import NotLoaded, Repository
from tests.conftest import free_base

MODELS = Settings.load({}).model_repository
CONFIG = (MODELS / "detector" / "config.pbtxt").read_text()
PHOTO = PROJECT / "examples" / "sample" / "photos" / "302-pants.jpg"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "weights").mkdir()
    return replace(Settings.load({}), home=tmp_path)


def put(settings: Settings, content: bytes = b"weights", **told: object) -> Path:
    """Weights and what ``training.detector`` says of them."""
    file = settings.home / "weights" / "faster-rcnn-0.pt"
    file.write_bytes(content)
    description = {"file": file.name, "sha256": hashlib.sha256(content).hexdigest(), "serve": 2, **told}
    (settings.home / "weights" / DESCRIPTION).write_text(json.dumps(description))
    return file


def test_without_weights_the_first_serves_and_nothing_is_said(settings: Settings) -> None:
    assert chosen(settings) == (1, "")


def test_what_was_measured_to_be_better_serves(settings: Settings) -> None:
    put(settings)
    assert chosen(settings) == (2, "")
    put(settings, serve=1)
    assert chosen(settings) == (1, "")


def test_a_person_may_decide_otherwise(settings: Settings) -> None:
    put(settings)
    assert chosen(replace(settings, detector="1")) == (1, "")
    put(settings, serve=1)
    assert chosen(replace(settings, detector="2")) == (2, "")


@pytest.mark.parametrize("asked", ["auto", "2"])
def test_what_cannot_serve_is_named_and_the_first_serves(settings: Settings, asked: str) -> None:
    settings = replace(settings, detector=asked)
    file = put(settings)
    file.write_bytes(b"weight")
    version, complaint = chosen(settings)
    assert version == 1 and "damaged" in complaint and file.name in complaint and "train again" in complaint
    file.unlink()
    version, complaint = chosen(settings)
    assert version == 1 and "missing" in complaint and file.name in complaint
    for text in ("", "[]", "{}", '{"file": 1', '{"file": "../../etc"}'):
        (settings.home / "weights" / DESCRIPTION).write_text(text)
        version, complaint = chosen(settings)
        assert version == 1 and DESCRIPTION in complaint


def test_asked_for_but_never_trained_is_said(settings: Settings) -> None:
    version, complaint = chosen(replace(settings, detector="2"))
    assert version == 1 and "training.detector" in complaint


def test_a_setting_that_means_nothing_is_said(settings: Settings) -> None:
    version, complaint = chosen(replace(settings, detector="yolo"))
    assert version == 1 and "PINSTREAM_DETECTOR" in complaint


def test_the_configuration_names_one_version(settings: Settings) -> None:
    assert lets_serve(CONFIG) == "1", "a Triton of one's own serves version 1"
    second = with_version(CONFIG, 2)
    assert lets_serve(second) == "2" and with_version(second, 1) == CONFIG
    assert lets_serve('name: "encoder"\n') is None
    assert lets_serve(with_version('name: "encoder"\n', 3)) == "3"


def test_a_start_writes_the_choice_and_leaves_the_repository_alone(settings: Settings) -> None:
    put(settings)
    for _ in range(2):  # as every start does
        triton.prepare(settings, lambda _: None)
        repository = triton._repository(settings)
        assert sorted(each.name for each in repository.iterdir()) == triton.models(settings)
        assert lets_serve((repository / "detector" / "config.pbtxt").read_text()) == "2"
        assert (repository / "detector" / "2" / "model.py").exists() and (repository / "encoder").is_symlink()
        assert triton.expected(settings, "detector") == "2" and triton.expected(settings, "encoder") == "2"
    assert (MODELS / "detector" / "config.pbtxt").read_text() == CONFIG
    triton.prepare(replace(settings, detector="1"), lambda _: None)
    assert triton._repository(settings) == MODELS, "nothing else than the repository says"
    assert triton.expected(settings, "detector") == "1"
    assert triton.expected(replace(settings, triton="triton:8001"), "detector") == "1"


#: An untrained network, exported as training does it: its scores are all alike, and its boxes are somewhere.
EXPORT = """
import sys, torch
from pathlib import Path
from training.checkpoints import write
from training.detector_scores import code, describe, digest
weights, network = Path(sys.argv[1]), code(2, "network")
torch.manual_seed(0)
file = weights / "faster-rcnn-0.pt"
write(network.lite0(160).state_dict(), file)
describe(weights, {"architecture": network.LITE0, "file": file.name, "size": 160, "sha256": digest(file), "serve": 2})
"""


@pytest.mark.real
@pytest.mark.timeout(900)  # two starts of Triton, of which each takes a minute on a busy machine
def test_triton_serves_the_second_and_the_first_when_that_is_damaged(tmp_path: Path) -> None:
    installed = Settings.load()
    supervisor.install(installed, ["triton"], lambda _: None)
    models = tmp_path / "models"
    shutil.copytree(MODELS, models, ignore=shutil.ignore_patterns("__pycache__"))
    settings = replace(Settings.load({}), home=tmp_path / "home", port_base=free_base(), model_repository=models)
    weights = settings.home / "weights"
    weights.mkdir(parents=True)
    for file in (installed.home / "weights").iterdir():
        if not file.name.startswith("faster-rcnn"):
            (weights / file.name).symlink_to(file)
    link_installed(installed.home, settings.home)
    exported = subprocess.run(
        [ENVIRONMENT / "bin" / "python", "-c", EXPORT, weights], cwd=PROJECT, capture_output=True, text=True
    )
    assert exported.returncode == 0, exported.stderr
    names = (weights / "coco.names").read_text().split("\n")[:80]

    version, found = served(settings, [], copied(tmp_path / "second_ranker"))
    assert version == "2" and len(found) == 100
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    assert {one.label for one in found} <= set(names)
    for one in found:
        left, top, right, bottom = one.box
        assert 0 <= left <= right <= 1 and 0 <= top <= bottom <= 1

    said: list[str] = []
    with (weights / "faster-rcnn-0.pt").open("r+b") as file:
        file.truncate(1000)
    version, found = served(settings, said)
    assert version == "1" and found[0].label == "person"
    assert any("faster-rcnn-0.pt is damaged" in line for line in said)


def served(settings: Settings, said: list[str], another: Path | None = None) -> tuple[str, list[Detection]]:
    """The detector's version and what it finds on a photo with a person, by a Triton that is started for it.

    Meanwhile ``another`` model is deployed.
    """

    async def ask() -> tuple[str, list[Detection]]:
        models, repository = TritonModels(settings), Repository(settings)
        try:
            if another:
                assert await deploy(settings, repository, str(another)) == Deployed(another.name, "1", "")
                assert (await models.versions())[another.name] == "1"
            return (await models.versions())["detector"], (await models.detect([decode_now(PHOTO.read_bytes())]))[0]
        finally:
            await repository.close()
            await models.close()

    try:
        supervisor.up(settings, said.append, ["triton"])
        return asyncio.run(ask())
    finally:
        supervisor.down(settings, lambda _: None, ["triton"])


class Loading:
    """A Triton over the repository that a home serves: it loads what it finds there."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.loaded = settings, dict[str, str]()

    async def ready(self) -> dict[str, str]:
        return {"detector": "2"} | self.loaded

    async def load(self, name: str) -> str:
        folder = triton._repository(self.settings) / name
        versions = [each.name for each in folder.iterdir() if (each / "model.py").is_file()]
        if not (folder / "config.pbtxt").is_file() or not versions:
            raise NotLoaded(f"{folder} is no model")
        self.loaded[name] = max(versions)
        return self.loaded[name]

    async def unload(self, name: str) -> None:
        self.loaded.pop(name, None)


async def test_a_model_is_deployed_where_links_are_served(settings: Settings, tmp_path: Path) -> None:
    """Its folder goes into the repository, and its link to where the other models' links are."""
    settings = replace(settings, model_repository=tmp_path / "models")
    shutil.copytree(MODELS, settings.model_repository, ignore=shutil.ignore_patterns("__pycache__"))
    put(settings)
    triton.prepare(settings, lambda _: None)
    link = settings.linked_models / "second_ranker"
    link.symlink_to(tmp_path / "removed")  # of an earlier one whose folder a person took away
    source = copied(tmp_path / "second_ranker")
    serving: Any = Loading(settings)

    for before in ("", "1"):
        assert await deploy(settings, serving, str(source)) == Deployed("second_ranker", "1", before)
    assert link.resolve() == settings.model_repository / "second_ranker" and serving.loaded == {"second_ranker": "1"}
    take_away(settings, "second_ranker")
    assert not link.is_symlink() and not (settings.model_repository / "second_ranker").exists()

    (source / "1" / "model.py").unlink()
    serving.loaded.clear()
    with pytest.raises(DeployRefused, match="does not load"):
        await deploy(settings, serving, str(source))
    assert not link.is_symlink() and not (settings.model_repository / "second_ranker").exists()
    assert sorted(each.name for each in settings.linked_models.iterdir()) == sorted(
        each.name for each in MODELS.iterdir()
    )


def copied(folder: Path) -> Path:
    """The ranker as a model of its own, named as ``folder``."""
    shutil.copytree(MODELS / "ranker", folder, ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "ranker"', f'name: "{folder.name}"'))
    return folder


async def test_a_detector_is_not_deployed_beside_the_one_that_serves(settings: Settings) -> None:
    class Serving:
        async def ready(self) -> dict[str, str]:
            return {"detector": "1"}

    with pytest.raises(DeployRefused, match="PINSTREAM_DETECTOR"):
        await deploy(settings, Serving(), "detector")  # type: ignore[arg-type]
