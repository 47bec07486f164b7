"""Label maps in colours, from palettes to class numbers: python -m pytest tests/test_palettes.py"""

import io
import json
import struct
import time
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from img2img_hub.data.find.config import DataConfig
from img2img_hub.data.find.needs import Needs
from img2img_hub.images.formats import ImageError
from img2img_hub.images.palettes import check_palette, read_palette, rgb, usual_palette
from img2img_hub.images.read import Decoded
from img2img_hub.images.slots import Slot
from tests.test_class_numbers import grey_png

PALETTE = ("#0000de", "#0030ff", "#ffffff", "#ae0000")
NAMES = ("sky", "wall", "window", "door")
NUMBERS = np.random.default_rng(0).integers(0, 4, (6, 5)).astype(np.uint8)
BLOCKS = np.kron(NUMBERS, np.ones((16, 16), np.uint8))
SLOT = Slot(name="map", kind="labels", bands=1, classes=4, palette=PALETTE, class_names=NAMES)


def in_colours(numbers, palette=PALETTE):
    return rgb(palette)[numbers]


def with_palette(numbers, colours):
    image = Image.fromarray(numbers)
    image.putpalette(np.asarray(colours, np.uint8).tobytes())
    return image


def read(image, slot=SLOT):
    return slot.read(image).array[:, :, 0]


# --- files of palettes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"sky": "#0000de", "wall": [0, 48, 255], "window": "FFFFFF", "door": "#AE0000"}',
        '{"width": 8, "palette": [{"name": "sky", "color": "#0000de"}, {"name": "wall", "color": "#0030ff"}, '
        '{"name": "window", "color": "#ffffff"}, {"name": "door", "color": "#ae0000"}]}',
        "sky #0000de\nwall: 0 48 255\n\nwindow\t255, 255, 255\r\ndoor = ae0000\n",
    ],
)
def test_a_palette_is_json_or_text(text, tmp_path):
    (tmp_path / "palette").write_text(text, encoding="utf-8-sig")
    assert read_palette(tmp_path / "palette") == (NAMES, PALETTE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '{"sky": "#0000de", "wall": "#0000DE"}',
            r"class 0 \(sky\) and class 1 \(wall\) have the same colour, #0000de",
        ),
        ('{"sky": "#0000de", "sky": "#0000df"}', "two classes are called sky"),
        ('{"sky": "blue"}', "'sky' has the colour 'blue': write it as #0030ff"),
        ('{"sky": [0, 0, 256]}', "has the colour"),
        ('{"sky": {"r": 1}}', "has the colour"),
        ('{"palette": [{"name": "sky"}]}', 'a class is an object with "name" and "color"'),
        ("sky #0000de\nwall", "line 2 is 'wall': write a name and its colour"),
        pytest.param("sky" + "," * 900_000, "line 1 is 'sky,+.*: write a name and its colour", id="commas"),
        pytest.param("sky 1" + " " * 900_000 + "2", "line 1 is 'sky 1 .*: write a name and its colour", id="gap"),
        (f"{'sky' * 40} #0000de", "a class has a short name"),
        ("", "it is empty"),
        ("{", "palette"),
        ("[1, 2]", 'a class is an object with "name" and "color", got 1'),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_palette_is_refused_by_its_file(text, says, tmp_path):
    path = tmp_path / "p.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=says) as error:
        read_palette(path)
    assert str(path) in str(error.value)


def test_a_palette_of_very_many_colours_is_looked_through_once():
    """A translation.json from anywhere may hold one."""
    colours = [f"#{number:06x}" for number in range(40_000)]
    start = time.process_time()
    check_palette(colours, colours)
    assert time.process_time() - start < 5, "each compared with all before it: a minute"


# --- maps in colours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "webp"])
def test_colours_and_numbers_say_the_same(ending, tmp_path):
    Image.fromarray(in_colours(BLOCKS)).save(
        tmp_path / f"a.{ending}", **({"lossless": True} if ending == "webp" else {})
    )
    opaque = Image.fromarray(in_colours(BLOCKS))
    opaque.putalpha(255)
    others = rgb(PALETTE)[[2, 0, 3, 1]]
    places = np.argsort([2, 0, 3, 1]).astype(np.uint8)[BLOCKS]
    for given in (
        tmp_path / f"a.{ending}",
        Image.open(tmp_path / f"a.{ending}"),
        in_colours(BLOCKS),
        Image.fromarray(in_colours(BLOCKS)),
        BLOCKS,
        BLOCKS.astype(np.int32),
        BLOCKS.astype(np.uint16),
        Image.fromarray(BLOCKS),
        opaque,
        np.asarray(opaque),
        with_palette(BLOCKS, rgb(PALETTE)),
        with_palette(places, others),  # colours say it, whatever their places
        with_palette(BLOCKS, np.arange(12).reshape(4, 3)),  # of other colours: numbers say it
        with_palette(BLOCKS, np.repeat(np.arange(256), 3)),  # greys as places
    ):
        assert np.array_equal(read(given), BLOCKS)


