"""Label maps and instances as data, from the folder to the batch: python -m pytest tests/test_label_maps.py"""

import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from img2img_hub import DataConfig, TrainConfig
from img2img_hub.cli import main
from img2img_hub.data.cache.resized import cache_name, open_cache
from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.identity import difference, identity_of
from img2img_hub.data.find.sources import open_data, open_train_and_validation
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.images.formats import ImageError
from img2img_hub.images.palettes import rgb
from img2img_hub.images.raster import Raster
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import edges_of
from img2img_hub.training.batches import open_samples, open_stream
from tests.conftest import picture

PALETTE = ("#0000de", "#0030ff", "#70ff8f", "#ae0000")
SIZE = 32


def numbers_of(seed, *, none=False):
    blocks = np.random.default_rng(seed).choice([0, 1, 2, 3, *([255] if none else [])], (4, 4)).astype(np.uint8)
    return np.kron(blocks, np.ones((SIZE // 4, SIZE // 4), np.uint8))


def ids_of(seed):
    """Two instances of each class."""
    return numbers_of(seed).astype(np.int32) * 1000 + (np.arange(SIZE) >= SIZE // 2)


@pytest.fixture
def street(tmp_path):
    """train (4) and test (2): map (numbers), colours (PNG), blurred (JPEG), ids (16 bits), wide (32 bits), photo; and
    the photo beside the map in colours, in side/."""
    root = tmp_path / "street"
    for split, count in (("train", 4), ("test", 2)):
        for name in ("map", "colours", "blurred", "ids", "wide", "photo"):
            (root / split / name).mkdir(parents=True)
        (tmp_path / "side" / split).mkdir(parents=True)
        for index in range(count):
            seed, here = index + 10 * count, root / split
            numbers, photo = numbers_of(seed), picture(seed=seed, size=(SIZE, SIZE))
            colours = Image.fromarray(rgb(PALETTE)[numbers])
            Image.fromarray(numbers).save(here / f"map/{index}.png")
            colours.save(here / f"colours/{index}.png")
            colours.save(here / f"blurred/{index}.jpg", quality=80)
            Image.fromarray(ids_of(seed).astype(np.uint16)).save(here / f"ids/{index}.png")
            Raster(array=ids_of(seed) + 100_000).save(here / f"wide/{index}.tif")
            photo.save(here / f"photo/{index}.png")
            both = Image.new("RGB", (2 * SIZE, SIZE))
            both.paste(photo)
            both.paste(colours, (SIZE, 0))
            both.save(tmp_path / "side" / split / f"{index}.jpg", quality=80)
    return root


def config(folder, *sources, **more):
    return DataConfig(
        dataset=str(folder),
        source_column=sources if len(sources) > 1 else sources[0],
        **{"target_column": "photo", **more},
    )


def opened(folder, *sources, split="train", **more):
    return open_data(config(folder, *sources, **more), paired=True, split=split)


def first_batch(data, tmp_path, **more):
    """What the losses get of the first step."""
    options = {"image_size": SIZE, "load_size": SIZE, "flip": False, "cpu": True, "num_workers": 0, "batch_size": 4}
    settings = TrainConfig(output_dir=str(tmp_path / "run"), cache_dir=str(tmp_path / "cache"), **options | more)
    stream = open_stream(
        open_samples(data, config=settings), config=settings, accelerator=Accelerator(cpu=True), start=0, stop=1
    )
    return next(stream)


# --- palettes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "right"), [("colours", 1.0), ("blurred", 0.95)])
@pytest.mark.parametrize("said", ["auto", "file"])
def test_maps_in_colours_are_numbers_by_a_palette(street, tmp_path, column, right, said):
    (tmp_path / "palette.json").write_text(json.dumps(dict(zip("abcd", PALETTE, strict=True))))
    data = opened(street, column, palette=(str(tmp_path / "palette.json") if said == "file" else "auto",))
    (slot,) = data.about.inputs
    assert slot.class_names == (tuple("abcd") if said == "file" else ())
    assert (slot.kind, slot.classes, data.in_channels) == ("labels", 4, 4)
    if said == "file" or column == "colours":
        assert slot.palette == PALETTE
    assert np.abs(rgb(slot.palette).astype(int) - rgb(PALETTE)).max() < 12
    for index in range(4):
        assert (data.source(index).array[:, :, 0] == numbers_of(index + 40)).mean() >= right


def test_a_half_of_each_image_may_be_a_map_and_is_decoded_once(street, monkeypatch):
    settings = {"side_by_side": True, "direction": "BtoA", "palette": ("auto",), "labels": ("4",)}
    data = open_data(DataConfig(dataset=str(street.parent / "side"), **settings), paired=True, split="train")
    opened_files, original = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened_files.append(a) or original(*a, **k))
    source, target = data.pair(1)
    assert len(opened_files) == 1
    assert (source.array[:, :, 0] == numbers_of(41)).mean() > 0.95
    assert np.abs(np.asarray(target, int) - np.asarray(picture(seed=41, size=(SIZE, SIZE)), int)).mean() < 8
    assert list(identity_of(data)) == ["source"]


def test_validation_has_the_palette_of_training(street):
    (street / "test/colours/0.png").unlink()
    (street / "test/photo/0.png").unlink()
    Image.new("RGB", (SIZE, SIZE), PALETTE[3]).save(street / "test/colours/1.png")
    train, validation = open_train_and_validation(config(street, "colours", palette=("auto",)), paired=True, seed=0)
    assert validation.about.inputs == train.about.inputs
    assert (validation.source(0).array == 3).all()


def test_the_palette_tells_data_and_caches_apart(street, tmp_path):
    found = []
    for colours in (PALETTE, PALETTE[::-1]):
        (tmp_path / "p.json").write_text(json.dumps(dict(zip("abcd", colours, strict=True))))
        data = opened(street, "colours", palette=(str(tmp_path / "p.json"),))
        found.append((cache_name(data, load_size=SIZE), identity_of(data)))
    assert found[0][0] != found[1][0]
    assert "another palette" in difference(found[0][1], found[1][1], of="training")
    assert difference(found[0][1], found[0][1], of="training") is None


def test_caches_of_numbers_that_were_read_wrongly_before_are_others(street, monkeypatch):
    from img2img_hub.data.cache import resized

    names = [cache_name(opened(street, column, labels=labels), load_size=8) for column, labels in
             (("map", ("4",)), ("photo", ()))]  # fmt: skip
    monkeypatch.setattr(resized, "_NUMBERS", "1")
    again = [cache_name(opened(street, column, labels=labels), load_size=8) for column, labels in
             (("map", ("4",)), ("photo", ()))]  # fmt: skip
    assert names[0] != again[0]
    assert names[1] == again[1], "those of pictures stay"


@pytest.mark.parametrize(
    ("column", "options", "says"),
    [
        ("map", {"palette": ("auto",)}, r"map/0.png holds numbers, not colours, .* type --labels"),
        ("photo", {"palette": ("auto",), "target_column": "map"}, "has no few colours"),
        (
            "colours",
            {"palette": ("auto",), "labels": ("7",)},
            r"has 4 colours \(#0000de, .*and --labels says 7 classes",
        ),
        ("colours", {"palette": ("missing.json",)}, "palette missing.json cannot be read"),
        ("colours", {"palette": ("a=auto",)}, "say what a is, which is none of the sources"),
        ("colours", {"palette": ("auto", "auto")}, "say twice what source is"),
        ("colours", {"palette": ("auto",), "streaming": True}, "which a stream never shows at once"),
        ("colours", {"palette": ("auto",), "unknown": -1}, "--unknown is -1"),
        ("photo", {"unknown_channel": True, "target_column": "map"}, "--unknown_channel is of sources"),
        ("photo", {"unknown": 3, "target_column": "map"}, "--unknown is of label maps, and there are none"),
        (("map", "ids"), {"instances": ("ids",)}, "ids numbers instances and says nothing of their classes"),
        (("map", "ids"), {"labels": ("map=4",), "instances": ("ids", "map")}, "say twice what map is"),
        (("map", "ids", "wide"), {"labels": ("map=4",), "instances": ("ids", "wide")}, "ids and wide both number"),
        ("map", {"labels": ("4",), "side_by_side": True, "target_column": None}, "add --palette auto"),
        ("map", {"masks": ("map",), "side_by_side": True, "target_column": None}, "need files of their own"),
    ],
)
def test_what_says_too_little_is_refused(street, column, options, says):
    sources = column if isinstance(column, tuple) else (column,)
    with pytest.raises(DataError, match=says):
        opened(street, *sources, **options)


def test_colours_that_do_not_fit_a_file_are_refused(street, tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("a #0000de\nb #0030ff\nc #70ff8f\nd #ae0000\n")
    with pytest.raises(DataError, match=r"p.txt has 4 colours, and --labels says 2 classes"):
        opened(street, "colours", palette=(str(path),), labels=("2",))
    (slot,) = opened(street, "colours", palette=(str(path),), labels=("3",)).about.inputs
    assert (slot.classes, slot.palette, slot.class_names) == (3, PALETTE, ("a", "b", "c")), "the last is of no class"
    (slot,) = opened(street, "colours", palette=(str(path),), unknown=3).about.inputs
    assert slot.classes == 3
    path.write_text("a #0000de\nb #0030ff\nc #70ff8f\n")
    index = next(index for index in range(4) if (numbers_of(index + 40) == 3).any())
    with pytest.raises(ImageError, match=r"colours/\d.png has the colour #ae0000 at \(\d+, \d+\).* nearest is"):
        opened(street, "colours", palette=(str(path),)).source(index)


# --- to the batch -----------------------------------------------------------------------------------------------------


def one_hot(numbers, classes):
    return (np.asarray(numbers)[None] == np.arange(classes)[:, None, None]).astype(np.float32)


def edges(ids):
    """Every pixel by itself."""
    found = np.zeros(ids.shape, np.float32)
    for (row, column), own in np.ndenumerate(ids):
        for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            y, x = row + down, column + right
            if 0 <= y < ids.shape[0] and 0 <= x < ids.shape[1] and ids[y, x] != own:
                found[row, column] = 1
    return found


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 9)])
def test_edges_are_on_both_sides_of_a_border_within_the_image(shape):
    ids = np.random.default_rng(1).integers(0, 3, shape)
    assert np.array_equal(edges_of(torch.from_numpy(ids)[None])[0].numpy(), edges(ids))


@pytest.mark.parametrize("column", ["ids", "wide"])
@pytest.mark.parametrize("more", [{}, {"unknown_channel": True, "unknown": 3}])
def test_a_batch_holds_channels_edges_and_ids(street, tmp_path, column, more):
    data = opened(
        street, "map", column, "photo", target_column="colours", labels=("map=4",), instances=(column,), **more
    )
    slots = data.about.inputs
    assert [slot.kind for slot in slots] == ["labels", "instances", "picture"]
    assert slots[1].dtype == ("uint16" if column == "ids" else "int32")
    batch = first_batch(data, tmp_path)
    channels = 4 + len(more) // 2
    assert batch["source"].shape == (4, channels + 1 + 3, SIZE, SIZE)
    assert (batch["source"].dtype, batch["instances"].dtype) == (torch.float32, torch.int32)
    assert set(batch) == {"source", "target", "instances", "classes"}
    assert batch["classes"].dtype == torch.int64
    each = torch.arange(channels)[:, None, None]
    assert torch.equal((batch["classes"] == each).float(), batch["source"][:, :channels])
    found = []
    for source, ids in zip(batch["source"].numpy(), batch["instances"].numpy()[:, 0], strict=True):
        (index,) = [i for i in range(4) if np.array_equal(ids, ids_of(i + 40) + 100_000 * (column == "wide"))]
        found.append(index)
        numbers = numbers_of(index + 40)
        wanted = one_hot(numbers, channels)
        if more:
            wanted[3], wanted[4] = 0, numbers == 3
        assert np.array_equal(source[:channels], wanted)
        assert np.array_equal(source[channels], edges(ids))
        photo = np.asarray(picture(seed=index + 40, size=(SIZE, SIZE)), np.float32).transpose(2, 0, 1)
        assert np.abs(source[channels + 1 :] - (photo / 127.5 - 1)).max() < 1e-5
    assert sorted(found) == [0, 1, 2, 3]


def test_edges_are_those_of_the_crop_and_a_sample_is_bytes(street, tmp_path):
    data = opened(street, "map", "ids", labels=("map=4",), instances=("ids",))
    cache = open_cache(data, load_size=SIZE, folder=tmp_path / "cache")
    dataset = TrainingDataset(data, image_size=20, load_size=SIZE, flip=True, seed=0, cache=cache)
    sample = dataset[(0, 1)]
    assert {name: value.shape[0] for name, value in sample.items()} == {"source_numbers": 2, "target": 3}
    batch = dataset.joined({name: value[None] for name, value in sample.items()})
    ids = batch["instances"][0, 0].numpy()
    assert np.array_equal(batch["source"][0, -1].numpy(), edges(ids))
    whole = [np.array(window) for flipped in (ids_of(41), ids_of(41)[:, ::-1]) for window in
             np.lib.stride_tricks.sliding_window_view(flipped, (20, 20)).reshape(-1, 20, 20)]  # fmt: skip
    assert any(np.array_equal(ids, window) for window in whole)


def test_where_another_source_has_no_data_all_channels_are_0(street, tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        (street / split / "depth").mkdir()
        for index in range(count):
            depth = np.random.default_rng(index).random((SIZE, SIZE)).astype(np.float32)
            depth[:3, 5:] = np.nan
            Raster(array=depth).save(street / split / f"depth/{index}.tif")
    batch = first_batch(opened(street, "depth", "map", labels=("map=4",)), tmp_path)
    assert (batch["source"][:, :, :3, 5:] == 0).all()
    assert (batch["source"][:, 1:, 3:].sum(1) == 1).all()
    assert (batch["source_valid"][:, 0, :3, 5:] == 0).all()


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (picture(seed=1, size=(SIZE, SIZE)), "ids/2.png has 3 bands, and instances are whole numbers"),
        (Image.fromarray(ids_of(1) + 70_000), "ids/2.png holds .*, and the instances beside it go from 0 to 65535"),
    ],
)
def test_what_is_no_instance_map_is_refused_by_its_file(street, image, says):
    image.save(street / "train/ids/2.png", format="PNG" if image.mode == "RGB" else "TIFF")
    data = opened(street, "map", "ids", labels=("map=4",), instances=("ids",))
    slot = Slot(name="ids", kind="instances", bands=1, dtype="uint16")
    with pytest.raises(ImageError, match=says):
        data.source(2) if image.mode == "RGB" else slot.read(street / "train/ids/2.png")


