"""pix2pixHD: large images from label maps or other sources, in two stages (Wang et al. 2018, arXiv 1711.11585).

    accelerate launch train_accelerate.py pix2pixhd --help

First the global generator at half the size, then an enhancer around it, which at first learns alone:

    accelerate launch train_accelerate.py pix2pixhd --dataset user/streets --image_size 512 --output_dir runs/half
    accelerate launch train_accelerate.py pix2pixhd --dataset user/streets --image_size 1024 --output_dir runs/whole \\
        --enhancers 1 --discriminator_scales 3 --init_from runs/half --fix_global_epochs 10 \\
        --num_epochs 100 --decay_epochs 50
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from img2img_hub.families.base import Batch, Direction, Networks, Outputs, Phase, Terms
from img2img_hub.families.paired import PROJECTED, PairedAdversarialFamily, seen_of
from img2img_hub.images.resize import Size
from img2img_hub.images.slots import Slot
from img2img_hub.networks import CoarseToFineGenerator, InstanceEncoder, Network
from img2img_hub.networks.base import Stages
from img2img_hub.objectives.losses import AdversarialLoss

WIDTH = 64
"""Channels of the global generator and of the discriminators at full resolution."""
STYLES = 10
"""Of each class that a translation has to draw from (authors' code)."""


@dataclass(frozen=True, kw_only=True)
class Pix2PixHD(PairedAdversarialFamily):
    """Paired translation of large images: coarse to fine, judged at several sizes (arXiv 1711.11585)."""

    name: ClassVar[str] = "pix2pixhd"
    title: ClassVar[str] = "pix2pixHD"
    paper: ClassVar[str] = (
        "Wang, Liu, Zhu, Tao, Kautz, Catanzaro: High-Resolution Image Synthesis and Semantic Manipulation with "
        "Conditional GANs. CVPR 2018, arXiv:1711.11585"
    )
    paired: ClassVar[bool] = True
    network_defaults: ClassVar[dict[str, Any]] = {
        "norm": "instance",
        "dropout": 0.0,
        "layout": "pix2pixhd",
        "enhancers": 0,
        "scales": 2,
    }
    # Of all that it may have; what one run has is set with its knobs.
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(generator="generator", judges=("discriminator", PROJECTED), auxiliaries=("encoder",)),
    )
    follows: ClassVar[dict[str, str]] = {
        **PairedAdversarialFamily.follows,
        "width": f"{WIDTH}; {WIDTH // 2} with enhancers",
        "discriminator_width": f"{WIDTH}, as the global generator",
    }
    decays_late: ClassVar[bool] = True
    scales_summed: ClassVar[bool] = True

    generator: Literal["coarse_to_fine"] = "coarse_to_fine"
    """coarse_to_fine: the global generator, 64 channels wide, and with --enhancers 1 or 2 what is around it, 32 wide
    (section 3.1)."""
    discriminator: Literal["multiscale"] = "multiscale"
    """multiscale: patches on several sizes of the image (section 3.1), 64 channels wide; it sees source and target side
    by side in its channels."""
    adversarial_loss: AdversarialLoss = "lsgan"
    """lsgan: least squares (paper); vanilla: cross-entropy on logits; wgangp: Wasserstein with gradient penalty;
    hinge: as SPADE. Summed over the discriminator's scales."""
    lambda_feature_matching: float = 10.0
    """Weight of the L1 between what the discriminator's layers make of output and target (equation 4; 0: off)."""
    lambda_perceptual: float = 10.0
    """Weight of the L1 between what a classifier of photographs sees in output and target (section 4; 0: off)."""
    fix_global_epochs: int = 0
    """With an enhancer around a generator from --init_from: train the enhancer alone for so many epochs, then all
    weights, by an Adam that starts afresh (authors: 10, or 20 where memory is short)."""
    styles: Literal["none", "instances", "labels"] = "none"
    """What else the generator sees: none; instances: for each thing in the target what an encoder makes of it (section
    3.4; needs a map of instances beside the label map); labels: the same for each class. Translations have the most
    usual of each class, or with a seed one that is drawn among ten."""
    style_channels: int = 3
    """Numbers that the encoder makes of each thing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.style_channels <= 64:
            raise ValueError(f"--style_channels must be a number from 1 to 64, got {self.style_channels}")
        if self.styles == "none":
            self.leave_out("encoder")
        if self.fix_global_epochs < 0:
            raise ValueError(f"--fix_global_epochs must be 0 or more, got {self.fix_global_epochs}")

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        self.check_perceptual(out_channels)
        enhancers = self.network_defaults["enhancers"] if architecture.enhancers is None else architecture.enhancers
        outer = WIDTH // 2 if enhancers else WIDTH  # the paper's, also of two enhancers
        width = outer if architecture.width is None else architecture.width
        full = width * WIDTH // outer
        shape = replace(architecture, width=width, discriminator_width=architecture.discriminator_width or full)
        features = 0 if self.styles == "none" else self.style_channels
        generator = self.make_generator(
            shape,
            in_channels=in_channels,
            out_channels=out_channels,
            image_size=image_size,
            feature_channels=features,
        )
        assert isinstance(generator, CoarseToFineGenerator)
        if self.fix_global_epochs and not generator.outermost:
            raise ValueError(
                f"--fix_global_epochs {self.fix_global_epochs} trains an enhancer alone, and there is none: add "
                "--enhancers 1, or leave it out"
            )
        networks: dict[str, Network] = {
            "generator": generator,
            "discriminator": self.make_discriminator(
                shape, in_channels=in_channels + out_channels, image_size=image_size
            ),
            **self.make_projected(image_size=image_size),
        }
        if features:
            networks["encoder"] = InstanceEncoder(
                in_channels=out_channels, out_channels=features, width=max(1, full // 4), classes=in_channels
            )
        return networks

    def check_inputs(self, inputs: Sequence[Slot]) -> None:
        super().check_inputs(inputs)
        kinds = [str(slot.kind) for slot in inputs]
        if self.styles == "instances" and "instances" not in kinds:
            raise ValueError(
                "--styles instances needs a map beside the sources that numbers the things in them: name it by "
                "--instances, or take --styles labels"
            )
        if self.styles == "labels" and kinds != ["labels"]:
            raise ValueError(
                "--styles labels is for sources that are label maps and nothing else: say how many classes there are "
                "by --labels, or take --styles " + ("instances" if "instances" in kinds else "none")
            )

    def frozen_parameters(self, networks: Networks, *, epoch: int) -> dict[str, list[nn.Parameter]]:
        """In the first epochs of the second stage all of the generator but its outermost enhancer."""
        if epoch >= self.fix_global_epochs:
            return {}
        generator = networks["generator"]
        assert isinstance(generator, CoarseToFineGenerator)
        learning = {id(parameter) for parameter in generator.outermost}
        return {"generator": [each for each in generator.parameters() if id(each) not in learning]}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The generator first; then the discriminator, on the same fakes, of before the generator's step."""
        trained = ("generator",) if self.styles == "none" else ("generator", "encoder")
        return (
            Phase(name="generator", trains=trained, freezes=self.judges, loss=self.generator_loss),
            self.discriminator_phase(*self.judges),
        )

    def generator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """Fool the (frozen) discriminator at all scales, and be like the target to it and to the classifier."""
        seen = seen_of(batch, self._translated(networks, batch))
        outputs.fakes["target"] = seen["fake"].detach()
        return {
            **self.judged_terms(networks["discriminator"], **seen, condition=batch["source"]),
            **self.perceptual_terms(networks, **seen),
            **self.fooling_projected(networks, fake=seen["fake"]),
        }

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """½ (fake + real), each summed over the scales."""
        fake = outputs.fakes.get("target")
        if fake is None:  # a fresh batch
            with torch.no_grad():
                fake = self._translated(networks, batch)
        seen = seen_of(batch, fake)
        judged = self.discriminator_terms(networks["discriminator"], **seen, condition=batch["source"])
        return judged | self.projected_terms(networks, **seen)

    def matching_weight(self, stages: Stages) -> float:
        """As for 4 stages of each scale, however many there are (authors' code)."""
        return self.lambda_feature_matching * 4 / len(stages[0])

    def _translated(self, networks: Networks, batch: Batch) -> Tensor:
        """(N, C, H, W), by the target's own features where the generator sees any."""
        if self.styles == "none":
            return networks["generator"](batch["source"])
        classes = _numbers(batch["source"]) if self.styles == "labels" else batch.get("classes")
        things = classes if self.styles == "labels" else batch["instances"]
        return networks["generator"](batch["source"], networks["encoder"](batch["target"], things, classes))

    def complete(self, generator: Network, networks: Networks) -> Network:
        """With the styles of the things that the encoder saw last (section 3.4)."""
        if self.styles == "none":
            return generator
        encoder = networks["encoder"]
        assert isinstance(generator, CoarseToFineGenerator)
        assert isinstance(encoder, InstanceEncoder)
        return generator.with_styles(encoder.styles(STYLES))


def _numbers(classes: Tensor) -> Tensor:
    """A label map with a channel a class, (N, C, H, W), as whole numbers (N, 1, H, W), -1 for none."""
    count = torch.arange(1, classes.shape[1] + 1, device=classes.device).view(-1, 1, 1)
    return (classes.round().long() * count).sum(dim=1, keepdim=True) - 1