def test_jpeg_is_snapped_and_borders_follow_most_of_what_is_around(tmp_path):
    Image.fromarray(in_colours(BLOCKS)).save(tmp_path / "a.jpg", quality=70)
    raster, uncertain = SLOT.read_classes(tmp_path / "a.jpg")
    colours = np.asarray(Image.open(tmp_path / "a.jpg")).astype(float)
    nearest = np.linalg.norm(colours[:, :, None] - rgb(PALETTE), axis=-1).argmin(-1)
    right = [(made == BLOCKS).mean() for made in (raster.array[:, :, 0], nearest)]
    assert right[0] > right[1], "the nearest colours alone"
    assert right[0] > 0.97
    assert 0 < uncertain < BLOCKS.size / 4


def old_jpeg_tiff(image, path):
    """A TIFF as it held JPEG before 1995, which nobody writes any more and everybody reads."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    jpeg, (width, height), place = file.getvalue(), image.size, 8 + 2 + 12 * 12 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, place), (259, 3, 1, 6), (262, 3, 1, 6)]
    tags += [(273, 4, 1, place + 6), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(jpeg))]
    tags += [(513, 4, 1, place + 6), (514, 4, 1, len(jpeg)), (530, 3, 2, 2 | 2 << 16)]
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 12) + body + struct.pack("<I3H", 0, 8, 8, 8) + jpeg)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG in YCbCr", "old JPEG", "WebP"])
def test_what_jpeg_and_its_like_blur_inside_a_tiff_is_snapped_too(kind, tmp_path):
    shifted = np.roll(BLOCKS, (3, 5), (0, 1))  # so that JPEG's blocks have borders inside
    colours, path = in_colours(shifted), tmp_path / "a.tif"
    if kind == "JPEG":
        Image.fromarray(colours).save(path, compression="jpeg", quality=60)
    elif kind == "old JPEG":
        old_jpeg_tiff(Image.fromarray(colours), path)
    else:  # WebP comes by tifffile, where a value is declared to be no data
        webp = {"compressionargs": {"lossless": False}, "extratags": [(42113, "s", 0, "-9", True)]}
        options = webp if kind == "WebP" else {}
        tifffile.imwrite(path, colours, photometric="rgb", compression=kind[:4].lower(), **options)
    assert (Decoded(path).stored().values != colours).any()
    for given in (path, path.read_bytes(), *([Image.open(path)] if kind != "WebP" else [])):
        raster, uncertain = SLOT.read_classes(given)
        assert (raster.array[:, :, 0] == shifted).mean() > 0.95
        assert uncertain > 0
    if kind != "WebP":
        half = Decoded(path).cropped((0, 0, 40, 96))
        assert (read(half) == shifted[:, :40]).mean() > 0.95, "a half of an image is of its file"
    colours[7, 3] = (0, 60, 250)
    Image.fromarray(colours).save(path, compression="tiff_lzw")
    with pytest.raises(ImageError, match="the colour #003cfa at"):
        SLOT.read(path)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000"])
def test_numbers_that_jpeg_may_have_changed_inside_a_tiff_are_no_classes(compression, tmp_path):
    numbers = BLOCKS.astype(np.uint8 if compression == "jpeg" else np.uint16)
    for number, no_data in enumerate([[], [(42113, "s", 0, "200", True)]]):  # by Pillow and, of 16 bits, by tifffile
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, numbers, compression=compression, extratags=no_data)
        for kind, options in (("labels", {"classes": 4}), ("instances", {})):
            slot = Slot(name="map", kind=kind, bands=1, **options)
            with pytest.raises(ImageError, match=r"\d.tif is compressed in a way that changes values a little"):
                slot.read(path)


def test_noise_in_a_jpeg_takes_no_memory_for_each_class(tmp_path):
    """Of which strangers may send forty million pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=95)
    slot = Slot(name="map", kind="labels", bands=1, classes=254, palette=usual_palette(254))
    tracemalloc.start()
    try:
        _, uncertain = slot.read_classes(tmp_path / "a.jpg")
        assert uncertain > 0.5 * 600 * 600
        assert tracemalloc.get_traced_memory()[1] < 100 * 600 * 600, "a byte a class, or a float, of each pixel"
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("bands", "most"), [((3,), 30), ((), 16), ((4,), 16)])
def test_what_is_no_map_at_all_is_refused_without_a_list_of_its_pixels(bands, most):
    """A photograph, perhaps, of forty million of them."""
    image = np.random.default_rng(0).integers(4, 250, (500, 500, *bands), dtype=np.uint8)
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=r"at \(0, 0\)"):
            read(image)
        assert tracemalloc.get_traced_memory()[1] < most * 500 * 500
    finally:
        tracemalloc.stop()


