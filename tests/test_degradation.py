"""Pictures made smaller: each step of Real-ESRGAN's degradation against plain code, and the same bytes of the same
generator. How often each is drawn is in test_degradation_draws.py."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from img2img_hub.data.samples.degradation import (
    FIRST,
    RESAMPLINGS,
    Blur,
    Degradation,
    Recipe,
    Round,
    blurred,
    by_jpeg,
    enlarged_or_reduced,
    picture_of,
    shot_noise,
    values_of,
)
from tests.conftest import picture

NOTHING = Round(blur=None, factor=1.0, resampling="area", gaussian=0.0, poisson=None, grey=False, quality=95)
by_kind = pytest.mark.parametrize("kind", ["bicubic", "real"])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return generator(seed).random(shape, dtype=np.float32)


# --- the whole --------------------------------------------------------------------------------------------------------


@by_kind
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_becomes_exactly_so_many_times_smaller(kind, scale, mode):
    large = picture(seed=1, size=(60, 36)).convert(mode)
    before = large.tobytes()
    for seed in range(12):
        small = Degradation(kind, scale).of_image(large, random=generator(seed))
        assert (small.size, small.mode) == ((60 // scale, 36 // scale), mode)
    assert large.tobytes() == before


def test_bicubic_is_that_of_pillow_and_draws_nothing():
    large, random = picture(seed=1, size=(60, 36)), generator()
    small = Degradation("bicubic", 3).of_image(large, random=random)
    assert small.tobytes() == large.resize((20, 12), Image.Resampling.BICUBIC).tobytes()
    assert random.bit_generator.state == generator().bit_generator.state


def test_of_the_same_generator_come_the_same_bytes_and_of_others_others():
    large, way = picture(seed=1, size=(64, 48)), Degradation("real", 4)
    made = [way.of_image(large, random=generator(seed)).tobytes() for seed in (*range(20), *range(20))]
    assert made[:20] == made[20:]
    assert len(set(made)) == 20
    random = generator(0)
    assert way.of_image(large, random=random).tobytes() == made[0]
    assert way.of_image(large, random=random).tobytes() != made[0]


@by_kind
@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("size", [(4, 4), (4, 40), (40, 4)], ids=str)
def test_tiny_black_and_white_pictures_pass(kind, colour, size):
    for mode in ("L", "RGB"):
        large = Image.new(mode, size, (colour,) * len(mode) if mode == "RGB" else colour)
        for seed in range(30):
            small = Degradation(kind, 4).of_image(large, random=generator(seed))
            assert small.size == (size[0] // 4, size[1] // 4)


def test_black_stays_black_where_photons_are_counted():
    """There are none."""
    recipe = Recipe.drawn(generator())
    dark = replace(NOTHING, gaussian=None, poisson=3.0)
    recipe = replace(recipe, first=dark, second=dark, last=None)
    small = recipe.applied(Image.new("RGB", (32, 32)), (8, 8), random=generator())
    assert np.asarray(small).max() == 0


@by_kind
def test_what_cannot_be_is_refused_in_a_sentence(kind):
    way, random = Degradation(kind, 4), generator()
    with pytest.raises(
        ValueError, match="a picture of 30×32 pixels cannot be made 4 times smaller without a rest: crop"
    ):
        way.of_image(Image.new("RGB", (30, 32)), random=random)
    with pytest.raises(ValueError, match="32×30"):
        way.of_image(Image.new("L", (32, 30)), random=random)
    with pytest.raises(ValueError, match="of mode L or RGB is needed, got RGBA"):
        way.of_image(Image.new("RGBA", (32, 32)), random=random)
    for scale in (0, -2, 2.5, "4"):
        with pytest.raises(ValueError, match="a whole number of times smaller"):
            Degradation(kind, scale)
    with pytest.raises(ValueError, match="made smaller by bicubic or real, got 'nearest'"):
        Degradation("nearest", 4)


def test_they_say_what_they_do():
    assert Degradation("bicubic", 4).description == "made 4 times smaller (bicubic)"
    assert Degradation("real", 2).description == "made 2 times smaller by Real-ESRGAN's degradation"


@pytest.mark.parametrize("jpeg_is_last", [True, False])
def test_the_steps_follow_one_another_in_the_order_of_the_paper(jpeg_is_last):
    """Without noise nothing is drawn, and each step can be done by hand."""
    blurs = Blur("gaussian", 7, (1.0, 1.0)), Blur("plateau", 9, (0.5, 1.2), angle=0.3, power=1.5)
    recipe = Recipe(
        first=replace(NOTHING, blur=blurs[0], factor=0.5, resampling="bilinear", quality=40),
        second=replace(NOTHING, blur=blurs[1], factor=1.18, resampling="bicubic", quality=60),
        last=Blur("sinc", 7, cutoff=2.0),
        resampling="area",
        jpeg_is_last=jpeg_is_last,
    )
    large = picture(seed=1, size=(64, 48))
    values = enlarged_or_reduced(blurred(values_of(large), blurs[0]), (32, 24), "bilinear")
    values = by_jpeg(values, 40)
    values = enlarged_or_reduced(blurred(values, blurs[1]), (18, 14), "bicubic")  # of 16×12, rounded down
    values = np.clip(values, 0, 1)
    if jpeg_is_last:
        values = by_jpeg(blurred(enlarged_or_reduced(values, (16, 12), "area"), recipe.last), 60)
    else:
        values = blurred(enlarged_or_reduced(by_jpeg(values, 60), (16, 12), "area"), recipe.last)
    made = recipe.applied(large, (16, 12), random=generator())
    assert made.tobytes() == picture_of(values).tobytes()


# --- kernels ----------------------------------------------------------------------------------------------------------


def test_kernels_keep_the_brightness_and_move_nothing():
    random = generator()
    for _ in range(300):
        blur = Blur.drawn(random, FIRST.sigma)
        kernel = blur.kernel
        assert kernel.shape == (blur.size, blur.size)
        assert kernel.dtype == np.float32
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
        assert np.unravel_index(kernel.argmax(), kernel.shape) == (blur.size // 2, blur.size // 2)
        assert blur.shape == "sinc" or kernel.min() >= 0


def bessel_j1(x: float) -> float:
    """Bessel's integral, by the trapezium rule, which is exact to rounding for a periodic function."""
    angles = (np.arange(400) + 0.5) * math.pi / 400
    return float(np.mean(np.cos(angles - x * np.sin(angles))))


