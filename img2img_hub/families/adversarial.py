"""What papers with a discriminator share: its objectives and regularisers, and how their networks are made.

    accelerate launch train_accelerate.py pix2pix --adversarial_loss lsgan --lambda_r1 10

Each knob is off, or as the paper of the family has it, by default.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

from torch import Tensor, nn

from img2img_hub.families.base import Batch, Family, Networks, Outputs, Phase, Terms
from img2img_hub.families.options import PREFIX, arguments_for
from img2img_hub.images.resize import Size, in_words, sides
from img2img_hub.networks import DISCRIMINATORS, GENERATORS, Discriminator, Generator, UNetGenerator
from img2img_hub.networks.encoders import LEVELS
from img2img_hub.objectives.augment import augment, parse_policy
from img2img_hub.objectives.calls import call_each
from img2img_hub.objectives.losses import UNHALVED, AdversarialLoss, adversarial, gradient_penalty, r1_penalty


@dataclass(frozen=True, kw_only=True)
class AdversarialFamily(Family):
    """A generator against a discriminator."""

    network_defaults: ClassVar[dict[str, Any]]  # of generator and discriminator alike, as far as they know them
    # Whether a discriminator learns by the half of its loss where its paper says nothing else.
    halved: ClassVar[bool] = True
    scales_summed: ClassVar[bool] = False  # whether losses of several scales are summed, not averaged
    # What options of the networks are where nobody says it and no network alone can, for help texts.
    follows: ClassVar[dict[str, str]] = {
        "levels": "as often as image_size allows, 8 at most; 5 with encoder",
        "discriminator_width": "as width, where it is given; else 64",
        "discriminator_norm": "as norm; instance for batch with wgangp",
    }

    generator: str
    discriminator: str
    adversarial_loss: AdversarialLoss
    critic_steps: int | None = None
    """Discriminator updates per step, each on a fresh batch (None: 5 for wgangp, as its paper has it; else 1)."""
    lambda_gp: float = 10.0
    """Weight of the gradient penalty, for wgangp only."""
    lambda_r1: float = 0.0
    """Weight λ of the R1 penalty on the discriminators, λ/2 · E‖∇D(real)‖² (Mescheder et al. 2018; 0: off, try 10)."""
    label_smoothing: float = 0.0
    """The discriminators' label of real images is 1 minus this (one-sided, Salimans et al. 2016; 0: off, try 0.1)."""
    diff_augment: str = ""
    """Small data sets: change what the discriminators see at random, by some of color,translation,cutout (DiffAugment,
    Zhao et al. 2020; empty: off)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic_steps is not None and self.critic_steps < 1:
            raise ValueError(f"--critic_steps must be 1 or more, got {self.critic_steps}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"--label_smoothing must be in [0, 0.5), got {self.label_smoothing}; 0.1 is usual")
        if self.label_smoothing and self.adversarial_loss in UNHALVED:
            raise ValueError(
                f"--label_smoothing {self.label_smoothing} does nothing with --adversarial_loss "
                f"{self.adversarial_loss}, which has no labels: leave one of them out"
            )
        parse_policy(self.diff_augment)

    @property
    def discriminator_repeats(self) -> int:
        return self.critic_steps or (5 if self.adversarial_loss == "wgangp" else 1)

    def discriminator_phase(self, *discriminators: str) -> Phase:
        """All of them in one step, by `discriminator_loss`."""
        loss, repeats = self.discriminator_loss, self.discriminator_repeats
        return Phase(name="discriminator", trains=discriminators, loss=loss, repeats=repeats)

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        raise NotImplementedError

    @property
    def differentiates_twice(self) -> bool:
        """Whether a loss holds a gradient of the discriminators. Compiled networks cannot be differentiated again."""
        return self.adversarial_loss == "wgangp" or self.lambda_r1 > 0

    # --- losses -----------------------------------------------------------------------

    def shown(self, image: Tensor, *, condition: Tensor | None = None, alike: int = 1) -> Tensor:
        """What a discriminator sees of `image`: `condition` (N, K, H, W) in front, both changed by DiffAugment, of
        which `alike` batches get the same draws (see `augment`)."""
        return augment(image, parse_policy(self.diff_augment), condition=condition, alike=alike)

    def discriminator_terms(
        self, critic: nn.Module, *, real: Tensor, fake: Tensor, condition: Tensor | None = None
    ) -> Terms:
        """One discriminator's loss on (N, C, H, W) images of both kinds, `fake` without graph; of pairs of `condition`
        and image for a conditional one. All of it is halved, so that it learns slower than the generator, but for
        wgangp, whose penalty is weighed against an unhalved distance, and for hinge, as its papers have it.

        R1 is of the real image alone, for a condition is not what is judged: given it, the image is what real and fake
        differ in. Batch norm is allowed beside it; at more than one image a batch the gradient then includes what an
        image does to its batch-mates.
        """
        kind = self.adversarial_loss
        half, summed = 0.5 if self.halved and kind not in UNHALVED else 1.0, self.scales_summed
        if self.lambda_r1:
            real = real.detach().requires_grad_(True)
        seen_fake, seen_real = self.shown(fake, condition=condition), self.shown(real, condition=condition)
        if self.lambda_r1:  # differentiated again: alone, or the fakes' half would be computed for nothing
            fake_logits, real_logits = critic(seen_fake), critic(seen_real)
        else:
            fake_logits, real_logits = call_each(critic, seen_fake, seen_real)
        terms: Terms = {
            "fake": (adversarial(fake_logits, real=False, kind=kind, summed=summed), half),
            "real": (
                adversarial(real_logits, real=True, kind=kind, smoothing=self.label_smoothing, summed=summed),
                half,
            ),
        }
        if kind == "wgangp":
            terms["penalty"] = (gradient_penalty(critic, seen_real.detach(), seen_fake), self.lambda_gp)
        if self.lambda_r1:
            terms["r1"] = (r1_penalty(real_logits, real), half * self.lambda_r1 / 2)
        return terms

    # --- building ---------------------------------------------------------------------------

    def _choices(self, knob: str) -> tuple[str, ...]:
        return get_args(next(item.type for item in fields(self) if item.name == knob))

    def make_generator(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size, **given: Any
    ) -> Generator:
        """The generator of the family's name for it; `given` are arguments that no flag has."""
        arguments = arguments_for(
            GENERATORS,
            self.generator,
            architecture=architecture,
            defaults=self.network_defaults,
            among=self._choices("generator"),
        )
        network = GENERATORS[self.generator]
        encoder = arguments.get("encoder", "unet")
        if network is UNetGenerator:
            arguments.setdefault("levels", unet_levels(image_size) if encoder == "unet" else LEVELS)
        made = network(in_channels=in_channels, out_channels=out_channels, **arguments, **given)
        if any(side % made.multiple or side < made.min_size for side in sides(image_size)):
            raise ValueError(
                f"--image_size {in_words(image_size)} does not fit the generator, which needs a multiple of "
                f"{made.multiple} and at least {made.min_size}"
                + (" (or fewer --levels)" if network is UNetGenerator and encoder == "unet" else "")
            )
        return made

    def make_discriminator(
        self, architecture: Any, *, in_channels: int, image_size: int | Size, **given: Any
    ) -> Discriminator:
        """The discriminator of the family's name for it; `given` as of `make_generator`."""
        norm = architecture.norm or self.network_defaults["norm"]
        if self.adversarial_loss == "wgangp":
            if architecture.discriminator_norm == "batch":
                raise ValueError(
                    "--discriminator_norm batch clashes with --adversarial_loss wgangp: the penalty is a sample's own, "
                    "batch norm mixes samples. Use --discriminator_norm instance or none"
                )
            norm = "instance" if norm == "batch" else norm
        defaults = {**self.network_defaults, "norm": norm}
        defaults |= {"width": architecture.width} if architecture.width else {}
        arguments = arguments_for(
            DISCRIMINATORS,
            self.discriminator,
            architecture=architecture,
            defaults=defaults,
            prefix=PREFIX,
            among=self._choices("discriminator"),
        )
        made = DISCRIMINATORS[self.discriminator](in_channels=in_channels, **arguments, **given)
        if min(sides(image_size)) < made.min_size:
            raise ValueError(
                f"--image_size {in_words(image_size)} is too small for the discriminator, which needs {made.min_size} "
                "pixels or more: use a larger one, or fewer --discriminator_layers"
                + (" or --discriminator_scales" if self.discriminator == "multiscale" else "")
            )
        return made


def unet_levels(image_size: int | Size) -> int:
    """How deep a U-Net can go for images of that size: down to one pixel, at most the paper's 8 levels."""
    both = sides(image_size)
    levels = min(8, *((side & -side).bit_length() - 1 for side in both))
    if levels < 4:
        near = in_words([max(16, round(side / 16) * 16) for side in both])
        raise ValueError(
            f"--image_size {in_words(image_size)} can be halved only {levels} times, which is too few for a U-Net: "
            f"use a multiple of 16, such as {near}, or give --levels"
        )
    return levels
