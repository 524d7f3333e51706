"""``python -m bench.quality WHAT``: the same as ``pinstream evaluate WHAT``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

EVALUATIONS = {
    "vision": "What is seen: embedding, detector, object search, colours, annotations.",
    "saves": "What pinners save next, beside batch baselines, on real saves.",
    "related": "Pins related to a pin: the blend beside each of its sources, head and tail apart.",
    "sequence": "The next action in time order, first predicted, then learned.",
    "cold-start": "Pinners of whom little is known, from none to twenty actions.",
    "ranking": "Probabilities of actions: AUC and calibration on later days.",
    "pinsage": "PinSage: the ladder of ablations, on real rooms and real saves.",
}


class Evaluations(click.Group):
    """Imports ``bench.quality.<name>`` (``-`` as ``_``) when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in EVALUATIONS if find_spec(_module(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return import_module(_module(cmd_name)).command if cmd_name in self.list_commands(ctx) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, EVALUATIONS[name]) for name in self.list_commands(ctx)])


def _module(name: str) -> str:
    return f"bench.quality.{name.replace('-', '_')}"


@click.group("evaluate", cls=Evaluations, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure how good the answers are on real data, beside what is wanted. Each takes --json."""


if __name__ == "__main__":
    main(prog_name="pinstream evaluate")
