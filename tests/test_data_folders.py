"""Local folders: every layout, validation, and what a broken one is told."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from img2img_hub.data.find.search import natural_key
from img2img_hub.data.find.sources import (
    DataConfig,
    PairedData,
    UnpairedData,
    open_data,
    open_train_and_validation,
    problems,
)
from img2img_hub.images.formats import ImageError
from tests.opening import message, opened, opened_unpaired, sides, values
from tests.pictures import plain, side_by_side, value_of, write


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """train/1.png … 12.png, left half N, right half 100 + N; val/1.png."""
    for split, numbers in (("train", range(1, 13)), ("val", range(1, 2))):
        (tmp_path / split).mkdir()
        for number in numbers:
            side_by_side(number, 100 + number).save(tmp_path / split / f"{number}.png")
    return tmp_path


def test_side_by_side_in_natural_order_and_both_directions(halves: Path) -> None:
    data = opened(halves, side_by_side=True)
    assert values(data) == [(number, 100 + number) for number in range(1, 13)]
    assert [data.name(index) for index in (0, 1, 9)] == ["1", "2", "10"]
    assert data.source(0).size == data.target(0).size == (8, 6)
    turned = opened(halves, side_by_side=True, direction="BtoA")
    assert values(turned) == [(100 + number, number) for number in range(1, 13)]
    assert (data.id, data.hub_ids, data.split) == (halves.name, (), "train")
    expected = f"12 pairs: right halves of {halves.name}/train (source) and left halves of {halves.name}/train (target)"
    assert turned.description == expected


def test_side_by_side_in_a_folder_without_splits(tmp_path: Path) -> None:
    side_by_side(1, 2).save(tmp_path / "a.png")
    side_by_side(3, 4).save(tmp_path / "b.png")
    assert values(opened(tmp_path, side_by_side=True)) == [(1, 2), (3, 4)]
    assert "found 2 images in the folder itself" in message(lambda: opened(tmp_path, split="val", side_by_side=True))


def test_side_by_side_can_be_trained_unpaired(halves: Path) -> None:
    data = opened_unpaired(halves, side_by_side=True, direction="BtoA", max_samples=2)
    assert sides(data) == ([101, 102], [1, 2])


PAIRED_LAYOUTS = [
    ("train/A", "train/B"),
    ("train/source", "train/target"),
    ("train/input", "train/target"),
    ("train/images", "train/labels"),
    ("train/imageA", "train/imageB"),
    ("train/input_image", "train/output_image"),
    ("train/x", "train/y"),
    ("trainA", "trainB"),
    ("train_A", "train_B"),
    ("train-source", "train-target"),
    ("A/train", "B/train"),
    ("A", "B"),
    ("Before", "After"),
]


@pytest.mark.parametrize("layout", PAIRED_LAYOUTS, ids=lambda layout: f"{layout[0]}+{layout[1]}")
def test_paired_folders_are_found_by_name_and_matched_by_stem(tmp_path: Path, layout: tuple[str, str]) -> None:
    write(tmp_path, layout[0], range(1, 12))
    write(tmp_path, layout[1], range(101, 112), ending=".bmp")
    (tmp_path / layout[1] / ".DS_Store").write_bytes(b"x")
    (tmp_path / layout[1] / "._1.png").write_bytes(b"x")
    (tmp_path / layout[1] / "notes.txt").write_text("x")
    assert values(opened(tmp_path)) == [(number, 100 + number) for number in range(1, 12)]
    assert values(opened(tmp_path, direction="BtoA")) == [(100 + number, number) for number in range(1, 12)]
    assert sides(opened_unpaired(tmp_path, max_samples=2)) == ([1, 2], [101, 102])


@pytest.mark.parametrize("layout", ["train/{}", "train_{}", "{}/train", "{}"])
def test_folders_of_any_name_are_taken_when_named(tmp_path: Path, layout: str) -> None:
    write(tmp_path, layout.format("edges"), [1, 2])
    write(tmp_path, layout.format("shoes"), [11, 12])
    write(tmp_path, layout.format("texts"), [0])
    named = {"source_column": "edges", "target_column": "shoes"}
    assert values(opened(tmp_path, **named)) == [(1, 11), (2, 12)]
    told = message(lambda: opened(tmp_path))
    assert "edges, shoes, texts" in told
    assert "type --source_column edges --target_column shoes" in told
    assert "no folders edges and boots" in message(
        lambda: opened(tmp_path, source_column="edges", target_column="boots")
    )
    assert "type both" in message(lambda: opened(tmp_path, source_column="edges"))


def test_partners_in_subfolders_keep_their_place(tmp_path: Path) -> None:
    for city, first in (("aachen", 1), ("bonn", 5)):
        write(tmp_path, f"trainA/{city}", [first, first + 1])
        write(tmp_path, f"trainB/{city}", [first + 100, first + 101])
    data = opened(tmp_path)
    assert values(data) == [(1, 101), (2, 102), (5, 105), (6, 106)]
    assert data.name(2) == "bonn/1"


def test_one_channel_is_read_as_grey(halves: Path) -> None:
    config = DataConfig(dataset=str(halves), side_by_side=True)
    data = open_data(config, paired=True, split="train", in_channels=1, out_channels=3)
    assert (data.source(0).mode, data.target(0).mode) == ("L", "RGB")
    train, held_out = open_train_and_validation(config, paired=True, seed=0, in_channels=3, out_channels=1)
    assert held_out is not None
    assert (train.source(0).mode, held_out.target(0).mode) == ("RGB", "L")


def test_images_of_any_kind_come_out_upright_in_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
    stored = plain(40, size=(6, 8))
    stored.putpixel((0, 7), (250, 250, 250))  # upright: the upper left corner
    stored.save(tmp_path / "trainA/1.png", exif=exif)
    plain(50).convert("P").save(tmp_path / "trainB/1.png")
    plain(60).convert("CMYK").save(tmp_path / "trainA/2.jpg")
    plain(70).convert("L").save(tmp_path / "trainB/2.tif")
    pairs = [opened(tmp_path).pair(index) for index in range(2)]
    assert {(image.mode, image.size) for pair in pairs for image in pair} == {("RGB", (8, 6))}
    assert pairs[0][0].getpixel((0, 0)) == (250, 250, 250)
    assert abs(value_of(pairs[1][0]) - 60) <= 2


# Unpaired


@pytest.fixture
def seasons(tmp_path: Path) -> Path:
    for folder, grey in (("trainA", range(5)), ("trainB", range(100, 103)), ("testA", [9]), ("testB", [109, 110])):
        write(tmp_path, folder, grey)
    return tmp_path


def test_unpaired_folders(seasons: Path) -> None:
    data = opened_unpaired(seasons)
    assert sides(data) == ([0, 1, 2, 3, 4], [100, 101, 102])
    assert (len(data), data.num_source, data.num_target) == (5, 5, 3)
    assert value_of(data.target(4)) == 101  # indices wrap around
    assert data.description == f"unpaired: 5 sources ({seasons.name}/trainA) and 3 targets ({seasons.name}/trainB)"
    assert sides(opened_unpaired(seasons, direction="BtoA")) == ([100, 101, 102], [0, 1, 2, 3, 4])
    assert sides(opened_unpaired(seasons, split="test")) == ([9], [109, 110])
    two = opened_unpaired(seasons, source_split="testB", target_split="trainB")
    assert (sides(two), two.split) == (([109, 110], [100, 101, 102]), "testB and trainB")


def test_unpaired_folders_of_classes(tmp_path: Path) -> None:
    for folder, grey in (("horse", [1, 2]), ("zebra", [11]), ("mule", [5])):
        write(tmp_path, f"train/{folder}", grey)
    assert sides(opened_unpaired(tmp_path, source_label="zebra", target_label="horse")) == ([11], [1, 2])
    assert "horse, mule, zebra" in message(lambda: opened_unpaired(tmp_path))


def test_unpaired_with_a_second_data_set(tmp_path: Path) -> None:
    photos, paintings = (
        write(tmp_path, "photos", [1, 2]) / "photos",
        write(tmp_path, "paintings/train", [11]) / "paintings",
    )
    data = opened_unpaired(photos, target_dataset=str(paintings))
    assert (sides(data), data.id) == (([1, 2], [11]), "photos")
    train, held_out = open_train_and_validation(
        DataConfig(dataset=str(photos), target_dataset=str(paintings)), paired=False, seed=0
    )
    assert (len(train), held_out) == (2, None)  # one target is too few to hold one out


# Validation


def test_the_validation_split_is_the_first_there_is(halves: Path) -> None:
    def validation(**options: Any) -> PairedData | UnpairedData | None:
        config = DataConfig(dataset=str(halves), side_by_side=True, **options)
        train, held_out = open_train_and_validation(config, paired=True, seed=0)
        assert len(train) == 12
        return held_out

    side_by_side(7, 8).save(write(halves, "test", []) / "test/1.png")
    shutil.copytree(halves / "val", halves / "validation")
    assert validation().split == "validation"  # type: ignore[union-attr]
    shutil.rmtree(halves / "validation")
    assert validation().split == "val"  # type: ignore[union-attr]
    shutil.rmtree(halves / "val")
    found = validation()
    assert isinstance(found, PairedData)
    assert (found.split, values(found)) == ("test", [(7, 8)])
    assert validation(validation_split="none") is None
    told = message(lambda: validation(validation_split="dev"))
    assert "no images for the split 'dev': found test (1 images), train (12 images)" in told
    assert "--validation_split" in told


def test_else_a_part_is_held_out_by_the_seed(tmp_path: Path) -> None:
    write(tmp_path, "trainA", range(40))
    write(tmp_path, "trainB", range(100, 140))

    def parts(seed: int, **options: Any) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        config = DataConfig(dataset=str(tmp_path), **options)
        train, held_out = open_train_and_validation(config, paired=True, seed=seed)
        assert isinstance(train, PairedData)
        if held_out is None:
            return values(train), []
        assert isinstance(held_out, PairedData)
        first = f"first {options['max_samples']}, " if "max_samples" in options else ""
        assert held_out.split == f"train ({first}held-out part)"
        return values(train), values(held_out)

    everything = [(value, 100 + value) for value in range(40)]
    train, held_out = parts(0, validation_fraction=0.1)
    assert len(held_out) == 4
    assert sorted(train + held_out) == everything
    assert (train, held_out) == (sorted(train), sorted(held_out))
    assert parts(0, validation_fraction=0.1) == (train, held_out)
    assert parts(1, validation_fraction=0.1)[1] != held_out
    assert len(parts(0)[1]) == 2  # a twentieth by default
    assert parts(0, validation_fraction=0) == (everything, [])
    assert [len(part) for part in parts(0, max_samples=10, validation_fraction=0.3)] == [7, 3]


def test_unpaired_holds_out_on_both_sides(tmp_path: Path) -> None:
    write(tmp_path, "trainA", range(20))
    write(tmp_path, "trainB", range(100, 110))
    config = DataConfig(dataset=str(tmp_path), validation_fraction=0.2)
    train, held_out = open_train_and_validation(config, paired=False, seed=0)
    assert isinstance(train, UnpairedData)
    assert isinstance(held_out, UnpairedData)
    assert (train.num_source, train.num_target, held_out.num_source, held_out.num_target) == (16, 8, 4, 2)
    source, target = (sorted(one + other) for one, other in zip(sides(train), sides(held_out), strict=True))
    assert (source, target) == (list(range(20)), list(range(100, 110)))


def test_unpaired_validation_split_is_found(seasons: Path) -> None:
    _, held_out = open_train_and_validation(DataConfig(dataset=str(seasons)), paired=False, seed=0)
    assert isinstance(held_out, UnpairedData)
    assert sides(held_out) == ([9], [109, 110])
    shutil.rmtree(seasons / "testB")  # half a split is none
    _, held_out = open_train_and_validation(DataConfig(dataset=str(seasons)), paired=False, seed=0)
    assert held_out is not None
    assert held_out.split == "train (held-out part)"


# What is broken


def test_orphans_are_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, "trainA", range(12))
    write(tmp_path, "trainB", range(10))
    write(tmp_path, "trainB", [1], first=77)
    told = message(lambda: opened(tmp_path))
    assert "2 in" in told
    assert "trainA without a partner in" in told
    assert ": 11.png, 12.png;" in told
    assert ": 77.png)" in told
    assert told.endswith("rename, add or delete these files, or leave them out by --drop_unmatched")


def test_folders_that_are_no_pairs_are_told_so(seasons: Path) -> None:
    shutil.rmtree(seasons / "trainB")
    write(seasons, "trainB", range(30), first=200)
    told = message(lambda: opened(seasons))
    assert "200.png, 201.png, 202.png, 203.png, 204.png and 25 more" in told
    assert "train cyclegan" in told


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "trainA", [1])
    write(tmp_path, "trainA", [1], ending=".bmp")
    write(tmp_path, "trainB", [1])
    assert "1.bmp and " in message(lambda: opened(tmp_path))


def test_a_pair_of_two_sizes_is_named(tmp_path: Path) -> None:
    write(tmp_path, "trainA", [1, 2])
    write(tmp_path, "trainB", [1, 2])
    plain(2, size=(9, 6)).save(tmp_path / "trainB/2.png")
    data = opened(tmp_path)
    assert data.pair(0)
    told = message(lambda: data.pair(1))
    assert f"{tmp_path}/trainA/2.png is 8x6, {tmp_path}/trainB/2.png is 9x6" in told
    assert list(problems(data)) == [told]


def test_an_odd_width_is_named(halves: Path) -> None:
    plain(3, size=(17, 6)).save(halves / "train/2.png")
    data = opened(halves, side_by_side=True)
    assert data.pair(0)
    assert f"{halves}/train/2.png is 17 pixels wide, which is odd" in message(lambda: data.pair(1))


def test_an_unreadable_image_is_named_when_read_and_by_problems(seasons: Path) -> None:
    (seasons / "trainB/2.png").write_bytes(b"no image")
    (seasons / "trainA/3.png").write_bytes(b"")
    data = opened_unpaired(seasons)
    with pytest.raises(ImageError, match=r"trainB/2\.png is not an image"):
        data.target(1)
    found = list(problems(data))
    assert [text.split(" is ")[0] for text in found] == [f"{seasons}/trainA/3.png", f"{seasons}/trainB/2.png"]


def test_one_folder_of_images_is_no_pair(halves: Path) -> None:
    told = message(lambda: opened(halves))
    assert "train is one folder of 12 images" in told
    assert "type --side_by_side" in told
    assert "--target_dataset FOLDER" in message(lambda: opened_unpaired(halves))
    shutil.copytree(halves / "train", halves / "train/city")
    assert "24 images, but pairs need a second folder" in message(lambda: opened(halves))


def test_paired_folders_are_not_side_by_side(seasons: Path) -> None:
    told = message(lambda: opened(seasons, side_by_side=True))
    assert "leave out --side_by_side" in told
    for folder in ("A", "B"):
        write(seasons, f"train/{folder}", [1])
    assert "leave out --side_by_side" in message(lambda: opened(seasons, side_by_side=True))


def test_more_than_one_pair_of_folders_is_not_guessed_between(tmp_path: Path) -> None:
    for folder in ("image", "label", "mask"):
        write(tmp_path, f"train/{folder}", [1])
    told = message(lambda: opened(tmp_path))
    assert "image + label, image + mask" in told
    assert "type --source_column image --target_column label" in told
    assert len(opened(tmp_path, source_column="image", target_column="mask")) == 1


def test_a_split_that_is_not_there_is_refused_with_those_that_are(seasons: Path) -> None:
    told = message(lambda: opened_unpaired(seasons, split="dev"))
    assert "'dev': found testA (1 images), testB (2 images), trainA (5 images), trainB (3 images)" in told
    assert "has the folders testA, testB, trainA, trainB, and which are sources and targets of 'autumn'" in message(
        lambda: opened_unpaired(seasons, split="autumn", train_split="autumn")
    )
    source_only = {"source_split": "trainC", "target_split": "trainA"}
    assert "'trainC': found" in message(lambda: opened_unpaired(seasons, **source_only))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "trainA", [1])
    (tmp_path / "trainB").mkdir()
    (tmp_path / "trainB/1.psd").write_bytes(b"x")
    told = message(lambda: opened(tmp_path))
    assert f"folder {tmp_path}/trainB has no images (found only .psd files)" in told
    assert ".png" in told


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"x")
    assert "is a file, not a folder" in message(lambda: opened(tmp_path / "file.png"))
    assert "there is no folder" in message(lambda: opened(tmp_path / "nowhere"))
    assert "leave those options out" in message(lambda: opened(tmp_path, dataset_revision="main"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dataset": ""}, "type --dataset"),
        ({"direction": "BtoC"}, "type --direction AtoB or --direction BtoA"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"validation_fraction": -0.1}, "validation_fraction is -0.1"),
        ({"max_samples": 0}, "max_samples is 0"),
        ({"source_split": "a"}, "--source_split is given without --target_split"),
        ({"target_label": "a"}, "--target_label is given without --source_label"),
        ({"label_column": "a"}, "add --source_label and --target_label"),
        ({"side_by_side": True, "target_column": "b"}, "so --target_column has no use"),
        ({"direction": "BtoA", "source_column": "a", "target_column": "b"}, "drop --direction and exchange"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], words: str) -> None:
    assert words in message(lambda: DataConfig(**{"dataset": "d", **options}))


@pytest.mark.parametrize(
    "options",
    [{"target_dataset": "d"}, {"source_split": "a", "target_split": "b"}, {"source_label": "a", "target_label": "b"}],
)
def test_options_for_unpaired_data_are_refused_for_pairs(seasons: Path, options: dict[str, Any]) -> None:
    assert "is for unpaired data" in message(lambda: opened(seasons, **options))


# Memory and workers


def test_nothing_is_decoded_before_it_is_asked_for_and_all_can_be_pickled(halves: Path) -> None:
    for path in (halves / "train").iterdir():
        path.write_bytes(b"not an image")
    side_by_side(3, 4).save(halves / "train/3.png")
    data = pickle.loads(pickle.dumps(opened(halves, side_by_side=True)))
    assert value_of(data.pair(2)[1]) == 4


def test_natural_order_is_the_same_everywhere() -> None:
    names = ["b10", "B9", "a2", "a10", "a02", "2", "10", "a", "é1"]
    assert sorted(names, key=natural_key) == ["2", "10", "a", "a02", "a2", "a10", "B9", "b10", "é1"]
    assert len({natural_key(name)[1] for name in ("A", "a", "1", "01")}) == 4  # no two names are ever equal
