"""The numbers of an evaluation, computed here a second time from the images as a user would get them; sheets."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import DataConfig, ResNetGenerator, Translator, UNetGenerator
from img2img_hub.data.find.sources import ImageData, open_data
from img2img_hub.evaluation.measure import Share, draw_samples, evaluate_paired, evaluate_unpaired, smallest_set
from img2img_hub.evaluation.metrics import metric_names, ms_ssim, sliced_wasserstein, ssim
from img2img_hub.evaluation.sheets import GAP, MARGIN, sample_sheet

SIZE = 32


def save_pictures(folder: Path, count: int, *, width: int = 40, height: int = 30, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for index in range(count):
        small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{index}.png")


@pytest.fixture
def pairs(tmp_path: Path) -> ImageData:
    save_pictures(tmp_path / "pairs" / "test", 3, width=80)
    return open_data(DataConfig(dataset=str(tmp_path / "pairs"), side_by_side=True), paired=True, split="test")


@pytest.fixture
def sides(tmp_path: Path) -> ImageData:
    save_pictures(tmp_path / "sides" / "testA", 4)
    save_pictures(tmp_path / "sides" / "testB", 2, seed=1)
    return open_data(DataConfig(dataset=str(tmp_path / "sides")), paired=False, split="test")


def translator(seed: int = 0, *, unet: bool = False) -> Translator:
    torch.manual_seed(seed)
    return Translator(UNetGenerator(width=4, levels=3) if unet else ResNetGenerator(width=4, blocks=1))


def square(image: Image.Image) -> Image.Image:
    return image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def unit(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64) / 255


def batch(images: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([unit(image).transpose(2, 0, 1) for image in images]))


def test_paired_numbers_are_means_over_the_images_in_0_to_1(pairs):
    model = translator(unet=True)
    sources, targets = ([square(read(index)) for index in range(3)] for read in (pairs.source, pairs.target))
    outputs = [model(source) for source in sources]  # 8-bit images
    errors = [unit(output) - unit(target) for output, target in zip(outputs, targets, strict=True)]
    expected = {
        "l1": np.mean([np.abs(error).mean() for error in errors]),
        "psnr": np.mean([-10 * np.log10((error**2).mean()) for error in errors]),
        "ssim": ssim(batch(outputs), batch(targets)).mean().item(),
        "ms_ssim": ms_ssim(batch(outputs), batch(targets)).mean().item(),
        "swd_target": sliced_wasserstein(batch(outputs), batch(targets)),
    }
    numbers = evaluate_paired(model, pairs, image_size=SIZE)
    assert numbers == pytest.approx(expected, abs=1e-9)
    assert tuple(numbers) == metric_names(paired=True)
    first = evaluate_paired(model, pairs, image_size=SIZE, limit=1)
    assert first["l1"] == pytest.approx(np.abs(errors[0]).mean(), abs=1e-9)


def test_an_output_equal_to_its_target_keeps_the_mean_finite(tmp_path):
    save_pictures(tmp_path / "test", 1, width=80)
    with Image.open(tmp_path / "test" / "0.png") as image:
        Image.new("RGB", image.size, (128, 128, 128)).save(tmp_path / "test" / "0.png")
    data = open_data(DataConfig(dataset=str(tmp_path), side_by_side=True), paired=True, split="test")
    model = translator()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()  # the output is tanh(0): mid-grey everywhere
    numbers = evaluate_paired(model, data, image_size=SIZE)
    assert numbers == pytest.approx({"l1": 0, "psnr": 100, "ssim": 1, "ms_ssim": 1, "swd_target": 0})


def test_unpaired_numbers_are_round_trips_and_distances(sides):
    forth, back = translator(0), translator(1)
    real = {"source": [square(sides.source(index)) for index in range(4)]}
    real["target"] = [square(sides.target(index)) for index in range(2)]
    to_target, to_source = [forth(image) for image in real["source"]], [back(image) for image in real["target"]]

    def cycle(images: list[Image.Image], returned: list[Image.Image]) -> float:
        return float(np.mean([np.abs(unit(a) - unit(b)).mean() for a, b in zip(images, returned, strict=True)]))

    expected = {
        "cycle_l1_source": cycle(real["source"], [back(image) for image in to_target]),
        "cycle_l1_target": cycle(real["target"], [forth(image) for image in to_source]),
        "swd_target": sliced_wasserstein(batch(to_target), batch(real["target"])),
        "swd_source": sliced_wasserstein(batch(to_source), batch(real["source"])),
    }
    numbers = evaluate_unpaired(forth, back, sides, image_size=SIZE)
    assert numbers == pytest.approx(expected, abs=1e-6)
    assert tuple(numbers) == metric_names(paired=False)
    alone = evaluate_unpaired(forth, None, sides, image_size=SIZE)
    assert alone == pytest.approx({"swd_target": expected["swd_target"]}, abs=1e-6)
    limited = evaluate_unpaired(forth, back, sides, image_size=SIZE, limit=1)
    assert limited["cycle_l1_target"] == pytest.approx(cycle(real["target"][:1], [forth(to_source[0])]), abs=1e-9)


def shared(evaluate: Callable[[Share], dict[str, float]], *, among: int) -> list[dict[str, float]]:
    """What each of several processes gets that measure together; threads stand for processes."""
    parts: list[Any] = [None] * among
    results: list[Any] = [None] * among
    everyone = threading.Barrier(among)

    def process(index: int) -> None:
        def gather(own: Any) -> list[Any]:
            parts[index] = own
            everyone.wait(timeout=60)
            return list(parts)

        results[index] = evaluate(Share(index, among, gather))

    threads = [threading.Thread(target=process, args=(index,)) for index in range(among)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("among", [2, 5])  # of three pairs, four sources and two targets: some have no image at all
def test_processes_that_share_the_images_find_the_same_numbers_to_the_last_bit(pairs, sides, among):
    models = [translator(seed) for seed in range(among)]
    for model in models:
        model.network.load_state_dict(models[0].network.state_dict())
    alone = evaluate_paired(models[0], pairs, image_size=SIZE)
    first, *others = shared(
        lambda share: evaluate_paired(models[share.index], pairs, image_size=SIZE, share=share), among=among
    )
    assert first == alone
    assert others == [{}] * (among - 1)
    back = translator(9)
    alone = evaluate_unpaired(models[0], back, sides, image_size=SIZE)
    first, *others = shared(
        lambda share: evaluate_unpaired(models[share.index], back, sides, image_size=SIZE, share=share), among=among
    )
    assert first == alone
    assert others == [{}] * (among - 1)


def test_each_process_translates_its_own_images_only(pairs):
    count = [0, 0]
    models = [translator(0), translator(0)]
    for index, model in enumerate(models):
        model.network.register_forward_hook(lambda *_, index=index: count.__setitem__(index, count[index] + 1))
    shared(lambda share: evaluate_paired(models[share.index], pairs, image_size=SIZE, share=share), among=2)
    assert count == [2, 1]


def test_grey_translators_are_measured_in_their_own_bands(tmp_path):
    save_pictures(tmp_path / "test", 2, width=80)
    config = DataConfig(dataset=str(tmp_path), side_by_side=True)
    grey = Translator(ResNetGenerator(width=4, blocks=1, in_channels=1, out_channels=1))
    opened_grey = open_data(config, paired=True, split="test", in_channels=1, out_channels=1)
    expected = evaluate_paired(grey, opened_grey, image_size=SIZE)
    assert expected == evaluate_paired(grey, open_data(config, paired=True, split="test"), image_size=SIZE)


def test_what_cannot_be_measured_is_refused(pairs, sides):
    with pytest.raises(ValueError, match="need pairs of images"):
        evaluate_paired(translator(), sides, image_size=SIZE)
    with pytest.raises(ValueError, match="take unpaired data"):
        evaluate_unpaired(translator(), translator(), pairs, image_size=SIZE)
    with pytest.raises(ValueError, match="limit must be 1 or more, got 0"):
        evaluate_paired(translator(), pairs, image_size=SIZE, limit=0)
    with pytest.raises(ValueError, match="SSIM needs images of at least 11×11"):
        evaluate_paired(translator(), pairs, image_size=8)


def test_the_smallest_set_decides_what_a_distance_is_worth(pairs, sides):
    assert [smallest_set(sides), smallest_set(sides, 3), smallest_set(sides, 1)] == [2, 2, 1]
    assert [smallest_set(pairs), smallest_set(pairs, 2)] == [3, 2]


# --- sheets -----------------------------------------------------------------------------------------------------------


def test_samples_are_drawn_with_what_they_should_be(pairs, sides):
    cell = SIZE + GAP
    forth, back = translator(0), translator(1)
    sheet = draw_samples(forth, pairs, image_size=SIZE)
    columns = [square(pairs.source(0)), forth(square(pairs.source(0))), square(pairs.target(0))]
    for column, image in enumerate(columns):
        left, top = MARGIN + column * cell, sheet.height - MARGIN - 3 * SIZE - 2 * GAP
        assert sheet.crop((left, top, left + SIZE, top + SIZE)).tobytes() == image.tobytes()
    sheet = draw_samples(forth, sides, image_size=SIZE, reverse=back, count=2)
    last = (sheet.width - MARGIN - SIZE, sheet.height - MARGIN - SIZE, sheet.width - MARGIN, sheet.height - MARGIN)
    assert sheet.crop(last).tobytes() == back(forth(square(sides.source(3)))).tobytes()  # spread: first and last
    assert draw_samples(forth, sides, image_size=SIZE).width == 2 * MARGIN + 2 * SIZE + GAP
    sheet = draw_samples(back, sides, image_size=SIZE, reverse=forth, backwards=True)
    columns = [square(sides.target(0)), back(square(sides.target(0)))]
    for column, image in enumerate([*columns, forth(columns[1])]):
        left, top = MARGIN + column * cell, sheet.height - MARGIN - 2 * SIZE - GAP  # two targets
        assert sheet.crop((left, top, left + SIZE, top + SIZE)).tobytes() == image.tobytes()


def test_a_sheet_is_a_white_grid_with_titles():
    red, blue = Image.new("RGB", (64, 48), "red"), Image.new("L", (64, 48), 90)
    small = Image.new("RGBA", (32, 24), (0, 0, 0, 0))
    sheet = sample_sheet([[red, blue], [small, red]], titles=["source", "a title far too long for its column"])
    assert sheet.mode == "RGB"
    assert sheet.width == 2 * MARGIN + 2 * 64 + GAP
    header = sheet.height - 2 * MARGIN - 2 * 48 - GAP
    top = MARGIN + header
    pixels = np.asarray(sheet)
    assert (pixels[top : top + 48, MARGIN : MARGIN + 64] == (255, 0, 0)).all()
    assert (pixels[top : top + 48, MARGIN + 64 + GAP : -MARGIN] == 90).all()
    assert (pixels[top + 48 + GAP : -MARGIN, MARGIN : MARGIN + 64] == 255).all()  # transparent on white
    title = pixels[:top]
    for column in (slice(MARGIN, MARGIN + 64), slice(MARGIN + 64 + GAP, MARGIN + 128 + GAP)):
        assert title[:, column].min() < 100, "a title is written"
        assert (title[:, column][:, 0] == 255).all(), "and does not touch the edge of its column"
    for border in (pixels[:MARGIN], pixels[-MARGIN:], pixels[:, :MARGIN], pixels[:, -MARGIN:]):
        assert (border == 255).all()
    assert (pixels[top:, MARGIN + 64 : MARGIN + 64 + GAP] == 255).all()


@pytest.mark.parametrize("rows", [[], [[Image.new("RGB", (8, 8))]]])
def test_a_sheet_needs_as_many_images_as_titles(rows):
    with pytest.raises(ValueError, match=r"at least one row|every row needs 2 images"):
        sample_sheet(rows, titles=["source", "output"])