def test_a_map_of_another_size_than_its_photo_is_named(street):
    Image.new("L", (16, SIZE)).save(street / "train/map/1.png")
    with pytest.raises(DataError, match=r"map/1.png is 16x32, .*photo/1.png is 32x32"):
        opened(street, "map", labels=("4",)).pair(1)


# --- what people read -------------------------------------------------------------------------------------------------


def test_check_data_counts_the_pixels_of_each_class(street, tmp_path, capsys):
    (tmp_path / "p.txt").write_text("sky #0000de\nwall #0030ff\nwindow #70ff8f\nshop #ae0000\n")
    line = ["check-data", "--dataset", str(street), "--target_column", "photo", "--split", "train"]
    assert main([*line, "--source_column", "map", "--palette", str(tmp_path / "p.txt"), "--labels", "3"]) == 0
    said = capsys.readouterr().out
    whole = np.concatenate([numbers_of(index + 40) for index in range(4)])
    assert f"source (3 classes), {whole.size:,} pixels:" in said
    for number, (name, colour) in enumerate(zip(("sky", "wall", "window"), PALETTE, strict=False)):
        count = (whole == number).sum()
        assert " ".join(f"{number} {name} {colour} {count / whole.size:.2%} {count:,}".split()) in " ".join(
            said.split()
        )
    assert f"of no class: {(whole == 3).mean():.2%}, {(whole == 3).sum():,} pixels" in said
    assert "uncertain" not in said
    assert main([*line, "--source_column", "blurred", "--palette", "auto"]) == 0
    said = capsys.readouterr().out
    found = int(said.split("uncertain: ")[1].split(" pixels")[0].split("%, ")[1].replace(",", ""))
    slot = opened(street, "blurred", palette=("auto",)).about.inputs[0]
    wanted = sum(slot.read_classes(street / f"train/blurred/{index}.jpg")[1] for index in range(4))
    assert found == wanted > 0
    assert "colours of classes that the file's format has blurred became the nearest ones" in said
    target = ["--source_column", "photo", "--target_column", "map", "--target_labels", "4", "--unknown", "3"]
    assert main([*line[:3], *target, "--split", "train"]) == 0
    assert "target (4 classes)" in capsys.readouterr().out


def test_no_data_says_nothing_of_label_maps_and_that_is_said(street):
    data = opened(street, "map", labels=("4",), no_data=0.0)
    assert data.about.source_kind.no_data is None
    assert data.description.endswith("--no_data is said of the targets alone")
    assert "--no_data" not in opened(street, "map", labels=("4",)).description


def test_a_method_may_name_maps_and_instances_and_the_user_what_is_of_no_class(street):
    slots = (
        Slot(name="map", kind="labels", classes=3),
        Slot(name="ids", kind="instances"),
        Slot(name="target"),
    )
    settings = DataConfig(
        dataset=str(street), source_column=("map", "ids"), target_column="photo", unknown=3, unknown_channel=True
    )
    data = open_data(settings, paired=True, split="train", slots=slots)
    labels, instances = data.about.inputs
    assert (labels.unknown, labels.unknown_channel, labels.channels, instances.dtype) == (3, True, 4, "uint16")
    assert data.in_channels == 5
    assert np.array_equal(data.source(0).array[:, :, 0], numbers_of(40)), "3 is of no class, the last channel"
