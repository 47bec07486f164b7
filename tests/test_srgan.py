"""SRGAN and ESRGAN: what their players learn by, against plain code, and runs from one folder of pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from img2img_hub import DataConfig, TrainConfig, Translator
from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.sources import open_data
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.families.base import Outputs
from img2img_hub.families.esrgan import ESRGAN
from img2img_hub.families.options import Architecture
from img2img_hub.families.srgan import SRGAN
from img2img_hub.images.picture import to_image
from img2img_hub.objectives.sharpen import sharpened
from img2img_hub.objectives.vgg19 import PLACES
from tests.families import tiny_vgg19

pytest_plugins = ["tests.starting"]

SMALL = Architecture(width=4, blocks=1)


def batch(scale: int = 2, side: int = 16) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "source": torch.rand(2, 3, side, side) * 2 - 1,
        "target": torch.rand(2, 3, scale * side, scale * side) * 2 - 1,
    }


def built(family, side: int = 16) -> dict[str, torch.nn.Module]:
    torch.manual_seed(1)
    networks = dict(family.build(SMALL, in_channels=3, out_channels=3, image_size=side))
    return {name: network.eval() for name, network in networks.items()} | family.make_helpers()


def terms(family, networks, data, phase: int) -> dict[str, tuple[torch.Tensor, float]]:
    outputs = Outputs(keep_graph=True, pools={})
    found = {}
    for number in range(phase + 1):
        found = family.phases[number].loss(networks, data, outputs)
    return found


def plain_vgg19(path: Path, image: torch.Tensor, *, tap: str) -> torch.Tensor:
    """The features of torchvision's layers before the ReLU of `tap`, written out."""
    state = torch.load(path, weights_only=True)
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    values = ((image + 1) / 2 - mean) / deviation
    for name, place in PLACES.items():
        if name.endswith("_1") and name != "relu1_1":
            values = F.max_pool2d(values, 2)
        values = F.conv2d(values, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1)
        if name == tap:
            return values
        values = F.relu(values)
    raise AssertionError(tap)


@pytest.fixture
def vgg19(tmp_path: Path) -> Path:
    return tiny_vgg19(tmp_path / "vgg19.pth")


def test_srgan_weighs_features_by_their_mean_square_and_the_verdict_by_a_thousandth(vgg19: Path) -> None:
    family, data = SRGAN(scale=2, perceptual=str(vgg19)), batch()
    networks = built(family)
    found = terms(family, networks, data, 0)
    made = networks["generator"](data["source"])
    one, two = (plain_vgg19(vgg19, image, tap="relu5_4").relu() for image in (made, data["target"]))
    assert found.keys() == {"adversarial", "perceptual"}
    assert found["perceptual"][1] == 1
    torch.testing.assert_close(found["perceptual"][0], ((one - two) ** 2).mean() / 12.75**2)
    logits = networks["discriminator"](made)
    torch.testing.assert_close(found["adversarial"][0], -torch.log(torch.sigmoid(logits)).mean())
    assert found["adversarial"][1] == 1e-3

    judged = terms(family, networks, data, 1)
    real = networks["discriminator"](data["target"])
    torch.testing.assert_close(judged["real"][0], -torch.log(torch.sigmoid(real)).mean())
    torch.testing.assert_close(judged["fake"][0], -torch.log(1 - torch.sigmoid(logits)).mean())
    assert (judged["real"][1], judged["fake"][1]) == (1, 1), "unhalved"


def test_the_discriminator_judges_what_the_generator_made_before_it_learnt() -> None:
    family, data = SRGAN(scale=2, perceptual="none"), batch()
    networks, outputs = built(family), Outputs(keep_graph=True, pools={})
    made = networks["generator"](data["source"]).detach()
    family.phases[0].loss(networks, data, outputs)
    with torch.no_grad():
        for parameter in networks["generator"].parameters():
            parameter.mul_(0)
    judged = family.phases[1].loss(networks, data, outputs)
    expected = F.binary_cross_entropy_with_logits(networks["discriminator"](made), torch.zeros(2, 1, 1, 1))
    torch.testing.assert_close(judged["fake"][0], expected)
    assert not outputs.fakes


