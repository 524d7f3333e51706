"""``python -m bench NAME``: run one benchmark; each prints a table and, with ``--json FILE``, writes its figures."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        raise SystemExit(f"usage: python -m bench ({' | '.join(NAMES)}) [options]")
    name = sys.argv.pop(1)
    importlib.import_module(f"bench.{name}").command()


if __name__ == "__main__":
    main()
