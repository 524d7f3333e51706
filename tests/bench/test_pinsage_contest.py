"""``pinstream evaluate pinsage``: what training tells becomes a contest, judged by what the combined MLP reaches."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from bench.quality.pinsage import CHAMPION, command, contest

SYSTEMS = {
    "visual": {"HR@10": [0.1], "HR@98": [0.2], "MRR/10": [0.1], "MRR/10, new pins": [0.1]},
    "combined MLP": {
        "HR@10": [0.2, 0.3], "HR@98": [0.3, 0.5], "MRR/10": [0.2, 0.2], "MRR/10, new pins": [0.1, 0.1],
        "validation HR@10": [0.9, 0.9], "seconds": [2.0, 4.0],
    },
    CHAMPION: {"HR@10": [0.2, 0.2], "HR@98": [0.5, 0.5], "MRR/10": [0.1, 0.1], "MRR/10, new pins": [0.1, 0.1]},
}  # fmt: skip


def test_the_goals_are_those_of_the_network_without_neighbours() -> None:
    told = contest("rooms", SYSTEMS, quick=True)
    assert told.metrics[0] == "HR@98" and not any(name.startswith("validation") for name in told.metrics)
    assert told.goals == {"HR@98": 0.4, "MRR/10": 0.2} and told.reached() == {"HR@98": True, "MRR/10": False}
    assert [each.system for each in told.entries if each.ours] == [CHAMPION] and "in part" in told.split
    assert told.entries[1].seconds == 3.0 and ".4000" in told.entries[1].cell("HR@98")


def test_data_that_is_not_there_is_skipped_aloud(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--data", str(tmp_path)])
    assert result.exit_code == 1 and "rooms: skipped" in result.output and "PINSTREAM_DATA" in result.output
