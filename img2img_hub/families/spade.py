"""GauGAN: label maps to photos by norms that the map steers (SPADE, Park et al. 2019, arXiv 1903.07291).

accelerate launch train_accelerate.py spade --help

The paper trains with 32 images a step on 8 GPUs: give --batch_size what the memory takes. With --latent 256 an encoder
learns the style of each photo beside, and a translation takes that of any photo, or draws one.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from img2img_hub.families.base import Batch, Direction, Networks, Outputs, Phase, Terms
from img2img_hub.families.paired import PROJECTED, PairedAdversarialFamily, seen_of
from img2img_hub.images.resize import Size, sides
from img2img_hub.networks import Discriminator, Network, StyleEncoder
from img2img_hub.networks.base import Stages
from img2img_hub.networks.blocks import NormStatistics, initialise_xavier
from img2img_hub.networks.spade import MULTIPLES
from img2img_hub.networks.style_encoder import STYLE_ENCODER
from img2img_hub.objectives.calls import call_each
from img2img_hub.objectives.losses import AdversarialLoss, Logits, kl


@dataclass(frozen=True, kw_only=True)
class Spade(PairedAdversarialFamily):
    """Label maps to photos, by norms that the map steers (GauGAN, arXiv 1903.07291)."""

    name: ClassVar[str] = "spade"
    title: ClassVar[str] = "GauGAN (SPADE)"
    paper: ClassVar[str] = (
        "Park, Liu, Wang, Zhu: Semantic Image Synthesis with Spatially-Adaptive Normalization. CVPR 2019, "
        "arXiv:1903.07291"
    )
    paired: ClassVar[bool] = True
    network_defaults: ClassVar[dict[str, Any]] = {
        "norm": "batch",
        "spectral_norm": True,
        "scales": 2,
        "layout": "spade",
    }
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(generator="generator", judges=("discriminator", PROJECTED), auxiliaries=(STYLE_ENCODER,)),
    )
    # The discriminator learns four times as fast (two time-scale update rule, section 4).
    run_defaults: ClassVar[dict[str, Any]] = {
        "num_epochs": 200,
        "decay_epochs": 100,
        "learning_rate": 1e-4,
        "discriminator_learning_rate": 4e-4,
        "adam_beta1": 0.0,
        "adam_beta2": 0.9,
    }
    follows: ClassVar[dict[str, str]] = {**PairedAdversarialFamily.follows, "discriminator_norm": "instance"}
    norm_statistics: ClassVar[NormStatistics | None] = "running"

    generator: Literal["spade"] = "spade"
    """spade (paper): norms that the map steers."""
    discriminator: Literal["patch", "pixel", "multiscale"] = "multiscale"
    """multiscale (paper): patches on two sizes of the image; patch or pixel. It sees map and image side by side in its
    channels."""
    adversarial_loss: AdversarialLoss = "hinge"
    """hinge (paper); vanilla: cross-entropy on logits; lsgan: least squares; wgangp: Wasserstein with gradient
    penalty."""
    lambda_feature_matching: float = 10.0
    lambda_perceptual: float = 10.0
    latent: int = 0
    """Length of the style vector z (paper: 256): an encoder learns it from the target, and a translation takes it from
    a photo (style) or draws it (seed). 0: no styles."""
    lambda_kl: float = 0.05
    """With latent: weight of the KL divergence of each photo's styles from N(0, 1), summed over the batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent < 0:
            raise ValueError(f"--latent is the length of the style vector, 0 for none, got {self.latent}; 256 is usual")
        if not self.latent:
            self.leave_out(STYLE_ENCODER)

    # --- building ---------------------------------------------------------------------------

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        self.check_perceptual(out_channels)
        side, other = sides(image_size)
        if self.latent and side != other:
            raise ValueError(
                f"--image_size {side} {other} is no square, and the noise of --latent becomes one: drop one of them"
            )
        multiple = MULTIPLES.get(architecture.depth or "normal", side)  # what is no depth, the generator refuses
        generator = self.make_generator(
            architecture,
            in_channels=in_channels,
            out_channels=out_channels,
            image_size=image_size,
            latent=self.latent,
            latent_side=max(side // multiple, 1),
        )
        networks: dict[str, Network] = {
            "generator": generator,
            "discriminator": self.make_discriminator(
                architecture, in_channels=in_channels + out_channels, image_size=image_size
            ),
            **self.make_projected(image_size=image_size),
        }
        if self.latent:
            width = {"width": architecture.width} if architecture.width else {}
            networks[STYLE_ENCODER] = StyleEncoder(in_channels=out_channels, latent=self.latent, **width)
        return networks

    def make_discriminator(
        self, architecture: Any, *, in_channels: int, image_size: int | Size, **given: Any
    ) -> Discriminator:
        """With instance norm, whatever the map steers in the generator, and weights as the others have them."""
        norm = architecture.discriminator_norm or "instance"
        made = super().make_discriminator(
            replace(architecture, discriminator_norm=norm), in_channels=in_channels, image_size=image_size, **given
        )
        initialise_xavier(made.modules())
        return made

    # --- learning ---------------------------------------------------------------------------

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The generator, with the encoder, against the discriminator as it is; then the discriminator on a fake made
        anew."""
        makers = ("generator", STYLE_ENCODER) if self.latent else ("generator",)
        return (
            Phase(name="generator", trains=makers, freezes=self.judges, loss=self.generator_loss),
            self.discriminator_phase(*self.judges),
        )

    def generator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """Fool the frozen discriminator, look like the target to it and to a classifier, keep styles near N(0, 1)."""
        fake, terms = self._fake(networks, batch)
        seen = seen_of(batch, fake)
        judged = self.judged_terms(networks["discriminator"], **seen, condition=batch["source"])
        projected = self.fooling_projected(networks, fake=seen["fake"])
        return judged | self.perceptual_terms(networks, **seen) | projected | terms

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """As `discriminator_terms`; the generator is in training mode here, too, and sees the batch a second time."""
        with torch.no_grad():
            fake, _ = self._fake(networks, batch)
        seen = seen_of(batch, fake)
        judged = self.discriminator_terms(networks["discriminator"], **seen, condition=batch["source"])
        return judged | self.projected_terms(networks, **seen)

    def judge(self, critic: nn.Module, fake: Tensor, real: Tensor) -> tuple[tuple[Logits, Stages], Stages]:
        """Of both in one batch, as the discriminator itself learns from them."""
        judged, (_, wanted) = call_each(critic, fake, real, features=True)
        return judged, wanted

    def _fake(self, networks: Networks, batch: Batch) -> tuple[Tensor, Terms]:
        """Made of the map, with styles in a style drawn from around the target's; and what the encoder is to learn."""
        if not self.latent:
            return networks["generator"](batch["source"]), {}
        encoded = networks[STYLE_ENCODER](batch["target"])
        mean, log_variance = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in encoded)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return networks["generator"](batch["source"], latent=z), {"kl": (kl(mean, log_variance), self.lambda_kl)}
