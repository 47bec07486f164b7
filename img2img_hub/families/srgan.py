"""SRGAN: pictures of a multiple of the size, with the texture that a mean error leaves out (Ledig et al. 2017, arXiv
1609.04802).

    accelerate launch train_accelerate.py srgan --dataset photos --stage pixels --output_dir runs/srresnet
    accelerate launch train_accelerate.py srgan --dataset photos --init_from runs/srresnet --output_dir runs/srgan

One folder of pictures is enough: the small ones are made of them (--degradation), crop by crop, at the pictures' own
resolution. The first stage learns by the mean squared error alone, the second one from there on by all of it (section
3.2; 10⁶ and 2 · 10⁵ steps of 16 crops there).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img_hub.families.base import Batch, Direction, Networks, Outputs, Phase, Terms
from img2img_hub.families.paired import PROJECTED, PairedAdversarialFamily
from img2img_hub.images.resize import Size, in_words, sides
from img2img_hub.images.slots import Slot
from img2img_hub.networks import Discriminator, Network
from img2img_hub.networks.blocks import NormStatistics
from img2img_hub.objectives.losses import AdversarialLoss
from img2img_hub.objectives.perceptual import Layers


@dataclass(frozen=True, kw_only=True)
class SRGAN(PairedAdversarialFamily):
    """Larger pictures: a GAN and what VGG19 sees, from a start by the mean squared error (arXiv 1609.04802)."""

    name: ClassVar[str] = "srgan"
    title: ClassVar[str] = "SRGAN"
    paper: ClassVar[str] = (
        "Ledig et al.: Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network. CVPR "
        "2017, arXiv:1609.04802"
    )
    paired: ClassVar[bool] = True
    network_defaults: ClassVar[dict[str, Any]] = {"norm": "batch"}
    halved: ClassVar[bool] = False
    norm_statistics: ClassVar[NormStatistics | None] = "running"
    run_defaults: ClassVar[dict[str, Any]] = {
        "image_size": 24,  # the paper's 96 of the target
        "crop": "native",
        "batch_size": 16,
        "num_epochs": 1000,
        "decay_epochs": 0,
        "learning_rate": 1e-4,
        "adam_beta1": 0.9,
    }
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(generator="generator", judges=("discriminator", PROJECTED)),
    )

    scale: int = 4
    """How many times as large pictures become, a side: 2, 3, 4 or 8."""
    stage: Literal["pixels", "gan"] = "gan"
    """pixels: the first stage, by the pixels' mean error alone; gan: the second one, from what --init_from names."""
    generator: Literal["srresnet", "msrresnet", "rrdb", "compact"] = "srresnet"
    """srresnet (paper); msrresnet: the same without norms; rrdb: ESRGAN's, larger; compact: Real-ESRGAN's small one,
    for CPUs."""
    discriminator: Literal["srgan", "unet", "patch"] = "srgan"
    """srgan (paper), of crops of one size; unet: a verdict for each pixel (Real-ESRGAN); patch. It sees the picture
    alone."""
    discriminator_pooling: bool = False
    """With srgan: average over places before the verdict, so that the network does not belong to one size of crops."""
    adversarial_loss: AdversarialLoss = "vanilla"
    """vanilla: cross-entropy on logits (paper); lsgan: least squares; wgangp: Wasserstein with gradient penalty;
    hinge: as SPADE."""
    lambda_pixel: float = 0.0
    """Weight of the mean squared error in the second stage; in the first one it is 1 and all there is."""
    lambda_perceptual: float = 1.0
    """Weight of the distance between what a classifier of photographs sees in output and target (paper: VGG19's φ5,4,
    its mean squared difference by 12.75², equation 5)."""
    lambda_adversarial: float = 1e-3
    """Weight of fooling the discriminator (equation 3)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale not in (1, 2, 3, 4, 8):
            raise ValueError(f"--scale must be 2, 3, 4 or 8, got {self.scale}")
        if self.discriminator_pooling and self.discriminator != "srgan":
            raise ValueError(
                f"--discriminator_pooling belongs to --discriminator srgan, and that is {self.discriminator}: leave it "
                "out"
            )
        object.__setattr__(self, "slots", (Slot(name="source"), Slot(name="target", scale=self.scale)))
        if self.stage == "pixels":
            self.leave_out("discriminator", PROJECTED)

    @property
    def looks_perceptually(self) -> bool:
        return super().looks_perceptually and self.stage == "gan"

    @property
    def vgg19_layers(self) -> Layers:
        """φ5,4, behind the activation (section 2.2.1), of images as ImageNet's were shown to it."""
        return Layers(taps=("relu5_4",), weights=(1 / 12.75**2,), squared=True, normalise=True)

    # --- networks ---------------------------------------------------------------------------

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        self.check_perceptual(out_channels)
        networks: dict[str, Network] = {
            "generator": self.make_generator(
                architecture,
                in_channels=in_channels,
                out_channels=out_channels,
                image_size=image_size,
                scale=self.scale,
            )
        }
        if self.stage == "gan":
            width, height = sides(image_size)
            made = width * self.scale, height * self.scale
            networks["discriminator"] = self.make_discriminator(architecture, in_channels=out_channels, image_size=made)
            networks |= self.make_projected(image_size=made)
        return networks

    def make_discriminator(
        self, architecture: Any, *, in_channels: int, image_size: int | Size, **given: Any
    ) -> Discriminator:
        if self.discriminator != "srgan":
            return super().make_discriminator(architecture, in_channels=in_channels, image_size=image_size)
        width, height = sides(image_size)
        if width != height and not self.discriminator_pooling:
            raise ValueError(
                f"--image_size {in_words(image_size)} is no square, and the paper's discriminator is of square crops: "
                "add --discriminator_pooling True"
            )
        crop = 0 if self.discriminator_pooling else width
        if crop and (crop % 16 or not 32 <= crop <= 512):
            raise ValueError(
                f"--image_size {width // self.scale} makes crops of {crop} pixels, and the paper's discriminator is of "
                "multiples of 16 from 32 to 512: give another --image_size, such as 32, or add --discriminator_pooling "
                "True"
            )
        return super().make_discriminator(
            architecture, in_channels=in_channels, image_size=image_size, crop=crop, **given
        )

    # --- losses -----------------------------------------------------------------------------

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The generator first, then the discriminator on the same output."""
        learns = Phase(name="generator", trains=("generator",), freezes=self.judges, loss=self.generator_loss)
        return (learns, self.discriminator_phase(*self.judges)) if self.stage == "gan" else (learns,)

    def generator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        fake, target = networks["generator"](batch["source"]), batch["target"]
        if self.stage == "pixels":
            return {"pixel": (self.pixel_distance(fake, target), 1.0)}
        outputs.fakes["target"] = fake.detach()
        terms = {
            "adversarial": (self.fooled(networks, fake=fake, target=target), self.lambda_adversarial),
            **self.perceptual_terms(networks, real=target, fake=fake),
            **self.fooling_projected(networks, fake=fake),
        }
        if self.lambda_pixel:
            terms["pixel"] = (self.pixel_distance(fake, target), self.lambda_pixel)
        return terms

    def pixel_distance(self, fake: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(fake, target)

    def fooled(self, networks: Networks, *, fake: Tensor, target: Tensor) -> Tensor:
        """What the generator learns from the frozen discriminator."""
        return self.fooling(networks["discriminator"](self.shown(fake)))

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        fake = outputs.fakes.pop("target", None)
        if fake is None:  # on a batch of its own
            with torch.no_grad():
                fake = networks["generator"](batch["source"])
        seen = {"real": batch["target"], "fake": fake}
        return self.judging(networks, **seen) | self.projected_terms(networks, **seen)

    def judging(self, networks: Networks, *, real: Tensor, fake: Tensor) -> Terms:
        """What the discriminator learns by."""
        return self.discriminator_terms(networks["discriminator"], real=real, fake=fake)
