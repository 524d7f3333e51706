"""Deploying a model: its folder into the repository, loaded by Triton, tried once; what served before goes on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streams.encoders.states import suffix_of
from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable
from streams.stores.triton import ENCODER, TritonModels
from streams.stores.triton_repository import NotLoaded, Repository

CONFIGURATION, DETECTOR = "config.pbtxt", "detector"
#: In a folder that a deployment put into the repository: it may be taken away again.
DEPLOYED = ".deployed"


class DeployRefused(Exception):
    """The model cannot be deployed; the message says why."""


class Deployed(NamedTuple):
    """A model that serves now, and the version that did before; empty for none."""

    model: str
    version: str
    before: str


async def deploy(settings: Settings, repository: Repository, target: str) -> Deployed:
    """Load a model by its folder, or by its name where the folder is in the repository already. May be repeated.

    Raises:
        DeployRefused: there is no such folder, or Triton cannot load it; nothing has changed then.
        StoreUnavailable: Triton is gone.
    """
    source, there = _places(settings, target)
    name = there.name
    before = await repository.ready()
    if _is_encoder(name):
        _check_encoder(name, source, before)
    if name == DETECTOR and before.get(name):
        raise DeployRefused(
            f"version {before[name]} of the detector serves, and another is chosen at a start alone: "
            "PINSTREAM_DETECTOR=1 or 2, then pinstream down and pinstream up (docs/models.md)"
        )
    made = _copied(source, there) if source != there else []
    link = settings.linked_models / name
    if settings.linked_models.is_dir() and not link.exists():
        link.unlink(missing_ok=True)  # one whose folder a person took away leads nowhere
        link.symlink_to(there)
        made.append(link)
    if not made and before.get(name) == _newest(there):
        return Deployed(name, before[name], before[name])  # to load it anew would only shake what serves
    try:
        version = await repository.load(name)
        if _is_encoder(name):
            await _try_out(settings, name, version)
    except (NotLoaded, DeployRefused, StoreUnavailable) as error:
        for path in made:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if name not in before and not isinstance(error, StoreUnavailable):
            await repository.unload(name)
        if isinstance(error, StoreUnavailable):
            raise
        goes_on = f"version {before[name]} of it" if name in before else "whatever served before"
        raise DeployRefused(f"{name} does not load, {goes_on} goes on serving. Triton says: {error}") from None
    return Deployed(name, version, before.get(name, ""))


def was_deployed(settings: Settings, name: str) -> bool:
    """Did :func:`deploy` put this folder into the repository, rather than a person?"""
    return (settings.model_repository / name / DEPLOYED).is_file()


def take_away(settings: Settings, name: str) -> None:
    """Take a folder out of the repository."""
    (settings.linked_models / name).unlink(missing_ok=True)
    shutil.rmtree(settings.model_repository / name)


def _places(settings: Settings, target: str) -> tuple[Path, Path]:
    """Where a model is, and where it belongs."""
    folder = Path(target).resolve()
    if (folder / CONFIGURATION).is_file():
        return folder, settings.model_repository.resolve() / folder.name
    there = settings.model_repository.resolve() / target
    if "/" in target or not (there / CONFIGURATION).is_file():
        raise DeployRefused(f"{target} is neither a folder with {CONFIGURATION} nor a model in {there.parent}")
    return there, there


def _is_encoder(name: str) -> bool:
    return name == ENCODER or name.startswith(f"{ENCODER}_")


def _check_encoder(name: str, folder: Path, ready: Mapping[str, str]) -> None:
    try:
        suffix_of(name)
    except ValueError as error:
        raise DeployRefused(str(error)) from None
    newest = _newest(folder)
    if name in ready and newest != ready[name]:
        raise DeployRefused(
            f"{name} serves in version {ready[name]}, and version {newest} would make other vectors in its place. "
            f"Put it into a folder of its own, such as {ENCODER}_{newest}, deploy that and migrate to it"
        )


def _newest(folder: Path) -> str:
    return str(max((int(each.name) for each in folder.iterdir() if each.name.isdigit()), default=0))


def _copied(source: Path, there: Path) -> list[Path]:
    """Put what is not there yet into the repository; returns what was put, to be taken back.

    Raises DeployRefused where a file of that name holds something else.
    """
    if not there.exists():
        partial = there.with_name(f".{there.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial, ignore=shutil.ignore_patterns("__pycache__"))
        (partial / DEPLOYED).touch()
        partial.replace(there)
        return [there]
    made: list[Path] = []
    for file in sorted(each for each in source.rglob("*") if each.is_file() and "__pycache__" not in each.parts):
        target = there / file.relative_to(source)
        if target.exists() and target.read_bytes() != file.read_bytes():
            raise DeployRefused(
                f"{target} is there and differs: a deployed version is never changed; give it a new one"
            )
    for folder in sorted(each for each in source.iterdir() if each.is_dir() and not (there / each.name).exists()):
        shutil.copytree(folder, there / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        made.append(there / folder.name)
    return made


async def _try_out(settings: Settings, name: str, version: str) -> None:
    """An encoder has to make something of a picture, before pins depend on it."""
    models = TritonModels(settings)
    try:
        vectors = await models.of(name, version).encode([np.full((64, 64, 3), 127, np.uint8)])
    except StoreUnavailable as error:
        raise DeployRefused(f"it is loaded, but encodes no picture: {error}") from None
    finally:
        await models.close()
    if not vectors.size or np.isnan(vectors).any():
        raise DeployRefused("it is loaded, but encodes no picture")
