"""Slots of every kind, from a family's declaration to the Hub: python -m pytest tests/test_slots.py"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import Architecture, CycleGAN, DataConfig, Network, Pix2Pix, Translator
from img2img_hub.cli import main
from img2img_hub.data.cache.resized import cache_name, open_cache
from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.sources import open_data, open_train_and_validation
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.families import Family
from img2img_hub.images.formats import ImageError
from img2img_hub.images.raster import Raster
from img2img_hub.images.resize import resized
from img2img_hub.images.slots import Slot, stacked
from img2img_hub.images.values import BandValues
from img2img_hub.translation.settings import TranslationSettings
from tests.conftest import picture
from tests.runs import assert_same_end, interrupt_at, lines
from tests.toy_slots import Quilt, TwiceGenerator

pytest_plugins = ["tests.starting"]
CLASSES = 4
LABELS = (f"classes={CLASSES}",)


def class_map(seed, size=(32, 32)):
    """Blocks of classes, some of none, as a PNG with a palette whose colours say nothing."""
    blocks = np.random.default_rng(seed).choice([*range(CLASSES), 255], (4, 4)).astype(np.uint8)
    image = Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


@pytest.fixture
def quilts(tmp_path):
    """train (4) and test (2): classes (a palette), known (0 and 1), target (twice the size), weights (as that)."""
    root = tmp_path / "quilts"
    for split, count in (("train", 4), ("test", 2)):
        for name in ("classes", "known", "target", "weights"):
            (root / split / name).mkdir(parents=True)
        for index in range(count):
            seed = index + 10 * len(split)
            class_map(seed).save(root / split / f"classes/{index}.png")
            known = (np.asarray(picture(seed=seed + 1, size=(32, 32)).convert("L")) > 100).astype(np.uint8)
            Image.fromarray(known).save(root / split / f"known/{index}.png")
            picture(seed=seed + 2, size=(64, 64)).save(root / split / f"target/{index}.png")
            picture(seed=seed + 3, size=(64, 64)).convert("L").save(root / split / f"weights/{index}.png")
    return root


def config(folder, **more):
    return DataConfig(dataset=str(folder), **{"labels": LABELS, **more})


def opened(folder, *, split="train", **more):
    return open_data(config(folder, **more), paired=True, split=split, slots=Quilt.slots)


def one_hot(numbers):
    return (np.asarray(numbers)[None] == np.arange(CLASSES)[:, None, None]).astype(np.float32)


# --- one slot ---------------------------------------------------------------------------------------------------------


def test_classes_are_channels_of_one_and_zero_and_255_is_in_none():
    slot = Slot(name="map", kind="labels", bands=1, classes=CLASSES)
    image = class_map(3)
    numbers = np.asarray(image)
    assert (numbers == 255).any()
    raster = slot.read(image)
    assert np.array_equal(raster.array[:, :, 0], numbers), "a palette's numbers, not its colours"
    values = BandValues(dtype="uint8", low=(0,), high=(255,), classes=(CLASSES,))
    assert values.channels == CLASSES
    assert np.array_equal(values.to_network(raster.array.transpose(2, 0, 1)).numpy(), one_hot(numbers))


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((4, 4), 4, np.uint8), r"class number 4 at \(0, 0\), and there are 4 classes, numbered from 0"),
        (np.zeros((4, 4, 3), np.uint8), "holds colours, 3 bands of them"),
        (Image.new("RGB", (4, 4)), "holds colours, 3 bands of them"),
        (np.full((4, 4), 0.5, np.float32), "holds fractions"),
        (np.full((4, 4), -1, np.int16), "class"),
        (np.full((4, 4), 70000, np.int32), "holds 70000 to 70000, and class numbers go from 0 to 65535"),
    ],
)
def test_what_is_no_class_map_is_refused(image, says):
    with pytest.raises(ImageError, match=says):
        Slot(name="map", kind="labels", bands=1, classes=CLASSES).read(image)


@pytest.mark.parametrize("white", [1, 255])
def test_a_mask_is_black_and_white_whatever_its_file_holds(white, tmp_path):
    half = np.zeros((16, 16), np.uint8)
    half[:, 8:] = white
    slot = Slot(name="holes", kind="mask", bands=1)
    wanted = np.where(half > 0, 255, 0)
    assert np.array_equal(slot.read(half).array[:, :, 0], wanted)
    Image.fromarray(half).save(tmp_path / "a.png")
    assert np.array_equal(slot.read(tmp_path / "a.png").array[:, :, 0], wanted)
    Image.fromarray(half * (255 // white)).save(tmp_path / "a.jpg", quality=60)
    assert np.array_equal(slot.read(tmp_path / "a.jpg").array[:, :, 0], wanted)
    assert np.array_equal(slot.read(Image.fromarray(half > 0)).array[:, :, 0], wanted)


def test_no_class_number_is_beyond_the_range_of_training():
    slots = (Slot(name="map", kind="labels", bands=1, dtype="uint16", classes=300), Slot(name="grey", bands=1))
    numbers = np.full((4, 4), 299, np.uint16)
    both = stacked({"map": numbers, "grey": numbers.astype(np.uint8)}, slots)
    assert BandValues(dtype="uint16", low=(0, 50), high=(255, 255), classes=(300, 0)).outside(both) == [0.0, 1.0]


def test_between_two_classes_there_is_no_third():
    slots = [Slot(name="map", kind="labels", bands=1, classes=200), Slot(name="grey", bands=1)]
    numbers = np.where(np.arange(32)[None] < 13, 3, 199).repeat(32, axis=0).astype(np.uint8)
    both = stacked({"map": numbers, "grey": numbers}, slots)
    for size in ((20, 20), (57, 57)):
        array = resized(both, size).array
        assert set(np.unique(array[:, :, 0])) == {3, 199}
        assert len(np.unique(array[:, :, 1])) > 2, "a picture is resized as ever"
        nearest = np.asarray(Image.fromarray(numbers).resize(size, Image.Resampling.NEAREST))
        assert np.array_equal(array[:, :, 0], nearest)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "colour"}, "kind must be one of picture, raster, labels, mask"),
        ({"kind": "labels", "bands": 3}, "kind labels is of 1 band"),
        ({"kind": "mask", "dtype": "float32"}, "kind mask is of 1 band of uint8"),
        ({"kind": "picture", "bands": 4}, "kind picture is of 1 or 3 bands"),
        ({"classes": 4, "bands": 1}, "classes is 4, and kind None has none"),
        ({"scale": 0}, "scale must be a whole number from 1"),
        ({"classes": True, "kind": "labels"}, "classes must be a whole number"),
    ],
)
def test_a_slot_that_cannot_be_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        Slot(name="a", **settings)


# --- data -------------------------------------------------------------------------------------------------------------


def test_data_are_opened_by_what_the_family_reads(quilts):
    data = opened(quilts)
    assert data.about.inputs == (
        Slot(name="classes", kind="labels", bands=1, classes=CLASSES),
        Slot(name="known", kind="mask", bands=1),
    )
    assert (data.in_channels, data.out_channels, data.about.scale) == (CLASSES + 1, 3, 2)
    assert list(data.sides) == ["source", "target", "weights"]
    assert data.scales == {"source": 1, "target": 2, "weights": 2}
    source, target, weights = data.images(1)
    assert (source.size, target.size, weights.size) == ((32, 32), (64, 64), (64, 64))
    assert "weights (weights)" in data.description


@pytest.mark.parametrize("cached", [True, False])
def test_a_sample_is_one_draw_of_all_its_images_each_at_its_scale(quilts, tmp_path, cached):
    data = opened(quilts)
    cache = open_cache(data, load_size=32, folder=tmp_path / "cache") if cached else None
    seen = set()
    for epoch in range(12):
        dataset = TrainingDataset(data, image_size=16, load_size=32, flip=True, seed=0, cache=cache)
        sample = dataset[(epoch, 2)]
        assert sample["source_numbers"].dtype == torch.uint8
        assert sample["source_numbers"].shape == (1, 16, 16), "a byte a pixel, until the device makes channels of it"
        sample = one_of(dataset, sample)
        assert {name: tuple(value.shape) for name, value in sample.items()} == {
            "source": (CLASSES + 1, 16, 16),
            "target": (3, 32, 32),
            "weights": (1, 32, 32),
        }
        places = [
            (left, top, mirror) for left in range(17) for top in range(17) for mirror in (False, True)
            if _is(sample, quilts, left, top, mirror)
        ]  # fmt: skip
        assert len(places) >= 1, "the crops of all images are of one place"
        seen.add(places[0])
    assert len({mirror for *_, mirror in seen}) == 2
    assert len(seen) > 4


def one_of(dataset, sample):
    """A sample as the losses get it."""
    batch = dataset.joined({name: value[None] for name, value in sample.items()})
    return {name: value[0] for name, value in batch.items()}


def _is(sample, folder, left, top, mirror):
    """Whether the sample is this part of row 2 in every image."""
    for name, key, scale in (("classes", "source", 1), ("target", "target", 2), ("weights", "weights", 2)):
        array = np.asarray(Image.open(folder / f"train/{name}/2.png")).astype(np.float32)
        window = array[scale * top : scale * (top + 16), scale * left : scale * (left + 16)]
        window = window[:, ::-1] if mirror else window
        own = sample[key].numpy()
        if name == "classes":
            if not np.array_equal(own[:CLASSES], one_hot(window)):
                return False
        elif np.abs(own - np.atleast_3d(window / 127.5 - 1).transpose(2, 0, 1)).max() > 1e-5:
            return False
    return True


def test_other_slots_have_another_cache(quilts):
    plain = open_data(
        DataConfig(dataset=str(quilts), source_column="classes", target_column="weights"), paired=True, split="train"
    )
    names = {cache_name(data, load_size=16) for data in (plain, opened(quilts), opened(quilts, labels=("classes=5",)))}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (None, {"labels": ()}, r"classes holds class numbers, and how many classes .* type --labels classes=NUMBER"),
        (None, {"labels": ("many",)}, "--labels many does not say how many classes"),
        (None, {"labels": ("target=3",)}, r"--masks say what target is, .* none of the sources"),
        (None, {"labels": ("classes=4", "classes=5")}, "say twice what classes is"),
        (None, {"masks": ("classes",)}, "say twice what classes is"),
        (None, {"labels": ("9" * 5000,)}, "does not say how many classes"),
        (None, {"source_column": "classes", "labels": ("4",), "source_range": (0, 4)}, "--source_range is for values"),
        (None, {"columns": ("wrong",)}, "--columns wrong is not NAME=COLUMN"),
        (
            None,
            {"columns": ("hue=a",)},
            "--columns names hue, which this method does not read: it reads classes, known",
        ),
        (None, {"columns": ("weights=importance",)}, r"no folder importance .* called otherwise"),
        (None, {"source_column": ("classes", "known", "weights"), "target_column": "target"}, "this method reads"),
        (None, {"corrupt": ("box",), "labels": ()}, "--corrupt makes sources of targets"),
        ("weights/1.png", {}, r"quilts/train/known without a partner in quilts/train/weights: 1\.png"),
    ],
)
def test_what_does_not_fit_the_family_is_refused(quilts, change, options, says):
    if change:
        (quilts / "train" / change).unlink()
    with pytest.raises(DataError, match=says):
        opened(quilts, **options)


@pytest.mark.parametrize(("name", "size"), [("target", (32, 32)), ("weights", (32, 32)), ("weights", (64, 63))])
def test_an_image_of_another_size_is_named(quilts, name, size):
    picture(seed=1, size=size).convert("L" if name == "weights" else "RGB").save(quilts / f"train/{name}/1.png")
    with pytest.raises(DataError, match=rf"{name}/1\.png is {size[0]}x{size[1]}, which is not 2 times the size"):
        opened(quilts).images(1)


@pytest.mark.parametrize(
    ("slots", "bands"),
    [
        ((Slot(name="target", kind="picture", bands=1), Slot(name="source", kind="picture")), (3, 1)),
        ((Slot(name="target", kind="picture", bands=3), Slot(name="source", kind="picture", bands=1)), (1, 3)),
        ((Slot(name="target"), Slot(name="known", kind="picture", bands=1)), (1, 3)),
    ],
)
def test_one_source_and_the_target_have_the_bands_that_the_family_says(quilts, slots, bands):
    named = {"source_column": "known", "target_column": "classes"} if slots[1].name == "source" else {}
    data = open_data(
        config(quilts, labels=(), columns=("target=classes",), **named), paired=True, split="train", slots=slots
    )
    assert (data.in_channels, data.out_channels) == bands
    assert [len(image.getbands()) for image in data.pair(0)] == list(bands)


@pytest.mark.parametrize(
    ("slot", "says"),
    [
        (
            {"kind": "raster", "bands": 5, "dtype": "float32"},
            "has 8-bit pictures of 3 bands, and this method reads raste",
        ),
        (
            {"kind": "picture", "bands": 1},
            "has 8-bit pictures of 3 bands, and this method reads 8-bit pictures of 1 band",
        ),
    ],
)
def test_what_the_family_does_not_read_is_refused(quilts, slot, says):
    slots = (Slot(name="known", **slot), Slot(name="target", scale=2))
    with pytest.raises(DataError, match=says):
        open_data(config(quilts, labels=(), in_channels=3), paired=True, split="train", slots=slots)


def test_classes_of_what_training_alone_reads_are_said_by_name(quilts):
    slots = (Slot(name="known"), Slot(name="target", scale=2), Slot(name="classes", kind="labels", training_only=True))
    with pytest.raises(DataError, match="type --labels classes=NUMBER"):
        open_data(config(quilts, labels=()), paired=True, split="train", slots=slots)
    data = open_data(config(quilts), paired=True, split="train", slots=slots)
    dataset = TrainingDataset(data, image_size=32, load_size=32, flip=False, seed=0)
    sample = one_of(dataset, dataset[(0, 1)])
    assert np.array_equal(sample["classes"].numpy(), one_hot(Image.open(quilts / "train/classes/1.png")))


def test_one_source_is_said_once(quilts):
    with pytest.raises(DataError, match="say twice what source and classes is"):
        open_data(
            config(quilts, source_column="classes", target_column="target", labels=("4", "classes=5")),
            paired=True,
            split="train",
        )


def test_columns_of_the_familys_names_may_be_typed_in_any_order(quilts):
    mixed = opened(quilts, source_column=("known", "classes"), target_column="target")
    plain = opened(quilts)
    assert mixed.about.inputs == plain.about.inputs
    assert np.array_equal(mixed.source(1).array, plain.source(1).array)


def test_columns_may_be_called_otherwise(quilts):
    for split in ("train", "test"):
        (quilts / split / "classes").rename(quilts / split / "ids")
        (quilts / split / "weights").rename(quilts / split / "importance")
    data = opened(quilts, columns=("classes=ids", "weights=importance"), labels=("ids=4",))
    assert [slot.name for slot in data.about.inputs] == ["classes", "known"], "the model's inputs are the family's"
    assert list(data.sides) == ["source", "target", "weights"]


def test_users_say_it_of_their_own_sources_and_a_plain_family_takes_it(quilts, start):
    for split in ("train", "test"):
        for path in (quilts / split / "target").iterdir():
            Image.open(path).resize((32, 32)).save(path)
    data = config(quilts, source_column="classes", target_column="target", labels=("4",))
    folder = start(Pix2Pix(), "run", data=data, architecture=Architecture(width=4, levels=4, discriminator_layers=1))
    settings = json.loads((folder / "translation.json").read_text())
    assert settings["source_channels"] == CLASSES
    assert settings["inputs"] == [{"name": "source", "kind": "labels", "bands": 1, "dtype": "uint8", "classes": 4}]
    assert 'translator("input.png").save("output.png")' in (folder / "README.md").read_text()
    translator = Translator.from_pretrained(folder)
    path = quilts / "test/classes/0.png"
    made = np.asarray(translator(path))
    assert np.array_equal(made, np.asarray(translator({"source": Image.open(path)})))
    other = class_map(40)
    other.putpalette(bytes(768))
    other.save(quilts / "black.png")
    assert np.array_equal(made, np.asarray(translator(quilts / "black.png"))), "colours of a palette say nothing"
    with pytest.raises(ImageError, match="holds colours"):
        translator(picture(seed=1, size=(32, 32)))
    out = quilts / "out"
    assert main(["translate", str(quilts / "test/classes"), "--model", str(folder), "--output", str(out)]) == 0
    assert np.array_equal(np.asarray(Image.open(out / "0.png")), made), "one input needs no name"


@pytest.mark.parametrize("said", [{"labels": ("4",)}, {"masks": ("source",)}])
def test_who_makes_sources_too_takes_pictures(quilts, start, said):
    data = config(quilts, source_column="classes", target_column="target", **{"labels": ()} | said)
    with pytest.raises(ValueError, match=r"CycleGAN makes sources, too, .*leave out --labels and --masks"):
        start(CycleGAN(lambda_identity=0), "run", data=data)


@pytest.fixture
def table(quilts, tmp_path, monkeypatch):
    """The training images as a folder of Parquet."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    datasets.disable_progress_bars()
    names = ("classes", "known", "target", "weights")
    files = {name: [quilts / f"train/{name}/{index}.png" for index in range(4)] for name in names}
    rows = {name: [{"bytes": path.read_bytes(), "path": None} for path in paths] for name, paths in files.items()}
    made = datasets.Dataset.from_dict(rows, features=datasets.Features({name: datasets.Image() for name in names}))
    (tmp_path / "table/data").mkdir(parents=True)
    made.to_parquet(tmp_path / "table/data/train-00000-of-00001.parquet")
    return tmp_path / "table"


