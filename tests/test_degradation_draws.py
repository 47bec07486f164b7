"""How often Real-ESRGAN's degradation draws what: the paper's chances and ranges, counted over thousands of draws."""

import math
from collections import Counter

import numpy as np
import pytest

from img2img_hub.data.samples.degradation import FIRST, SECOND, Recipe, Round

DRAWS = 8000


@pytest.fixture(scope="module")
def recipes() -> list[Recipe]:
    random = np.random.default_rng(5)
    return [Recipe.drawn(random) for _ in range(DRAWS)]


def often(happens: list[bool], chance: float) -> None:
    """Within 4.5 standard deviations of the chance."""
    spread = math.sqrt(chance * (1 - chance) / len(happens))
    assert np.mean(happens) == pytest.approx(chance, abs=4.5 * spread)


def evenly(values: list[float], low: float, high: float) -> None:
    """Spread evenly from the one to the other."""
    assert low <= min(values) < low + 0.02 * (high - low)
    assert high >= max(values) > high - 0.02 * (high - low)
    width = (high - low) / math.sqrt(12)
    assert np.mean(values) == pytest.approx((low + high) / 2, abs=4.5 * width / math.sqrt(len(values)))


@pytest.mark.parametrize(
    ("which", "blurs", "sigma", "resizes", "factors", "gaussian", "poisson"),
    [
        ("first", 1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0)),
        ("second", 0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5)),
    ],
)
def test_each_round_draws_what_the_paper_says(recipes, which, blurs, sigma, resizes, factors, gaussian, poisson):
    rounds: list[Round] = [getattr(recipe, which) for recipe in recipes]
    often([each.blur is not None for each in rounds], blurs)
    kernels = [each.blur for each in rounds if each.blur is not None]
    often([blur.shape == "sinc" for blur in kernels], 0.1)
    others = [blur for blur in kernels if blur.shape != "sinc"]
    kinds = Counter((blur.shape, blur.sigma[0] == blur.sigma[1]) for blur in others)
    chances = {
        ("gaussian", True): 0.45,
        ("gaussian", False): 0.25,
        ("generalised", True): 0.12,
        ("generalised", False): 0.03,
        ("plateau", True): 0.12,
        ("plateau", False): 0.03,
    }
    assert kinds.keys() == chances.keys()
    for kind, chance in chances.items():
        often([(blur.shape, blur.sigma[0] == blur.sigma[1]) == kind for blur in others], chance)
    evenly([blur.sigma[0] for blur in others], *sigma)
    evenly([blur.sigma[1] for blur in others], *sigma)
    evenly([blur.angle for blur in others if blur.sigma[0] != blur.sigma[1]], -math.pi, math.pi)
    assert {blur.power for blur in others if blur.shape == "gaussian"} == {1.0}
    for shape, low, high in (("generalised", 0.5, 4.0), ("plateau", 1.0, 2.0)):
        powers = [blur.power for blur in others if blur.shape == shape]
        often([power > 1 for power in powers], 0.5)
        evenly([power for power in powers if power > 1], 1.0, high)
        assert low <= min(powers) < low + 0.02
    for size in range(7, 22, 2):
        often([blur.size == size for blur in kernels], 1 / 8)
    assert {blur.size for blur in kernels} == set(range(7, 22, 2))
    sincs = [blur for blur in kernels if blur.shape == "sinc"]
    evenly([blur.cutoff for blur in sincs if blur.size < 13], math.pi / 3, math.pi)
    evenly([blur.cutoff for blur in sincs if blur.size >= 13], math.pi / 5, math.pi)

    larger, smaller = ([each.factor for each in rounds if (each.factor > 1, each.factor < 1)[down]] for down in (0, 1))
    often([each.factor > 1 for each in rounds], resizes[0])
    often([each.factor < 1 for each in rounds], resizes[1])
    often([each.factor == 1 for each in rounds], resizes[2])
    evenly(larger, 1, factors[1])
    evenly(smaller, factors[0], 1)
    for how in ("area", "bilinear", "bicubic"):
        often([each.resampling == how for each in rounds], 1 / 3)

    often([each.gaussian is not None for each in rounds], 0.5)
    assert all((each.gaussian is None) != (each.poisson is None) for each in rounds)
    evenly([each.gaussian for each in rounds if each.gaussian is not None], *gaussian)
    evenly([each.poisson for each in rounds if each.poisson is not None], *poisson)
    often([each.grey for each in rounds], 0.4)
    assert {each.quality for each in rounds} == set(range(30, 96))
    assert np.mean([each.quality for each in rounds]) == pytest.approx(62.5, abs=1)


def test_the_end_is_drawn_as_the_paper_says(recipes):
    often([recipe.last is not None for recipe in recipes], 0.8)
    often([recipe.jpeg_is_last for recipe in recipes], 0.5)
    often([recipe.jpeg_is_last for recipe in recipes if recipe.last is not None], 0.5)
    for how in ("area", "bilinear", "bicubic"):
        often([recipe.resampling == how for recipe in recipes], 1 / 3)
    last = [recipe.last for recipe in recipes if recipe.last is not None]
    assert {blur.shape for blur in last} == {"sinc"}
    assert {blur.size for blur in last} == set(range(7, 22, 2))
    evenly([blur.cutoff for blur in last], math.pi / 3, math.pi)


def test_the_two_rounds_have_nothing_to_do_with_each_other(recipes):
    qualities = np.corrcoef([(recipe.first.quality, recipe.second.quality) for recipe in recipes], rowvar=False)
    assert abs(qualities[0, 1]) < 0.06
    assert FIRST != SECOND
