"""What methods that fill holes share: a mask among what they read, losses on the hole and on the whole, and numbers.

    accelerate launch train_accelerate.py inpaint --lambda_hole 1

A discriminator sees the picture alone, with the known pixels back in their places, for what a generator makes of these
is thrown away.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from img2img_hub.families.base import Batch, Direction, Metric, Networks, Outputs, Phase, Terms
from img2img_hub.families.paired import PROJECTED, PairedAdversarialFamily, seen_of, valid_of
from img2img_hub.images.resize import Size
from img2img_hub.networks import Network
from img2img_hub.objectives.losses import Logits, fooling, l1

_MOST_PSNR = 100.0  # of a hole that is filled to the bit


@dataclass(frozen=True, kw_only=True)
class FillingFamily(PairedAdversarialFamily):
    """A generator that fills holes against a discriminator. Its slots have one of kind "hole" behind the source."""

    paired: ClassVar[bool] = True
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(generator="generator", judges=("discriminator", PROJECTED)),
    )
    metrics: ClassVar[dict[str, Metric]] = {
        "l1_hole": Metric("L1 in holes", "values in 0–1"),
        "psnr_hole": Metric("PSNR in holes", "dB", higher_is_better=True, digits=2),
        "share_hole": Metric("share of holes", "of the pixels, 0–1; larger ones are harder", higher_is_better=None),
    }

    lambda_l1: float
    lambda_hole: float
    lambda_global: float
    lambda_patch: float

    # --- networks ---------------------------------------------------------------------------

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        self.check_perceptual(out_channels)
        return {
            "generator": self.make_generator(
                architecture, in_channels=in_channels, out_channels=out_channels, image_size=image_size
            ),
            "discriminator": self.make_discriminator(architecture, in_channels=out_channels, image_size=image_size),
            **self.make_projected(image_size=image_size),
        }

    # --- losses -----------------------------------------------------------------------------

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator first, then the generator against it, on the same filling."""
        return (
            self.discriminator_phase(*self.judges),
            Phase(name="generator", trains=("generator",), freezes=self.judges, loss=self.generator_loss),
        )

    def prepare(self, batch: Batch) -> Batch:
        """With "hole", (N, 1, H, W), 1 where something is to be filled in: the band behind the picture's."""
        bands = batch["target"].shape[1]
        return batch | {"hole": batch["source"][:, bands : bands + 1]}

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        with torch.set_grad_enabled(outputs.keep_graph):
            made = networks["generator"](batch["source"])
        if outputs.keep_graph:
            outputs.fakes["target"] = made
        seen = seen_of(batch, _filled(made.detach(), batch))
        judged = self.discriminator_terms(networks["discriminator"], **seen)
        return judged | self.projected_terms(networks, **seen)

    def generator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """Fool the (just updated, frozen) discriminator with the filled picture, and stay near the target."""
        made: Tensor | None = outputs.fakes.pop("target", None)
        if made is None:
            made = networks["generator"](batch["source"])
        target, valid, hole = batch["target"], valid_of(batch), batch["hole"]
        seen = seen_of(batch, _filled(made, batch))
        terms = {
            **self.judged_terms(networks["discriminator"], **seen),
            **self.perceptual_terms(networks, **seen),
            **self.fooling_projected(networks, fake=seen["fake"]),
        }
        if self.lambda_l1:
            terms["l1"] = (l1(made, target, valid=valid), self.lambda_l1)
        if self.lambda_hole:
            known = hole if valid is None else hole * valid
            terms["l1_hole"] = (l1(made, target, valid=known), self.lambda_hole)
        return terms

    def adversarial_terms(self, logits: Logits) -> Terms:
        """Of two branches each has its own."""
        if self.discriminator != "two_branch":
            return {"adversarial": (self.fooling(logits), self.lambda_patch)}
        whole, patches = (fooling(verdict, kind=self.adversarial_loss) for verdict in logits)
        return {"global": (whole, self.lambda_global), "patch": (patches, self.lambda_patch)}

    # --- measured ---------------------------------------------------------------------------

    @staticmethod
    def measure(made: Tensor, inputs: dict[str, Tensor], target: Tensor) -> dict[str, float]:
        hole = inputs["mask"].double()
        pixels = hole.sum() * target.shape[1]
        if not pixels:  # there is nothing to be right or wrong about
            return {"l1_hole": math.nan, "psnr_hole": math.nan, "share_hole": 0.0}
        error = (made.double() - target.double()) / 2 * hole
        squares = (error.square().sum() / pixels).clamp(min=10 ** (-_MOST_PSNR / 10))
        return {
            "l1_hole": (error.abs().sum() / pixels).item(),
            "psnr_hole": (-10 * squares.log10()).item(),
            "share_hole": hole.mean().item(),
        }


def _filled(made: Tensor, batch: Batch) -> Tensor:
    """What was made in the hole, and the target around it."""
    return torch.where(batch["hole"] > 0.5, made, batch["target"])