@pytest.mark.parametrize("by", ["the family", "the user"])
def test_a_stream_gives_what_the_table_gives(table, by):
    if by == "the family":
        settings, slots = {}, Quilt.slots
    else:
        settings, slots = {"source_column": "classes", "target_column": "known", "labels": ("4",)}, ()
    where = {"paired": True, "seed": 0, "slots": slots}
    stream, _ = open_train_and_validation(config(table, streaming=True, validation_split="none", **settings), **where)
    whole, _ = open_train_and_validation(config(table, validation_split="none", **settings), **where)
    assert stream.about.inputs == whole.about.inputs
    assert stream.scales == whole.scales
    assert stream.values_by_slot == whole.values_by_slot
    samples = stream.samples(seed=0, rank=0, world_size=1, start=0)
    streamed = {_digest(stream.images(next(samples))) for _ in range(4)}
    assert streamed == {_digest(whole.images(index)) for index in range(4)}


def test_a_stream_whose_first_row_lacks_an_image_says_so(table):
    import datasets

    (path,) = (table / "data").iterdir()
    rows = datasets.Dataset.from_parquet(str(path))
    encoded = rows.cast_column("classes", datasets.Image(decode=False))
    holes = [None, *list(encoded["classes"])[1:]]
    images = {name: rows.cast_column(name, datasets.Image(decode=False))[name] for name in ("known", "target")}
    features = datasets.Features({name: datasets.Image() for name in ("classes", "known", "target")})
    datasets.Dataset.from_dict({"classes": holes, **images}, features=features).to_parquet(str(path))
    settings = {"source_column": ("classes", "known"), "target_column": "target", "validation_split": "none"}
    with pytest.raises(DataError, match="column classes"):
        open_train_and_validation(config(table, streaming=True, **settings), paired=True, seed=0)