def test_a_palette_with_a_stray_colour_is_no_list_of_numbers():
    """As paint programs save a map in colours, in which one pixel has been smoothed: its places are no classes."""
    places, others = np.argsort([2, 0, 3, 1]).astype(np.uint8)[BLOCKS], [*rgb(PALETTE)[[2, 0, 3, 1]], (9, 60, 250)]
    assert np.array_equal(read(with_palette(places, others)), BLOCKS)
    places[7, 3] = 4
    with pytest.raises(ImageError, match=r"the colour #093cfa at \(3, 7\).* nearest is #0030ff, class 1"):
        read(with_palette(places, others))
    numbers = BLOCKS.copy()
    numbers[7, 3] = 255
    own = [*rgb(PALETTE), *[(7, 7, 7)] * 252]
    assert np.array_equal(read(with_palette(numbers, own)), numbers), "colours and numbers agree, and 255 is no class"
    other = [(0, 0, 222), (1, 1, 1), (174, 0, 0), (2, 2, 2)]
    assert np.array_equal(read(with_palette(BLOCKS, other)), BLOCKS), "two that happen to be the model's, of four"


def test_a_colour_of_no_class_is_named_with_its_place_and_the_nearest_class(tmp_path):
    colours = in_colours(BLOCKS)
    colours[7, 3] = (0, 60, 250)
    Image.fromarray(colours).save(tmp_path / "a.png")
    with pytest.raises(ImageError) as error:
        SLOT.read(tmp_path / "a.png")
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'a.png'} has the colour #003cfa at (3, 7), which is that of no class")
    assert "the nearest is #0030ff, class 1 (wall)" in said


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: Image.fromarray(in_colours(BLOCKS)).save(path / "a.jpg"), "a.jpg holds colours, 3 bands of them"),
        (lambda path: Image.fromarray(BLOCKS).save(path / "a.jpg"), "a.jpg is compressed in a way that changes values"),
        (
            lambda path: Image.fromarray(np.dstack([in_colours(BLOCKS), BLOCKS])).save(path / "a.png"),
            r"a.png holds colours, 3 bands",
        ),
    ],
)
def test_without_a_palette_neither_colours_nor_jpeg_say_a_class(make, says, tmp_path):
    make(tmp_path)
    with pytest.raises(ImageError, match=says) as error:
        Slot(name="map", kind="labels", bands=1, classes=4).read(next(tmp_path.iterdir()))
    assert "--palette" in str(error.value)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_transparent_pixel_is_named(mode, tmp_path):
    image = Image.fromarray(in_colours(BLOCKS) if mode == "RGBA" else BLOCKS)
    image.putalpha(255)
    image.putpixel((4, 2), (*image.getpixel((4, 2))[:-1], 128))
    image.save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a.png has an alpha band, which is 128 of 255 at \(4, 2\)"):
        SLOT.read(tmp_path / "a.png")


def test_greys_may_be_colours():
    slot = Slot(name="map", kind="labels", bands=1, classes=2, palette=("#000000", "#808080"))
    assert np.array_equal(read(NUMBERS % 2 * 128, slot), NUMBERS % 2)
    assert np.array_equal(read(NUMBERS % 2, slot), NUMBERS % 2)


# --- what is of no class ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "none"),
    [({}, 255), ({"unknown": 3}, 255), ({"unknown": 3, "unknown_channel": True}, 3), ({"unknown_channel": True}, 3)],
)
def test_what_is_of_no_class_is_so_by_any_of_its_numbers(settings, none):
    slot = Slot(name="map", kind="labels", bands=1, classes=3, **settings)
    numbers = np.array([[0, 1, 2, 255]], np.uint8)
    assert read(numbers, slot).tolist() == [[0, 1, 2, none]]
    assert read(slot.read(numbers), slot).tolist() == [[0, 1, 2, none]], "what was read before"
    assert slot.channels == 3 + ("unknown_channel" in settings)
    if "unknown" in settings:
        assert read(np.array([[3]], np.uint8), slot).tolist() == [[none]]
    elif not settings:
        with pytest.raises(ImageError, match=r"class number 3 at \(0, 0\), and there are 3 classes"):
            read(np.array([[3]], np.uint8), slot)


