"""Sources made of their targets: what is covered, that training draws anew and validation never, and whole runs."""

import json

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from img2img_hub import DataConfig, Network, Pix2Pix, Translator
from img2img_hub.cli import check_data, evaluate
from img2img_hub.data.cache.resized import open_cache
from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.sources import open_data, open_train_and_validation
from img2img_hub.data.samples.ageing import faded, scratched, stained
from img2img_hub.data.samples.masks import COVERED, Corrupter
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.data.stream.batches import StreamedDataset
from img2img_hub.images.picture import to_tensor
from tests.conftest import picture
from tests.runs import assert_same_end, interrupt_at
from tests.test_streaming import shards

pytest_plugins = ["tests.starting"]
KINDS = [("box",), ("free_form",), ("box", "free_form")]
by_kinds = pytest.mark.parametrize("kinds", KINDS, ids="+".join)
GREY = to_tensor(Image.new("L", (1, 1), COVERED)).item()


@pytest.fixture
def photos(tmp_path):
    """One folder of pictures without a mid-grey pixel: train (6) and test (3), 40×30."""
    for split, count in (("train", 6), ("test", 3)):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for index in range(count):
            image = picture(seed=10 * count + index, size=(40, 30)).point(lambda value: value & 0x7F)
            image.save(tmp_path / "photos" / split / f"{index}.png")
    return tmp_path / "photos"


# --- what is covered --------------------------------------------------------------------------------------------------


@by_kinds
@pytest.mark.parametrize("bands", [1, 3])
def test_covered_pixels_are_mid_grey_in_all_bands_and_the_others_are_the_targets(kinds, bands):
    target = torch.rand(bands, 48, 64) - 1
    before = target.clone()
    source = Corrupter(kinds).of_sample(target, np.random.default_rng(1))
    covered = (source == GREY).all(0)
    assert torch.equal(target, before)
    assert torch.equal(source[:, ~covered], target[:, ~covered])
    assert 0.02 < covered.float().mean() < 0.6


@by_kinds
def test_pictures_are_covered_as_samples_are(kinds):
    """To the pixel and to the last bit, so that a network meets in validation what it was trained on."""
    corrupter, image = Corrupter(kinds), picture(seed=3, size=(64, 48))
    fixed = corrupter.of_image(image, 5)
    drawn = corrupter.of_sample(to_tensor(image), np.random.default_rng([6, 5]))
    assert torch.equal(to_tensor(fixed), drawn)


@pytest.mark.parametrize("kinds", [("fading",), ("stains",), ("scratches",), ("scratches", "fading", "stains", "box")])
@pytest.mark.parametrize("bands", [1, 3])
def test_a_picture_ages_as_a_sample_does(kinds, bands):
    corrupter, image = Corrupter(kinds), picture(seed=3, size=(64, 48)).convert("L" if bands == 1 else "RGB")
    fixed = corrupter.of_image(image, 5)
    assert fixed.mode == image.mode
    assert torch.equal(to_tensor(fixed), corrupter.of_sample(to_tensor(image), np.random.default_rng([6, 5])))
    assert fixed.tobytes() != image.tobytes()
    assert fixed.tobytes() == corrupter.of_image(image, 5).tobytes()
    assert fixed.tobytes() != corrupter.of_image(image, 6).tobytes()


def test_fading_takes_contrast_and_colour():
    image = np.zeros((3, 20, 20), np.float32)
    image[0, :10], image[:, 10:] = 1, 1  # red, and white
    for seed in range(30):
        made = faded(image, np.random.default_rng(seed))
        assert made.min() > 0.04
        assert made.max() < 0.99
        assert made[0, 0, 0] - made[2, 0, 0] < 0.75
        assert made[0, 19, 0] > made[2, 19, 0], "white becomes warm"


def test_scratches_are_thin_and_of_any_size_of_picture_alike():
    shares = {}
    for side in (64, 256):
        image = np.full((3, side, side), 0.5, np.float32)
        found = [(scratched(image, np.random.default_rng(seed)) != 0.5).any(0).mean() for seed in range(40)]
        shares[side] = np.mean(found)
    assert 0.005 < shares[256] < 0.12
    assert shares[256] / 3 < shares[64] < 3 * shares[256]


def test_stains_darken_a_part():
    image = np.full((3, 64, 64), 0.8, np.float32)
    for seed in range(20):
        made = stained(image, np.random.default_rng(seed))
        assert (made <= image + 1e-6).all()
        assert (made < 0.79).any()
        assert (made > 0.795).any()


