"""PSNR-Y and SSIM-Y equal their definitions in plain NumPy, and give bicubic the figures that tables have for it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import Translator
from img2img_hub.data.find.sources import DataConfig, open_data
from img2img_hub.evaluation.measure import enlarges_pictures, evaluate_paired
from img2img_hub.evaluation.metrics import METRICS, metric_names, psnr, psnr_y, ssim, ssim_y
from img2img_hub.evaluation.metrics.luma import luma
from img2img_hub.images.values import BandValues
from img2img_hub.networks import ResNetGenerator, SRResNetGenerator
from img2img_hub.translation.settings import TranslationSettings
from tests.conftest import picture

# The 100 test pictures of BSDS300, which are the val pictures of BSDS500 and what the field calls BSD100. They may not
# be shipped.


def tensor(pixels: np.ndarray) -> torch.Tensor:
    """(1, C, H, W) in [0, 1] of (H, W, C) in 0–255."""
    return torch.from_numpy(pixels.astype(np.float64).transpose(2, 0, 1))[None] / 255


def y_by_hand(pixels: np.ndarray) -> np.ndarray:
    """(H, W), 16 to 235, of (H, W, 3) in 0–255, not rounded."""
    red, green, blue = (pixels[..., band] / 255 for band in range(3))
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue


def psnr_by_hand(made: np.ndarray, real: np.ndarray, border: int) -> float:
    height, width = made.shape[:2]
    inner = (slice(border, height - border), slice(border, width - border))
    return 10 * math.log10(255**2 / np.mean((y_by_hand(made)[inner] - y_by_hand(real)[inner]) ** 2))


def ssim_by_hand(made: np.ndarray, real: np.ndarray, border: int) -> float:
    """Of values in 0–255 with the constants of 255, window by window."""
    height, width = made.shape[:2]
    bands = [y_by_hand(each)[border : height - border, border : width - border] for each in (made, real)]
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / np.outer(taps, taps).sum()
    values = []
    for top in range(height - 2 * border - 10):
        for left in range(width - 2 * border - 10):
            a, b = (band[top : top + 11, left : left + 11] for band in bands)
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            both = (window * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append(
                (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return float(np.mean(values))


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (31, 26, 3))
    return np.clip(real + random.normal(0, 40, real.shape).round(), 0, 255).astype(int), real


# --- the formulas -----------------------------------------------------------------------------------------------------


def test_luminance_is_that_of_studio_range():
    """As tables of BT.601 have it for full black, white, red, green and blue."""
    colours = np.array([[(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]])
    assert (luma(tensor(colours)) * 255).flatten().tolist() == pytest.approx([16, 235, 81.481, 144.553, 40.966])


@pytest.mark.parametrize("border", [0, 2, 4])
def test_both_are_their_formulas(pair, border):
    made, real = pair
    assert psnr_y(tensor(made), tensor(real), border=border).item() == pytest.approx(psnr_by_hand(made, real, border))
    by_hand = ssim_by_hand(made, real, border)
    assert ssim_y(tensor(made), tensor(real), border=border).item() == pytest.approx(by_hand, abs=1e-9)


def test_they_are_not_the_numbers_of_rgb(pair):
    made, real = (tensor(each) for each in pair)
    assert psnr_y(made, real, border=0).item() > psnr(made, real).item() + 1
    assert abs(ssim_y(made, real, border=0).item() - ssim(made, real).item()) > 0.001


@pytest.mark.parametrize("place", [(3, 12), (27, 12), (15, 3), (15, 22)], ids=str)
def test_the_border_counts_for_nothing_and_the_first_pixel_inside_does(pair, place):
    real = tensor(pair[1])
    made = real.clone()
    made[:, :, place[0], place[1]] = 1 - made[:, :, place[0], place[1]]
    assert psnr_y(made, real, border=4).item() == math.inf
    assert ssim_y(made, real, border=4).item() == pytest.approx(1)
    assert psnr_y(made, real, border=3).item() < 60
    assert ssim_y(made, real, border=3).item() < 1 - 1e-6


def test_grey_pictures_are_as_if_saved_in_colour(pair):
    made, real = (tensor(each[..., :1]) for each in pair)
    in_colour = [each.expand(-1, 3, -1, -1) for each in (made, real)]
    assert psnr_y(made, real, border=2).item() == pytest.approx(psnr_y(*in_colour, border=2).item())
    assert ssim_y(made, real, border=2).item() == pytest.approx(ssim_y(*in_colour, border=2).item())


def test_several_pictures_have_a_number_each(pair):
    made, real = (tensor(each) for each in pair)
    batch = torch.cat([made, real]), torch.cat([real, real])
    assert psnr_y(*batch, border=2).tolist() == [psnr_y(made, real, border=2).item(), math.inf]
    assert ssim_y(*batch, border=2).tolist() == pytest.approx([ssim_y(made, real, border=2).item(), 1])


def test_what_cannot_be_measured_is_refused_in_a_sentence():
    small = torch.zeros(1, 3, 18, 40)
    assert psnr_y(small, small, border=8).item() == math.inf
    with pytest.raises(ValueError, match="at least 1×1 pixels are needed without a border of 9, got pictures of 18×40"):
        psnr_y(small, small, border=9)
    with pytest.raises(ValueError, match="at least 11×11 pixels are needed without a border of 4, got pictures of 18"):
        ssim_y(small, small, border=4)
    with pytest.raises(ValueError, match="border of -1"):
        psnr_y(small, small, border=-1)
    with pytest.raises(ValueError, match=r"grey or RGB pictures are needed, .* got \(1, 4, 18, 40\)"):
        psnr_y(torch.zeros(1, 4, 18, 40), torch.zeros(1, 4, 18, 40), border=0)
    with pytest.raises(ValueError, match="one shape"):
        ssim_y(small, torch.zeros(1, 1, 18, 40), border=0)


# --- bicubic's figures ------------------------------------------------------------------------------------------------


def bicubic_matrix(old: int, new: int) -> np.ndarray:
    """(new, old): MATLAB's imresize along one side. Keys' kernel with a = -1/2, widened where the picture shrinks, its
    weights summing to 1; the picture goes on mirrored, the edge pixel twice."""

    def keys(x: float) -> float:
        x = abs(x)
        return 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    factor = new / old
    widening = min(factor, 1.0)
    matrix = np.zeros((new, old))
    for row in range(new):
        centre = (row + 0.5) / factor - 0.5
        reach = 2 / widening
        columns = range(math.floor(centre - reach), math.ceil(centre + reach) + 1)
        weights = [keys(widening * (centre - column)) for column in columns]
        for column, weight in zip(columns, weights, strict=True):
            place = column % (2 * old)
            matrix[row, min(place, 2 * old - 1 - place)] += weight / sum(weights)
    return matrix


def imresize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, C) whole numbers of (H, W, C) in 0–255."""
    rows, columns = bicubic_matrix(pixels.shape[0], height), bicubic_matrix(pixels.shape[1], width)
    return np.clip(np.round(np.einsum("hH,HWc,wW->hwc", rows, pixels.astype(float), columns)), 0, 255)


