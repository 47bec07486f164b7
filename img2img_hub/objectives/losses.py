"""The objectives of the papers as functions on tensors, and CycleGAN's pool of past fakes.

python -c "import torch, img2img_hub.objectives.losses as l; l.adversarial(torch.ones(1), real=True, kind='lsgan')"
"""

from collections.abc import Callable
from random import Random
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from img2img_hub.networks.base import Stages

AdversarialLoss = Literal["vanilla", "lsgan", "wgangp", "hinge"]
UNHALVED: tuple[AdversarialLoss, ...] = ("wgangp", "hinge")
"""Whose papers do not halve the discriminator's loss. They have no labels either that could be smoothed."""

# A discriminator's verdicts, (N, 1, h, w) or any other shape of N first; of several scales a tuple of such.
Logits = Tensor | tuple[Tensor, ...]


def adversarial(
    logits: Logits, *, real: bool, kind: AdversarialLoss, smoothing: float = 0.0, summed: bool = False
) -> Tensor:
    """How far `logits` are from "real" (or "fake") to a discriminator, as a scalar to minimise. A generator's loss is
    `fooling`.

    "vanilla": cross-entropy on logits (Goodfellow et al. 2014). "lsgan": least squares to 1 or 0 (Mao et al. 2017).
    "wgangp": ∓ mean (Arjovsky et al. 2017); its critic needs `gradient_penalty` beside it. "hinge": mean of
    relu(1 ∓ logits), nothing where they are beyond ±1 (SPADE, arXiv 1903.07291).

    `smoothing` moves the label of "real" from 1 to 1 − smoothing and leaves that of "fake" at 0 (one-sided, Salimans
    et al. 2016, section 3.4); "wgangp" and "hinge" have no labels and ignore it.

    Of several scales it is the mean, or, `summed`, the sum of pix2pixHD (Wang et al. 2018, equation 3). The mean keeps
    the weight of what stands beside it (L1, cycle) whatever the number of scales, and differs by that number only.
    """
    if kind not in get_args(AdversarialLoss):
        names = [repr(name) for name in get_args(AdversarialLoss)]
        raise ValueError(f"adversarial_loss must be {', '.join(names[:-1])} or {names[-1]}, got {kind!r}")

    def distance(scale: Tensor) -> Tensor:
        if kind == "wgangp":
            return -scale.mean() if real else scale.mean()
        if kind == "hinge":
            return F.relu(1 - scale if real else 1 + scale).mean()
        label = torch.full_like(scale, 1.0 - smoothing if real else 0.0)
        return F.binary_cross_entropy_with_logits(scale, label) if kind == "vanilla" else F.mse_loss(scale, label)

    return _over_scales(distance, logits, summed=summed)


def fooling(logits: Logits, *, kind: AdversarialLoss, summed: bool = False) -> Tensor:
    """A generator's loss on the discriminator's `logits` of what it made: as `adversarial` has it of real images (for
    "vanilla" the non-saturating form), but with "hinge" −mean, which goes on where a discriminator has no more to
    learn."""
    return adversarial(logits, real=True, kind="wgangp" if kind == "hinge" else kind, summed=summed)


def relativistic(logits: Tensor, others: Tensor, *, real: bool, kind: AdversarialLoss = "vanilla") -> Tensor:
    """As `adversarial`, of how much more real than the mean of the `others`, which are of the other kind, each of the
    `logits` is: the relativistic average discriminator (Jolicoeur-Martineau 2018; ESRGAN, arXiv 1809.00219, section
    3.2)."""
    return adversarial(logits - others.mean(), real=real, kind=kind)


def feature_matching(fake: Stages, real: Stages) -> Tensor:
    """L1 between what a discriminator's stages make of fakes and of their targets, from which nothing is learnt: the
    mean over each stage, summed over stages, averaged over scales (pix2pixHD, arXiv 1711.11585, equation 4; SPADE)."""
    scales = [
        torch.stack([F.l1_loss(one, two.detach()) for one, two in zip(mine, theirs, strict=True)]).sum()
        for mine, theirs in zip(fake, real, strict=True)
    ]
    return torch.stack(scales).mean()


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, variance) from N(0, 1), (N, D) each, summed over the batch and over D, as SPADE's
    authors have it: −½ Σ (1 + log σ² − μ² − σ²). It grows with the batch; they weigh it with 0.05."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()


