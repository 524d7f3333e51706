"""`pinstream` as a person or a script meets it, with nothing running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.cli import COMMANDS, main


@pytest.fixture
def pinstream(tmp_path: Path, settings):
    """Run a command in an empty home, on this session's ports, where nothing of that home listens."""
    environ = {"PINSTREAM_HOME": str(tmp_path), "PINSTREAM_PORT_BASE": str(settings.port_base + 20000)}

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environ)

    return run


def test_help_lists_every_command(pinstream) -> None:
    told = pinstream("--help")
    assert told.exit_code == 0
    assert [line.split()[0] for line in told.output.partition("Commands:")[2].splitlines() if line.strip()] == [
        *COMMANDS
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(pinstream, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    told = pinstream(name, "--help")
    assert told.exit_code == 0, told.output
    assert "--json" in told.output + capfd.readouterr().out  # `bench` is a process of its own


def test_an_unknown_command_is_refused(pinstream) -> None:
    assert pinstream("dance").exit_code == 2


def test_status_of_nothing(pinstream) -> None:
    told = pinstream("status", "--json")
    assert told.exit_code == 1
    assert {part["name"]: part["state"] for part in json.loads(told.output)["parts"]} == dict.fromkeys(
        ("kafka", "clickhouse", "milvus", "triton"), "stopped"
    )


def test_down_of_nothing_is_fine(pinstream) -> None:
    assert json.loads(pinstream("down", "--json").output) == {"stopped": []}


def test_doctor_names_a_fix_for_everything_that_is_wrong(pinstream) -> None:
    told = pinstream("doctor", "--json")
    found = json.loads(told.output.splitlines()[-1])
    assert told.exit_code == 1
    assert not found["healthy"]
    faults = [finding for finding in found["findings"] if finding["state"] == "wrong"]
    assert {"downloads", "kafka", "topics", "clickhouse", "migrations", "milvus", "triton"} <= {
        finding["check"] for finding in faults
    }
    assert all(finding["fix"] for finding in faults)


def test_doctor_knows_servers_from_embedded_parts(pinstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSTREAM_KAFKA", "127.0.0.1:1")
    found = json.loads(pinstream("doctor", "--json").output.splitlines()[-1])
    (fix,) = [finding["fix"] for finding in found["findings"] if finding["check"] == "kafka"]
    assert fix == "start that server, or correct PINSTREAM_KAFKA"