def test_a_box_is_one_rectangle_of_a_quarter_to_a_half_of_each_side_anywhere():
    corrupter, seen = Corrupter(("box",)), torch.zeros(80, 120)
    for seed in range(300):
        covered = corrupter.of_sample(torch.zeros(1, 80, 120), np.random.default_rng(seed))[0] == GREY
        rows, columns = covered.any(1).nonzero(), covered.any(0).nonzero()
        height, width = (int(places.max() - places.min()) + 1 for places in (rows, columns))
        assert covered.sum() == height * width
        assert 20 <= height <= 40
        assert 30 <= width <= 60
        seen += covered
    assert (seen > 0).float().mean() > 0.98, "hardly a place is spared"


def test_strokes_are_no_boxes_and_scale_with_the_picture():
    corrupter, shares = Corrupter(("free_form",)), []
    for row in range(60):
        large, small = (
            np.asarray(corrupter.of_image(Image.new("L", (side, side)), row)) == COVERED for side in (256, 64)
        )
        again = np.asarray(Image.fromarray(large).resize((64, 64)))
        union = (again | small).sum()
        assert (again & small).sum() > 0.6 * union, "the same drawing at both sizes"
        rows, columns = large.any(1).nonzero()[0], large.any(0).nonzero()[0]
        shares.append(large.sum() / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
    assert np.mean(shares) < 0.7, "of the box around them"


def test_no_colour_is_luminance_in_one_band():
    image = picture(seed=9, size=(32, 32))
    corrupter = Corrupter(("grayscale",))
    fixed = corrupter.of_image(image, 0)
    assert (fixed.mode, fixed.tobytes()) == ("L", image.convert("L").tobytes())
    sample = corrupter.of_sample(to_tensor(image), np.random.default_rng(0))
    assert sample.shape == (1, 32, 32)
    assert (sample - to_tensor(fixed)).abs().max() <= 1.01 / 255, "but for rounding"
    both = Corrupter(("free_form", "grayscale")).of_image(image, 0)
    assert both.mode == "L"
    assert COVERED in both.tobytes()


# --- as training and validation see it --------------------------------------------------------------------------------


def samples(folder, *, cache=None, seed=0, **options):
    data = open_data(DataConfig(dataset=str(folder), **options), paired=True, split="train")
    kept = None if cache is None else open_cache(data, load_size=36, folder=cache)
    return TrainingDataset(data, image_size=32, load_size=36, flip=True, seed=seed, cache=kept)


def test_training_covers_the_crop_anew_every_epoch_by_the_samples_own_numbers(photos):
    dataset, plain = samples(photos, corrupt=("box",)), samples(photos, corrupt=("grayscale",))
    masks = []
    for epoch in range(3):
        sample = dataset[epoch, 1]
        masks.append((sample["source"] == GREY).all(0))
        assert torch.equal(sample["source"][:, ~masks[-1]], sample["target"][:, ~masks[-1]])
        assert torch.equal(sample["target"], plain[epoch, 1]["target"]), "the crop does not depend on the mask"
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])
    again = samples(photos, corrupt=("box",))[1, 1]
    assert torch.equal(again["source"], dataset[1, 1]["source"])


def test_the_cache_keeps_clean_pictures_once_whatever_is_made_of_them(photos, tmp_path):
    for corrupt in (("box",), ("grayscale", "free_form")):
        cached, anew = samples(photos, cache=tmp_path / "cache", corrupt=corrupt), samples(photos, corrupt=corrupt)
        for position in [(0, 0), (0, 5), (1, 0)]:
            for side in ("source", "target"):
                assert torch.equal(cached[position][side], anew[position][side])
    (folder,) = (tmp_path / "cache").iterdir()
    assert [file.name for file in folder.iterdir()] == ["target.npy"]


def test_validation_covers_the_same_pixels_every_time(photos):
    config = DataConfig(dataset=str(photos), corrupt=("free_form",), validation_split="test")
    first, again = (open_train_and_validation(config, paired=True, seed=seed)[1] for seed in (0, 1))
    for index in range(len(first)):
        source, target = first.pair(index)
        assert source.tobytes() == again.source(index).tobytes() == first.source(index).tobytes()
        assert source.tobytes() != target.tobytes()
    assert first.select([2]).source(0).tobytes() == first.source(2).tobytes(), "whatever else is chosen"
    masks = {(np.asarray(first.source(index)) == COVERED).tobytes() for index in range(len(first))}
    assert len(masks) == len(first), "but each picture in its own way"


def test_what_is_found_is_said(photos, tmp_path, capsys):
    config = DataConfig(dataset=str(photos), corrupt=("free_form", "grayscale"))
    data = open_data(config, paired=True, split="train")
    assert data.description == (
        "6 pictures: photos/train, each with strokes covered and its colour dropped as its source"
    )
    assert (data.in_channels, data.out_channels) == (1, 3)
    assert check_data(config, sheet=tmp_path / "sheet.png") == 0
    assert "strokes covered" in capsys.readouterr().out
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert (sheet == COVERED).all(-1).sum() > 50


