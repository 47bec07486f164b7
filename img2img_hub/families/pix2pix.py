"""Pix2Pix: paired translation with a conditional GAN (Isola et al. 2017, arXiv 1611.07004).

accelerate launch train_accelerate.py pix2pix --help
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from img2img_hub.families.base import Batch, Direction, Networks, Outputs, Phase, Terms
from img2img_hub.families.paired import PROJECTED, PairedAdversarialFamily, seen_of, valid_of
from img2img_hub.images.resize import Size
from img2img_hub.networks import Network
from img2img_hub.objectives.losses import AdversarialLoss, l1


@dataclass(frozen=True, kw_only=True)
class Pix2Pix(PairedAdversarialFamily):
    """Paired translation: a conditional GAN and L1 (arXiv 1611.07004)."""

    name: ClassVar[str] = "pix2pix"
    title: ClassVar[str] = "Pix2Pix"
    paper: ClassVar[str] = (
        "Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks. CVPR 2017, "
        "arXiv:1611.07004"
    )
    paired: ClassVar[bool] = True
    network_defaults: ClassVar[dict[str, Any]] = {"norm": "batch", "dropout": 0.5}
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(generator="generator", judges=("discriminator", PROJECTED)),
    )

    generator: Literal["unet", "resnet", "coarse_to_fine"] = "unet"
    """unet (paper); resnet; coarse_to_fine: a ResNet within a ResNet, for 512 pixels and more (pix2pixHD)."""
    discriminator: Literal["patch", "pixel", "multiscale"] = "patch"
    """patch (paper), pixel, or multiscale: patches on several sizes of the image (pix2pixHD). It sees source and target
    side by side in its channels."""
    adversarial_loss: AdversarialLoss = "vanilla"
    """vanilla: cross-entropy on logits (paper); lsgan: least squares; wgangp: Wasserstein with gradient penalty;
    hinge: as SPADE."""
    lambda_l1: float = 100.0
    """Weight of the L1 distance to the target (section 3.1)."""

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        self.check_perceptual(out_channels)
        return {
            "generator": self.make_generator(
                architecture, in_channels=in_channels, out_channels=out_channels, image_size=image_size
            ),
            "discriminator": self.make_discriminator(
                architecture, in_channels=in_channels + out_channels, image_size=image_size
            ),
            **self.make_projected(image_size=image_size),
        }

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator first, then the generator against it (section 3.3: one step each, alternating)."""
        return (
            self.discriminator_phase(*self.judges),
            Phase(name="generator", trains=("generator",), freezes=self.judges, loss=self.generator_loss),
        )

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """½ (real + fake): "we divide the objective by 2 while optimizing D" (section 3.3)."""
        with torch.set_grad_enabled(outputs.keep_graph):
            fake = networks["generator"](batch["source"])
        if outputs.keep_graph:
            outputs.fakes["target"] = fake
        seen = seen_of(batch, fake.detach())
        judged = self.discriminator_terms(networks["discriminator"], **seen, condition=batch["source"])
        return judged | self.projected_terms(networks, **seen)

    def generator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """Fool the (just updated, frozen) discriminator and stay near the target."""
        fake: Tensor | None = outputs.fakes.pop("target", None)
        if fake is None:
            fake = networks["generator"](batch["source"])
        seen = seen_of(batch, fake)
        return {
            **self.judged_terms(networks["discriminator"], **seen, condition=batch["source"]),
            "l1": (l1(fake, batch["target"], valid=valid_of(batch)), self.lambda_l1),
            **self.perceptual_terms(networks, **seen),
            **self.fooling_projected(networks, fake=seen["fake"]),
        }
