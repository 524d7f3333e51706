"""What slates make of a Triton and a Milvus that are slow, wrong or gone: real servers behind a fault proxy.

A second Triton serves a ranker and an encoder whose answers a file chooses, so that wrong answers are a server's own.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infra import part_checks, supervisor
from infra import triton as triton_part
from operators.events import Kind
from operators.slate.choices import Choices
from streams.circuit import Resting, State
from streams.neighbour_cache import NeighbourCache
from streams.settings import Settings
from streams.slate_spec import shipped
from streams.slates import SlateRequest, build_slates
from streams.stores.milvus import MilvusVectors
from streams.stores.protocols import StoreUnavailable
from streams.stores.triton import TritonModels
from streams.vector_cache import VectorCache
from tests.chaos.parts import OwnPart
from tests.chaos.proxy import FaultProxy
from tests.conftest import free_base, link_installed
from tests.streams.slates_world import ANN, NOW, PINS, act, engine_of

pytestmark = pytest.mark.real

#: A ranker and an encoder of Triton's Python backend that do what the file ``mode`` beside the models says.
MODEL = """
from pathlib import Path
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.mode = Path(args["model_repository"]).parent / "mode"
        if self.mode.read_text() == "broken" and args["model_name"] == "encoder":
            raise RuntimeError("these weights cannot be read")

    def execute(self, requests):
        mode = self.mode.read_text()
        answers = []
        for request in requests:
            n = len(pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy())
            if mode == "error":
                answers.append(pb_utils.InferenceResponse(error=pb_utils.TritonError("out of order")))
                continue
            out = np.full((n, WIDTH), VALUE, np.float32)
            if mode == "nan":
                out[n // 2, 0] = np.nan
            elif mode == "shape":
                out = out[:, :-1]
            elif mode == "short":
                out = out[: n // 2]
            elif mode == "range":
                out += 3
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", np.ascontiguousarray(out))]))
        return answers
"""
CONFIGURATION = """
name: "{name}"
backend: "python"
max_batch_size: 4096
input [{{ name: "{input}" data_type: {type} dims: {dims} }}]
output [{{ name: "{output}" data_type: TYPE_FP32 dims: [-1] }}]
"""


class WrongTriton:
    """A real Triton whose models answer as they are told; behind a proxy."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self._model("ranker", "FEATURES", "TYPE_FP32", f"[{len(shipped().names)}]", "PROBABILITIES", 4, 0.25)
        self._model("encoder", "IMAGES", "TYPE_UINT8", "[8, 8, 3]", "VECTORS", 4, 0.5)
        self.answer("right")

    def answer(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def _model(self, name: str, given: str, kind: str, dims: str, out: str, width: int, value: float) -> None:
        code = self.folder / name / "1" / "model.py"
        code.parent.mkdir(parents=True)
        text = MODEL.replace('"INPUT"', f'"{given}"').replace('"OUTPUT"', f'"{out}"')
        code.write_text(text.replace("WIDTH", str(width)).replace("VALUE", str(value)))
        values = {"name": name, "input": given, "type": kind, "dims": dims, "output": out}
        (self.folder / name / "config.pbtxt").write_text(CONFIGURATION.format(**values))


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WrongTriton]:
    home = tmp_path_factory.mktemp("wrong-triton")
    settings = replace(Settings.load({}), home=home, port_base=free_base(), model_repository=home / "models")
    link_installed(settings, "triton")
    server = WrongTriton(settings, settings.model_repository)
    part = OwnPart(triton_part.part(settings), home / "logs" / "triton.log")
    part.start()
    yield server
    part.kill()


@pytest.fixture
async def models(wrong: WrongTriton) -> AsyncIterator[TritonModels]:
    wrong.answer("right")
    opened = TritonModels(wrong.settings)
    yield opened
    await opened.close()


async def slate_of(engine, choices: Choices):
    (slate,) = await build_slates(engine, [SlateRequest(ANN, 77, NOW, NOW)], choices)
    return slate


@pytest.mark.parametrize("mode", ["nan", "shape", "short", "range", "error"])
async def test_a_ranker_whose_answers_cannot_be_used_is_done_without(wrong, models, tmp_path, mode: str) -> None:
    engine = engine_of(tmp_path)
    engine.models = models
    act(engine, ANN, Kind.SAVE, 100)
    choices = Choices(source_seconds=5, vectors_seconds=5, rank_seconds=5)
    assert (await slate_of(engine, choices)).degraded == []
    wrong.answer(mode)
    slate = await slate_of(engine, choices)
    assert slate.degraded == ["ranker"] and slate.items and all(np.isfinite(item.score) for item in slate.items)
    assert models.circuit.state is State.OPEN


@pytest.mark.parametrize("mode", ["nan", "shape", "short", "range", "error"])
async def test_an_encoder_gone_wrong_blames_no_picture(wrong, models, mode: str) -> None:
    """Vision waits for a model that is broken; a pin is set aside only when the model serves and refuses it."""
    pictures = [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 90, 200)]
    assert (await models.encode(pictures)).shape == (3, 4)
    wrong.answer(mode)
    with pytest.raises(StoreUnavailable):
        await models.encode(pictures)


async def test_a_hung_triton_costs_one_time_out_for_each_rest_and_not_one_for_each_slate(triton, tmp_path) -> None:
    with FaultProxy(triton.port("triton_grpc")) as proxy:
        engine = engine_of(tmp_path)
        act(engine, ANN, Kind.SAVE, 100)
        patient, hasty = (Choices(source_seconds=5, vectors_seconds=5, rank_seconds=s) for s in (10.0, 0.2))
        engine.models = first = TritonModels(triton)
        while (await slate_of(engine, patient)).degraded:  # the first answer of a model takes seconds
            await asyncio.sleep(0.5)
        await first.close()
        engine.models = TritonModels(replace(triton, triton=f"127.0.0.1:{proxy.port}"))
        assert (await slate_of(engine, patient)).degraded == []
        proxy.blackhole()
        for _ in range(20):
            assert (await slate_of(engine, hasty)).degraded == ["ranker"]
        circuit = engine.models.circuit
        assert circuit.opened + circuit.spared == 20, "each slate either waited in vain or did not ask"
        assert circuit.spared >= 10
        proxy.heal()
        await asyncio.sleep(circuit.rests)
        assert (await slate_of(engine, patient)).degraded == []
        await engine.models.close()


async def test_a_hung_milvus_costs_one_time_out_for_each_rest(milvus_apart, tmp_path) -> None:
    settings = milvus_apart("hung")
    with FaultProxy(settings.port("milvus")) as proxy:
        engine = engine_of(tmp_path)
        store = MilvusVectors(replace(settings, milvus=f"http://127.0.0.1:{proxy.port}"))
        held = await engine.vectors.fetch("pins", PINS)
        await store.prepare(8)
        vectors = np.array([held[pin] for pin in PINS.tolist()], np.float32)
        await store.upsert("pins", PINS, vectors, {"version": np.ones(len(PINS), np.int64)})
        engine.vectors, engine.vector_cache = store, VectorCache(store)
        act(engine, ANN, Kind.SAVE, 100)
        patient, hasty = (Choices(rank_seconds=5, vectors_seconds=s, source_seconds=s) for s in (10.0, 0.2))
        while not any("visual" in item.sources for item in (await slate_of(engine, patient)).items):
            engine.vector_cache = VectorCache(store)  # Milvus shows what was written a moment later
        proxy.blackhole()
        engine.vector_cache.neighbours = NeighbourCache(store)  # what it found is no longer remembered
        for _ in range(20):
            assert {*(await slate_of(engine, hasty)).degraded} == {"source.visual", "source.interests"}
        assert store.circuit.opened <= 5 and store.circuit.spared >= 15
        with pytest.raises(Resting):
            await store.search("pins", vectors[:1], 3)
        proxy.heal()
        await store.close()


async def served(settings: Settings) -> dict[str, str]:
    models = TritonModels(settings)
    try:
        return await models.versions()
    finally:
        await models.close()


def test_up_says_which_model_does_not_load(wrong: WrongTriton, tmp_path: Path) -> None:
    models = tmp_path / "models"
    settings = replace(Settings.load({}), home=tmp_path, port_base=free_base(), model_repository=models)
    link_installed(settings, "triton")
    shutil.copytree(wrong.folder, models)
    (models / "mode").write_text("broken")
    try:
        with pytest.raises(supervisor.PartFailed, match=r"(?s)encoder.*these weights cannot be read"):
            supervisor.up(settings, lambda _: None, names=["triton"])
        # What loads serves all the same, and doctor knows the difference.
        assert asyncio.run(served(settings)) == {"ranker": "1"}
        finding = asyncio.run(part_checks.triton(settings))
        assert finding.state == "wrong" and "does not serve encoder" in finding.sentence
        shutil.rmtree(models / "encoder")
        assert asyncio.run(part_checks.triton(settings)).state == "good"
        shutil.copytree(models / "ranker" / "1", models / "ranker" / "2")
        finding = asyncio.run(part_checks.triton(settings))
        assert finding.state == "wrong" and "ranker 1 where model_repo has 2" in finding.sentence
    finally:
        supervisor.down(settings, lambda _: None, names=["triton"])
