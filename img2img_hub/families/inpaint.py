"""Inpainting: what a mask covers is made up from what lies around it, and the rest stays as it is, to the bit.

    accelerate launch train_accelerate.py inpaint --dataset photos --output_dir runs/inpainting
    python -m img2img_hub translate photo.jpg --mask hole.png --model runs/inpainting --output filled/

After Demir and Unal 2018 (arXiv 1803.07422): a ResNet whose middle blocks are dilated, and one discriminator with a
verdict on the whole picture and one on each of its patches. No code of the authors' is known; the weights of the losses
are the paper's as others report them. One folder of pictures is enough: holes are drawn into them (--holes).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from img2img_hub.families.filling import FillingFamily
from img2img_hub.images.slots import Slot
from img2img_hub.objectives.losses import AdversarialLoss


@dataclass(frozen=True, kw_only=True)
class Inpaint(FillingFamily):
    """Holes filled from what is around them, judged as a whole and patch by patch (after arXiv 1803.07422)."""

    name: ClassVar[str] = "inpaint"
    title: ClassVar[str] = "Inpainting"
    paper: ClassVar[str] = (
        "After Demir, Unal: Patch-Based Image Inpainting with Generative Adversarial Networks. 2018, arXiv:1803.07422"
    )
    network_defaults: ClassVar[dict[str, Any]] = {"norm": "instance", "dropout": 0.0}
    run_defaults: ClassVar[dict[str, Any]] = {"crop": "native"}
    slots: ClassVar[tuple[Slot, ...]] = (
        Slot(name="source"),
        Slot(name="mask", kind="hole"),
        Slot(name="target"),
    )

    generator: Literal["dilated", "resnet", "unet"] = "dilated"
    """dilated (paper): a ResNet whose middle blocks look far; resnet; unet, for pictures of one size."""
    discriminator: Literal["two_branch", "patch", "pixel", "multiscale"] = "two_branch"
    """two_branch (paper): a verdict on the whole and one on each patch; patch, pixel or multiscale. It sees the picture
    alone, with the known pixels back in their places."""
    adversarial_loss: AdversarialLoss = "vanilla"
    """vanilla: cross-entropy on logits (paper); lsgan: least squares; wgangp: Wasserstein with gradient penalty;
    hinge: as SPADE."""
    lambda_l1: float = 0.995
    """Weight of the L1 distance to the target, over all of the picture (paper)."""
    lambda_hole: float = 0.995
    """Weight of the same over the hole alone, a small part of the picture (not in the paper; 0: off)."""
    lambda_global: float = 0.0025
    """With two_branch: weight of fooling the verdict on the whole (paper)."""
    lambda_patch: float = 0.0025
    """Weight of fooling the verdicts on patches (paper), or of any other discriminator."""
