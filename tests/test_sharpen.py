"""Sharpened targets: the unsharp mask against plain code, and where it does nothing."""

import numpy as np
import pytest
import torch

from img2img_hub.objectives.sharpen import sharpened


def sharpened_by_hand(target: np.ndarray) -> np.ndarray:
    """Of one (H, W) band in [-1, 1], pixel by pixel."""
    picture = (target + 1) / 2
    taps = np.exp(-((np.arange(51) - 25) ** 2) / (2 * 8.0**2))
    taps /= taps.sum()

    def blur(band: np.ndarray) -> np.ndarray:
        padded = np.pad(band, 25, mode="reflect")
        height, width = band.shape
        window = np.outer(taps, taps)
        return np.array(
            [[(window * padded[y : y + 51, x : x + 51]).sum() for x in range(width)] for y in range(height)]
        )

    rest = picture - blur(picture)
    mask = blur((np.abs(rest) * 255 > 10).astype(float))
    return (mask * np.clip(picture + 0.5 * rest, 0, 1) + (1 - mask) * picture) * 2 - 1


@pytest.mark.parametrize("size", [(40, 33), (60, 9), (1, 12)], ids=str)
def test_sharpening_is_an_unsharp_mask_near_edges(size):
    target = torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, (2, 3, *size))).float()
    made = sharpened(target)
    assert (made.shape, made.dtype) == (target.shape, target.dtype)
    for image in range(2):
        for band in range(3):
            by_hand = sharpened_by_hand(target[image, band].double().numpy())
            assert made[image, band].numpy() == pytest.approx(by_hand, abs=1e-4)
    assert made.abs().max() <= 1 + 1e-6


def test_sharpening_leaves_flat_and_faint_parts_alone_and_makes_edges_steeper():
    flat = torch.full((1, 3, 40, 40), 0.3)
    assert sharpened(flat).numpy() == pytest.approx(flat.numpy(), abs=1e-6)
    faint = torch.zeros(1, 1, 64, 64)
    faint[..., 32:] = 2 * 9 / 255
    assert sharpened(faint).numpy() == pytest.approx(faint.numpy(), abs=1e-6)
    edge = torch.full((1, 1, 64, 64), -0.4)
    edge[..., 32:] = 0.4
    made = sharpened(edge)
    assert (made[..., 32] - made[..., 31] > 1.1 * 0.8).all()
    assert made.max() > 0.45


def test_no_gradient_goes_through_sharpening_and_half_precision_does_not_reach_it():
    target = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = sharpened(target.clone().requires_grad_())
    assert not made.requires_grad
    assert torch.equal(made, sharpened(target))
    assert sharpened(target.bfloat16()).dtype == torch.bfloat16
