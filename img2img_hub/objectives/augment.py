"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): what a discriminator is shown, changed at random so that it cannot
learn a small data set by heart. Real and fake alike and differentiable, so generators do not learn the changes.

python -c "import torch, img2img_hub.objectives.augment as a; print(a.augment(torch.ones(1, 1, 4, 4), ('cutout',)))"
"""

import torch
from torch import Tensor

POLICIES = ("color", "translation", "cutout")
Policy = tuple[str, ...]


def parse_policy(text: str) -> Policy:
    """The words of "color,translation,cutout", in the order in which they are applied; () for "".

    Raises:
        ValueError: a word that is none of them.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    for word in words:
        if word not in POLICIES:
            raise ValueError(
                f"--diff_augment takes some of {', '.join(POLICIES)}, separated by commas, got {word!r} in {text!r}"
            )
    return tuple(word for word in POLICIES if word in words)


def augment(image: Tensor, policy: Policy, *, condition: Tensor | None = None, alike: int = 1) -> Tensor:
    """Change each image by draws of its own: (N, C, H, W) float in [-1, 1] -> the same shape, about the same range.

    The batch may be `alike` batches one behind the other, such as outputs and their targets that are to be compared
    place by place: then the first images of all get the same draws, and so on.

    A `condition` (N, K, H, W), the source of a pair, comes back in front of the image, (N, K + C, H, W), moved and cut
    in the same way so that the pair still fits. Its colours stay: they are given and not judged, and in a label map
    they are what tells one class from another.

    Random numbers are those of torch's global generator on the image's device, which checkpoints hold.
    """
    if "color" in policy:
        image = _color(image, alike)
    if condition is not None:
        image = torch.cat([condition, image], dim=1)
    if "translation" in policy:
        image = _translation(image, alike)
    if "cutout" in policy:
        image = _cutout(image, alike)
    return image


def _uniform(image: Tensor, alike: int, low: float, high: float) -> Tensor:
    """A number a sample, (N, 1, 1, 1)."""
    drawn = torch.rand((len(image) // alike, 1, 1, 1), device=image.device, dtype=image.dtype) * (high - low) + low
    return drawn.repeat(alike, 1, 1, 1)


def _whole(image: Tensor, alike: int, low: int, high: int) -> Tensor:
    """A whole number a sample from low to high, both included, (N, 1)."""
    return torch.randint(low, high + 1, (len(image) // alike, 1), device=image.device).repeat(alike, 1)


def _color(image: Tensor, alike: int) -> Tensor:
    """Brightness ± 0.5, then saturation × 0 to 2 (about the pixel's mean), then contrast × 0.5 to 1.5 (about the
    image's)."""
    image = image + _uniform(image, alike, -0.5, 0.5)
    grey = image.mean(dim=1, keepdim=True)
    image = grey + (image - grey) * _uniform(image, alike, 0.0, 2.0)
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (image - mean) * _uniform(image, alike, 0.5, 1.5)


def _translation(image: Tensor, alike: int) -> Tensor:
    """Move by up to an eighth of height and width; what comes in is 0.

    By indices, for they can be differentiated twice (R1) and copy pixels exactly, and without a word from the GPU.
    """
    for dim in (2, 3):
        size = image.shape[dim]
        reach = round(size / 8)
        origin = torch.arange(size, device=image.device) - _whole(image, alike, -reach, reach)  # (N, size)
        inside = (origin >= 0) & (origin < size)
        shape = (len(image), 1, size, 1) if dim == 2 else (len(image), 1, 1, size)
        moved = image.gather(dim, origin.clamp(0, size - 1).view(shape).expand_as(image))
        image = moved * inside.view(shape)
    return image


def _cutout(image: Tensor, alike: int) -> Tensor:
    """Set a square of half the height and width to 0, its middle anywhere, so that it may hang over the border."""
    kept = torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=image.device)
    for dim in (2, 3):
        size = image.shape[dim]
        offset = torch.arange(size, device=image.device) - _whole(
            image, alike, 0, size - 1
        )  # (N, size), from the middle
        outside = (offset < -(size // 4)) | (offset >= size // 2 - size // 4)
        kept = kept | outside.view((len(image), 1, size, 1) if dim == 2 else (len(image), 1, 1, size))
    return image * kept
