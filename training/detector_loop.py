"""The training loop of the detector: mixed precision, checkpoints, the same weights however often it is stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.checkpoints import read, write
from training.detector_boxes import Marked
from training.detector_views import view

#: Blocks of the trunk that stay as they are: edges and textures are the same everywhere.
FROZEN = 5
TRUNK_RATE, RATE, DECAY, CLIP = 1e-4, 1e-3, 1e-4, 5.0
WARM_UP = 50
#: torchvision's losses, short.
LOSSES = {
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_objectness": "object",
    "loss_rpn_box_reg": "proposal",
}


@dataclass(frozen=True)
class Plan:
    """What decides the outcome; a checkpoint of another plan is not gone on with."""

    steps: int
    batch: int
    size: int
    seed: int
    photos: int


class Learning:
    """A network being trained. Which photos a step sees, and how, follows from the seed and the step's number alone."""

    def __init__(self, net: nn.Module, data: Sequence[Marked], plan: Plan, device: str) -> None:
        self.plan, self.data, self.device = plan, data, device
        self.net = net.to(device, memory_format=torch.channels_last)
        for frozen in (net.backbone.stem, *net.backbone.blocks[:FROZEN]):
            frozen.requires_grad_(False)
        trunk = {id(each) for each in net.backbone.blocks.parameters()}
        learned = [each for each in net.parameters() if each.requires_grad]
        groups = [
            {"params": [each for each in learned if id(each) in trunk], "peak": TRUNK_RATE},
            {"params": [each for each in learned if id(each) not in trunk], "peak": RATE},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY)
        # Half precision pays on GPUs and in the matrix units of some CPUs; elsewhere it is slower than float32.
        cuda = device.startswith("cuda")
        self.half = cuda or torch.cpu._is_amx_tile_supported()
        self.kind = torch.float16 if cuda else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.split(":")[0], enabled=cuda)
        self.step = 0

    def one_step(self) -> dict[str, float]:
        """The losses of the next step, by name."""
        images, targets = self._batch()
        torch.manual_seed(hash((self.plan.seed, self.step)))  # torchvision samples anchors and proposals
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * self._rate()
        self.net.train()
        with torch.autocast(self.device.split(":")[0], self.kind, enabled=self.half):
            losses = self.net(images, targets)
        self.optimiser.zero_grad()
        self.scaler.scale(sum(losses.values())).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        return {LOSSES[name]: loss.item() for name, loss in losses.items()}

    def _batch(self) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """Every photo once in each round, in another order each time."""
        images, targets = [], []
        for number in range(self.step * self.plan.batch, (self.step + 1) * self.plan.batch):
            around, place = divmod(number, len(self.data))
            order = np.random.default_rng((self.plan.seed, around)).permutation(len(self.data))
            draw = np.random.default_rng((self.plan.seed, around, place))
            pixels, target = view(self.data[order[place]], self.plan.size, draw)
            images.append(pixels.to(self.device))
            targets.append({name: each.to(self.device) for name, each in target.items()})
        return images, targets

    def _rate(self) -> float:
        """Share of the peak rate: up in a straight line, then down along a cosine."""
        up = min(1.0, (self.step + 1) / WARM_UP)
        return up * 0.5 * (1 + math.cos(math.pi * self.step / max(1, self.plan.steps)))

    def save(self, file: Path) -> None:
        """Everything that going on needs, renamed into place: a file with this name is whole."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        write(state, file)

    def resume(self, file: Path) -> bool:
        """Go on where a checkpoint is; False where there is none. Raises as :func:`read` does."""
        state = read(file, self.plan, self.device, "--fresh starts anew")
        if state is None:
            return False
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        return True


def learn(
    learning: Learning,
    checkpoint: Path,
    every: int,
    tell: Callable[[int, dict[str, float]], None],
    enough: Callable[[], bool] = lambda: False,
) -> bool:
    """Step after step to the plan's end, or until ``enough`` after one of them; whether the end was reached.

    Every so many steps there is a checkpoint, and ``tell`` gets the step and the mean losses since the last.

    Raises:
        FloatingPointError: a loss is no number.
    """
    since: list[dict[str, float]] = []
    while learning.step < learning.plan.steps:
        since.append(learning.one_step())
        # In half precision a step may overflow: the scaler leaves it out and goes on with a smaller scale.
        if not learning.half and not all(map(math.isfinite, since[-1].values())):
            raise FloatingPointError(f"step {learning.step}: the losses are no numbers: {since[-1]}")
        tired = enough()
        if tired or learning.step % every == 0 or learning.step == learning.plan.steps:
            learning.save(checkpoint)
            tell(learning.step, {name: float(np.mean([one[name] for one in since])) for name in since[0]})
            since = []
        if tired:
            break
    return learning.step == learning.plan.steps