@pytest.mark.parametrize(("size", "cutoff"), [(7, math.pi), (13, 1.1), (21, math.pi / 5)])
def test_the_sinc_filter_is_the_ideal_lowpass_of_the_plane(size, cutoff):
    plain = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            radius = math.hypot(row - size // 2, column - size // 2)
            plain[row, column] = (
                cutoff * bessel_j1(cutoff * radius) / (2 * math.pi * radius) if radius else cutoff**2 / (4 * math.pi)
            )
    assert Blur("sinc", size, cutoff=cutoff).kernel == pytest.approx(plain / plain.sum(), abs=1e-6)
    assert plain.min() < 0, "it rings"


@pytest.mark.parametrize(
    ("shape", "sigma", "angle", "power"),
    [
        ("gaussian", (1.3, 1.3), 0.0, 1.0),
        ("gaussian", (2.5, 0.7), 0.6, 1.0),
        ("generalised", (2.5, 0.7), -1.9, 0.5),
        ("generalised", (3.0, 3.0), 0.0, 4.0),
        ("plateau", (0.9, 2.0), 2.2, 1.7),
    ],
)
def test_the_other_kernels_are_their_formulas_with_a_covariance(shape, sigma, angle, power):
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(np.square(sigma)) @ turn.T)
    plain = np.zeros((9, 9))
    for row in range(9):
        for column in range(9):
            place = np.array([column - 4, row - 4])
            distance = (place @ inverse @ place) ** power
            plain[row, column] = 1 / (1 + distance) if shape == "plateau" else math.exp(-distance / 2)
    assert Blur(shape, 9, sigma, angle, power).kernel == pytest.approx(plain / plain.sum(), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 23, 30), (3, 16, 9), (3, 2, 5), (1, 1, 7)], ids=str)
def test_blurring_is_a_convolution_of_the_mirrored_picture(shape):
    blur = Blur("gaussian", 13, (2.5, 0.7), angle=0.6)
    values = noise(*shape)
    padded = np.pad(values.astype(np.float64), ((0, 0), (6, 6), (6, 6)), mode="reflect")
    plain = np.zeros(shape)
    for row in range(13):
        for column in range(13):
            plain += blur.kernel[row, column] * padded[:, row : row + shape[1], column : column + shape[2]]
    assert blurred(values, blur) == pytest.approx(plain, abs=1e-5)
    assert blurred(values, None) is values


def test_blurring_turns_no_kernel_around():
    """A point becomes the kernel, along the axis that the angle says: down to the right."""
    point = np.zeros((1, 21, 21), np.float32)
    point[0, 10, 10] = 1
    made = blurred(point, Blur("gaussian", 21, (3.0, 0.5), angle=math.pi / 4))[0]
    assert made[13, 13] > 10 * made[13, 7]


# --- sizes, noise, JPEG -----------------------------------------------------------------------------------------------