def l1(output: Tensor, target: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Mean absolute difference of (N, C, H, W); with `valid`, (N, 1, H, W) of 1 and 0, over the pixels that have data,
    0 where none has."""
    if valid is None:
        return F.l1_loss(output, target)
    return ((output - target).abs() * valid).sum() / (valid.sum() * output.shape[1]).clamp(min=1)


def with_data(image: Tensor, valid: Tensor | None) -> Tensor:
    """(N, C, H, W) with 0 where `valid` is 0, as real images have it: or a discriminator would tell by the holes."""
    return image if valid is None else image * valid


def gradient_penalty(critic: Callable[[Tensor], Logits], real: Tensor, fake: Tensor) -> Tensor:
    """Mean over the batch of (‖∇critic‖₂ − 1)² at one random point a sample between real and fake, (N, C, H, W) each
    (WGAN-GP, Gulrajani et al. 2017, section 4; the paper weighs it with 10). Each scale of a critic of several has its
    own; the mean of them is given."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)

    def penalty(scale: Tensor) -> Tensor:
        return (_gradient(scale, between).norm(dim=1) - 1).square().mean()

    return _over_scales(penalty, critic(between))


def r1_penalty(logits: Logits, image: Tensor) -> Tensor:
    """E‖∇D(image)‖² over a batch of real images, (N, C, H, W) (R1, Mescheder et al. 2018, section 4.1, which weighs it
    with γ/2, γ = 10).

    `logits` must have been computed from `image`, which must require a gradient. D is the mean of an image's patches,
    as pix2pix defines it (section 3.2.2), so the weight means the same at any image size. Each scale of a discriminator
    of several is one by itself and has its own; the mean of them is given.
    """

    def penalty(scale: Tensor) -> Tensor:
        # Of the patches' sum, and divided afterwards: a mean's small gradients would vanish in half precision.
        patches = scale.numel() // len(scale)
        return (_gradient(scale, image) / patches).square().sum(dim=1).mean()

    return _over_scales(penalty, logits)


def _over_scales(term: Callable[[Tensor], Tensor], logits: Logits, *, summed: bool = False) -> Tensor:
    if isinstance(logits, Tensor):
        return term(logits)
    terms = torch.stack([term(scale) for scale in logits])
    return terms.sum() if summed else terms.mean()


def _gradient(logits: Tensor, image: Tensor) -> Tensor:
    """Gradient of the sum of `logits` by `image`, a row a sample, to be differentiated again; float32 at least, for
    the squares that are taken of it have no room in half precision."""
    (gradient,) = torch.autograd.grad(logits.sum(), image, create_graph=True)
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)).flatten(1)


class ImagePool:
    """Past fakes for the discriminator (CycleGAN section 4, after Shrivastava et al. 2017).

    Per image: until `size` are stored, the new one is stored and returned; after that, with probability ½ a random
    stored one is returned and replaced by the new one, else the new one is returned. Size 0 passes everything through.
    """

    def __init__(self, size: int, *, seed: int) -> None:
        self.size = size
        self.images: list[Tensor] = []
        self.random = Random(seed)

    def query(self, fakes: Tensor) -> Tensor:
        """(N, C, H, W) in, (N, C, H, W) out, detached."""
        answers = []
        for fake in fakes.detach():
            if len(self.images) < self.size:
                self.images.append(fake.clone())
            elif self.size and self.random.random() > 0.5:
                index = self.random.randrange(self.size)
                fake, self.images[index] = self.images[index], fake.clone()
            answers.append(fake)
        return torch.stack(answers)

    def state_dict(self) -> dict[str, Any]:
        return {"images": [image.cpu() for image in self.images], "random": self.random.getstate()}

    def load_state_dict(self, state: dict[str, Any], *, device: torch.device | str = "cpu") -> None:
        self.images = [image.to(device) for image in state["images"]]
        version, internal, gauss = state["random"]
        self.random.setstate((version, tuple(internal), gauss))
