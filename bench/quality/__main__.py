"""``python -m bench.quality WHAT``: the same as ``pinstream evaluate WHAT``."""

from __future__ import annotations

import click

from bench.quality import vision


@click.group("evaluate", context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure how good the answers are on real data, beside what is wanted. Each takes --json."""


main.add_command(vision.command)

if __name__ == "__main__":
    main(prog_name="pinstream evaluate")