def test_areas_are_means_and_the_two_others_read_what_is_near_alone():
    values = noise(3, 12, 16)
    area = enlarged_or_reduced(values, (4, 3), "area")
    assert area == pytest.approx(values.reshape(3, 3, 4, 4, 4).mean(axis=(2, 4)), abs=1e-6)
    near = enlarged_or_reduced(values, (4, 3), "bilinear")
    assert near == pytest.approx(values.reshape(3, 3, 4, 4, 4)[:, :, 1:3, :, 1:3].mean(axis=(2, 4)), abs=1e-6)
    taps = np.array([-0.09375, 0.59375, 0.59375, -0.09375])  # Keys' kernel, a = -3/4, in the middle of two pixels
    cubic = enlarged_or_reduced(values, (4, 3), "bicubic")
    assert cubic == pytest.approx(np.einsum("crikj,i,j->crk", values.reshape(3, 3, 4, 4, 4), taps, taps), abs=1e-6)
    assert all(enlarged_or_reduced(values, (16, 12), how) is values for how in RESAMPLINGS)


def test_counted_photons_have_the_variance_of_their_number():
    """A picture of 200 grey values is counted in 256 photons for white; one of two values in 2."""
    steps = np.repeat(np.linspace(0, 199, 200).round()[:, None], 20000, axis=1)[None].astype(np.float32) / 255
    added = shot_noise(steps, generator())[0].astype(np.float64)
    for row in (1, 40, 128, 199):
        variance = row / 255 / 256
        assert added[row].mean() == pytest.approx(0, abs=5 * math.sqrt(variance / 20000))
        assert added[row].var() == pytest.approx(variance, rel=0.06)
    assert not added[0].any()
    two = np.full((1, 2, 20000), 1, np.float32)
    two[0, 0] = 102 / 255
    assert shot_noise(two, generator())[0, 0].var() == pytest.approx(0.4 / 2, rel=0.05)


@pytest.mark.parametrize("grey", [True, False])
def test_noise_of_each_kind_is_as_strong_as_drawn_and_grey_noise_the_same_in_all_bands(grey):
    middle = np.full((3, 200, 200), 128 / 255, np.float32)
    for strength in (2.0, 10.0):
        made = replace(NOTHING, gaussian=strength, grey=grey).before_jpeg(middle, (200, 200), generator())
        added = (made - middle) * 255
        assert added.std() == pytest.approx(strength, rel=0.02)
        assert (np.ptp(added, axis=0).max() < 1e-3) == grey
    steps = np.broadcast_to((np.arange(256, dtype=np.float32) / 255)[:, None], (3, 256, 400)).copy()
    for strength in (0.5, 1.5):
        round = replace(NOTHING, gaussian=None, poisson=strength, grey=grey)
        added = round.before_jpeg(steps, (400, 256), generator()) - steps
        assert added[:, 100].std() == pytest.approx(strength * math.sqrt(100 / 255 / 256), rel=0.1)
        assert (np.ptp(added, axis=0).max() < 1e-3) == grey


def test_noise_on_a_colour_that_is_counted_grey_is_of_its_luminance():
    red = np.zeros((3, 100, 100), np.float32)
    red[0] = 1
    round = replace(NOTHING, gaussian=None, poisson=1.0, grey=True)
    dark = round.before_jpeg(red, (100, 100), generator())[1]  # half of the noise is cut off at black
    photons, share = 1, round_to_grey(0.299)
    counted = generator().poisson(np.full((1, 100, 100), share * photons)) / photons - share
    assert dark == pytest.approx(np.clip(counted, 0, 1)[0], abs=1e-6)


def round_to_grey(value: float) -> float:
    return round(value * 255) / 255


def test_jpeg_is_really_applied_with_the_quality_that_was_drawn():
    values = values_of(picture(seed=4, size=(48, 32)))
    for quality in (30, 60, 95):
        file = io.BytesIO()
        picture_of(values).save(file, "JPEG", quality=quality)
        assert np.array_equal(by_jpeg(values, quality) * 255, values_of(Image.open(file)) * 255)
    errors = [np.abs(by_jpeg(noise(3, 32, 48), quality) - noise(3, 32, 48)).mean() for quality in (30, 60, 95)]
    assert errors[0] > errors[1] > errors[2] > 0.01
    assert by_jpeg(noise(1, 32, 48), 50).shape == (1, 32, 48)


def test_pictures_are_rounded_and_cut_off():
    values = np.array([[[-0.2, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 1.3]]], np.float32)
    assert np.asarray(picture_of(values)).tolist() == [[0, 0, 0, 1, 255, 255]]
    photo = picture(seed=4, size=(5, 4))
    assert picture_of(values_of(photo)).tobytes() == photo.tobytes()
