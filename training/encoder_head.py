"""Multi-task metric learning with proxies: one layer, one set of proxies for each task.

The loss of a task is ``-log exp(x·p_y/σ) / Σ_z exp(x·p_z/σ)`` over its proxies, x and p of length one (Zhai and Wu,
"Classification is a strong baseline for deep metric learning", 2018; Zhai et al., KDD 2019). A batch is a uniform
mix of the tasks, and balanced between the labels of each. That nothing general is forgotten, the embedding has to
tell as well what the trunk's own ImageNet classifier says of a picture (its 1,000 rows are proxies of one more task).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, SIGMA, SMOOTHING = 256, 0.1, 0.1
STEPS, BATCH, RATE, DECAY, WARM = 1_500, 192, 1e-3, 0.05, 20
#: Proxies that take part in a step, the right ones among them, where a task has more.
MOST_PROXIES = 2_000
#: How much the trunk's classifier weighs beside a task, and the length its logits start with (1/σ).
GENERAL = 1.0


class Labelled(NamedTuple):
    """Features ``(views, n, features)`` of a task's training pictures and their labels ``(n,)``."""

    features: Tensor
    labels: Tensor


class Classifier(NamedTuple):
    """The trunk's own last layer: ``weight (classes, features)``, ``bias (classes,)``."""

    weight: Tensor
    bias: Tensor


class Proxies(nn.Module):
    """One vector for each label of a task."""

    def __init__(self, labels: int, width: int) -> None:
        super().__init__()
        # About as long as a step is in the end: only their direction counts, and long ones would hardly turn.
        self.vectors = nn.Parameter(torch.randn(labels, width) / width**0.5)

    def loss(self, embedded: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch; of many proxies a random part stands for those that no picture of the batch has."""
        vectors = self.vectors
        if len(vectors) > MOST_PROXIES:
            present, labels = labels.unique(return_inverse=True)
            others = torch.randperm(len(vectors))
            others = others[~torch.isin(others, present)][: MOST_PROXIES - len(present)]
            vectors = vectors[torch.cat([present, others])]
        logits = embedded @ functional.normalize(vectors, dim=1).T / SIGMA
        return functional.cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def started(network: Any, classifier: Classifier, middle: Tensor) -> nn.Module:
    """An untrained ``network.Head``: the directions that the classifier tells apart best, around the features' mean."""
    head = network.Head(classifier.weight.shape[1], WIDTH)
    centred = classifier.weight - classifier.weight.mean(0)
    start = torch.linalg.svd(centred, full_matrices=False)[2][:WIDTH]
    with torch.no_grad():
        head.linear.weight.copy_(start)
        head.linear.bias.copy_(-start @ middle)
    return head


def train(network: Any, tasks: Sequence[Labelled], classifier: Classifier, seed: int, steps: int = STEPS) -> nn.Module:
    """A trained ``network.Head``, from where :func:`started` begins."""
    torch.manual_seed(seed)
    first = tasks[0].features[0].float()
    head = started(network, classifier, functional.layer_norm(first, first.shape[1:]).mean(0))
    start = head.linear.weight.detach().clone()
    proxies = nn.ModuleList(Proxies(int(task.labels.max()) + 1, WIDTH) for task in tasks)
    general = nn.Parameter(functional.normalize(classifier.weight @ start.T, dim=1))
    length = nn.Parameter(torch.tensor(1 / SIGMA))
    optimizer = torch.optim.AdamW(
        [
            {"params": head.parameters(), "lr": RATE, "weight_decay": DECAY},
            {"params": [*proxies.parameters(), general], "lr": 5 * RATE, "weight_decay": 0.0},
            {"params": [length], "lr": 10 * RATE, "weight_decay": 0.0},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    draws = [Draws(task.labels) for task in tasks]
    for _ in range(steps):
        loss = torch.zeros(())
        for task, own, draw in zip(tasks, proxies, draws, strict=True):
            rows = draw(BATCH // len(tasks))
            views = torch.randint(len(task.features), (len(rows),))
            seen = task.features[views, rows].float()
            embedded = head(seen)
            told = functional.softmax(seen @ classifier.weight.T + classifier.bias, 1)
            said = functional.log_softmax(embedded @ functional.normalize(general, dim=1).T * length, 1)
            loss = loss + own.loss(embedded, task.labels[rows]) - GENERAL * (told * said).sum(1).mean()
        optimizer.zero_grad()
        (loss / len(tasks)).backward()
        optimizer.step()
        schedule.step()
    return head.eval().requires_grad_(False)


class Draws:
    """Rows of a task: a label first, each as likely as the others, then one of its pictures."""

    def __init__(self, labels: Tensor) -> None:
        order = torch.argsort(labels, stable=True)
        self._rows = order
        self._counts = torch.bincount(labels)
        self._starts = self._counts.cumsum(0) - self._counts

    def __call__(self, count: int) -> Tensor:
        held = torch.nonzero(self._counts).squeeze(1)
        labels = held[torch.randint(len(held), (count,))]
        within = (torch.rand(count) * self._counts[labels]).long()
        return self._rows[self._starts[labels] + within]


def embed(head: nn.Module, features: np.ndarray) -> np.ndarray:
    """``(n, features)`` → ``(n, width)`` float32, L2-normalised."""
    with torch.inference_mode():
        return head(torch.from_numpy(features.astype(np.float32))).numpy()
