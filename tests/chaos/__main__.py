"""``python -m tests.chaos``: kill, stop, cut and fill whatever there is; is one event lost or double?"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

import click

from infra.ports import is_free
from tests.chaos.report import summary, table
from tests.chaos.run import run
from tests.chaos.schedule import schedule, short
from tests.chaos.stack import Stack


@click.command()
@click.option("--seed", type=int, help="Of the schedule and the load; drawn if left out, and printed.")
@click.option("--kills", default=100, show_default=True, type=click.IntRange(1))
@click.option("--minutes", default=60.0, show_default=True, help="No new fault after so long.")
@click.option("--rate", default=80.0, show_default=True, help="Events a second.")
@click.option("--short", "is_short", is_flag=True, help="The short form, as in the tests.")
@click.option("--plan", is_flag=True, help="Print the schedule and do nothing.")
@click.option("--port-base", default=27000, show_default=True, help="First of the ports; up to 700 above are used.")
@click.option("--home", type=click.Path(path_type=Path), help="A folder that stays; otherwise a temporary one.")
@click.option("--json", "as_json", is_flag=True, help="Progress goes to stderr; one JSON object to stdout.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON object here too.")
def main(
    seed: int | None, kills: int, minutes: float, rate: float, is_short: bool, plan: bool, port_base: int,
    home: Path | None, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Faults on the real parts under load, in an order that the seed decides; then count everything again.

    Ends with status 1 when anything is lost, double or otherwise than in the log.
    """

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    seed = random.randrange(1_000_000) if seed is None else seed
    faults = short(seed) if is_short else schedule(seed, kills)
    say(f"seed {seed}: {sum(fault.what == 'kill' for fault in faults)} kills among {len(faults)} faults")
    if plan:
        for fault in faults:
            say(f"  {fault.pause:.2f} s later{', at once' if fault.at_once else ''}: {fault}")
        return
    if not is_free("127.0.0.1", port_base + 92):
        raise click.ClickException(f"port {port_base + 92} is taken: choose another --port-base")
    folder = home or Path(tempfile.mkdtemp(prefix="pinstream-chaos-"))
    try:
        with Stack(folder, port_base, say) as stack:
            outcome = run(stack, faults, seed, rate, minutes, say)
    finally:
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)
    told = json.dumps(summary(outcome), default=str)
    if out:
        out.write_text(told + "\n")
    say(table(outcome))
    if as_json:
        click.echo(told)
    sys.exit(0 if outcome.audit.exact else 1)


if __name__ == "__main__":
    main()