@pytest.mark.parametrize("kind", [SRGAN, ESRGAN])
def test_the_first_stage_is_the_pixels_alone(kind) -> None:
    family, data = kind(scale=2, stage="pixels"), batch()
    assert family.make_helpers() == {}, "and no VGG19 is fetched for it"
    networks = built(family)
    assert networks.keys() == {"generator"}
    assert [phase.name for phase in family.phases] == ["generator"]
    ((value, weight),) = terms(family, networks, data, 0).values()
    made, target = networks["generator"](data["source"]), data["target"]
    torch.testing.assert_close(value, ((made - target) ** 2).mean() if kind is SRGAN else (made - target).abs().mean())
    assert weight == 1


def test_esrgan_compares_before_the_activation_and_judges_relative_to_the_others(vgg19: Path) -> None:
    family, data = ESRGAN(scale=2, perceptual=str(vgg19), discriminator="patch"), batch(side=32)
    networks = built(family, side=32)
    found = terms(family, networks, data, 0)
    made, target = networks["generator"](data["source"]), data["target"]
    one, two = (plain_vgg19(vgg19, image, tap="relu5_4") for image in (made, target))
    torch.testing.assert_close(found["perceptual"][0], (one - two).abs().mean())
    torch.testing.assert_close(found["pixel"][0], (made - target).abs().mean())
    fake, real = (networks["discriminator"](image) for image in (made, target))
    to_fake, to_real = torch.sigmoid(real - fake.mean()), torch.sigmoid(fake - real.mean())
    torch.testing.assert_close(
        found["adversarial"][0], -(torch.log(1 - to_fake).mean() + torch.log(to_real).mean()) / 2
    )
    assert {name: weight for name, (_, weight) in found.items()} == {
        "perceptual": 1,
        "pixel": 1e-2,
        "adversarial": 5e-3,
    }
    judged = terms(family, networks, data, 1)
    torch.testing.assert_close(judged["real"][0], -torch.log(to_fake).mean())
    torch.testing.assert_close(judged["fake"][0], -torch.log(1 - to_real).mean())
    assert (judged["real"][1], judged["fake"][1]) == (0.5, 0.5)


def test_real_esrgan_learns_pixels_and_five_layers_of_a_sharpened_target(vgg19: Path) -> None:
    family, data = ESRGAN(scale=2, real=True, perceptual=str(vgg19), discriminator="unet", lambda_pixel=1), batch()
    networks = built(family)
    found = terms(family, networks, data, 0)
    made, sharp = networks["generator"](data["source"]), sharpened(data["target"])
    assert not torch.equal(sharp, data["target"])
    expected = sum(
        weight * (plain_vgg19(vgg19, made, tap=tap) - plain_vgg19(vgg19, sharp, tap=tap)).abs().mean()
        for tap, weight in (("relu1_2", 0.1), ("relu2_2", 0.1), ("relu3_4", 1), ("relu4_4", 1), ("relu5_4", 1))
    )
    torch.testing.assert_close(found["perceptual"][0], expected)
    torch.testing.assert_close(found["pixel"][0], (made - sharp).abs().mean())
    judged, real = terms(family, networks, data, 1), networks["discriminator"](data["target"])
    torch.testing.assert_close(judged["real"][0], F.softplus(-real).mean(), msg="of the plain target, not relative")


