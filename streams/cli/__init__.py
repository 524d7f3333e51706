"""The ``pinstream`` command. Each subcommand is a file here, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click

COMMANDS = {
    "up": "Start every embedded part and make topics and tables.",
    "down": "Stop every embedded part.",
    "status": "Show each part, where it listens and what it holds.",
    "doctor": "Say what is wrong, and how to fix it.",
    "demo": "Run the whole engine on the shipped sample.",
    "worker": "Run the engine: agents and HTTP API.",
    "run": "Run parts and workers, and start again whatever dies.",
    "index": "Make pins of a folder of pictures.",
    "replay": "Send event files to Kafka.",
    "simulate": "Make a stream of events from known tastes.",
    "convert": "Turn public data sets into event files.",
    "feed": "Show a pinner's slate.",
    "explain": "Say why a slate is as it is.",
    "replay-slate": "Make a slate again from what was logged of it.",
    "related": "Show pins related to a pin.",
    "lens": "Search with a photo.",
    "objects": "Show what was seen in a pin.",
    "similar": "Show pins with what is in a pin, or in a part of it.",
    "shop-the-look": "Show products for what is in a pin.",
    "annotations": "Show what a pin is about.",
    "interests": "Show what a pinner is interested in.",
    "search": "Find pins by words.",
    "stats": "Show the numbers of a pin, pinner or domain.",
    "dead-letters": "Look at records that could not be used, and send them back.",
    "verify": "Recount every aggregate from the raw events.",
    "linchpin": "Check and explain specs of features and models.",
    "models": "Deploy models, and change the encoder.",
    "train-ranker": "Learn a new ranker from what was logged.",
    "evaluate": "Measure quality on real data, beside what is wanted.",
    "bench": "Measure the speed of the engine on this machine.",
}


class LazyGroup(click.Group):
    """A group that imports ``streams.cli.<name>`` (``-`` as ``_``) and takes its ``command`` when a subcommand is run.

    The list of commands is told without importing any: ``pinstream --help`` should not load Kafka's client.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(_module(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        return import_module(_module(cmd_name)).command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _module(command: str) -> str:
    return f"{__name__}.{command.replace('-', '_')}"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pinstream")
def main() -> None:
    """PinStream: live pins, saves and clicks in, ranked feed candidates out.

    Settings are environment variables, PINSTREAM_<NAME>; see docs/operations.md. Every command takes --json.
    """