def test_it_trains_on_a_stream_and_resumes(start, table, monkeypatch):
    data = config(table, streaming=True, validation_split="none")
    whole = start(Quilt(), "whole", data=data, architecture=Architecture())
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        start(Quilt(), "cut", data=data, architecture=Architecture())
    cut = start(Quilt(), "cut", data=data, architecture=Architecture(), resume=True)
    assert_same_end(whole, cut, step=6)


def _digest(images):
    return b"".join((each.array if isinstance(each, Raster) else np.asarray(each)).tobytes() for each in images)


def test_people_see_classes_in_colours_and_read_what_each_image_is(quilts, tmp_path, capsys):
    for split in ("train", "test"):
        for path in (quilts / split / "target").iterdir():
            Image.open(path).resize((32, 32)).save(path)
    line = ["check-data", "--dataset", str(quilts), "--source_column", "classes", "known", "--target_column", "target"]
    line += ["--labels", "classes=4", "--masks", "known", "--sheet", str(tmp_path / "sheet.png")]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "classes (4 classes) and known (mask) to pictures" in said
    assert "the sources have 2 bands of uint8: 4 classes, a mask" in said
    assert "nearly black" not in said
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("HSV"))
    assert (sheet[:, :40, 1] > 100).any(), "the first column is in colours"


