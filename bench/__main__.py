"""``python -m bench NAME …``: run one benchmark of this folder; the same as ``python -m bench.NAME …``."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

NAMES = sorted([*(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")), "peers", "quality"])


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        raise SystemExit(f"usage: python -m bench ({' | '.join(NAMES)}) [options]")
    name = sys.argv.pop(1)
    if name != "quality":  # whose batch baselines may have every core
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a worker, before numpy is loaded
    runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
