"""CycleGAN: unpaired translation in both directions (Zhu et al. 2017, arXiv 1703.10593).

accelerate launch train_accelerate.py cyclegan --help
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from img2img_hub.families.adversarial import AdversarialFamily
from img2img_hub.families.base import Batch, Direction, Networks, Outputs, Phase, Terms
from img2img_hub.images.resize import Size
from img2img_hub.networks import Network
from img2img_hub.objectives.calls import call_each
from img2img_hub.objectives.losses import AdversarialLoss, ImagePool, fooling, l1, with_data


@dataclass(frozen=True, kw_only=True)
class CycleGAN(AdversarialFamily):
    """Unpaired translation: two generators that undo each other (arXiv 1703.10593)."""

    name: ClassVar[str] = "cyclegan"
    title: ClassVar[str] = "CycleGAN"
    paper: ClassVar[str] = (
        "Zhu, Park, Isola, Efros: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks. "
        "ICCV 2017, arXiv:1703.10593"
    )
    paired: ClassVar[bool] = False
    network_defaults: ClassVar[dict[str, Any]] = {"norm": "instance", "dropout": 0.0}
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(
            folder="source2target",
            generator="source2target",
            judges=("discriminator_target",),
            back="target2source",
        ),
        Direction(
            folder="target2source",
            generator="target2source",
            source="target",
            judges=("discriminator_source",),
            back="source2target",
        ),
    )

    generator: Literal["unet", "resnet", "coarse_to_fine"] = "resnet"
    """One a direction: resnet (paper); unet; coarse_to_fine: a ResNet within a ResNet, for 512 pixels and more
    (pix2pixHD)."""
    discriminator: Literal["patch", "pixel", "multiscale"] = "patch"
    """One a domain: patch (paper), pixel, or multiscale: patches on several sizes of the image (pix2pixHD)."""
    adversarial_loss: AdversarialLoss = "lsgan"
    """lsgan: least squares (paper); vanilla: cross-entropy on logits; wgangp: Wasserstein with gradient penalty;
    hinge: as SPADE."""
    lambda_cycle: float = 10.0
    """Weight of the cycle L1, source -> target -> source and the other way (section 4)."""
    lambda_identity: float = 0.5
    """Weight of the identity L1, multiplied by lambda_cycle (section 5.2); needs equal channels, 0 switches it off."""
    pool_size: int = 50
    """Past fakes kept for each discriminator (section 4); 0 for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool_size < 0:
            raise ValueError(f"--pool_size must be 0 or more, got {self.pool_size}")

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        if self.lambda_identity and in_channels != out_channels:
            raise ValueError(
                f"the identity loss feeds targets ({out_channels} channels) to a generator of sources ({in_channels} "
                "channels): add --lambda_identity 0"
            )
        size = {"image_size": image_size}
        return {
            "source2target": self.make_generator(
                architecture, in_channels=in_channels, out_channels=out_channels, **size
            ),
            "target2source": self.make_generator(
                architecture, in_channels=out_channels, out_channels=in_channels, **size
            ),
            "discriminator_target": self.make_discriminator(architecture, in_channels=out_channels, **size),
            "discriminator_source": self.make_discriminator(architecture, in_channels=in_channels, **size),
        }

    def make_pools(self, *, seed: int) -> dict[str, ImagePool]:
        return {"target": ImagePool(self.pool_size, seed=seed), "source": ImagePool(self.pool_size, seed=seed + 1)}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Both generators in one step, then both discriminators in one step, as in the original."""
        discriminators = ("discriminator_target", "discriminator_source")
        return (
            Phase(
                name="generator",
                trains=("source2target", "target2source"),
                freezes=discriminators,
                loss=self.generator_loss,
            ),
            self.discriminator_phase(*discriminators),
        )

    def generator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        terms: Terms = {}
        for way in self.directions:
            start, end = way.source, way.target
            images = [batch[start], batch[end]] if self.lambda_identity else [batch[start]]
            fake, *same = call_each(networks[way.generator], *images)
            valid = batch.get(f"{start}_valid")
            fake = with_data(fake, valid)
            outputs.fakes[end] = fake.detach()
            logits = networks[f"discriminator_{end}"](self.shown(fake))
            terms[f"adversarial_{end}"] = (fooling(logits, kind=self.adversarial_loss), 1.0)
            terms[f"cycle_{start}"] = (l1(networks[str(way.back)](fake), batch[start], valid=valid), self.lambda_cycle)
            if same:
                weight = self.lambda_identity * self.lambda_cycle
                terms[f"identity_{end}"] = (l1(same[0], batch[end], valid=batch.get(f"{end}_valid")), weight)
        return terms

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """Each discriminator's loss is halved, so that it learns slower than the generators (section 7.1)."""
        terms: Terms = {}
        for way in self.directions:
            start, end = way.source, way.target
            fake = outputs.fakes.get(end)
            if fake is None:  # a fresh batch
                with torch.no_grad():
                    fake = with_data(networks[way.generator](batch[start]), batch.get(f"{start}_valid"))
            fake = outputs.pools[end].query(fake)
            own = self.discriminator_terms(networks[f"discriminator_{end}"], real=batch[end], fake=fake)
            terms |= {f"{term}_{end}": value for term, value in own.items()}
        return terms