# --- declarations -----------------------------------------------------------------------------------------------------

TARGET = Slot(name="target")


@pytest.mark.parametrize(
    ("family", "slots", "says"),
    [
        (Quilt, (Slot(name="a"), Slot(name="a"), TARGET), "each of another name"),
        (Quilt, (Slot(name="source"),), "one target"),
        (Quilt, (TARGET,), "one target, inputs"),
        (Quilt, (Slot(name="a"), Slot(name="target", kind="mask")), "a target is a picture, a raster or labels"),
        (Quilt, (Slot(name="a"), TARGET, Slot(name="instances", training_only=True)), "in every batch already"),
        (Quilt, (Slot(name="a", scale=2), TARGET), "inputs are of one size"),
        (CycleGAN, (Slot(name="source"), Slot(name="more"), TARGET), "has no pairs"),
        (CycleGAN, (Slot(name="source"), Slot(name="target", scale=2)), "has no pairs"),
        (CycleGAN, (Slot(name="source", kind="labels"), TARGET), "makes sources, too, and they are labels"),
        (Quilt, (Slot(name="a"), TARGET, Slot(name="source", training_only=True)), "source is in every batch already"),
        (Quilt, (Slot(name="a"), TARGET, Slot(name="target_valid", training_only=True)), "in every batch already"),
    ],
)
def test_a_family_whose_slots_do_not_fit_is_no_class(family, slots, says):
    known = dict(Family.registry)
    try:
        with pytest.raises(TypeError, match=says):
            type("Wrong", (family,), {"name": "wrong", "slots": slots})
        assert "wrong" not in Family.registry
    finally:
        Family.registry.clear()
        Family.registry.update(known)


