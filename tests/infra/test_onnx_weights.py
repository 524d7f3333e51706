"""The safety model reads its ONNX file by itself: all of it, and nothing of one that is cut off or something else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from streams.settings import PROJECT, Settings

READER = PROJECT / "model_repo" / "safety" / "1" / "onnx_weights.py"


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    described = importlib.util.spec_from_file_location("onnx_weights", READER)
    assert described is not None and described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def file() -> Path:
    file = Settings.load().home / "weights" / "open-nsfw.onnx"
    if not file.exists():
        pytest.skip(f"{file} is missing: run `make setup`")
    return file


def test_every_number_is_read(reader: ModuleType, file: Path) -> None:
    found = reader.layers(file)
    convolutions = [one.arrays for one in found if one.kind == "Conv"]
    assert len(convolutions) == 53 and all(len(arrays) == 2 for arrays in convolutions)
    assert convolutions[0][0].shape == (64, 3, 7, 7)
    assert (
        sum(array.size for one in found if one.kind in ("Conv", "MatMul", "Add") for array in one.arrays) == 5_891_266
    )


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999999])
def test_a_file_that_is_cut_off_is_refused(reader: ModuleType, file: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.onnx"
    whole = file.read_bytes()
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"ends inside|no ONNX"):
        reader.layers(cut)
