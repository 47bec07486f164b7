"""The metrics equal their definitions, written out here a second time, and behave as a distance should."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from img2img_hub.evaluation.metrics import (
    CLASS_METRICS,
    METRICS,
    PatchSample,
    l1,
    metric_names,
    ms_ssim,
    psnr,
    sliced_wasserstein,
    ssim,
    ssim_and_ms_ssim,
    wasserstein,
)
from img2img_hub.evaluation.metrics.fidelity import num_scales
from img2img_hub.evaluation.metrics.wasserstein import MAX_PATCHES, _laplacian_pyramid


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(2, 3, 19, 24, generator=generator)
    return first, (first + 0.3 * torch.randn(first.shape, generator=generator)).clamp(0, 1)


def ssim_by_hand(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Wang et al. 2004, equation 13, window by window, for one (H, W) band in [0, 1]; and without the luminance."""
    distance = np.arange(11) - 5
    window = np.exp(-(distance[:, None] ** 2 + distance[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    a, b = (np.lib.stride_tricks.sliding_window_view(band, (11, 11)) for band in (x, y))  # (H - 10, W - 10, 11, 11)
    mean_a, mean_b = ((window * part).sum(axis=(2, 3), keepdims=True) for part in (a, b))
    var_a, var_b = ((window * (part - mean) ** 2).sum(axis=(2, 3)) for part, mean in ((a, mean_a), (b, mean_b)))
    covariance = (window * (a - mean_a) * (b - mean_b)).sum(axis=(2, 3))
    mean_a, mean_b = mean_a[..., 0, 0], mean_b[..., 0, 0]
    structure = (2 * covariance + 0.0009) / (var_a + var_b + 0.0009)
    luminance = (2 * mean_a * mean_b + 0.0001) / (mean_a**2 + mean_b**2 + 0.0001)
    return float(np.mean(luminance * structure)), float(np.mean(structure))


def test_ssim_is_the_published_formula(pair):
    first, second = pair
    by_hand = [
        np.mean([ssim_by_hand(a.double().numpy(), b.double().numpy())[0] for a, b in zip(x, y, strict=True)])
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


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_ssim_refuses_images_smaller_than_its_window(metric):
    with pytest.raises(ValueError, match="SSIM needs images of at least 11×11 pixels, got 10×40"):
        metric(torch.zeros(1, 3, 10, 40), torch.zeros(1, 3, 10, 40))


def halved(band: np.ndarray) -> np.ndarray:
    rows, columns = band.shape[0] // 2 * 2, band.shape[1] // 2 * 2
    return (band[0:rows:2] + band[1:rows:2])[:, :columns].reshape(rows // 2, columns // 2, 2).sum(axis=2) / 4


# Section 3.2 of the paper. The sides are odd where they are halved, so that what is cut off matters.
@pytest.mark.parametrize(
    ("size", "exponents"),
    [
        ((177, 181), (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)),
        ((45, 50), np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)),
        ((21, 90), (1.0,)),
    ],
    ids=["five scales", "three", "one"],
)
def test_ms_ssim_is_the_published_formula(size, exponents):
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(2, 2, *size, generator=generator, dtype=torch.float64)
    second = (first + 0.3 * torch.randn(first.shape, generator=generator)).clamp(0, 1)
    by_hand = []
    for x, y in zip(first.numpy(), second.numpy(), strict=True):
        bands = []
        for a, b in zip(x, y, strict=True):
            product = 1.0
            for scale, exponent in enumerate(exponents):
                whole, structure = ssim_by_hand(a, b)
                product *= (whole if scale == len(exponents) - 1 else structure) ** exponent
                a, b = halved(a), halved(b)
            bands.append(product)
        by_hand.append(np.mean(bands))
    assert ms_ssim(first, second).numpy() == pytest.approx(by_hand, abs=1e-9)


def test_ms_ssim_properties():
    first = torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blurred = torch.nn.functional.avg_pool2d(first, 9, stride=1, padding=4, count_include_pad=False)
    assert ms_ssim(first, first).item() == pytest.approx(1)
    assert ms_ssim(first, 1 - first).item() == 0  # inverted structure has no power: it counts as none
    assert ssim(first, 1 - first).item() < -0.5
    # Fine detail weighs less than in SSIM, for it is seen less: that is what the metric is for.
    assert ms_ssim(first, blurred).item() > 2 * ssim(first, blurred).item() > 0


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (21, 1), (22, 2), (43, 2), (44, 3), (87, 3), (88, 4), (175, 4), (176, 5), (4096, 5)]
)
def test_ms_ssim_has_as_many_scales_as_fit(side, scales):
    assert num_scales(side) == scales


def test_l1_and_psnr_of_known_differences():
    first = torch.zeros(2, 3, 4, 4)
    second = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), 1.0)])
    assert l1(first, second).tolist() == pytest.approx([0.1, 1.0])
    assert psnr(first, second).tolist() == pytest.approx([20.0, 0.0], abs=1e-5)  # 10 log10(1 / MSE)
    assert psnr(first, first).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize("metric", [l1, psnr, ssim, ms_ssim])
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


