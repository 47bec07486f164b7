"""The objectives of the papers as functions on tensors, and CycleGAN's pool of past fakes.

python -c "import torch, img2img_hub.losses as L; print(L.adversarial(torch.ones(1), real=True, kind='lsgan'))"
"""

from collections.abc import Callable
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

AdversarialLoss = Literal["vanilla", "lsgan", "wgangp"]


def adversarial(logits: Tensor, *, real: bool, kind: AdversarialLoss) -> Tensor:
    """How far `logits` (any shape) are from "real" (or "fake"), as a scalar to minimise.

    "vanilla": cross-entropy on logits (Goodfellow et al. 2014; with real=True for the generator this is the
    non-saturating form). "lsgan": least squares to 1 or 0 (Mao et al. 2017). "wgangp": ∓ mean (Arjovsky et al. 2017);
    its critic needs `gradient_penalty` beside it.
    """
    if kind == "vanilla":
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
    if kind == "lsgan":
        return F.mse_loss(logits, torch.full_like(logits, float(real)))
    if kind == "wgangp":
        return -logits.mean() if real else logits.mean()
    raise ValueError(f"adversarial_loss must be 'vanilla', 'lsgan' or 'wgangp', got {kind!r}")


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Mean over the batch of (‖∇critic‖₂ − 1)² at one random point a sample between real and fake, (N, C, H, W) each
    (WGAN-GP, Gulrajani et al. 2017, section 4; the paper weighs it with 10)."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


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
