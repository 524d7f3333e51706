"""A file of arrays is as it was written, or it is refused; one that cannot be written leaves the old one."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from streams import learned_file
from streams.learned_file import Unusable, read, write

COLUMNS = {
    "ids": np.arange(5, dtype=np.int64) * 2**40,
    "wide": np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, :2],
    "nothing": np.zeros((0, 8), np.float32),
    "chance": np.array([88172645463325252], np.uint64),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "learned.bin"


@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_what_is_written_is_read(path: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_file, "PIECE", piece)
    assert write(path, {"learned": 3}, COLUMNS) == path.stat().st_size
    said, columns = read(path)
    assert said == {"learned": 3} and list(columns) == list(COLUMNS)
    for name, column in COLUMNS.items():
        assert columns[name].dtype == column.dtype and columns[name].flags.writeable
        np.testing.assert_array_equal(columns[name], column)
    assert columns.part("w").keys() == {"ide"}
    assert [path.name] == [each.name for each in path.parent.iterdir()]


def test_a_file_that_is_cut_short_or_changed_anywhere_is_refused(path: Path) -> None:
    write(path, {}, COLUMNS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Unusable):
            read(path)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(Unusable):
            read(path)


def test_where_there_is_no_room_the_old_file_stays(path: Path) -> None:
    write(path, {"learned": 1}, COLUMNS)
    _, most = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        with pytest.raises(OSError, match="too large"):
            write(path, {"learned": 2}, {"large": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read(path)[0] == {"learned": 1}
    assert [path.name] == [each.name for each in path.parent.iterdir()]