@pytest.mark.parametrize("size", [11, 50, 180])
def test_ssim_and_ms_ssim_together_are_each_alone_to_the_last_bit(size):
    images, others = torch.rand(2, 2, 3, size, size, generator=torch.Generator().manual_seed(0))
    both = ssim_and_ms_ssim(images, others)
    assert torch.equal(both[0], ssim(images, others))
    assert torch.equal(both[1], ms_ssim(images, others))


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


def test_distance_is_to_the_last_bit_what_torch_gives(monkeypatch):
    """Numbers of cards must come out again: sorting by NumPy, and blurring only where it is read, change none."""
    images, others = textures(6, seed=0, size=128), textures(9, seed=1, size=128)
    found = sliced_wasserstein(images, others)
    taps = torch.tensor([1, 4, 6, 4, 1], dtype=torch.float64) / 16

    def blur(x):
        bands = F.pad(x, (2, 2, 2, 2), mode="reflect").flatten(0, 1)[:, None]
        return F.conv2d(F.conv2d(bands, taps.view(1, 1, 5, 1)), taps.view(1, 1, 1, 5))[:, 0].unflatten(0, x.shape[:2])

    def pyramid(images):
        levels = []
        while min(images.shape[-2:]) >= 32:
            smaller, spread = blur(images)[..., ::2, ::2], torch.zeros_like(images)
            spread[..., ::2, ::2] = smaller
            levels.append(images - blur(4 * spread))
            images = smaller
        return [*levels, images]

    monkeypatch.setattr(wasserstein, "_laplacian_pyramid", pyramid)
    monkeypatch.setattr(
        wasserstein.np, "sort", lambda values, axis: torch.from_numpy(values).sort(dim=axis).values.numpy()
    )
    assert sliced_wasserstein(images, others) == found


def test_sample_is_bounded_and_takes_from_every_image():
    sample = PatchSample(1000)
    for value in range(1000):
        sample.add(torch.full((1, 8, 8), value / 1000))
    patches = sample._level(0)
    assert patches.shape == (MAX_PATCHES, 1, 7, 7)
    assert len(patches[:, 0, 0, 0].unique()) == 1000
    few = PatchSample(2)
    few.add(torch.zeros(3, 64, 40))
    assert [tuple(level.shape) for level in few.patches[0]] == [(128, 3, 7, 7)] * 2  # 64×40 and 32×20


def test_a_set_sampled_in_parts_is_the_set_sampled_at_once():
    images, others = textures(7, seed=0), textures(5, seed=1)
    parts = [PatchSample(7), PatchSample(7), PatchSample(7)]
    for index in range(7):
        parts[index % 3].add(images[index], index=index)
    for part in parts[1:]:
        parts[0].patches.update(part.patches)
    second = PatchSample(5)
    for image in others:
        second.add(image)
    assert parts[0].distance(second) == sliced_wasserstein(images, others)
    with pytest.raises(ValueError, match="in their order, got 2 after 6"):
        parts[0].add(images[2], index=2)


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


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_which_way_is_better(name):
    metric = METRICS[name]
    better, worse = (
        (0.9, 0.1) if name in ("psnr", "ssim", "ms_ssim", "psnr_y", "ssim_y", *CLASS_METRICS) else (0.1, 0.9)
    )
    assert metric.is_better(better, than=worse)
    assert not metric.is_better(worse, than=better)
    assert not metric.is_better(better, than=better)
    assert not metric.is_better(math.nan, than=worse)
    assert metric.meaning.endswith("higher is better" if better > worse else "lower is better")


def test_what_an_evaluation_gives_depends_on_pairs_and_extras():
    assert metric_names(paired=True) == ("l1", "psnr", "ssim", "ms_ssim", "swd_target")
    assert metric_names(paired=False) == ("cycle_l1_source", "cycle_l1_target", "swd_target", "swd_source")
    assert set(metric_names(paired=True, extra=["lpips", "fid", "kid"])) <= METRICS.keys()
    assert metric_names(paired=False, extra=["kid"])[2:] == ("swd_target", "kid_target", "swd_source", "kid_source")
    with pytest.raises(ValueError, match="lpips compares outputs with their targets, and unpaired data have none"):
        metric_names(paired=False, extra=["lpips"])