# --- from training to the file ----------------------------------------------------------------------------------------


@pytest.fixture
def run(start, quilts):
    return start(
        Quilt(), "quilt", data=config(quilts), architecture=Architecture(), eval_every=6, best_metric="known_l1"
    )


def named(folder, index=0):
    return {name: folder / f"test/{name}/{index}.png" for name in ("classes", "known")}


def test_it_trains_and_says_what_it_reads(run):
    settings = json.loads((run / "translation.json").read_text())
    assert [(slot["name"], slot["kind"], slot["classes"]) for slot in settings["inputs"]] == [
        ("classes", "labels", CLASSES),
        ("known", "mask", 0),
    ]
    assert all("scale" not in slot for slot in settings["inputs"])
    last = lines(run)[-1]
    assert "final/known_l1" in last
    assert last["final/known_l1"] < last["final/l1"]
    card = (run / "README.md").read_text()
    assert "L1, known" in card
    assert 'translator({"classes": "classes.png", "known": "known.png"}).save("output.png")' in card
    assert "an image of 2 times the size comes out" in card
    assert "Input: classes (4 classes), known (mask). Output: 8-bit pictures." in card
    sheet = Image.open(run / "sample_sheet.png")
    assert sheet.width > 2 * 16 + 3 * 32, "classes, known, brightness, output and target"
    assert (run / "best/model.safetensors").is_file()


