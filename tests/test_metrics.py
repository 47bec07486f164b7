"""The metrics equal their definitions, written out here a second time, and behave as a distance should."""

import math

import numpy as np
import pytest
import torch

from img2img_hub.metrics import MAX_PATCHES, PatchSample, _laplacian_pyramid, l1, psnr, sliced_wasserstein, ssim


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(2, 3, 19, 24, generator=generator)
    return first, (first + 0.3 * torch.randn(first.shape, generator=generator)).clamp(0, 1)


def ssim_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, window by window, for one (H, W) band in [0, 1]."""
    distance = np.arange(11) - 5
    window = np.exp(-(distance[:, None] ** 2 + distance[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            values.append(
                (2 * mean_a * mean_b + 0.0001)
                * (2 * covariance + 0.0009)
                / ((mean_a**2 + mean_b**2 + 0.0001) * (var_a + var_b + 0.0009))
            )
    return float(np.mean(values))


def test_ssim_is_the_published_formula(pair):
    first, second = pair
    by_hand = [
        np.mean([ssim_by_hand(a.double().numpy(), b.double().numpy()) for a, b in zip(x, y, strict=True)])
        for x, y in zip(first, second, strict=True)
    ]
    assert ssim(first, second).shape == (2,)
    assert ssim(first, second).numpy() == pytest.approx(by_hand, abs=1e-9)


def test_ssim_properties(pair):
    first, second = pair
    assert ssim(first, first).tolist() == pytest.approx([1, 1])
    assert ssim(first, second).tolist() == pytest.approx(ssim(second, first).tolist())
    assert (ssim(first, 1 - first) < 0).all()  # inverted contrast
    black, white = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    assert ssim(black, white).item() == pytest.approx(0.0001 / 1.0001)  # no structure: only the luminance term


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 11×11 pixels, got 10×40"):
        ssim(torch.zeros(1, 3, 10, 40), torch.zeros(1, 3, 10, 40))


def test_l1_and_psnr_of_known_differences():
    first = torch.zeros(2, 3, 4, 4)
    second = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), 1.0)])
    assert l1(first, second).tolist() == pytest.approx([0.1, 1.0])
    assert psnr(first, second).tolist() == pytest.approx([20.0, 0.0], abs=1e-5)  # 10 log10(1 / MSE)
    assert psnr(first, first).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("metric", [l1, psnr, ssim])
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16), "one shape"),
        (torch.zeros(3, 16, 16), torch.zeros(3, 16, 16), "one shape"),
        (torch.zeros(1, 3, 16, 16) - 1, torch.zeros(1, 3, 16, 16), r"the first batch goes from -1 to -1"),
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "second batch is torch.uint8"),
    ],
)
def test_batches_that_cannot_be_compared_are_refused(metric, first, second, message):
    with pytest.raises(ValueError, match=message):
        metric(first, second)


# --- sliced Wasserstein distance ----------------------------------------------------------------------------------


def textures(count: int, *, seed: int, size: int = 32) -> torch.Tensor:
    """Smooth random images: noise, blurred by enlarging."""
    noise = torch.rand(count, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=size, mode="bicubic").clamp(0, 1)


def test_distance_is_zero_to_itself_and_the_same_every_time():
    images, others = textures(6, seed=0), textures(9, seed=1)
    assert sliced_wasserstein(images, images) == 0
    assert sliced_wasserstein(images, others) == sliced_wasserstein(images, others) > 0
    assert sliced_wasserstein(images, others) == pytest.approx(sliced_wasserstein(others, images))
    assert sliced_wasserstein(images, others, seed=1) != sliced_wasserstein(images, others)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * torch.tensor([1, 0.8, 1]).view(3, 1, 1),  # a colour cast
        lambda x: x * 0.6 + 0.2,  # less contrast
        lambda x: torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2),  # a blur
        lambda x: (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1),  # grain
    ],
)
def test_distance_sees_colour_contrast_blur_and_grain(change):
    images = textures(24, seed=0)
    same_kind = sliced_wasserstein(images, textures(24, seed=1))
    assert sliced_wasserstein(images, change(textures(24, seed=1))) > 1.3 * same_kind


def test_distance_is_computed_as_described():
    """One level, one channel, every patch known: constant images have patches of one value."""
    first = torch.full((3, 1, 16, 16), 0.25)
    second = torch.full((3, 1, 16, 16), 0.75)
    # Normalised by both sets together (mean 0.5, deviation 0.25), patches are all -1 and all 1: they differ by 2 in
    # each of 49 dimensions. Projected on a direction d that is 2·|Σ d|, for a random direction 2·√(2/π) on average.
    assert sliced_wasserstein(first, second) == pytest.approx(2 * math.sqrt(2 / math.pi), rel=0.1)


def test_sample_is_bounded_and_takes_from_every_image():
    sample = PatchSample(1000)
    for value in range(1000):
        sample.add(torch.full((1, 8, 8), value / 1000))
    patches = sample._level(0)
    assert patches.shape == (MAX_PATCHES, 1, 7, 7)
    assert len(patches[:, 0, 0, 0].unique()) == 1000
    few = PatchSample(2)
    few.add(torch.zeros(3, 64, 40))
    assert [tuple(level[0].shape) for level in few._levels] == [(128, 3, 7, 7)] * 2  # 64×40 and 32×20


@pytest.mark.parametrize("size", [(64, 64), (71, 45), (32, 33)])
def test_pyramid_loses_nothing(size):
    images = torch.rand(1, 2, *size, dtype=torch.float64)
    *details, small = _laplacian_pyramid(images)
    assert min(small.shape[-2:]) in range(16, 32)
    taps = torch.tensor([1.0, 4, 6, 4, 1], dtype=torch.float64) / 16
    for detail in reversed(details):
        spread = torch.zeros_like(detail)
        spread[..., ::2, ::2] = small
        padded = torch.nn.functional.pad(spread, (2, 2, 2, 2), mode="reflect")
        windows = padded.unfold(2, 5, 1).unfold(3, 5, 1)
        small = detail + 4 * torch.einsum("nchwij,i,j->nchw", windows, taps, taps)
    assert small.numpy() == pytest.approx(images.numpy(), abs=1e-12)


def test_sets_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        sliced_wasserstein(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 18))
    with pytest.raises(ValueError, match="at least one image"):
        PatchSample(0)
    with pytest.raises(ValueError, match="7×7"):
        PatchSample(1).add(torch.zeros(3, 6, 9))