def test_sharpening_is_an_unsharp_mask_of_what_differs_by_more_than_ten() -> None:
    rows = torch.full((80, 80), 0.5)
    rows[:, 40:] = 0.7
    places = torch.arange(-25, 26, dtype=torch.float64)
    kernel = torch.exp(-(places**2) / (2 * 8.0**2))
    kernel = (kernel[:, None] * kernel[None]).float() / kernel.sum().float() ** 2

    def blurred(image: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(image[None, None], (25,) * 4, mode="reflect"), kernel[None, None])[0, 0]

    residual = rows - blurred(rows)
    edges = blurred((residual.abs() * 255 > 10).float())
    expected = edges * (rows + 0.5 * residual).clamp(0, 1) + (1 - edges) * rows
    found = sharpened(rows[None, None] * 2 - 1)[0, 0]
    torch.testing.assert_close((found + 1) / 2, expected, atol=1e-5, rtol=0)
    assert (expected - rows).abs().max() > 0.02
    flat = torch.full((1, 3, 8, 9), 0.25)
    torch.testing.assert_close(sharpened(flat), flat, msg="smaller than the kernel, and flat")


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for split, sizes in (("train", [(70, 50), (49, 83), (64, 64)]), ("val", [(45, 35)])):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for number, (width, height) in enumerate(sizes):
            pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"photos/{split}/{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_small_crops_are_made_of_the_large_ones(photos: Path, scale: int) -> None:
    data = open_data(DataConfig(dataset=str(photos)), paired=True, split="train", slots=SRGAN(scale=scale).slots)
    samples = TrainingDataset(data, image_size=(10, 8), load_size=None, flip=True, seed=0, native=True)
    for index in range(3):
        sample = samples[(0, index)]
        assert (sample["source"].shape, sample["target"].shape) == ((3, 8, 10), (3, 8 * scale, 10 * scale))
        small = to_image(sample["target"]).resize((10, 8), Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(to_image(sample["source"])), np.asarray(small))
    source, target = data.pair(1)
    assert source.size == (49 // scale, 83 // scale)
    assert target.size == (49 // scale * scale, 83 // scale * scale), "what no whole pixel covers is left out"
    assert f"made {scale} times smaller (bicubic) as its source" in data.description


def test_pairs_of_two_sizes_are_read_as_they_are(tmp_path: Path) -> None:
    for folder, size in (("low", (20, 15)), ("high", (60, 45))):
        (tmp_path / folder).mkdir()
        Image.new("RGB", size, "teal").save(tmp_path / folder / "1.png")
    config = DataConfig(dataset=str(tmp_path), source_column="low", target_column="high")
    data = open_data(config, paired=True, split="train", slots=SRGAN(scale=3).slots)
    assert [image.size for image in data.pair(0)] == [(20, 15), (60, 45)]
    wrong = open_data(config, paired=True, split="train", slots=SRGAN(scale=2).slots)
    with pytest.raises(DataError, match=r"is 20x15, .* is 60x45, which is not 2 times the size"):
        wrong.pair(0)


def test_a_degradation_is_of_methods_that_enlarge(photos: Path) -> None:
    with pytest.raises(DataError, match="--degradation is of methods that enlarge"):
        open_data(DataConfig(dataset=str(photos), degradation="real"), paired=True, split="train")
    real = DataConfig(dataset=str(photos), degradation="real")
    data = open_data(real, paired=True, split="train", slots=SRGAN().slots)
    assert "by Real-ESRGAN's degradation" in data.description
    assert [data.pair(0)[0].tobytes() for _ in range(2)].count(data.pair(0)[0].tobytes()) == 2, "always in one way"


# --- runs -------------------------------------------------------------------------------------------------------------


def test_the_second_stage_begins_where_the_first_one_ended(start, photos: Path) -> None:
    settings = {"data": DataConfig(dataset=str(photos)), "architecture": SMALL, "max_steps": 2, "batch_size": 2}
    first = start(SRGAN(scale=2, stage="pixels"), "first", **settings, image_size=16)
    assert not (first / "training/discriminator").exists()
    assert json.loads((first / "translation.json").read_text())["crop"] == "native"
    assert Translator.from_pretrained(first, device="cpu")(Image.new("RGB", (21, 13))).size == (42, 26)
    card = (first / "README.md").read_text()
    assert "an image of 2 times the size comes out" in card
    assert "PSNR-Y" in card

    second = start(
        SRGAN(scale=2, perceptual="none"),
        "second",
        **settings,
        image_size=16,
        init_from=str(first),
        discriminator_warmup_steps=1,
    )
    assert (second / "training/discriminator/model.safetensors").is_file()
    assert "generator/adversarial" in (second / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"scale": 5}, "--scale must be 2, 3, 4 or 8, got 5"),
        (
            {"discriminator": "patch", "discriminator_pooling": True},
            "--discriminator_pooling belongs to --discriminator",
        ),
        ({"stage": "both"}, "--stage must be one of pixels, gan"),
    ],
)
def test_knobs_that_cannot_be_are_refused(knobs, says) -> None:
    with pytest.raises(ValueError, match=says):
        SRGAN(**knobs)


def test_crops_that_are_no_squares_need_the_pooled_discriminator() -> None:
    size = {"in_channels": 3, "out_channels": 3, "image_size": (32, 16)}
    with pytest.raises(ValueError, match=r"is no square, .* add --discriminator_pooling True"):
        SRGAN(scale=2).build(SMALL, **size)
    assert SRGAN(scale=2, discriminator_pooling=True).build(SMALL, **size)["discriminator"].config["crop"] == 0


