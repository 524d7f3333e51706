"""``pinstream doctor``: every finding in a plain sentence, with its fix."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import click

from infra import machine_checks, part_checks
from infra.finding import Finding
from streams.settings import Settings

MARKS = {"good": "ok   ", "note": "note ", "wrong": "WRONG"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of sentences.")
def command(as_json: bool) -> None:
    """Check the machine, the parts, the topics and the tables. Exit status 1 if anything is wrong."""
    findings: list[Finding] = []
    for finding in _findings(Settings.load()):
        findings.append(finding)
        if not as_json:
            click.echo(f"{MARKS[finding.state]} {finding.sentence}")
            if finding.fix:
                click.echo(f"      fix: {finding.fix}")
    healthy = all(finding.state != "wrong" for finding in findings)
    if as_json:
        click.echo(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in findings]}))
    sys.exit(0 if healthy else 1)


def _findings(settings: Settings) -> Iterator[Finding]:
    for check in machine_checks.CHECKS:
        yield check(settings)
    yield from machine_checks.ports(settings)

    def asked(check: part_checks.Check) -> Finding:
        return asyncio.run(check(settings))

    # All at once: each of those that fail waits for its part as long as it may.
    with ThreadPoolExecutor(len(part_checks.CHECKS)) as pool:
        yield from pool.map(asked, part_checks.CHECKS)