def test_it_resumes_bit_for_bit(start, quilts, monkeypatch):
    whole = start(Quilt(), "whole", data=config(quilts), architecture=Architecture())
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        start(Quilt(), "cut", data=config(quilts), architecture=Architecture())
    cut = start(Quilt(), "cut", data=config(quilts), architecture=Architecture(), resume=True)
    assert_same_end(whole, cut, step=6)
    picture(seed=77, size=(64, 64)).convert("L").resize((64, 64)).save(quilts / "train/weights/1.png", compress_level=0)
    with pytest.raises(ValueError, match="weights"):
        start(Quilt(), "cut", data=config(quilts), architecture=Architecture(), resume=True, max_steps=8)


def test_outputs_are_twice_the_size_and_finished(run, quilts):
    translator = Translator.from_pretrained(run)
    assert "2 times the size" in translator.describe()
    images = named(quilts)
    known = np.asarray(Image.open(images["known"])).repeat(2, 0).repeat(2, 1) > 0
    for resize in ("native", "fit"):
        made = translator(images, resize=resize)
        assert made.size == (64, 64)
        array = np.asarray(made)
        assert (array[~known] == 128).all(), "pasted after all else"
        assert (array[known] != 128).any()
    raw = translator.translate_tensor(translator.pixels.tensor(translator.pixels.read(
        translator.pixels.joined(images)), size=(32, 32))[None])  # fmt: skip
    assert raw.shape == (1, 3, 64, 64)
    wanted = raw[0].mul(127.5).add(127.5).round().byte().permute(1, 2, 0).numpy().astype(int)
    assert np.abs(np.asarray(translator(images)).astype(int) - wanted)[known].max() <= 1


