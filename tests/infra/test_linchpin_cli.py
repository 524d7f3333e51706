"""``pinstream linchpin`` as a person or a script meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from operators.linchpin.transform import REGISTRY
from streams.cli import main
from streams.slate_spec import SHIPPED, shipped


def pinstream(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["linchpin", *map(str, arguments)])


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.linchpin"
    path.write_text("input a: float\nb <- Log1q(a)\noutput b, c\n")
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.linchpin"
    path.write_text(
        "input a: float\ninput u: float\nb <- Linear(a){weights=[2], bias=1}\nspare <- Log1p(u)\noutput b\n"
    )
    return path


def test_check_tells_every_fault_with_its_place(broken: Path):
    told = pinstream("check", broken)
    assert told.exit_code == 1
    assert told.output.splitlines() == [
        f"{broken}:2:6: unknown transform Log1q, did you mean Log1p?",
        f"{broken}:3:11: unknown input c",
    ]
    found = json.loads(pinstream("check", broken, "--json").output)
    assert not found["ok"] and found["faults"][0] == {
        "line": 2, "column": 6, "message": "unknown transform Log1q, did you mean Log1p?",
    }  # fmt: skip


def test_check_says_whether_slates_can_be_made_with_it(small: Path):
    assert "Slates can be made with it." in pinstream("check", SHIPPED, "--slates").output
    found = json.loads(pinstream("check", SHIPPED, "--json").output)
    assert found["ok"] and found["slates"] is None and found["version"] == shipped().version and found["pruned"] == []
    told = pinstream("check", small)
    assert told.exit_code == 0 and "slates need an output features" in told.output
    assert "Not needed by any output: u, spare" in told.output
    assert pinstream("check", small, "--slates").exit_code == 1


def test_graph_names_what_is_left_out(small: Path):
    found = json.loads(pinstream("graph", small, "--json").output)
    assert found["pruned"] == ["u", "spare"] and found["outputs"] == {"b": "float"}
    assert found["nodes"] == [{"name": "b", "transform": "Linear", "inputs": ["a"], "kind": "float"}]
    assert "Left out, as no output needs it: u, spare" in pinstream("graph", small).output
    told = pinstream("graph", small, "--output", "spare")
    assert told.exit_code == 2 and "the spec has no output spare" in told.output


def test_explain_traces_a_row(small: Path):
    found = json.loads(pinstream("explain", small, "--row", '{"a": 3}', "--json").output)
    assert found["outputs"] == {"b": 7} and found["contributions"] == {"b": {"a": 6}}
    assert found["lines"][-1]["terms"] == {"a": 6}
    assert "+6" in pinstream("explain", small, "--row", '{"a": 3}').output
    for row, message in (("[1]", "a row is an object"), ('{"b": 1}', "no inputs"), ('{"a": "x"}', "not a column")):
        told = pinstream("explain", small, "--row", row)
        assert told.exit_code == 2 and message in told.output


def test_transforms_lists_them_all():
    found = json.loads(pinstream("transforms", "--json").output)["transforms"]
    assert [each["name"] for each in found] == sorted(REGISTRY)
    assert "Log1p(x: float | vector){unit=1.0} → the same, missing kept" in pinstream("transforms").output


@pytest.mark.parametrize("name", ["check", "graph", "explain", "transforms"])
def test_every_command_has_help_and_json(name: str):
    told = pinstream(name, "--help")
    assert told.exit_code == 0 and "--json" in told.output