def test_a_column_of_a_table_and_a_stream_of_it_do_as_well(tmp_path):
    pictures = [picture(seed=seed, size=(32, 32)) for seed in range(5)]
    root = shards(tmp_path / "table", [2, 3], photo=pictures, thumbnail=pictures)
    options = {"target_column": "photo", "corrupt": ("box",), "validation_split": "none"}
    table = samples(root, **options)
    assert len(table) == 5
    assert (table[0, 3]["source"] == GREY).all(0).any()
    stream, _ = open_train_and_validation(DataConfig(dataset=str(root), streaming=True, **options), paired=True, seed=0)
    assert stream.description.startswith("a stream of 5 pictures: table, split train, column photo, each with a box")
    assert (np.asarray(stream.preview().source(0)) == COVERED).all(-1).any()
    dataset = StreamedDataset(stream, image_size=32, load_size=32, flip=False, seed=0)
    found = [next(stream.samples(seed=0, rank=0, world_size=1, start=start)) for start in (0, 5)]
    for sample in map(dataset.__getitem__, found):
        covered = (sample["source"] == GREY).all(0)
        assert covered.any()
        assert torch.equal(sample["source"][:, ~covered], sample["target"][:, ~covered])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corrupt": ("blur",)}, "give some of box, free_form, grayscale"),
        ({"corrupt": "box"}, "give some of box, free_form, grayscale"),
        ({"side_by_side": True}, "--side_by_side has no use"),
        ({"source_column": "a"}, "--target_column names the column"),
        ({"direction": "BtoA"}, "--direction BtoA has no use"),
        ({"in_channels": 1}, "--in_channels has no use"),
    ],
)
def test_what_says_something_of_sources_is_refused(options, message):
    with pytest.raises(DataError, match=message):
        DataConfig(dataset="photos", **{"corrupt": ("box",), **options})


def test_unpaired_data_and_grey_pictures_without_colour_are_refused(photos):
    with pytest.raises(DataError, match="train pix2pix"):
        open_data(DataConfig(dataset=str(photos), corrupt=("box",)), paired=False, split="train")
    with pytest.raises(DataError, match="no colour to drop"):
        open_data(DataConfig(dataset=str(photos), corrupt=("grayscale",), out_channels=1), paired=True, split="train")
    with pytest.raises(DataError, match=r"--corrupt box"):
        open_data(DataConfig(dataset=str(photos)), paired=True, split="train")


# --- whole runs -------------------------------------------------------------------------------------------------------


def test_colourisation_trains_on_one_folder_and_the_translator_takes_any_photo(start, photos, capsys):
    data = DataConfig(dataset=str(photos), corrupt=("grayscale",))
    folder = start(Pix2Pix(), "run", data=data, max_steps=3)
    network = Network.from_pretrained(folder)
    assert (network.in_channels, network.out_channels) == (1, 3)
    assert Translator.from_pretrained(folder, device="cpu")(photos / "test/0.png").mode == "RGB"
    assert json.loads((folder / "training_config.json").read_text())["data"]["corrupt"] == ["grayscale"]
    assert "its colour dropped as its source" in (folder / "README.md").read_text()
    reports = []
    for _ in range(2):
        capsys.readouterr()
        evaluate(data, model=str(folder), device="cpu")
        reports.append(capsys.readouterr().out.splitlines()[-1])
    assert reports[0] == reports[1]


def test_a_stopped_run_goes_on_bit_for_bit(start, photos, monkeypatch):
    data = DataConfig(dataset=str(photos), corrupt=("box", "free_form"))
    whole = start(Pix2Pix(), "whole", data=data)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        stopped = start(Pix2Pix(), "stopped", data=data, num_workers=2)
    assert not (stopped / "checkpoints/step-6").exists()
    AcceleratorState._reset_state(reset_partial_state=True)
    start(Pix2Pix(), "stopped", data=data, resume=True)
    assert_same_end(whole, stopped, step=6)


def test_a_run_from_before_the_option_goes_on(start, photos, tmp_path, paired_folder):
    folder = start(Pix2Pix(), "run", max_steps=2)
    for file in [folder / "run.json", *folder.glob("checkpoints/*/run.json")]:
        settings = json.loads(file.read_text())
        del settings["data"]["corrupt"]
        file.write_text(json.dumps(settings))
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    with pytest.raises(ValueError, match=r"--side_by_side: True -> False"):
        start(Pix2Pix(), "run", max_steps=4, resume=True, data=DataConfig(dataset=str(photos), corrupt=("box",)))
