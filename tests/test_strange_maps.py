"""Maps, palettes and drawings as strangers have them: python -m pytest tests/test_strange_maps.py"""

import base64
import io
import json
import struct
import warnings
import zlib

import gradio as gr
import numpy as np
import pytest
import tifffile
from PIL import Image

from img2img_hub import DataConfig, Translator, UNetGenerator
from img2img_hub.data.find.sources import open_data
from img2img_hub.demo.models import find_models
from img2img_hub.demo.paint_tab import PREFIX, check_paper, find_papers, paint_translation
from img2img_hub.demo.prepare import _examples
from img2img_hub.evaluation.measure import evaluate_paired
from img2img_hub.images.formats import ImageError
from img2img_hub.images.palettes import read_palette
from img2img_hub.images.read import read_image, read_raster
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import write_of_classes
from tests.browser.test_paint import PAPER
from tests.test_class_numbers import grey_png

COLOURS = ("#0030ff", "#00ff00", "#ff0000")
MAP = np.array([[0, 1, 2, 1]], dtype=np.uint8)


def slot(palette=COLOURS):
    return Slot(name="map", kind="labels", bands=1, classes=len(palette), palette=palette)


def numbers(image, palette=COLOURS):
    return slot(palette).read(image).array[0, :, 0].tolist()


def with_palette(places, colours, **more):
    image = Image.fromarray(places, "P")
    image.putpalette([int(c[at : at + 2], 16) for c in colours for at in (1, 3, 5)])
    image.info |= more
    return image


# --- maps -------------------------------------------------------------------------------------------------------------


def as_file(image, path):
    image.save(path, **({"transparency": image.info["transparency"]} if "transparency" in image.info else {}))
    return path


@pytest.mark.parametrize("clear", [1, bytes([255, 128])])
def test_a_transparent_place_of_a_palette_is_refused_where_it_is_used(clear, tmp_path):
    image = with_palette(MAP, COLOURS, transparency=clear)
    for given in (image, as_file(image, tmp_path / "a.png")):
        with pytest.raises(ImageError, match=r"alpha band, which is (0|128) of 255 at \(1, 0\).*save it without alpha"):
            numbers(given)
    unused = with_palette(np.minimum(MAP, 1) * 2, COLOURS, transparency=1)
    assert numbers(as_file(unused, tmp_path / "b.png")) == [0, 2, 2, 2], "as many tools mark one that they leave free"


def test_a_place_beyond_a_files_own_palette_is_no_black(tmp_path):
    palette = ("#000000", "#00ff00", "#ff0000")
    image = with_palette(np.array([[0, 2, 5, 2]], dtype=np.uint8), ("#000000", "#ff0000", "#00ff00"))
    with pytest.raises(ImageError, match=r"the place 5 of its palette at \(2, 0\), and that has only 3 colours"):
        numbers(image, palette)
    with pytest.raises(ImageError, match=r"class number 5 at \(2, 0\)"):
        numbers(with_palette(np.array([[0, 2, 5, 2]], dtype=np.uint8), palette), palette)


def test_of_grey_palettes_a_map_that_says_two_things_is_refused():
    paper = ("#ffffff", "#000000")
    inked = np.array([[0, 255, 0, 0]], dtype=np.uint8)
    assert numbers(inked, paper) == numbers(np.repeat(inked[:, :, None], 3, 2), paper) == [1, 0, 1, 1]
    for given in (np.zeros((1, 4), np.uint8), Image.fromarray(inked > 0)):
        with pytest.raises(ImageError, match=r"holds class 0, or the grey #000000, which is class 1's: save it in RGB"):
            numbers(given, paper)
    bits = np.tile(np.array([0, 1, 0, 0, 1, 0, 0, 0], np.uint8), (2, 1))
    with pytest.raises(ImageError, match="or the grey #000000"):
        numbers(grey_png(bits, 1), paper)
    assert numbers(grey_png(bits, 1), ("#000000", "#ffffff"))[:3] == [0, 1, 0], "both say the same"
    assert numbers(np.array([[0, 1, 1, 0]], np.uint8), paper) == [0, 1, 1, 0], "1 is no grey of the palette"