def test_it_is_measured_and_exported_by_the_names_of_its_inputs(run, quilts, tmp_path, capsys):
    data = ["--dataset", str(quilts), "--split", "test"]
    assert main(["evaluate", "--model", str(run), *data, "--image_size", "32"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < report["known_l1"] < report["l1"]
    swapped = ["--source_column", "classes", "known", "--target_column", "target", "--labels", "known=4", "--masks"]
    assert main(["evaluate", "--model", str(run), *data, *swapped, "classes"]) == 2
    assert "the data have classes (mask), known (4 classes), and" in capsys.readouterr().err
    path = tmp_path / "quilt.onnx"
    assert main(["export", "--model", str(run), "--output", str(path), "--dynamic"]) == 0
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {each.name: each.shape[1] for each in session.get_inputs()} == {"classes": CLASSES, "known": 1}
    facts = json.loads(path.with_suffix(".json").read_text())
    assert [each["name"] for each in facts["inputs"]] == ["classes", "known"]
    translator = Translator.from_pretrained(run)
    for backend in ("onnx", "openvino"):
        other = Translator.from_pretrained(run, backend=backend, onnx_file=path)
        difference = np.asarray(other(named(quilts)), int) - np.asarray(translator(named(quilts)), int)
        assert np.abs(difference).max() <= 1
    int8 = tmp_path / "int8.onnx"
    (quilts / "test/target").rename(quilts / "test/made")  # targets say nothing of sources
    line = ["export", "--model", str(run), "--output", str(int8), "--int8", "--calibration", str(quilts / "test")]
    assert main(line) == 0
    assert "int8 PSNR" in capsys.readouterr().out
    made = Translator.from_pretrained(run, backend="onnx", onnx_file=int8)(named(quilts), resize="fit")
    assert made.size == (64, 64)


# --- size -------------------------------------------------------------------------------------------------------------


def twice_as_large(**settings):
    torch.manual_seed(0)
    network = TwiceGenerator(in_channels=3)
    return Translator(network, TranslationSettings(working_size=32), **settings)


@pytest.mark.parametrize("size", [(32, 24), (33, 27), (5, 3), (1, 1)])
def test_every_size_comes_back_at_its_scale(size):
    image = picture(seed=1, size=size)
    translator = twice_as_large()
    assert translator(image).size == (2 * size[0], 2 * size[1])
    assert translator(image, resize="fit").size == (2 * size[0], 2 * size[1])
    image.putalpha(Image.linear_gradient("L").resize(size))
    made = translator(image)
    assert made.mode == "RGBA"
    assert made.getchannel("A").size == made.size


def test_strips_give_what_the_whole_gives():
    image = picture(seed=2, size=(600, 901))
    whole = np.asarray(twice_as_large(memory=1.0)(image)).astype(int)
    strips = twice_as_large(memory=0.01, tiles="exact")
    assert not strips.engine.fits(901, 600)
    made = np.asarray(strips(image)).astype(int)
    assert made.shape == (1802, 1200, 3)
    assert np.abs(made - whole).max() <= 1


def test_a_georeference_is_of_the_same_place():
    from img2img_hub.images.georeference import enlarged_georeference

    tags = {
        33550: (12, 3, (10.0, 20.0, 0.0)),
        33922: (12, 6, (4.0, 6.0, 0.0, 500.0, 900.0, 0.0)),
        34737: (2, 5, "a|b|"),
    }
    made = enlarged_georeference(tags, 2)
    assert made[33550][2] == (5.0, 10.0, 0.0)
    assert made[33922][2] == (8.0, 12.0, 0.0, 500.0, 900.0, 0.0)
    assert made[34737] == tags[34737]
    matrix = tuple(float(number) for number in range(1, 17))
    (_, _, scaled) = enlarged_georeference({34264: (12, 16, matrix)}, 4)[34264]
    place = np.array([3.0, 5.0, 0, 1])
    assert np.allclose(np.reshape(scaled, (4, 4)) @ (place * [4, 4, 1, 1]), np.reshape(matrix, (4, 4)) @ place)


def test_where_a_place_is_a_pixels_middle_that_is_the_middle_of_several():
    from img2img_hub.images.georeference import enlarged_georeference

    keys = (3, 8, (1, 1, 0, 1, 1025, 0, 1, 2))  # RasterPixelIsPoint
    made = enlarged_georeference({33922: (12, 6, (4.0, 6.0, 0.0, 500.0, 900.0, 0.0)), 34735: keys}, 2)
    assert made[33922][2] == (8.5, 12.5, 0.0, 500.0, 900.0, 0.0)
    matrix = tuple(float(number) for number in range(1, 17))
    (_, _, scaled) = enlarged_georeference({34264: (12, 16, matrix), 34735: keys}, 4)[34264]
    middle = np.array([3.0, 5.0, 0, 1])
    assert np.allclose(
        np.reshape(scaled, (4, 4)) @ (middle * [4, 4, 1, 1] + [1.5, 1.5, 0, 0]), np.reshape(matrix, (4, 4)) @ middle
    )


@pytest.mark.parametrize(
    "tag",
    [
        (33550, 12, 1, 10.0),  # one number of three
        (33550, 2, 4, "abc"),
        (33550, 3, 3, (1, 1, 1)),
        (33550, 5, 2, (1, 2, 1, 1)),  # a rational, of which libtiff ends the process when it is to write it
        (33550, 7, 4, b"abcd"),
        (33922, 12, 6, (float("nan"),) * 6),
        (34264, 12, 1, 3.0),
    ],
)
def test_what_is_no_georeference_is_left_out(tag, tmp_path):
    import tifffile

    from img2img_hub.translation.outputs import save_output

    pixels = np.asarray(picture(seed=1, size=(12, 8)))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=[(*tag, True)])
    made = twice_as_large()(tmp_path / "a.tif")
    assert "georeference" not in made.info
    save_output(made, tmp_path / "b.tif")
    assert Image.open(tmp_path / "b.tif").size == (24, 16)


def test_a_network_from_outside_that_enlarges_is_saved_and_loaded(tmp_path):
    translator = twice_as_large()
    translator.network.save_weights(tmp_path / "model")
    translator.settings.save(tmp_path / "model")
    assert type(Network.from_pretrained(tmp_path / "model")) is TwiceGenerator
    loaded = Translator.from_pretrained(tmp_path / "model")
    image = picture(seed=3, size=(21, 17))
    assert np.array_equal(np.asarray(loaded(image)), np.asarray(translator(image)))
