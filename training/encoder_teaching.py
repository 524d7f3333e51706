"""How the later blocks of the encoder's trunk are taught, pass after pass; ``training/encoder_trunk.py`` runs it."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.checkpoints import read, write
from training.encoder_head import GENERAL, SIGMA, WIDTH, Classifier, Draws, Proxies, started

BATCH, RATE, DECAY, HEAD_RATE, HEAD_DECAY, WARM = 48, 2e-4, 0.02, 1e-3, 0.05, 60
#: Pictures that go forward and back together on a CPU: what they leave between layers fits its cache.
CPU_BATCH = 4
#: How often the last block is left out at random (Huang et al., stochastic depth, 2016), and earlier ones less.
DROP = 0.2
#: What serves is the running mean of the weights over about so many steps.
MEAN_STEPS = 200
#: Of so many pictures the middle is taken that the head starts from.
MIDDLE_OF = 200


@dataclass(frozen=True)
class Plan:
    """What a run is: a checkpoint of another one is not gone on with."""

    first: int
    passes: int
    seed: int


class Maps(NamedTuple):
    """What the blocks that stay make of pictures: ``flat (views, pictures, h·w·c)`` float16, and ``(h, w, c)``."""

    flat: np.ndarray
    shape: tuple[int, ...]


def before(net: Any, first: int, images: np.ndarray, device: str) -> Tensor:
    """``(n, 224, 224, 3)`` uint8 → what block ``first`` takes, ``(n, h, w, c)``; for 0 the pixels themselves."""
    pixels = torch.from_numpy(images).to(device)
    if first == 0:
        return pixels
    seen = _stem(net, pixels.float())
    for block in net._blocks[:first]:
        seen = block(seen)
    return seen.permute(0, 2, 3, 1)


def after(net: Any, first: int, maps: Tensor, drop: float = 0.0) -> Tensor:
    """What comes of :func:`before`: ``(n, h, w, c)`` float32 → features ``(n, features)``."""
    seen = _stem(net, maps) if first == 0 else maps.permute(0, 3, 1, 2)
    for number, block in enumerate(net._blocks[first:], first):
        seen = block(seen, drop_connect_rate=drop * number / len(net._blocks) or None)
    return net._swish(net._bn1(net._conv_head(seen))).mean((2, 3))


def _stem(net: Any, pixels: Tensor) -> Tensor:
    scaled = (pixels.permute(0, 3, 1, 2) - 127.0) / 128.0
    return net._swish(net._bn0(net._conv_stem(scaled)))


class Teaching:
    """The network, the embedding's head, the proxies, and where their teaching stands."""

    def __init__(
        self,
        module: Any,
        net: Any,
        maps: Maps,
        tasks: Sequence[tuple[Tensor, Tensor]],
        classifier: Classifier,
        plan: Plan,
        device: str,
    ) -> None:
        """``module`` has ``Head``; of ``maps`` the last view is for tests alone; ``tasks`` are
        rows of pictures and their labels."""
        torch.manual_seed(plan.seed)
        self.untaught, self.net = net.eval(), copy.deepcopy(net).requires_grad_(False)
        for block in (*self.net._blocks[plan.first :], self.net._conv_head, *[self.net._conv_stem] * (plan.first == 0)):
            block.requires_grad_(True)
        self.maps, self.tasks, self.plan, self.device = maps, tasks, plan, device
        self.classifier = Classifier(classifier.weight.to(device), classifier.bias.to(device))
        head = started(module, classifier, self._middle())
        self.layers = nn.ModuleDict(
            {"head": head, "proxies": nn.ModuleList(Proxies(int(labels.max()) + 1, WIDTH) for _, labels in tasks)}
        )
        general = functional.normalize(classifier.weight @ head.linear.weight.detach().T, dim=1)
        self.layers.register_parameter("general", nn.Parameter(general))
        self.layers.register_parameter("length", nn.Parameter(torch.tensor(1 / SIGMA)))
        self.layers.to(device)
        self.mean = {name: weight.detach().clone() for name, weight in self._learned()}
        free = [*self.layers["proxies"].parameters(), self.layers.general]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [weight for _, weight in self._learned()], "lr": RATE, "weight_decay": DECAY},
                {"params": [*head.parameters()], "lr": HEAD_RATE, "weight_decay": HEAD_DECAY},
                {"params": free, "lr": 5 * HEAD_RATE, "weight_decay": 0.0},
                {"params": [self.layers.length], "lr": 10 * HEAD_RATE, "weight_decay": 0.0},
            ]
        )
        self.steps = math.ceil(maps.flat.shape[1] / BATCH)
        whole = self.steps * plan.passes
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: min(1.0, (step + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * step / whole))
        )
        self.passes = 0

    def one_pass(self) -> float:
        """As many pictures as there are, drawn evenly from tasks and labels; returns the mean loss."""
        torch.manual_seed(hash((self.plan.seed, self.passes)))
        random.seed(hash((self.plan.seed, self.passes)))  # what drops blocks
        draws = [Draws(labels) for _, labels in self.tasks]
        losses = [self._step(draws) for _ in range(self.steps)]
        self.passes += 1
        return float(np.mean(losses))

    def taught(self) -> dict[str, Tensor]:
        """The mean weights of what was taught, by the names that they have in the network."""
        return self.mean

    def save(self, file: Path) -> None:
        """Everything that going on needs; a file with this name is whole."""
        write(
            {
                "plan": asdict(self.plan),
                "passes": self.passes,
                "mean": self.mean,
                **{name: part.state_dict() for name, part in self._parts_of_state().items()},
            },
            file,
        )

    def resume(self, file: Path) -> bool:
        """Go on where a checkpoint is; False where there is none. Raises as :func:`read` does."""
        state = read(file, self.plan, self.device)
        if state is None:
            return False
        for name, part in self._parts_of_state().items():
            part.load_state_dict(state[name])
        self.mean, self.passes = state["mean"], state["passes"]
        return True

    def _parts_of_state(self) -> dict[str, Any]:
        return {"net": self.net, "layers": self.layers, "optimiser": self.optimiser, "schedule": self.schedule}

    def _middle(self) -> Tensor:
        """The mean of the normalised features of some pictures."""
        with torch.inference_mode():
            found = [
                after(self.untaught, self.plan.first, self._maps(np.zeros(1, int), np.array([picture]))).cpu()
                for picture in range(min(MIDDLE_OF, self.maps.flat.shape[1]))
            ]
        features = torch.cat(found)
        return functional.layer_norm(features, features.shape[1:]).mean(0)

    def _maps(self, views: np.ndarray, pictures: np.ndarray) -> Tensor:
        chosen = torch.from_numpy(self.maps.flat[views, pictures].astype(np.float32)).to(self.device)
        return chosen.reshape(-1, *self.maps.shape)

    def _step(self, draws: Sequence[Draws]) -> float:
        self.optimiser.zero_grad()
        self.net.train()
        total = 0.0
        for number, rows in self._parts(draws):
            loss = self._loss(number, rows) * len(rows) / BATCH
            loss.backward()
            total += loss.item()
        self.optimiser.step()
        self.schedule.step()
        # Short at first, so that the mean is not of weights that knew nothing.
        share = 1 - 1 / min(MEAN_STEPS, 20 + self.schedule.last_epoch)
        for name, weight in self._learned():
            self.mean[name].mul_(share).add_(weight.detach(), alpha=1 - share)
        return total

    def _parts(self, draws: Sequence[Draws]) -> Iterator[tuple[int, Tensor]]:
        at_once = BATCH if self.device != "cpu" else CPU_BATCH
        for number, draw in enumerate(draws):
            rows = draw(BATCH // len(draws))
            for at in range(0, len(rows), at_once):
                yield number, rows[at : at + at_once]

    def _loss(self, number: int, rows: Tensor) -> Tensor:
        pictures, labels = (each[rows] for each in self.tasks[number])
        views = torch.randint(len(self.maps.flat) - 1, (len(rows),))
        maps = self._maps(views.numpy(), pictures.numpy())
        with torch.no_grad():
            told = after(self.untaught, self.plan.first, maps) @ self.classifier.weight.T + self.classifier.bias
        # Half precision pays on GPUs alone; this kind needs no scaling of gradients.
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            features = after(self.net, self.plan.first, maps, DROP)
        embedded = self.layers["head"](features.float())
        said = embedded @ functional.normalize(self.layers.general, dim=1).T * self.layers.length
        general = (functional.softmax(told, 1) * functional.log_softmax(said, 1)).sum(1).mean()
        return self.layers["proxies"][number].loss(embedded, labels.to(self.device)) - GENERAL * general

    def _learned(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, weight) for name, weight in self.net.named_parameters() if weight.requires_grad]