def test_sixteen_bits_of_the_palettes_colours_are_colours():
    colours = np.array([[int(c[at : at + 2], 16) for at in (1, 3, 5)] for c in COLOURS], dtype=np.uint16)[MAP]
    assert numbers(colours * 257) == [0, 1, 2, 1]
    with pytest.raises(ImageError, match="in RGB of 8 bits, in the palette's colours"):
        numbers(colours * 257 + 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_oriented_tiff_is_upright_and_whole(orientation, compression, tmp_path):
    array, path = np.arange(60, dtype=np.uint8).reshape(3, 20), tmp_path / "a.tif"
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, array, extratags=tag, compression=compression)
    turned = {
        1: array, 2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1],
        5: array.T, 6: array.T[:, ::-1], 7: array.T[::-1, ::-1], 8: array.T[::-1],
    }[orientation]  # fmt: skip
    assert np.array_equal(np.asarray(read_image(path, channels=1)), turned)
    assert np.array_equal(Slot(name="map", kind="labels", bands=1, classes=60).read(path).array[:, :, 0], turned)


def test_a_raster_is_checked_as_a_file_is(tmp_path):
    model = Translator.from_pretrained(write_of_classes(tmp_path / "model"), device="cpu")
    assert model(read_raster(np.ones((64, 64), np.uint8))).size == (64, 64)
    none = np.full((64, 64), 255, np.uint8)
    none[:32] = 1
    assert model(read_raster(none)).size == (64, 64), "of no class, not a grey"
    with pytest.raises(ImageError, match=r"class number 200 at \(0, 0\)"):
        model(read_raster(np.full((64, 64), 200, np.uint8)))
    with pytest.raises(ImageError, match="holds fractions"):
        model(read_raster(np.full((64, 64), 0.5, np.float32)))


# --- palettes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["#0a3b5cff", "#1a2b3", "hsl(120, 50%, 50%)", "-1 0 -3", "1.5 7", "1 2", "1 2 3 4"])
def test_what_is_no_colour_is_not_read_as_another(colour, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"wall": colour, "door": "#00ff00"}))
    with pytest.raises(ValueError, match=r"'wall' has the colour .*write it as #0030ff"):
        read_palette(tmp_path / "a.json")


@pytest.mark.parametrize("colour", ["0, 48, 255", "rgb(0,48,255)", "RGB( 0 48 255 )", [0, 48, 255], "0030FF"])
def test_what_is_one_is(colour, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"wall": colour, "door": "#00ff00"}))
    assert read_palette(tmp_path / "a.json") == (("wall", "door"), ("#0030ff", "#00ff00"))


