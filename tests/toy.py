"""A family and its network from outside the package, in one file: what anybody may write, and no more.

    python -m pytest tests/test_toy_family.py

One unpaired direction, a judge, an auxiliary, a helper, a batch with extras; the generator has no `norm` argument.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.families import Batch, Direction, Family, Networks, Outputs, Phase, Terms
from img2img_hub.networks import Discriminator, Generator, Network


class TintGenerator(Generator):
    """Per-pixel colours: (N, C, H, W) in [-1, 1] -> (N, C, H, W) in [-1, 1]."""

    def __init__(self, *, in_channels: int = 3, out_channels: int = 3, width: int = 8) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.multiple = self.min_size = 2
        self.layers = nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.ReLU(), nn.Conv2d(width, out_channels, 1))

    def forward(self, source: Tensor) -> Tensor:
        return self.layers(source).tanh()


class ToneJudge(Discriminator):
    """Colours alone: (N, C, H, W) -> (N, 1, 1, 1)."""

    def __init__(self, *, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, 1
        self.layer = nn.Conv2d(in_channels, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image).mean((2, 3), keepdim=True)


class GainTable(Network):
    """A learnt number for each channel, which translates nothing."""

    def __init__(self, *, channels: int = 3) -> None:
        super().__init__()
        self.in_channels = self.out_channels = channels
        self.gains = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return image * self.gains


@dataclass(frozen=True, kw_only=True)
class Tint(Family):
    """Colours of one set of pictures on another."""

    name: ClassVar[str] = "tint"
    title: ClassVar[str] = "Tint"
    paper: ClassVar[str] = "Nobody: Tint. Nowhere."
    paired: ClassVar[bool] = False
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(generator="painter", judges=("critic",), auxiliaries=("gains",)),
    )
    run_defaults: ClassVar[dict[str, Any]] = {"num_epochs": 7, "decay_epochs": 2, "learning_rate": 1e-3}
    jitter_in_decay: ClassVar[bool] = False

    lambda_shape: float = 1.0
    """Weight of the likeness in shape."""

    def build(self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int) -> dict[str, Network]:
        return {
            "painter": TintGenerator(in_channels=in_channels, out_channels=out_channels),
            "critic": ToneJudge(in_channels=out_channels),
            "gains": GainTable(channels=out_channels),
        }

    def make_helpers(self) -> Networks:
        return {"blur": nn.AvgPool2d(2)}

    def prepare(self, batch: Batch) -> Batch:
        assert batch["source"].ndim == 4
        return batch | {"brightness": batch["source"].mean((1, 2, 3))}

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase(name="paint", trains=("painter", "gains"), freezes=("critic",), loss=self.paint),
            Phase(name="judge", trains=("critic",), loss=self.judge),
        )

    def paint(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        fake = networks["painter"](batch["source"])
        outputs.fakes["target"] = fake.detach()
        low, wanted = (networks["blur"](image) for image in (networks["gains"](fake), batch["source"]))
        brightness = fake.mean((1, 2, 3)) - batch["brightness"]
        return {
            "shape": (F.l1_loss(low, wanted), self.lambda_shape),
            "tone": ((networks["critic"](fake) - 1).square().mean(), 1.0),
            "brightness": (brightness.abs().mean(), 0.1),
        }

    def judge(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        real, fake = networks["critic"](batch["target"]), networks["critic"](outputs.fakes["target"])
        return {"real": ((real - 1).square().mean(), 0.5), "fake": (fake.square().mean(), 0.5)}
