"""How far two sets of images are from each other, with no correspondence between them: sliced Wasserstein distance.

python -c "import torch, img2img_hub.evaluation.metrics as m; print(m.sliced_wasserstein(*torch.rand(2, 9, 3, 32, 32)))"
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

PATCH = 7  # side of a descriptor of the sliced Wasserstein distance, pixels
COARSEST = 16  # the pyramid stops before its shorter side falls below this, pixels
PATCHES_PER_IMAGE = 128  # descriptors of each image and level, at most
MAX_PATCHES = 16384  # descriptors of each set and level, at most: 10 MB in float32 for RGB
DIRECTIONS = 512  # random projections for each level
STD_FLOOR = 1e-4  # a fortieth of an 8-bit step: a band without contrast is not blown up to noise


def sliced_wasserstein(first: Tensor, second: Tensor, *, seed: int = 0) -> float:
    """Distance between two sets of images, whose counts may differ: 0 for the same set, lower is better.

    See `PatchSample`, which does the same for sets that do not fit into memory.
    """
    samples = []
    for images in (first, second):
        sample = PatchSample(len(images), seed=seed)
        for image in images:
            sample.add(image)
        samples.append(sample)
    return samples[0].distance(samples[1])


class PatchSample:
    """A bounded random sample of the patches of a set of images, for its sliced Wasserstein distance to another set.

    After Karras et al. 2018 (arXiv 1710.10196, section 5 and appendix E):

    1. Each image becomes a Laplacian pyramid (5-tap binomial filter, halving down to 16 pixels; the last level is the
       small image itself), so that each level holds one scale of detail.
    2. From each level, 128 patches an image of 7×7 pixels at random positions; fewer where that would make more than
       16,384 in all. Of the larger set as many patches are taken, at random, as the smaller one has.
    3. Each channel of both sets is normalised by mean and deviation of *both together*. The paper normalises each set
       by itself, which cannot see a colour cast or a loss of contrast; both matter here.
    4. Patches (147 numbers for RGB) are projected on 512 random directions of unit length. In one dimension, the
       Wasserstein distance is the mean absolute difference of the sorted values. Averaged over directions, then
       levels.

    Not scaled by 1000 as in the paper's tables. Positions and directions depend on the seed alone, so a set has
    distance 0 to itself. Compare numbers of the same image size and about the same number of images only: small
    sets have a larger distance.

    Args:
        num_images: how many images will be added.
        seed: of the positions and directions.
        varied: images may have several sizes; levels that not all of them have are left out. Positions are drawn for
            each image by itself, so that a number is another one than without.
    """

    def __init__(self, num_images: int, *, seed: int = 0, varied: bool = False) -> None:
        if num_images < 1:
            raise ValueError("the sliced Wasserstein distance needs at least one image in each set")
        self.seed = seed
        self.num_images = num_images
        self.varied = varied
        # Rounded up; the surplus is dropped at random in the end.
        self._per_image = min(PATCHES_PER_IMAGE, -(-MAX_PATCHES // num_images))
        self._shape: tuple[int, ...] = ()
        self._generator = torch.Generator().manual_seed(seed)
        self._drawn = 0  # images whose positions have been drawn
        self.patches: dict[int, list[Tensor]] = {}
        """Place of an image in the set -> its patches, (number, C, 7, 7) for each level, finest first."""

    def add(self, image: Tensor, *, index: int | None = None) -> None:
        """Take the patches of one (C, H, W) image in [0, 1], at least 7×7 pixels, of the same shape as all others.

        Args:
            index: the image's place in the set, ascending (None: the next). Where processes share a set, each adds
                its own images, and `patches` of the others are brought in by ``patches.update``: the distance is the
                same to the last bit, for positions depend on the place alone.
        """
        if image.ndim != 3 or min(image.shape[-2:]) < PATCH:
            raise ValueError(
                f"a (C, H, W) image of at least {PATCH}×{PATCH} pixels is needed, got {tuple(image.shape)}"
            )
        if self._shape and tuple(image.shape) != self._shape and not self.varied:
            raise ValueError(f"all images of a set must have one shape: {self._shape} and now {tuple(image.shape)}")
        index = self._drawn if index is None else index
        if index < self._drawn:
            raise ValueError(f"images must be added in their order, got {index} after {self._drawn - 1}")
        self._shape = tuple(image.shape)
        pyramid = _laplacian_pyramid(image.detach().cpu().double()[None])
        if self.varied:
            self._generator = torch.Generator().manual_seed((self.seed * 1_000_003 + index) % 2**63)
            self._drawn = index
        while self._drawn <= index:
            positions = [[self._draw(side) for side in level.shape[-2:]] for level in pyramid]
            self._drawn += 1
        self.patches[index] = []
        for level, (top, left) in zip(pyramid, positions, strict=True):
            windows = level[0].unfold(1, PATCH, 1).unfold(2, PATCH, 1)  # a view: (C, H-6, W-6, 7, 7)
            self.patches[index].append(windows[:, top, left].transpose(0, 1).float())  # (per image, C, 7, 7)

    def _draw(self, side: int) -> Tensor:
        return torch.randint(side - PATCH + 1, (self._per_image,), generator=self._generator)

    def distance(self, other: "PatchSample") -> float:
        """The sliced Wasserstein distance to another set of images of the same shape."""
        if (self._shape != other._shape and not self.varied) or not self._shape:
            raise ValueError(f"two sets of images of the same shape are needed, got {self._shape} and {other._shape}")
        if self.seed != other.seed:
            raise ValueError(f"two sets sampled with the same seed are needed, got {self.seed} and {other.seed}")
        distances = []
        levels = min(len(patches) for sample in (self, other) for patches in sample.patches.values())
        for level in range(levels):
            generator = torch.Generator().manual_seed(self.seed)
            first, second = self._level(level), other._level(level)
            count = min(len(first), len(second))
            first, second = first[:count], second[:count]
            both = torch.cat([first, second])
            mean = both.mean(dim=(0, 2, 3), keepdim=True)
            std = both.std(dim=(0, 2, 3), correction=0, keepdim=True).clamp(min=STD_FLOOR)
            first, second = (((patches - mean) / std).flatten(1) for patches in (first, second))
            directions = F.normalize(torch.randn(DIRECTIONS, first.shape[1], generator=generator), dim=1)
            differences = []
            for some in directions.split(64):  # 64 at a time: 4 MB
                # By NumPy: several times as fast as torch.sort, and sorted is sorted.
                a, b = (np.sort((some @ patches.T).numpy(), axis=1) for patches in (first, second))
                differences.append(torch.from_numpy(a - b).abs().double().mean(dim=1))
            distances.append(torch.cat(differences).mean().item())
        return sum(distances) / len(distances)

    def _level(self, level: int) -> Tensor:
        """(at most MAX_PATCHES, C, 7, 7): the sample of one level, in an order that the seed shuffles."""
        patches = torch.cat([self.patches[index][level] for index in sorted(self.patches)])
        order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(self.seed))
        return patches[order[:MAX_PATCHES]]


def _laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """(N, C, H, W) -> the detail lost at each halving, finest first, and what is left (Burt and Adelson 1983)."""
    taps = torch.tensor([1, 4, 6, 4, 1], dtype=images.dtype) / 16

    def blur(x: Tensor, *, step: int = 1) -> Tensor:  # every step-th row and column of it
        bands = F.pad(x, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[:, None]  # (N × C, 1, H + 4, W + 4)
        rows = F.conv2d(bands, taps.view(1, 1, 5, 1), stride=(step, 1))
        blurred = F.conv2d(rows, taps.view(1, 1, 1, 5), stride=(1, step))
        return blurred[:, 0].unflatten(0, x.shape[:2])

    levels = []
    while min(images.shape[-2:]) >= 2 * COARSEST:
        smaller = blur(images, step=2)
        spread = torch.zeros_like(images)
        spread[..., ::2, ::2] = smaller
        levels.append(images - blur(4 * spread))
        images = smaller
    return [*levels, images]