# --- what does not fit together ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"side_by_side": True}, "--side_by_side is of halves of one size, and this method enlarges: leave it out"),
        (
            {"source_column": "low", "target_column": "high", "degradation": "real"},
            "--degradation real makes the sources of the targets, so --source_column has no use",
        ),
        ({"direction": "BtoA"}, r"--degradation bicubic \(by default\) makes .* so --direction BtoA has no use"),
    ],
)
def test_nothing_is_said_of_sources_that_are_made(photos: Path, config, says) -> None:
    with pytest.raises(DataError, match=says):
        open_data(DataConfig(dataset=str(photos), **config), paired=True, split="train", slots=SRGAN().slots)


def test_pictures_that_are_too_small_are_named_and_small_ones_are_measured(start, photos: Path) -> None:
    Image.new("RGB", (3, 50)).save(photos / "train/9.png")
    Image.new("RGB", (16, 9), "teal").save(photos / "val/1.png")
    settings = {"architecture": SMALL, "max_steps": 6, "batch_size": 4, "image_size": 16}
    with pytest.raises(ValueError, match=r"train/9\.png is 3x50, too small to be made 4 times smaller: leave it out"):
        start(SRGAN(stage="pixels"), "broken", data=DataConfig(dataset=str(photos)), **settings)
    (photos / "train/9.png").unlink()
    folder = start(SRGAN(stage="pixels"), "run", data=DataConfig(dataset=str(photos)), **settings)
    assert "final/psnr_y" in (folder / "metrics.jsonl").read_text()


def test_a_size_that_the_papers_discriminator_does_not_take_is_said_by_its_flag() -> None:
    with pytest.raises(ValueError, match=r"--image_size 24 makes crops of 72 pixels, .* such as 32, or add --discrim"):
        SRGAN(scale=3).build(SMALL, in_channels=3, out_channels=3, image_size=24)
    assert (
        SRGAN(scale=3).build(SMALL, in_channels=3, out_channels=3, image_size=32)["discriminator"].config["crop"] == 96
    )


@pytest.mark.parametrize("knobs", [{"adversarial_loss": "wgangp"}, {"lambda_r1": 1.0}, {"label_smoothing": 0.1}])
def test_relativistic_verdicts_leave_nothing_out_in_silence(knobs) -> None:
    with pytest.raises(ValueError, match="relativistic verdicts are by --adversarial_loss vanilla or lsgan, without"):
        ESRGAN(**knobs)
    assert ESRGAN(real=True, **knobs).real


def test_esrgan_learns_by_halves_from_turned_crops_and_publishes_an_average() -> None:
    config = TrainConfig(output_dir="unused", max_steps=400).of(ESRGAN())
    assert (config.ema_decay, config.turns) == (0.999, True)
    factors = [config.learning_rate_factor(step=step, total_steps=400, epoch=0) for step in range(400)]
    wanted = [0.5 ** sum(step >= each for each in (50, 100, 200, 300)) for step in range(400)]
    assert factors == wanted
    plain = TrainConfig(output_dir="unused", max_steps=400).of(SRGAN())
    assert (plain.ema_decay, plain.turns, plain.learning_rate_policy) == (0, False, "linear")
    with pytest.raises(ValueError, match="is no square, and --turns turns crops by quarters"):
        TrainConfig(output_dir="unused", image_size=(32, 48), turns=True)
    assert not TrainConfig(output_dir="unused", image_size=(32, 48)).of(ESRGAN()).turns


def test_crops_are_turned_together_with_their_partners(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "train/a.png")
    slots = SRGAN(scale=2).slots
    data = open_data(DataConfig(dataset=str(tmp_path)), paired=True, split="train", slots=slots)
    options = {"image_size": 32, "load_size": None, "flip": False, "seed": 0, "native": True}
    (straight,) = [TrainingDataset(data, **options)[(0, 0)]]
    turned = TrainingDataset(data, **options, turns=True)
    seen = set()
    for epoch in range(24):
        sample = turned[(epoch, 0)]
        for quarters in range(4):
            if torch.equal(sample["target"], torch.rot90(straight["target"], quarters, dims=(1, 2))):
                seen.add(quarters)
                assert (sample["source"] - torch.rot90(straight["source"], quarters, dims=(1, 2))).abs().max() < 0.03
    assert seen == {0, 1, 2, 3}