def by_pillow(photo: Image.Image, scale: int) -> Image.Image:
    small = photo.resize((photo.width // scale, photo.height // scale), Image.Resampling.BICUBIC)
    return small.resize(photo.size, Image.Resampling.BICUBIC)


def made_up_photo() -> Image.Image:
    """Edges at all angles, thin lines and texture that no bicubic brings back, 160×120."""
    y, x = np.mgrid[:120, :160].astype(float)
    disc = np.hypot(x - 60, y - 55) < 38
    stripes = np.sin((x + 0.6 * y) / 2.2) > 0.7
    waves = np.sin((x - 80) ** 2 / 90 + y / 5)
    random = np.random.default_rng(3).normal(0, 6, (120, 160, 3))
    base = np.stack([90 + 70 * disc + 40 * waves, 120 + 60 * disc - 50 * stripes, 60 + 0.8 * x + 30 * waves], axis=-1)
    return Image.fromarray(np.clip(base + random, 0, 255).round().astype(np.uint8))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_has_the_figure_that_matlab_would_give_it(scale):
    """No picture of the field's tables is free to ship or in an installed package. So this one is made up, and its
    figure is no published one: MATLAB's imresize, rgb2ycbcr, PSNR and SSIM are written out above, and the library with
    Pillow's bicubic, which mirrors nothing and rounds in between, must come as near as tables are printed."""
    photo = made_up_photo()
    photo = photo.crop((0, 0, photo.width // scale * scale, photo.height // scale * scale))
    real = np.asarray(photo).astype(float)
    height, width = real.shape[:2]
    by_matlab = imresize(imresize(real, height // scale, width // scale), height, width)
    made, wanted = tensor(np.asarray(by_pillow(photo, scale))), tensor(real)
    assert psnr_y(made, wanted, border=scale).item() == pytest.approx(psnr_by_hand(by_matlab, real, scale), abs=0.02)
    assert ssim_y(made, wanted, border=scale).item() == pytest.approx(ssim_by_hand(by_matlab, real, scale), abs=0.001)


# --- in an evaluation -------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of several sizes, one of them no multiple of the scale."""
    (tmp_path / "test").mkdir()
    for number, size in enumerate([(48, 36), (51, 41)]):
        picture(seed=number, size=size).save(tmp_path / f"test/{number}.png")
    return tmp_path


def test_a_model_that_enlarges_has_them_and_its_numbers_of_rgb_stay(photos):
    torch.manual_seed(0)
    model = Translator(SRResNetGenerator(scale=2, blocks=1, width=4))
    data = open_data(DataConfig(dataset=str(photos)), paired=True, split="test", slots=model.slots)
    numbers = evaluate_paired(model, data, image_size=None)
    assert tuple(numbers) == metric_names(paired=True, luma=True)
    assert tuple(numbers)[:6] == ("l1", "psnr", "ssim", "ms_ssim", "psnr_y", "ssim_y")
    pairs = [(np.asarray(model(data.source(row))), np.asarray(data.target(row))) for row in range(2)]
    assert {real.shape for _, real in pairs} == {(36, 48, 3), (40, 50, 3)}
    assert numbers["psnr_y"] == pytest.approx(np.mean([psnr_by_hand(*each, border=2) for each in pairs]))
    assert numbers["ssim_y"] == pytest.approx(np.mean([ssim_by_hand(*each, border=2) for each in pairs]))
    errors = [np.mean((made / 255 - real / 255) ** 2) for made, real in pairs]
    assert numbers["psnr"] == pytest.approx(np.mean(-10 * np.log10(errors)))


def test_an_output_equal_to_its_target_keeps_the_mean_finite(photos):
    for file in (photos / "test").iterdir():
        Image.new("RGB", (48, 36), (128, 128, 128)).save(file)
    model = Translator(SRResNetGenerator(scale=2, blocks=1, width=4))
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()  # the output is 0 everywhere: mid-grey
    data = open_data(DataConfig(dataset=str(photos)), paired=True, split="test", slots=model.slots)
    numbers = evaluate_paired(model, data, image_size=None)
    assert (numbers["psnr_y"], numbers["psnr"]) == (100, 100)
    assert numbers["ssim_y"] == pytest.approx(1)


def test_a_model_that_keeps_the_size_has_none(photos, tmp_path):
    for side in "AB":
        (tmp_path / "pairs/test" / side).mkdir(parents=True)
        picture(seed=1, size=(32, 32)).save(tmp_path / "pairs/test" / side / "0.png")
    data = open_data(DataConfig(dataset=str(tmp_path / "pairs")), paired=True, split="test")
    numbers = evaluate_paired(Translator(ResNetGenerator(width=4, blocks=1)), data, image_size=32)
    assert tuple(numbers) == metric_names(paired=True)
    assert not {"psnr_y", "ssim_y"} & numbers.keys()


def test_rasters_have_none():
    """Their bands are no red, green and blue."""
    network = SRResNetGenerator(scale=2, blocks=1, width=4)
    values = BandValues(dtype="uint16", low=(0.0,) * 3, high=(1000.0,) * 3)
    of_rasters = TranslationSettings(source_values=values, target_values=values, source_channels=3, target_channels=3)
    assert enlarges_pictures(Translator(network))
    assert not enlarges_pictures(Translator(network, of_rasters))


def test_the_table_says_what_they_are_of():
    assert METRICS["psnr_y"].title == "PSNR-Y"
    assert METRICS["ssim_y"].title == "SSIM-Y"
    for name in ("psnr_y", "ssim_y"):
        assert METRICS[name].meaning.endswith("luminance of BT.601, border cropped, higher is better")
        assert METRICS[name].is_better(0.9, than=0.1)
    assert list(METRICS)[:6] == ["l1", "psnr", "ssim", "ms_ssim", "psnr_y", "ssim_y"]
    assert metric_names(paired=False, luma=True) == metric_names(paired=False)
