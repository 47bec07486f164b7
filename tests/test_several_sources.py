"""Several images that make one source: python -m pytest tests/test_several_sources.py"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import Architecture, DataConfig, Pix2Pix, Translator, UNetGenerator
from img2img_hub.cli import main
from img2img_hub.cli.translate import _named
from img2img_hub.data.cache.resized import cache_name, open_cache
from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.identity import identity_of
from img2img_hub.data.find.sources import open_data
from img2img_hub.images.formats import ImageError
from img2img_hub.images.raster import Raster
from img2img_hub.images.slots import Slot, parted, stacked
from img2img_hub.images.values import BandValues
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.settings import TranslationSettings
from tests.conftest import picture
from tests.hub import run_client
from tests.runs import assert_same_end, interrupt_at

pytest_plugins = ["tests.starting"]
NAMES = ("rgb", "depth", "edges")


@pytest.fixture
def rooms(tmp_path):
    """train (4) and test (2): rgb (8-bit colours), depth (16 bits), edges (8-bit grey), and the targets, made."""
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for name in (*NAMES, "made"):
            (tmp_path / "rooms" / split / name).mkdir(parents=True)
        for index in range(count):
            here = tmp_path / "rooms" / split
            picture(seed=index, size=(32, 32)).save(here / f"rgb/{index}.png")
            depth = random.integers(500, 3000, (32, 32), dtype=np.uint16)
            Raster(array=depth).save(here / f"depth/{index}.tif")
            picture(seed=50 + index, size=(32, 32)).convert("L").save(here / f"edges/{index}.png")
            picture(seed=90 + index, size=(32, 32)).save(here / f"made/{index}.jpg")
    return tmp_path / "rooms"


def config(folder, names=NAMES, **more):
    return DataConfig(dataset=str(folder), source_column=names, target_column="made", **more)


def test_the_images_of_a_row_are_one_source_each_with_its_own_range(rooms):
    data = open_data(config(rooms), paired=True, split="train")
    assert data.about.inputs == (
        Slot(name="rgb", bands=3),
        Slot(name="depth", bands=1, dtype="uint16"),
        Slot(name="edges", bands=1),
    )
    source, target = data.pair(2)
    assert (source.bands, source.array.dtype, target.size) == (5, np.uint16, (32, 32))
    assert np.array_equal(source.array[:, :, :3], np.asarray(Image.open(rooms / "train/rgb/2.png")))
    assert np.array_equal(source.array[:, :, 4], np.asarray(Image.open(rooms / "train/edges/2.png")))
    values = data.values[0]
    assert values.low[:3] == (0, 0, 0)
    assert values.high[:3] == (255, 255, 255)
    assert 500 <= values.low[3] < 600
    assert 2900 < values.high[3] < 3000
    assert (values.low[4], values.high[4]) == (0, 255)
    assert {side: len(each["images"]) for side, each in identity_of(data).items()} == {
        "source rgb": 4,
        "source depth": 4,
        "source edges": 4,
        "target": 4,
    }


def test_the_cache_is_another_one_for_other_sources_and_gives_the_same(rooms, tmp_path):
    data, others = (open_data(config(rooms, names), paired=True, split="train") for names in (NAMES, NAMES[::-1]))
    assert cache_name(data, load_size=16) != cache_name(others, load_size=16)
    kept = open_cache(data, load_size=16, folder=tmp_path / "cache")
    first = [np.array(side) for side in kept.pair(1)]
    again = open_cache(data, load_size=16, folder=tmp_path / "cache").pair(1)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"names": ("rgb", "rgb")}, "--source_column rgb rgb names one of them twice"),
        ({"names": ("rgb", "made")}, "has the target made among the sources"),
        ({"names": ("rgb", "nothing")}, "has no folders rgb nothing made for 'train': found"),
        ({"in_channels": 4}, "without --in_channels: drop it"),
        ({"no_data": 0}, "without --no_data: drop it"),
    ],
)
def test_what_cannot_be_is_refused(rooms, options, says):
    names = options.pop("names", NAMES)
    with pytest.raises(DataError, match=says):
        open_data(config(rooms, names, **options), paired=True, split="train")


def test_a_target_has_to_be_named_and_unpaired_data_have_one_source(rooms):
    with pytest.raises(DataError, match="type --target_column, too"):
        DataConfig(dataset=str(rooms), source_column=NAMES)
    with pytest.raises(DataError, match="outputs are called target everywhere, so rename that column"):
        DataConfig(dataset=str(rooms), source_column=("target", "depth"), target_column="rgb")
    with pytest.raises(DataError, match="unpaired data are wanted: name one"):
        open_data(config(rooms), paired=False, split="train")


def test_a_partner_that_is_missing_or_of_another_size_is_named(rooms):
    (rooms / "train/depth/3.tif").unlink()
    with pytest.raises(DataError, match=r"1 in rooms/train/rgb without a partner in rooms/train/depth: 3\.png"):
        open_data(config(rooms), paired=True, split="train")
    picture(seed=1, size=(16, 32)).convert("L").save(rooms / "test/edges/1.png")
    data = open_data(config(rooms), paired=True, split="test")
    with pytest.raises(DataError, match=r"two sizes: .*rgb/1\.png is 32x32, .*edges/1\.png is 16x32"):
        data.pair(1)


def test_one_name_is_what_it_always_was(rooms):
    assert config(rooms, ("rgb",)).source_column == "rgb"
    assert open_data(config(rooms, ["rgb"]), paired=True, split="train").source(0).mode == "RGB"


# --- translation ------------------------------------------------------------------------------------------------------


@pytest.fixture
def translator():
    torch.manual_seed(0)
    values = BandValues(dtype="uint16", low=(0, 0, 0, 500, 0), high=(255, 255, 255, 3000, 255))
    slots = (Slot(name="rgb", bands=3), Slot(name="depth", bands=1, dtype="uint16"), Slot(name="edges", bands=1))
    settings = TranslationSettings(source_channels=5, source_values=values, inputs=slots, working_size=32)
    return Translator(UNetGenerator(in_channels=5, levels=3, width=4, dropout=0), settings, name="rooms")


def named(folder, index=0):
    endings = {"rgb": "png", "depth": "tif", "edges": "png"}
    return {name: folder / f"test/{name}/{index}.{ending}" for name, ending in endings.items()}


def test_the_network_sees_each_image_in_its_own_range(rooms, translator):
    images = named(rooms)
    made = translator(images)
    assert (made.size, made.mode) == ((32, 32), "RGB")
    bands = [np.asarray(Image.open(images["rgb"]), float) / 127.5 - 1]
    bands.append((np.asarray(Image.open(images["depth"]), float)[:, :, None] - 500) / 1250 - 1)
    bands.append(np.asarray(Image.open(images["edges"]), float)[:, :, None] / 127.5 - 1)
    seen = torch.from_numpy(np.concatenate(bands, axis=2).clip(-1, 1)).permute(2, 0, 1)[None].float()
    wanted = translator.translate_tensor(seen)[0].mul(127.5).add(127.5).round().byte().permute(1, 2, 0)
    assert np.abs(np.asarray(made, int) - wanted.numpy().astype(int)).max() <= 1
    opened = {name: Image.open(path) for name, path in images.items()}
    assert np.array_equal(np.asarray(translator(opened)), np.asarray(made)), "in memory as from files"
    both = translator([images, named(rooms, 1)], batch_size=2)
    assert np.array_equal(np.asarray(both[0]), np.asarray(made))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda images: images["rgb"],
            r'3 images make one input, and .* came: give {"rgb": …, "depth": …, "edges": …}',
        ),
        (lambda images: {"rgb": images["rgb"]}, "3 images make one input, and rgb came"),
        (lambda images: images | {"more": images["rgb"]}, "and rgb, depth, edges, more came"),
        (lambda images: images | {"depth": images["rgb"]}, r"has 3 bands of uint8, where depth \(1 band of uint16\)"),
        (lambda images: images | {"rgb": Image.new("RGB", (8, 8))}, "have one size, but rgb is 8×8, .* is 32×32"),
        (lambda images: images | {"rgb": "missing.png"}, "missing.png does not exist"),
    ],
)
def test_other_images_are_refused_by_what_they_lack(rooms, translator, change, says):
    with pytest.raises(ImageError, match=says):
        translator(change(named(rooms)))


def test_a_model_of_one_image_takes_no_names(rooms):
    with pytest.raises(ImageError, match="the model takes one image, and rgb, depth, edges came"):
        Translator(UNetGenerator(levels=3, width=4))(named(rooms))


def test_what_has_no_data_in_one_image_has_none():
    slots = [Slot(name="a", bands=1), Slot(name="b", bands=1, dtype="float32")]
    hole = np.ones((4, 4), np.float32)
    hole[0, 0] = np.nan
    made = stacked({"a": np.full((4, 4), 7, np.uint8), "b": hole}, slots)
    assert made.array.dtype == np.float32
    assert not made.valid[0, 0]
    assert made.valid.sum() == 15
    assert parted(made, slots)["a"].array.dtype == np.uint8


def test_folders_are_matched_by_stem(rooms, translator, tmp_path):
    folders = {name: rooms / "test" / name for name in NAMES}
    report = translate_folder(translator, folders, output=tmp_path / "out")
    assert [place.name for _, place in report.written] == ["0.png", "1.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/1.png")), np.asarray(translator(named(rooms, 1))))
    with pytest.raises(ValueError, match=r"takes rgb .RGB., depth .* name a folder, or a file, of each, as in"):
        translate_folder(translator, rooms / "test/rgb", output=tmp_path / "other")
    (rooms / "test/edges/1.png").rename(rooms / "test/edges/one.png")
    with pytest.raises(ValueError, match=r"1\.png has no partner in .*edges \(edges\)"):
        translate_folder(translator, folders, output=tmp_path / "third")


def test_no_image_that_is_read_is_written_over(rooms, translator):
    one, before = named(rooms), {path: path.read_bytes() for path in rooms.rglob("*.*")}
    folders = {name: rooms / "test" / name for name in ("edges", "depth", "rgb")}
    assert _named((Path("depth-map=a/b"), Path("a picture=c"))) == {"depth-map": Path("a/b"), "a picture": Path("c")}
    assert _named((Path("photos/a=b.png"), Path("c=d.png"))) == {}, "a path"
    with pytest.raises(ValueError, match="is the folder of the inputs"):
        translate_folder(translator, folders, output=rooms / "test/rgb", overwrite=True)
    for order in (("rgb", "depth", "edges"), ("depth", "rgb", "edges")):
        with pytest.raises(ValueError, match=r"0\.png is an input and would be overwritten"):
            translate_folder(translator, {name: one[name] for name in order}, output=rooms / "test/rgb", overwrite=True)
    assert {path: path.read_bytes() for path in rooms.rglob("*.*")} == before


def test_a_name_that_is_given_twice_is_refused(rooms, tmp_path, capsys):
    line = ["translate", f"rgb={rooms}", f"rgb={tmp_path}", "--model", str(tmp_path), "--output", str(tmp_path / "o")]
    assert main(line) == 2
    assert "names an image twice: name each once" in capsys.readouterr().err


# --- from training to the Hub and back --------------------------------------------------------------------------------

SMALL = Architecture(width=4, levels=4, discriminator_layers=1)


def test_it_trains_resumes_and_shows_each_source(start, rooms, monkeypatch):
    whole = start(Pix2Pix(), "whole", data=config(rooms), architecture=SMALL)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        start(Pix2Pix(), "cut", data=config(rooms), architecture=SMALL)
    cut = start(Pix2Pix(), "cut", data=config(rooms), architecture=SMALL, resume=True)
    assert_same_end(whole, cut, step=6)
    settings = json.loads((whole / "translation.json").read_text())
    assert [slot["name"] for slot in settings["inputs"]] == list(NAMES)
    sheet = Image.open(whole / "sample_sheet.png")
    assert sheet.width > 5 * 16, "three sources, the output and the target"
    with pytest.raises(ValueError, match="--source_column"):
        start(Pix2Pix(), "cut", data=config(rooms, ("rgb", "depth")), architecture=SMALL, resume=True)


def test_it_is_pushed_pulled_and_translates_on_the_command_line(start, rooms, tmp_path, alice, monkeypatch, capsys):
    folder = start(Pix2Pix(), "run", data=config(rooms), architecture=SMALL)
    run_client(["-m", "img2img_hub", "push-model", str(folder), "--repo_id", "alice/rooms"], alice, cwd=tmp_path)
    inputs = [f"{name}={rooms}/test/{name}" for name in NAMES]
    line = ["-m", "img2img_hub", "translate", *inputs, "--model", "alice/rooms", "--output", str(tmp_path / "out")]
    assert "2 of 2 images translated" in run_client(line, alice, cwd=tmp_path).stdout
    wanted = Translator.from_pretrained(folder)(named(rooms, 1))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/1.png")), np.asarray(wanted))
    data = ["--dataset", str(rooms), "--source_column", *NAMES, "--target_column", "made", "--split", "test"]
    assert main(["evaluate", "--model", str(folder), *data, "--image_size", "32"]) == 0
    assert main(["check-data", *data, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "rooms/test/rgb + rooms/test/depth + rooms/test/edges (source)" in capsys.readouterr().out
    assert main(["translate", str(rooms / "test/rgb"), "--model", str(folder), "--output", str(tmp_path / "o")]) == 2
    assert "name a folder, or a file, of each, as in rgb=PATH depth=PATH edges=PATH" in capsys.readouterr().err
