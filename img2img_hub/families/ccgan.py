"""CCGAN: holes filled by who has also seen the whole picture, small (after Denton et al. 2016, arXiv 1611.06430).

    accelerate launch train_accelerate.py ccgan --dataset photos --output_dir runs/ccgan

The paper learns to classify with few labels: a generator fills a hole in context, and the discriminator that judges it
is the classifier. What people run under its name is the generator alone, with its condition on the picture at a quarter
of the size, and so is this. It restores what is still there in a small copy (a thumbnail, a blurred place), and is not
for making something disappear, for it has seen that.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from img2img_hub.families.adversarial import unet_levels
from img2img_hub.families.filling import FillingFamily
from img2img_hub.images.resize import Size
from img2img_hub.images.slots import Slot
from img2img_hub.networks import Generator
from img2img_hub.objectives.losses import AdversarialLoss

_LEVELS = 6  # of the code that people run, at 128²


@dataclass(frozen=True, kw_only=True)
class CCGAN(FillingFamily):
    """Holes filled from what is around them and from the whole picture, small (after arXiv 1611.06430)."""

    name: ClassVar[str] = "ccgan"
    title: ClassVar[str] = "CCGAN"
    paper: ClassVar[str] = (
        "After Denton, Gross, Fergus: Semi-Supervised Learning with Context-Conditional Generative Adversarial "
        "Networks. 2016, arXiv:1611.06430"
    )
    run_defaults: ClassVar[dict[str, Any]] = {"image_size": 128, "load_size": 143}
    network_defaults: ClassVar[dict[str, Any]] = {"norm": "instance", "dropout": 0.5}
    follows: ClassVar[dict[str, str]] = FillingFamily.follows | {
        "levels": f"as often as image_size allows, {_LEVELS} at most"
    }
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot(name="source"),
        Slot(name="mask", kind="hole"),
        Slot(name="context"),
        Slot(name="target"),
    )

    generator: Literal["context_unet"] = "context_unet"
    """context_unet: a U-Net that gets the picture at a quarter of the size behind its second halving."""
    discriminator: Literal["patch", "two_branch", "pixel", "multiscale"] = "patch"
    """patch; two_branch: a verdict on the whole and one on each patch; pixel or multiscale. It sees the picture alone,
    with the known pixels back in their places."""
    adversarial_loss: AdversarialLoss = "lsgan"
    """lsgan: least squares; vanilla: cross-entropy on logits (paper); wgangp: Wasserstein with gradient penalty; hinge:
    as SPADE."""
    lambda_l1: float = 0.0
    """Weight of the L1 distance to the target, over all of the picture (0: off, as the paper)."""
    lambda_hole: float = 0.0
    """Weight of the same over the hole alone (0: off, as the paper)."""
    lambda_global: float = 1.0
    """With two_branch: weight of fooling the verdict on the whole."""
    lambda_patch: float = 1.0
    """Weight of fooling the discriminator, with two_branch its verdicts on patches."""

    def make_generator(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size, **given: Any
    ) -> Generator:
        if architecture.levels is None:
            given["levels"] = min(_LEVELS, unet_levels(image_size))
        return super().make_generator(
            architecture,
            in_channels=in_channels,
            out_channels=out_channels,
            image_size=image_size,
            context_channels=out_channels,
            **given,
        )
