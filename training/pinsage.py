"""Train PinSage, or measure its ladder of ablations. Runs in ``.venv-models``, on a GPU where there is one.

    python -m training.pinsage ladder PROBLEM.npz … [--seeds N] [--epochs N] [--json]
    python -m training.pinsage ship PROBLEM.npz [--version N] [--also PROBLEM.npz …]

Problems are by ``training.pinsage_data``. ``ladder`` teaches every rung with the same data, loss and steps: a modality,
combined MLP, max-pool, mean-pool, mean-pool-hard, PinSage without curriculum, PinSage; beside them stand bare pictures,
bare texts and a long walk. The epoch is chosen in validation; test is looked at once. What was finished is kept in
``--cache``; a run that was stopped goes on after its last epoch. ``ship`` writes ``model_repo/pinsage/N/weights.npz``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from training.checkpoints import OtherPlan
from training.pinsage_loop import Plan, Teaching, places, quality
from training.pinsage_net import HIDDEN, Modality, Pooling
from training.pinsage_problem import Problem

PROJECT = Path(__file__).resolve().parent.parent
MODEL = PROJECT / "model_repo" / "pinsage"
CACHE = PROJECT / ".pinstream" / "training" / "pinsage"
EPOCHS, PAIRS, MARGIN = 8, 16_384, 0.2
#: Of what ships.
KEEP = 1.0
RUNGS: dict[str, tuple[Pooling, bool, Modality]] = {
    "visual MLP": ("none", False, "visual"),
    "text MLP": ("none", False, "text"),
    "combined MLP": ("none", False, "all"),
    "max-pool": ("max", False, "all"),
    "mean-pool": ("mean", False, "all"),
    "mean-pool-hard": ("mean", True, "all"),
    "importance-pool": ("importance", False, "all"),
    "PinSage": ("importance", True, "all"),
}


def measures(problem: Problem, found: np.ndarray) -> dict[str, float]:
    """Of places in the test pairs, and of those alone whose positive no view has on a board."""
    novel = problem.novel[problem.test[:, 1]]
    told = quality(found, len(problem.visual))
    return told | {f"{name}, new pins": value for name, value in quality(found[novel], len(problem.visual)).items()}


def taught(problem: Problem, plan: Plan, cache: Path, name: str) -> Teaching:
    """Teach to the plan's last epoch; goes on where it was stopped."""
    learning = Teaching(problem, plan)
    checkpoint = cache / f"{name}.pt"
    learning.resume(checkpoint)
    while learning.epochs < plan.epochs:
        loss = learning.one_epoch()
        learning.save(checkpoint)
        told = f"{name}: epoch {learning.epochs} of {plan.epochs}, loss {loss:.4f}, best {learning.best:.4f}"
        print(told, file=sys.stderr, flush=True)
    learning.finish()
    return learning


def rung(problem: Problem, plan: Plan, cache: Path) -> dict[str, Any]:
    """One run's measures; read from ``cache`` where it was finished before."""
    name = f"{plan.problem}-{plan.modality}-{plan.pooling}{'-hard' if plan.curriculum else ''}-{plan.seed}"
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()[:12]
    file = cache / f"{name}-{digest}.json"
    if file.exists():
        return json.loads(file.read_text())
    began = time.process_time()
    learning = taught(problem, plan, cache, f"{name}-{digest}")
    told = measures(problem, learning.places(problem.test, problem.views + 1))
    validation = quality(learning.places(problem.validation, problem.views), len(problem.visual))
    answer = {
        "test": told,
        "validation": validation,
        "epoch": learning.best_epoch,
        "seconds": time.process_time() - began,
    }
    file.write_text(json.dumps(answer))
    (cache / f"{name}-{digest}.pt").unlink(missing_ok=True)
    return answer


def bare(problem: Problem) -> dict[str, dict[str, float]]:
    """What needs no training: pictures, texts, both side by side, and a long walk of the graph."""
    told = {"visual": measures(problem, places(problem.visual, problem.test))}
    if problem.text.shape[1]:
        both = np.concatenate([problem.visual, problem.text], 1)
        told["text"] = measures(problem, places(problem.text, problem.test))
        told["both, untaught"] = measures(problem, places(both, problem.test))
    return told | {"walk (Pixie)": measures(problem, problem.walks)}


