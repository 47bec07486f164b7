"""Label maps and masks in whatever files people have: python -m pytest tests/test_class_numbers.py"""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub.images.formats import ImageError
from img2img_hub.images.slots import Slot, stacked

NUMBERS = (np.arange(16, dtype=np.uint8) % 4).reshape(4, 4)
HALF = (NUMBERS > 1).astype(np.uint8)
LABELS = Slot(name="map", kind="labels", bands=1, classes=16)
MASK = Slot(name="holes", kind="mask", bands=1)
INSTANCES = Slot(name="ids", kind="instances", bands=1, dtype="int32")


def grey_png(array, bits):
    """A grey PNG of fewer bits than 8, which Pillow reads and does not write."""
    rows = ["".join(format(value, f"0{bits}b") for value in row).ljust(8, "0") for row in array.tolist()]
    raw = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", *array.shape[::-1], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_numbers_of_few_bits_are_what_the_file_holds(bits):
    numbers = HALF if bits == 1 else NUMBERS if bits == 2 else np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert np.array_equal(LABELS.read(grey_png(numbers, bits)).array[:, :, 0], numbers), "as optimisers of PNGs save"


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "pbm"])
def test_two_classes_in_one_bit_are_0_and_1(ending, tmp_path):
    image = Image.fromarray(HALF > 0)
    image.save(tmp_path / f"a.{ending}")
    for given in (image, tmp_path / f"a.{ending}"):
        assert np.array_equal(LABELS.read(given).array[:, :, 0], HALF), "255 would be: of no class"
        assert np.array_equal(MASK.read(given).array[:, :, 0], HALF * 255)


@pytest.mark.parametrize("ending", ["png", "tif", "npy"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_a_mask_of_0_and_1_is_black_and_white_in_any_type(dtype, ending, tmp_path):
    array, path = HALF.astype(dtype), tmp_path / f"a.{ending}"
    if ending == "npy":
        np.save(path, array)
    elif (dtype, ending) != (np.int32, "png"):
        Image.fromarray(array).save(path)
    for given in (array, path) if path.exists() else (array,):
        assert np.array_equal(MASK.read(given).array[:, :, 0], HALF * 255)


@pytest.mark.parametrize(
    ("colours", "white"),
    [
        ([0, 0, 0, 128, 0, 0], HALF),  # as VOC and DAVIS have it: 1 is dark red
        ([0, 0, 0, 255, 255, 255], HALF),
        ([255, 255, 255, 0, 0, 0], 1 - HALF),  # what is white says so
    ],
)
def test_a_mask_with_a_palette_is_what_its_colours_or_else_its_numbers_say(colours, white, tmp_path):
    image = Image.fromarray(HALF)
    image.putpalette(colours)
    image.save(tmp_path / "a.png")
    assert np.array_equal(MASK.read(tmp_path / "a.png").array[:, :, 0], white * 255)


@pytest.mark.parametrize("colour", [0, 255])
def test_a_mask_in_the_alpha_band_is_refused(colour, tmp_path):
    image = Image.new("RGB", (4, 4), (colour,) * 3)
    image.putalpha(Image.fromarray(HALF * 255))
    image.save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="a mask with transparent pixels"):
        MASK.read(tmp_path / "a.png")
    image.putalpha(255)
    assert (MASK.read(image).array == colour).all()


def test_a_palettes_transparent_colour_says_nothing(tmp_path):
    image = Image.fromarray(HALF)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(MASK.read(tmp_path / "a.png").array[:, :, 0], HALF * 255)


def test_a_mask_in_which_nothing_is_white_is_black_or_refused():
    assert not MASK.read(np.full((4, 4), 9, np.uint8)).array.any(), "what JPEG makes of black"
    with pytest.raises(ImageError, match="nothing in it is white, the brightest pixel being 100 of 255"):
        MASK.read(HALF * 100)


@pytest.mark.parametrize("array", [NUMBERS.astype(complex), NUMBERS.astype(str), np.zeros((0, 4), np.uint8)])
def test_what_is_no_array_of_numbers_is_refused_in_words(array):
    with pytest.raises(ImageError, match=r"class numbers are whole|no pixels"):
        LABELS.read(array)


def test_a_tensor_of_numbers_is_what_its_array_is():
    numbers = torch.from_numpy(NUMBERS)
    instances = Slot(name="ids", kind="instances", bands=1, dtype="int32")
    for given in (numbers, numbers.long()[None], numbers.int()[None, None], numbers.float(), numbers.bfloat16()):
        assert np.array_equal(LABELS.read(given).array[:, :, 0], NUMBERS)
    assert np.array_equal(LABELS.read(numbers > 1).array[:, :, 0], HALF)
    assert np.array_equal(instances.read(numbers.long() + 70_000).array[:, :, 0], NUMBERS.astype(int) + 70_000)
    for white in (torch.from_numpy(HALF), torch.from_numpy(HALF * 255)[None], numbers > 1):
        assert np.array_equal(MASK.read(white).array[:, :, 0], HALF * 255)
    palette = Slot(name="map", kind="labels", bands=1, classes=2, palette=("#000000", "#ff0000"))
    red = torch.stack([numbers > 1, numbers > 4, numbers > 4]).float() * 2 - 1  # as pictures are
    assert np.array_equal(palette.read(red).array[:, :, 0], HALF)
    assert np.array_equal(palette.read(red[None]).array[:, :, 0], HALF)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.zeros(2, 4, 4, dtype=torch.long), r"torch.int64, shape \(2, 4, 4\): give \(H, W\) of whole numbers"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"torch.uint8, shape \(3, 4, 4\): give .* floats \(3, H, W\) in"),
        (torch.zeros(16, 4, 4), r"torch.float32, shape \(16, 4, 4\): give \(H, W\)"),  # as networks see it
        (torch.zeros(4), r"shape \(4,\): give \(H, W\)"),
        (torch.zeros(0, 4), "has no pixels"),
        (torch.full((4, 4), 0.5), "holds fractions, and class numbers are whole"),
        (torch.full((1, 4, 4), -1.0), "holds -1 to -1, and class numbers go from 0"),
        (torch.full((4, 4), 16), r"the class number 16 at \(0, 0\), and there are 16 classes"),
    ],
)
def test_a_tensor_that_is_no_map_is_refused_in_words(tensor, says):
    with pytest.raises(ImageError, match=says):
        LABELS.read(tensor)


@pytest.mark.parametrize("slot", [LABELS, MASK, INSTANCES], ids=lambda slot: slot.name)
@pytest.mark.parametrize("array", [np.zeros(4), np.zeros(()), np.zeros((1, 2, 3, 4)), np.full((4, 4), np.inf)])
def test_what_is_no_map_at_all_is_refused_in_words(array, slot, tmp_path):
    np.save(tmp_path / "a.npy", array)
    for given in (array, tmp_path / "a.npy"):
        with pytest.raises(ImageError):
            slot.read(given)


@pytest.mark.parametrize("kind", ["labels", "mask", "picture"])
def test_an_input_brings_its_place(kind, tmp_path):
    import tifffile

    place = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 4e6, 0.0), True)]
    tifffile.imwrite(tmp_path / "a.tif", NUMBERS * (85 if kind == "picture" else 1) % 2, extratags=place)
    slot = Slot(name="a", kind=kind, bands=1, classes=16 if kind == "labels" else 0)
    assert stacked({"a": tmp_path / "a.tif"}, [slot]).georeference[33550][2] == (10.0, 10.0, 0.0)
