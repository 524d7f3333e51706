"""Jars from Maven Central by a lock: what `jgo` resolved once is locked with hashes, and downloads are just that.

What is verified: every jar's SHA-256 against the lock, at download and again before each use. A lock is written
from jars whose SHA-1 matched Maven Central's own checksum files (:func:`lock`); no PGP signature is checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from infra.part import Say

if TYPE_CHECKING:
    from jgo.maven import MavenContext

DOWNLOADS_AT_ONCE = 8


class WrongJar(Exception):
    """A downloaded jar is not the one that was locked."""


def classpath(lock: Path, folder: Path) -> str:
    """The class path of the locked jars, whether they are installed yet or not."""
    return ":".join(str(_jar(folder, coordinate)) for coordinate, _ in _locked(lock))


def complete(lock: Path, folder: Path) -> bool:
    """Whether every jar is there (not whether it is right: :func:`install` checks that)."""
    return all(_jar(folder, coordinate).exists() for coordinate, _ in _locked(lock))


def install(lock: Path, folder: Path, what: str, say: Say) -> None:
    """Download the jars that are missing or damaged into ``folder``, a Maven repository layout."""
    missing = [(jar, sha256) for jar, sha256 in _locked(lock) if not _is(_jar(folder, jar), sha256)]
    if not missing:
        return
    say(f"downloading {len(missing)} jars of {what}")
    maven = _maven(folder)
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        list(pool.map(lambda one: _download(maven, lock, folder, *one), missing))


def resolved(coordinates: Sequence[str], folder: Path) -> str:
    """Resolve run-time dependencies afresh and return the text of a lock. For a version change only.

    Each coordinate is resolved by itself, and what an earlier one brought stands.
    """
    maven = _maven(folder)
    lines: dict[str, str] = {}
    for wanted in coordinates:
        direct, transitive = maven.resolver.resolve([maven.create_dependency(wanted)])
        for dependency in [*direct, *transitive]:
            artifact = f"{dependency.groupId}:{dependency.artifactId}"
            if dependency.scope in (None, "compile", "runtime") and not dependency.optional and artifact not in lines:
                coordinate = f"{artifact}:{dependency.version}"
                jar = Path(dependency.artifact.resolve())
                if _digest(jar, "sha1") != _published_sha1(maven, coordinate):
                    raise WrongJar(f"{coordinate} does not match the checksum its repository publishes")
                lines[artifact] = f"{coordinate} {_digest(jar, 'sha256')}\n"
    return "".join(sorted(lines.values()))


def _locked(lock: Path) -> Iterator[tuple[str, str]]:
    for line in lock.read_text().splitlines():
        coordinate, sha256 = line.split()
        yield coordinate, sha256


def _jar(folder: Path, coordinate: str) -> Path:
    group, artifact, version = coordinate.split(":")
    return folder.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _is(path: Path, sha256: str) -> bool:
    return path.exists() and _digest(path, "sha256") == sha256


def _maven(folder: Path) -> MavenContext:
    from jgo.maven import MavenContext  # a third of a second to load, and seldom needed

    return MavenContext(repo_cache=folder, timeout=60)


def _download(maven: MavenContext, lock: Path, folder: Path, coordinate: str, sha256: str) -> None:
    jar = _jar(folder, coordinate)
    jar.unlink(missing_ok=True)
    group, artifact, version = coordinate.split(":")
    maven.resolver.download(maven.project(group, artifact).at_version(version).artifact())
    if not _is(jar, sha256):
        jar.unlink(missing_ok=True)
        raise WrongJar(f"{coordinate} as downloaded does not have the SHA-256 in {lock.name}; nothing was installed")


def _published_sha1(maven: MavenContext, coordinate: str) -> str:
    import requests

    (central,) = maven.remote_repos.values()
    url = f"{central}/{_jar(Path(), coordinate).as_posix()}.sha1"
    return requests.get(url, timeout=60).text.split()[0]