def test_a_line_of_four_numbers_is_refused_and_a_name_may_end_in_one(tmp_path):
    (tmp_path / "a.txt").write_text("wall 0 48 255 255\ndoor 0 255 0 255\n")
    with pytest.raises(ValueError, match=r"line 1 is .* ends in four numbers or more"):
        read_palette(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("thing 1: 0 48 255\nthing 2 #00ff00\n")
    assert read_palette(tmp_path / "a.txt") == (("thing 1", "thing 2"), ("#0030ff", "#00ff00"))


def test_a_device_is_no_palette():
    with pytest.raises(ValueError, match="no regular file"):
        read_palette("/dev/zero")


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_pair_of_which_no_labelled_pixel_is_left_is_left_out_of_the_numbers(tmp_path):
    for part in ("photo", "map"):
        (tmp_path / "data/train" / part).mkdir(parents=True)
    draws = np.random.default_rng(0)
    for index in range(3):
        photo = draws.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(photo).save(tmp_path / f"data/train/photo/{index}.png")
        target = draws.integers(0, 3, (96, 96), dtype=np.uint8)
        if index == 1:
            target[:], target[0, 0] = 255, 0
        Image.fromarray(target).save(tmp_path / f"data/train/map/{index}.png")
    config = DataConfig(dataset=str(tmp_path / "data"), source_column="photo", target_column="map", target_labels=3)
    data = open_data(config, paired=True, split="train")
    settings = TranslationSettings(
        family="pix2pix",
        working_size=32,
        output=data.about.output,
        target_values=BandValues(dtype="uint8", low=(0,) * 3, high=(255,) * 3),
    )
    model = Translator(UNetGenerator(levels=4, width=4), settings, device="cpu")
    with pytest.warns(UserWarning, match=r"map/1.png has no pixel where .*left out of the numbers"):
        found = evaluate_paired(model, data, image_size=32)
    for name in ("photo", "map"):
        (tmp_path / f"data/train/{name}/1.png").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rest = evaluate_paired(model, open_data(config, paired=True, split="train"), image_size=32)
    assert {name: found[name] for name in ("l1", "ssim", "mean_iou")} == pytest.approx(
        {name: rest[name] for name in ("l1", "ssim", "mean_iou")}
    )


# --- the painter ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        json.dumps(PAPER | {"palette": [{"name": "\ud800", "color": "#000000"}, *PAPER["palette"]]}),
        json.dumps(PAPER | {"palette": [{"name": "two\nlines", "color": "#000000"}, *PAPER["palette"]]}),
    ],
)
def test_a_paper_that_no_page_can_show_is_left_out(text, tmp_path, caplog):
    folder = write_of_classes(tmp_path / "models" / "mine")
    (folder / "paint.json").write_text(text)
    assert find_papers(find_models(str(tmp_path / "models"))) == {}
    assert "paint.json" in caplog.text


def test_what_a_paper_holds_beside_is_not_sent(tmp_path):
    evil = PAPER | {"x": 10**30, "palette": [each | {"deep": [10**30]} for each in PAPER["palette"]]}
    assert check_paper(evil) == check_paper(PAPER) == PAPER | {"smooth": False}


def png(chunks):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def head(width, height):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        png([head(65535, 65535), (b"IDAT", b""), (b"IEND", b"")]),
        png([head(30000, 30000), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]),
        png([head(1, 1), (b"IDAT", zlib.compress(b"\0\0")), (b"tRNS", b""), (b"IEND", b"")]),
        png([head(1, 1), (b"IDAT", zlib.compress(b"\0\0")), (b"gAMA", b""), (b"IEND", b"")]),
        b"no picture",
    ],
)
def test_any_damaged_drawing_is_refused_in_words(content, tmp_path):
    write_of_classes(tmp_path / "models" / "mine")
    models = find_models(str(tmp_path / "models"))
    drawing = PREFIX + base64.b64encode(content).decode()
    with pytest.raises(gr.Error, match=r"did not arrive whole|\d+ ?×"):
        paint_translation(models, next(iter(models.models)), drawing)
    good = io.BytesIO()
    Image.new("RGB", (64, 64), "#0030ff").save(good, "PNG")
    path, _ = paint_translation(models, next(iter(models.models)), PREFIX + base64.b64encode(good.getvalue()).decode())
    assert Image.open(path).size == (64, 64)


def test_the_page_measures_bfloat16_on_the_examples_of_a_model_of_label_maps(tmp_path):
    folder = write_of_classes(tmp_path / "mine")
    (folder / "examples").mkdir()
    Image.new("RGB", (64, 64), "#00ff00").save(folder / "examples/1-meadow.png")
    (found,) = _examples(Translator.from_pretrained(folder, device="cpu"))
    assert found.shape == (1, 2, 64, 64)
    assert found[0, :, 0, 0].tolist() == [0, 1], "class 1 of two"
