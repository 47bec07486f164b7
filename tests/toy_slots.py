"""A family from outside the package that needs all that slots can say: python -m pytest tests/test_slots.py

A map of classes and a mask make a picture of twice their size; a third image weighs each of its pixels in training.
What the mask leaves black is grey in every output; the rest has a number, and brightness a column, of its own.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub.families import Batch, Direction, Family, Networks, Outputs, Phase, Terms
from img2img_hub.families.base import Metric
from img2img_hub.images.slots import Slot
from img2img_hub.networks import Generator, Network


class TwiceGenerator(Generator):
    """(N, C, H, W) -> (N, 3, 2 H, 2 W), by a convolution and a pixel shuffle."""

    scale = 2

    def __init__(self, *, in_channels: int = 5, out_channels: int = 3, width: int = 8) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.multiple = self.min_size = 4
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, padding_mode="reflect"),
            nn.ReLU(),
            nn.Conv2d(width, 4 * out_channels, 1),
            nn.PixelShuffle(2),
        )

    def forward(self, source: Tensor) -> Tensor:
        return self.layers(source).tanh()


def twice(mask: Tensor) -> Tensor:
    return F.interpolate(mask, scale_factor=2, mode="nearest")


@dataclass(frozen=True, kw_only=True)
class Quilt(Family):
    """Pictures of twice the size from classes and a mask."""

    name: ClassVar[str] = "quilt"
    title: ClassVar[str] = "Quilt"
    paper: ClassVar[str] = "Nobody: Quilt. Nowhere."
    paired: ClassVar[bool] = True
    directions: ClassVar[tuple[Direction, ...]] = (Direction(generator="painter"),)
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot(name="classes", kind="labels"),
        Slot(name="known", kind="mask"),
        Slot(name="target", kind="picture", scale=2),
        Slot(name="weights", kind="picture", bands=1, scale=2, training_only=True),
    )
    metrics: ClassVar[dict[str, Metric]] = {"known_l1": Metric("L1, known", "where the mask is white")}

    def build(self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int) -> dict[str, Network]:
        return {"painter": TwiceGenerator(in_channels=in_channels, out_channels=out_channels)}

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase(name="paint", trains=("painter",), loss=self.paint),)

    def paint(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        assert set(batch) == {"source", "target", "weights"}
        difference = (networks["painter"](batch["source"]) - batch["target"]).abs()
        return {"l1": ((difference * (batch["weights"] + 1) / 2).mean(), 1.0)}

    @staticmethod
    def finish(made: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        return torch.where(twice(inputs["known"]) > 0.5, made, torch.zeros(()))

    @staticmethod
    def measure(made: Tensor, inputs: dict[str, Tensor], target: Tensor) -> dict[str, float]:
        known = twice(inputs["known"])
        return {"known_l1": float(((made - target).abs() * known).mean() / 2)}

    @staticmethod
    def show(made: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"brightness": made.mean(1, keepdim=True)}