def test_a_class_that_is_none_and_many_classes():
    slot = Slot(name="map", kind="labels", bands=1, classes=4, unknown=0)
    assert read(np.array([[0, 3]], np.uint8), slot).tolist() == [[255, 3]]
    many = Slot(name="map", kind="labels", bands=1, classes=300, dtype="uint16")
    assert read(np.array([[255, 299, 65535]], np.uint16), many).tolist() == [[255, 299, 65535]]
    (said,) = Needs.of(DataConfig(dataset="street", labels=("256",)), slots=()).sources.values()
    assert read(np.array([[255, 65535]], np.uint16), said).tolist() == [[255, 65535]], "no class is not the last class"


def test_one_more_colour_is_that_of_no_class():
    slot = Slot(name="map", kind="labels", bands=1, classes=3, palette=PALETTE)
    wanted = np.where(BLOCKS == 3, 255, BLOCKS)
    assert np.array_equal(read(in_colours(BLOCKS), slot), wanted)
    assert np.array_equal(read(BLOCKS, slot), wanted)
    assert np.array_equal(np.asarray(slot.shown(slot.read(BLOCKS))), in_colours(BLOCKS))


def test_people_see_classes_in_their_colours_and_white_where_there_is_none():
    numbers = np.array([[0, 1, 3, 255]], np.uint8)
    assert np.asarray(SLOT.shown(SLOT.read(numbers))).tolist() == [[[0, 0, 222], [0, 48, 255], [174, 0, 0], [255] * 3]]
    for settings in ({}, {"unknown_channel": True}):
        made = Slot(name="map", kind="labels", bands=1, classes=12, **settings)
        shown = np.asarray(made.shown(made.read(np.array([[*range(12), 255]], np.uint8))))[0]
        assert len({tuple(colour) for colour in shown.tolist()}) == 13
        assert shown[-1].tolist() == [255] * 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"palette": PALETTE[:3]}, "the palette has 3 colours, and there are 4 classes"),
        ({"palette": (*PALETTE[:3], PALETTE[0])}, r"class 0 and class 3 have the same colour, #0000de"),
        ({"palette": ("#0000DE", *PALETTE[1:])}, "a colour of a palette is like"),
        ({"palette": "blue"}, "palette must be a list"),
        ({"class_names": NAMES[:3]}, "class_names are 3, and there are 4 classes"),
        ({"class_names": ("a", "b", "c", 4)}, "a class has a short name"),
        ({"unknown": -1}, "unknown must be a whole number from 0"),
        ({"unknown_channel": 1}, "unknown_channel must be true or false"),
        ({"classes": 256}, "dtype is uint8, which has no number for what is none of 256 classes: uint16"),
        ({"kind": "mask", "classes": 0, "palette": PALETTE}, "of labels, and kind is mask"),
    ],
)
def test_a_slot_of_labels_that_cannot_be_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        Slot(**{"name": "a", "kind": "labels", "bands": 1, "classes": 4, **settings})


# --- images that Pillow opened ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("bits", [2, 4])
def test_an_opened_image_of_few_bits_holds_what_its_file_holds(bits, loaded, tmp_path):
    numbers = (np.arange(16, dtype=np.uint8) % 2**bits).reshape(4, 4)
    (tmp_path / "a.png").write_bytes(grey_png(numbers, bits))
    image = Image.open(tmp_path / "a.png")
    if loaded:
        image.load()
    slot = Slot(name="map", kind="labels", bands=1, classes=16)
    assert np.array_equal(read(image, slot), numbers), "which Pillow spreads over 8 bits"
    image.paste(7, (0, 0, 4, 4))
    assert (read(image, slot) == 7).all(), "what somebody drew in it since"


def test_translation_json_says_what_classes_are_and_no_more_than_that():
    from img2img_hub.images.values import BandValues
    from img2img_hub.translation.settings import TranslationSettings

    values = BandValues(dtype="uint8", low=(0,), high=(255,), classes=(5,))
    slot = Slot(
        name="map", kind="labels", bands=1, classes=4, palette=PALETTE, class_names=NAMES, unknown=11,
        unknown_channel=True,
    )  # fmt: skip
    settings = TranslationSettings(source_channels=5, source_values=values, inputs=(slot,))
    known = json.loads(json.dumps(settings.to_dict()))
    assert known["inputs"][0]["class_names"] == list(NAMES)
    assert TranslationSettings.from_dict(known) == settings
    assert "output" not in known
    assert "edges" not in known["source_values"]
    with pytest.raises(ValueError, match=r"inputs: class 0 .* have the same colour"):
        TranslationSettings.from_dict(known | {"inputs": [known["inputs"][0] | {"palette": ["#000000"] * 4}]})