def ladder(given: argparse.Namespace) -> dict[str, Any]:
    """Problem's name (without its seed) → system → measure → a value a seed."""
    told: dict[str, Any] = {}
    for path in given.problems:
        problem = Problem.load(path)
        kind, _, split = path.stem.rpartition("-")
        kind = kind or path.stem
        seeds = [int(split)] if split.isdigit() and len(given.problems) > 1 else range(given.seeds)
        systems = told.setdefault(kind, {})
        for system, values in bare(problem).items():
            _add(systems, system, {"test": values})
        for system in given.rungs or RUNGS:
            pooling, curriculum, modality = RUNGS[system]
            if modality != "all" and not problem.text.shape[1]:
                continue
            for seed in seeds:
                plan = Plan(
                    path.stem,
                    pooling,
                    curriculum,
                    seed,
                    given.epochs,
                    given.pairs,
                    given.hidden,
                    given.margin,
                    modality=modality,
                )
                _add(systems, system, rung(problem, plan, given.cache))
        told[kind] = systems
    return told


def _add(systems: dict[str, Any], system: str, answer: dict[str, Any]) -> None:
    for part in ("test", "validation"):
        for measure, value in answer.get(part, {}).items():
            name = measure if part == "test" else f"validation {measure}"
            systems.setdefault(system, {}).setdefault(name, []).append(value)
    if "seconds" in answer:
        systems[system].setdefault("seconds", []).append(answer["seconds"])


def ship(given: argparse.Namespace) -> dict[str, Any]:
    """Teach PinSage on the problem and write the version's weights; say how it does there and elsewhere."""
    problem = Problem.load(given.problem)
    plan = Plan(
        given.problem.stem,
        "importance",
        True,
        given.seed,
        given.epochs,
        given.pairs,
        given.hidden,
        given.margin,
        keep=given.keep,
    )
    learning = taught(problem, plan, given.cache, f"ship-{given.problem.stem}")
    path = MODEL / str(given.version) / "weights.npz"
    write_weights({name: value.cpu().numpy() for name, value in learning.net.state_dict().items()}, path)
    (given.cache / f"ship-{given.problem.stem}.pt").unlink()
    told = {
        given.problem.stem: bare(problem)
        | {"PinSage": measures(problem, learning.places(problem.test, problem.views + 1))}
    }
    for other in given.also:
        there = Problem.load(other)
        judged = Teaching(there, plan)
        judged.net.load_state_dict(learning.net.state_dict())
        told[other.stem] = bare(there) | {"PinSage": measures(there, judged.places(there.test, there.views + 1))}
    return {
        "weights": str(path.relative_to(PROJECT)),
        "bytes": path.stat().st_size,
        "epoch": learning.best_epoch,
        "test": told,
    }


def write_weights(weights: dict[str, np.ndarray], path: Path) -> None:
    """float16, as the answers do not change by it; the same weights give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in weights.items():
            packed = io.BytesIO()
            np.save(packed, values.astype(np.float16))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), packed.getvalue(), zipfile.ZIP_DEFLATED)


def table(told: dict[str, Any]) -> str:
    """For people: mean ± spread."""
    lines: list[str] = []
    for kind, systems in told.items():
        names = [name for name in next(iter(systems.values())) if name != "seconds"]
        lines.append(f"\n{kind:24}" + "".join(f"{name:>20}" for name in names))
        for system, values in systems.items():
            cells = (np.atleast_1d(values[name]) for name in names)
            lines.append(f"{system:24}" + "".join(f"{f'{np.mean(c):.4f} ± {np.std(c):.4f}':>20}" for c in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run, text in ((ladder, "measure every rung"), (ship, "teach and write what Triton serves")):
        command = commands.add_parser(run.__name__, help=text)
        command.set_defaults(run=run)
        command.add_argument("--epochs", type=int, default=EPOCHS)
        command.add_argument("--pairs", type=int, default=PAIRS, help="of an epoch")
        command.add_argument("--hidden", type=int, default=HIDDEN)
        command.add_argument("--margin", type=float, default=MARGIN)
        command.add_argument("--cache", type=Path, default=CACHE)
        command.add_argument("--json", action="store_true", help="one JSON object")
        if run is ladder:
            command.add_argument(
                "problems", type=Path, nargs="+", help="several of one name, NAME-SEED.npz: a seed each"
            )
            command.add_argument("--seeds", type=int, default=3, help="where there is one problem")
            command.add_argument("--rungs", nargs="+", choices=list(RUNGS))
        else:
            command.add_argument("problem", type=Path)
            command.add_argument("--keep", type=float, default=KEEP, help="what other cosines than the bare ones cost")
            command.add_argument("--version", type=int, default=1)
            command.add_argument("--seed", type=int, default=0)
            command.add_argument("--also", type=Path, nargs="*", default=[], help="problems to measure on, untaught")
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    try:
        told = given.run(given)
    except OtherPlan as other:
        sys.exit(str(other))
    print(json.dumps(told) if given.json else table(told if given.run is ladder else told["test"]))


if __name__ == "__main__":
    main()
