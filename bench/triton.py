"""Triton against a plain torch loop, on the same model code: what share of the loop's images/s does Triton serve?

The loop runs ``model_repo/NAME/VERSION/model.py`` in a process of its own with nothing between it and the images: no
server, no copies, the threads that the model sets itself, and the best of several batch sizes. Triton is asked as the
engine asks, over gRPC with the model's largest batch and two requests in flight. They take turns of a few seconds, each
idle while the other runs, so that whatever else the machine does hits both; the share is the median over pairs of
turns. ``CPU ms`` are of all processes that take part, the asking one too, for one image: they hold where others use the
machine as well. Then one stream of photos goes through the whole path, one at a time: decode, detect, cut, encode.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import psutil
import tritonclient.grpc.aio as triton
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from infra import supervisor
from infra.models_environment import ENVIRONMENT
from infra.process import remembered
from infra.triton import expected
from operators.accepted import AcceptedPin
from streams.cli.running import EngineFailed, home_of_its_own, link_installed
from streams.cli.tables import table
from streams.images.decode import decode
from streams.settings import PROJECT, Settings
from streams.stores.triton import CHANNEL, IN_FLIGHT, TritonModels
from streams.understanding import understand

NAMES = ("detector", "encoder")
WANTED = 0.9
BATCHES = {"CPU": (1, 2, 4, 8, 16), "GPU": (8, 32, 128)}
PHOTOS = PROJECT / "examples" / "sample" / "photos"


class Config(NamedTuple):
    """What ``config.pbtxt`` says."""

    folder: Path
    most: int
    input: str
    shape: tuple[int, ...]
    told: dict[str, Any]

    @classmethod
    def of(cls, settings: Settings, name: str) -> Config:
        """The version of a model that Triton should serve."""
        folder = settings.model_repository / name
        read: Any = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        told = json_format.MessageToDict(read, preserving_proto_field_name=True)
        first = read.input[0]
        return cls(folder / expected(settings, name), read.max_batch_size, first.name, tuple(first.dims), told)


class Turn(NamedTuple):
    """Images a second, and milliseconds of CPU for each."""

    rate: float
    cpu: float


class Loop:
    """The torch loop's process."""

    def __init__(self, settings: Settings, config: Config) -> None:
        self.process = subprocess.Popen(
            [str(ENVIRONMENT / "bin" / "python"), str(PROJECT / "bench" / "_torch_loop.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # As infra/triton.py sets it for Triton.
            env=os.environ
            | {
                "PINSTREAM_WEIGHTS": str(settings.home / "weights"),
                "OMP_WAIT_POLICY": "PASSIVE",
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        given = {"folder": str(config.folder), "config": config.told, "shape": config.shape}
        self.runs_on = self._ask(given)

    def turn(self, batch: int, seconds: float) -> Turn:
        """One turn."""
        told = self._ask({"batch": batch, "seconds": seconds})
        return Turn(told["images"] / told["seconds"], 1000 * told["cpu_seconds"] / told["images"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end says it better
        if not (line := self.process.stdout.readline()):
            raise click.ClickException(f"the torch loop ended with status {self.process.wait()}; see its error above")
        return json.loads(line)


@click.command("triton")
@click.option("--seconds", default=5.0, show_default=True, help="Length of a turn.")
@click.option("--turns", default=5, show_default=True, type=click.IntRange(1), help="Turns of each.")
@click.option("--photos", default=60, show_default=True, type=click.IntRange(1, 350), help="Photos of the one stream.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object instead of a table.")
def command(seconds: float, turns: int, photos: int, as_json: bool) -> None:
    """Measure what share of a torch loop's images/s Triton serves, and one stream through the whole path."""
    installed = Settings.load()
    with serving(installed) as settings:
        figures = [asyncio.run(compared(settings, name, seconds, turns)) for name in NAMES]
        stream = asyncio.run(one_stream(settings, photos))
        (status,) = supervisor.status(settings, ["triton"])
    machine = {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": round(os.getloadavg()[0], 1),
        "triton_rss_mib": (status.resident_bytes or 0) >> 20,
    }
    if as_json:
        click.echo(json.dumps({"machine": machine, "models": figures, "one stream": stream}))
        return
    click.echo(table(tuple(figures[0]), [tuple(str(value) for value in each.values()) for each in figures]))
    click.echo(f"one stream, decode to vectors: {stream['images/s']} images/s over {stream['photos']} photos")
    click.echo(f"wanted: a share of {WANTED}; {machine}")


@contextmanager
def serving(installed: Settings) -> Generator[Settings]:
    """A Triton of its own while the block lasts."""
    try:
        settings = home_of_its_own(installed, "bench-triton")
        settings = replace(settings, port_base=installed.port_base + 200)
        supervisor.install(installed, ["triton"])
        link_installed(installed.home, settings.home)
        supervisor.up(settings, lambda line: click.echo(line, err=True), ["triton"])
        yield settings
    except (EngineFailed, supervisor.PartFailed) as error:
        raise click.ClickException(str(error)) from None
    finally:
        supervisor.down(replace(installed, home=installed.home / "bench-triton"), lambda _: None, ["triton"])


async def compared(
    settings: Settings, name: str, seconds: float, turns: int, batches: Sequence[int] = ()
) -> dict[str, Any]:
    """The loop's best batch first (of ``batches``, or of those usual for the device), then turns of both."""
    config = Config.of(settings, name)
    loop = Loop(settings, config)
    client = triton.InferenceServerClient(settings.triton_grpc, channel_args=CHANNEL)
    running = remembered(settings, "triton")
    server = psutil.Process(running.pid) if running else None
    try:
        batches = batches or BATCHES[loop.runs_on["kind"]]
        for batch in batches:
            loop.turn(batch, 0.1)  # kernels are chosen and memory is taken
        tried = {batch: loop.turn(batch, seconds / 2).rate for batch in batches}
        best = max(tried, key=lambda batch: tried[batch])
        await served(client, name, config, 0.5, server)
        pairs: list[tuple[Turn, Turn]] = []
        for number in range(turns):
            click.echo(f"{name}: turn {number + 1} of {turns}", err=True)
            pairs.append((await served(client, name, config, seconds, server), loop.turn(best, seconds)))
    finally:
        loop.process.terminate()
        loop.process.wait()
        await client.close()
    shares = [ours.rate / theirs.rate for ours, theirs in pairs]
    share = float(np.median(shares))
    return {
        "model": name,
        "on": f"{loop.runs_on['device']}, {loop.runs_on['threads']} thread(s)",
        "Triton images/s": round(float(np.median([ours.rate for ours, _ in pairs])), 1),
        "CPU ms": round(float(np.median([ours.cpu for ours, _ in pairs])), 1),
        "batch": config.most,
        "torch images/s": round(float(np.median([theirs.rate for _, theirs in pairs])), 1),
        "torch CPU ms": round(float(np.median([theirs.cpu for _, theirs in pairs])), 1),
        "best batch": best,
        "share": round(share, 3),
        "shares": f"{min(shares):.2f} … {max(shares):.2f}",
        "kept": share >= WANTED,
    }


async def served(
    client: triton.InferenceServerClient, name: str, config: Config, seconds: float, server: psutil.Process | None
) -> Turn:
    """One turn through Triton: as many requests in flight as the engine keeps, each of the largest batch."""
    images = np.random.default_rng(0).integers(0, 256, (config.most, *config.shape), np.uint8)
    ended = time.perf_counter() + seconds

    async def ask() -> int:
        done = 0
        while time.perf_counter() < ended:
            given = triton.InferInput(config.input, list(images.shape), "UINT8")
            given.set_data_from_numpy(images)
            await client.infer(name, [given])
            done += len(images)
        return done

    began, at_work = time.perf_counter(), _cpu_seconds(server)
    done = sum(await asyncio.gather(*(ask() for _ in range(IN_FLIGHT))))
    taken = time.perf_counter() - began
    return Turn(done / taken, 1000 * (_cpu_seconds(server) - at_work) / done)


def _cpu_seconds(server: psutil.Process | None) -> float:
    """Of this process, and of a server's and the models' below it."""
    processes = [server, *server.children(recursive=True)] if server else []
    return time.process_time() + sum(sum(each.cpu_times()[:2]) for each in processes)


async def one_stream(settings: Settings, photos: int) -> dict[str, Any]:
    """One photo after another through what a new pin goes through, up to its vectors."""
    contents = [file.read_bytes() for file in sorted(PHOTOS.glob("*.jpg"))[:photos]]
    models = TritonModels(settings)
    try:
        for content in contents[:2]:
            await _through(models, content, settings.object_windows)
        began = time.perf_counter()
        for content in contents:
            await _through(models, content, settings.object_windows)
        taken = time.perf_counter() - began
    finally:
        await models.close()
    return {"photos": len(contents), "images/s": round(len(contents) / taken, 1)}


async def _through(models: TritonModels, content: bytes, windows: int) -> None:
    await understand(models, [AcceptedPin(pin=1, version=1)], [await decode(content)], windows)


if __name__ == "__main__":
    command()
