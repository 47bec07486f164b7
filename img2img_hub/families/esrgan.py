"""ESRGAN and Real-ESRGAN: larger pictures, sharper than SRGAN's, also of those that are blurred, noisy or JPEGs (Wang
et al. 2018, arXiv 1809.00219; 2021, arXiv 2107.10833).

    accelerate launch train_accelerate.py esrgan --dataset photos --stage pixels --output_dir runs/rrdb
    accelerate launch train_accelerate.py esrgan --dataset photos --init_from runs/rrdb --output_dir runs/esrgan
    accelerate launch train_accelerate.py esrgan --dataset photos --init_from runs/rrdb --output_dir runs/real \\
        --degradation real --real True --image_size 64 --discriminator unet --lambda_pixel 1 --lambda_adversarial 0.1
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from img2img_hub.families.base import Networks, Terms
from img2img_hub.families.srgan import SRGAN
from img2img_hub.objectives.losses import l1, relativistic
from img2img_hub.objectives.perceptual import Layers
from img2img_hub.objectives.sharpen import sharpened


@dataclass(frozen=True, kw_only=True)
class ESRGAN(SRGAN):
    """Larger pictures, by what is more real than the mean of the others (arXiv 1809.00219), and Real-ESRGAN (arXiv
    2107.10833)."""

    name: ClassVar[str] = "esrgan"
    title: ClassVar[str] = "ESRGAN"
    paper: ClassVar[str] = (
        "Wang et al.: ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks. ECCV Workshops 2018, "
        "arXiv:1809.00219"
    )
    run_defaults: ClassVar[dict[str, Any]] = SRGAN.run_defaults | {
        "image_size": 32,
        "adam_beta2": 0.99,
        "learning_rate_policy": "halve",
        "ema_decay": 0.999,
        "turns": True,
    }

    generator: Literal["srresnet", "msrresnet", "rrdb", "compact"] = "rrdb"
    """rrdb (paper); compact: Real-ESRGAN's small one, for CPUs; srresnet and msrresnet: SRGAN's, with norms or
    without."""
    real: bool = False
    """As Real-ESRGAN learns (with --degradation real): no relativistic verdicts, five layers of VGG19, and pixels and
    layers against a sharpened target. It wants --discriminator unet, --lambda_pixel 1 and --lambda_adversarial 0.1."""
    lambda_pixel: float = 1e-2
    """Weight of the L1 to the target in the second stage; in the first one it is 1 and all there is."""
    lambda_adversarial: float = 5e-3
    """Weight of fooling the discriminator (section 3.4)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.real and (
            self.adversarial_loss not in ("vanilla", "lsgan") or self.lambda_r1 or self.label_smoothing
        ):
            raise ValueError(
                "relativistic verdicts are by --adversarial_loss vanilla or lsgan, without --lambda_r1 and "
                "--label_smoothing: leave these out, or train by --real True or srgan"
            )

    @property
    def vgg19_layers(self) -> Layers:
        """conv5_4, before the activation (section 3.3); of Real-ESRGAN five layers."""
        if self.real:
            taps = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")
            return Layers(taps=taps, weights=(0.1, 0.1, 1.0, 1.0, 1.0), normalise=True)
        return Layers(taps=("conv5_4",), weights=(1.0,), normalise=True)

    def pixel_distance(self, fake: Tensor, target: Tensor) -> Tensor:
        return l1(fake, sharpened(target) if self.real else target)

    def perceptual_terms(self, networks: Networks, *, real: Tensor, fake: Tensor) -> Terms:
        return super().perceptual_terms(networks, real=sharpened(real) if self.real else real, fake=fake)

    def fooled(self, networks: Networks, *, fake: Tensor, target: Tensor) -> Tensor:
        """Fakes are to seem more real than real ones, and real ones less (section 3.2)."""
        if self.real:
            return super().fooled(networks, fake=fake, target=target)
        critic = networks["discriminator"]
        with torch.no_grad():
            real = critic(self.shown(target))
        made = critic(self.shown(fake))
        kind = self.adversarial_loss
        return (relativistic(real, made, real=False, kind=kind) + relativistic(made, real, real=True, kind=kind)) / 2

    def judging(self, networks: Networks, *, real: Tensor, fake: Tensor) -> Terms:
        if self.real:
            return super().judging(networks, real=real, fake=fake)
        critic = networks["discriminator"]
        seen, made = critic(self.shown(real)), critic(self.shown(fake))
        kind = self.adversarial_loss
        return {
            "real": (relativistic(seen, made, real=True, kind=kind), 0.5),
            "fake": (relativistic(made, seen, real=False, kind=kind), 0.5),
        }
