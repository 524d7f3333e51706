"""How PinSage is taught, epoch after epoch, and how its answers are judged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from operators.graph.subgraph import Subgraph, subgraph
from training.checkpoints import read, write
from training.pinsage_net import Modality, PinSage, Pooling, inputs, margin_loss
from training.pinsage_problem import Problem

BATCH, NEGATIVES, RATE, DECAY = 256, 500, 1e-3, 1e-5
#: Steps of warming up, and how much less each later epoch learns (the paper: linear warm-up, then exponential decay).
WARM, LESS = 30, 0.85
MOST_HARD = 6
#: Pins that are embedded together when all are.
AT_ONCE = 2048
NOTHING = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Plan:
    """What a run is; another one is not gone on with. ``curriculum``: hard negatives from epoch 2 on."""

    problem: str
    pooling: Pooling
    curriculum: bool
    seed: int
    epochs: int
    pairs: int
    hidden: int
    margin: float
    #: Share of the pins of a step that are seen as if they stood nowhere: new ones must lie beside their like.
    cold: float = 0.25
    #: What it costs that cosines are others than those of the bare pictures and texts: what is learned of few pins
    #: must not make others forgotten.
    keep: float = 0.0
    modality: Modality = "all"


class Teaching:
    """A network and where its teaching stands; epoch n has n − 1 hard negatives a pair, at most ``MOST_HARD``."""

    def __init__(self, problem: Problem, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.problem, self.plan = problem, plan
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.visual, self.text = (torch.tensor(each, device=self.device) for each in (problem.visual, problem.text))
        if plan.modality != "all":
            (self.text if plan.modality == "visual" else self.visual).zero_()
        width = self.visual.shape[1] + self.text.shape[1] + 1
        self.net = PinSage(width, plan.pooling, plan.hidden).to(self.device)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), RATE, weight_decay=DECAY)
        #: Negatives are what the pairs are of: nothing is said of pins that only validation and test ask for.
        self.pool = np.unique(problem.pairs[:, 1:])
        self.epochs = self.steps = 0
        self.losses: list[float] = []
        self.best, self.best_epoch = -1.0, 0
        self.kept = self._state()

    def one_epoch(self) -> float:
        """Teach ``plan.pairs`` pairs of one view after another; keep what is best in validation. Returns the loss."""
        plan, problem = self.plan, self.problem
        random = np.random.default_rng([plan.seed, self.epochs])
        torch.manual_seed(plan.seed * 1_000 + self.epochs)
        pairs = problem.pairs[random.permutation(len(problem.pairs))[: plan.pairs]]
        hard = min(self.epochs, MOST_HARD) if plan.curriculum else 0
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        cuts = np.flatnonzero(np.diff(pairs[:, 0])) + 1
        batches = [part[at : at + BATCH] for part in np.split(pairs, cuts) for at in range(0, len(part), BATCH)]
        self.net.train()
        total = [self._step(batches[at], hard, random) for at in random.permutation(len(batches))]
        self.epochs += 1
        self.losses.append(float(np.mean(total)))
        found = quality(self.places(problem.validation, problem.views), len(problem.visual))["MRR/10"]
        if found > self.best:
            self.best, self.best_epoch, self.kept = found, self.epochs, self._state()
        return self.losses[-1]

    def finish(self) -> PinSage:
        """The network of the epoch that was best in validation."""
        self.net.load_state_dict(self.kept)
        return self.net.eval()

    @torch.inference_mode()
    def vectors(self, view: int) -> np.ndarray:
        """``(n, WIDTH)`` of all pins in a view's graph."""
        self.net.eval()
        n = len(self.problem.visual)
        parts = [self._embed(np.arange(at, min(n, at + AT_ONCE)), view)[1] for at in range(0, n, AT_ONCE)]
        return torch.cat(parts).float().cpu().numpy()

    def places(self, pairs: np.ndarray, view: int) -> np.ndarray:
        """``(m,)``: each positive's place, from 0, among all pins but the query."""
        return places(self.vectors(view), pairs)

    def save(self, file: Path) -> None:
        """Everything that going on needs; a file with this name is whole."""
        counts = {name: getattr(self, name) for name in ("epochs", "steps", "losses", "best", "best_epoch")}
        parts = {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict(), "kept": self.kept}
        write({"plan": asdict(self.plan), **counts, **parts}, file)

    def resume(self, file: Path) -> bool:
        """Go on where a checkpoint is; False where there is none. Raises as :func:`read` does."""
        state = read(file, self.plan, self.device)
        if state is None:
            return False
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        for name in ("epochs", "steps", "losses", "best", "best_epoch", "kept"):
            setattr(self, name, state[name])
        return True

    def _step(self, pairs: np.ndarray, hard: int, random: np.random.Generator) -> float:
        rate = RATE * min(1.0, (self.steps + 1) / WARM) * LESS**self.epochs
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        view, queries, positives = int(pairs[0, 0]), pairs[:, 1], pairs[:, 2]
        negatives = random.choice(self.pool, min(NEGATIVES, len(self.pool) // 2), replace=False)
        near = np.zeros((len(pairs), 0), np.int64)
        if hard:
            drawn = random.integers(0, self.problem.hard.shape[2], (len(pairs), hard))
            near = self.problem.hard[view, queries[:, None], drawn].astype(np.int64)
            # Where a walk has too few, any pin will do; and the positive is no negative.
            amiss = (near < 0) | (near == positives[:, None])
            near[amiss] = random.choice(self.pool, int(amiss.sum()))
        wanted, rows = np.unique(np.concatenate([queries, positives, negatives, near.ravel()]), return_inverse=True)
        rows = torch.from_numpy(rows).to(self.device)
        # Half precision pays on GPUs alone; this kind needs no scaling of gradients.
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            bare, z = self._embed(wanted, view, random.random(len(self.problem.visual)) < self.plan.cold)
        z = z.float()
        b, m = len(pairs), len(negatives)
        q, i, others, its = torch.split(rows, [b, b, m, b * hard])
        loss = margin_loss(z[q], z[i], z[others], z[its].reshape(b, hard, z.shape[1]), self.plan.margin)
        if self.plan.keep:
            loss = loss + self.plan.keep * _apart(z, bare)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.steps += 1
        return loss.item()

    def _embed(self, pins: np.ndarray, view: int, cold: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
        """What is known of the pins themselves, and their vectors; ``cold`` ones stand on no board."""
        problem = self.problem
        cold = np.zeros(len(problem.visual), bool) if cold is None else cold
        degrees = torch.from_numpy(np.where(cold, 0, problem.degrees[view]))

        def near(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            there = ~cold[some - 1, None]
            found = np.where(there, problem.neighbours[view, some - 1].astype(np.int64) + 1, 0)
            return found, np.where(there, problem.weights[view, some - 1], np.float32(0))

        graph = (
            Subgraph(pins + 1, NOTHING, NOTHING, len(pins)) if self.plan.pooling == "none" else subgraph(pins + 1, near)
        )
        rows = torch.from_numpy(graph.pins - 1)
        visual, text = self.visual[rows], self.text[rows]
        x = inputs(visual, text, degrees[rows].to(self.device))
        neighbours, weights = (torch.from_numpy(each).to(self.device) for each in (graph.neighbours, graph.weights))
        z = self.net(x, neighbours, weights, graph.asked)
        return torch.cat([visual[: len(pins)], text[: len(pins)]], 1), z

    def _state(self) -> dict[str, Any]:
        return {name: weight.detach().cpu().clone() for name, weight in self.net.state_dict().items()}


def _apart(vectors: Tensor, bare: Tensor) -> Tensor:
    """How far cosines of the one are from those of the other: the mean square."""
    bare = normalize(bare, dim=1)
    return ((vectors @ vectors.T - bare @ bare.T) ** 2).mean()


def places(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """``(m,)``: each positive's place, from 0, among all but the query; half of the ties are ahead."""
    out = np.zeros(len(pairs), np.int64)
    for start in range(0, len(pairs), 512):
        some = pairs[start : start + 512]
        scores = vectors[some[:, 0]] @ vectors.T
        row = np.arange(len(some))
        right = scores[row, some[:, 1]][:, None]
        scores[row, some[:, 0]] = -np.inf
        out[start : start + 512] = (scores > right).sum(1) + ((scores == right).sum(1) - 1) // 2
    return out


def quality(found: np.ndarray, pins: int) -> dict[str, float]:
    """Hit rates at 10 and at a hundredth of all pins or 50, and the mean of 1 / ⌈rank / 10⌉ (the paper: rank / 100)."""
    deep = max(50, pins // 100)
    told = {f"HR@{k}": float((found < k).mean()) if len(found) else float("nan") for k in (10, deep)}
    return told | {"MRR/10": float((1 / np.ceil((found + 1) / 10)).mean()) if len(found) else float("nan")}
