"""Files that say what they are in a tag that most readers leave out: pages, masks, depth, white for 0, alpha that is
none. They are read as they say, or named.

python -m pytest tests/test_read_rightly.py
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from img2img_hub.data.find.sources import DataError
from img2img_hub.images.formats import ImageError
from img2img_hub.images.headers import kind_of
from img2img_hub.images.raster import Raster, RasterKind
from img2img_hub.images.read import read_alpha, read_image, read_raster
from img2img_hub.images.remarks import noted, told
from img2img_hub.images.tiff_pages import full, mask_place, pages
from tests.opening import opened


def values(dtype: str, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def tiff(*written: tuple[np.ndarray, dict[str, object]], **options: bool | str) -> bytes:
    """Images one behind the other, each with what `TiffWriter.write` takes."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:  # type: ignore[arg-type]
        for array, how in written:
            writer.write(array, metadata=None, **how)  # type: ignore[arg-type]
    return file.getvalue()


def png(array: np.ndarray, *, transparent: tuple[int, ...] = ()) -> bytes:
    """Of 16 bits, written out: (H, W, C) as grey, grey with alpha, RGB or RGBA."""
    height, width, bands = array.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    parts = [(b"IHDR", header)] + ([(b"tRNS", struct.pack(f">{bands}H", *transparent))] if transparent else [])
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def said(content: object, *, channels: int = 3) -> str:
    """What is noted of it as a picture."""
    with noted() as notes:
        read_image(content, channels=channels, name="it")  # type: ignore[arg-type]
    return "\n".join(told(notes))


# --- PNG of 16 bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("way", ["path", "bytes"])
def test_a_png_of_16_bits_keeps_them(tmp_path: Path, bands: int, way: str) -> None:
    array = values("uint16", 7, 9, bands)
    colours = bands - (bands in (2, 4))
    (tmp_path / "a.png").write_bytes(png(array))
    content = tmp_path / "a.png" if way == "path" else png(array)
    kind = kind_of(content)
    assert kind == RasterKind(bands=colours, dtype="uint16", masked=bands > colours)
    raster = read_raster(content, kind=kind)
    assert raster.array.dtype == np.uint16
    assert np.array_equal(raster.array, array[:, :, :colours])
    picture = np.asarray(read_image(png(array[:, :, :colours]), channels=colours))  # Pillow leaves the lower byte out
    assert np.abs(picture.reshape(7, 9, colours) - array[:, :, :colours] / 257).max() <= 1


@pytest.mark.parametrize("bands", [1, 3])
def test_a_value_that_is_transparent_is_so_in_16_bits_too(bands: int) -> None:
    array = values("uint16", 7, 9, bands)
    data = png(array, transparent=tuple(array[2, 3]))
    kind = kind_of(data)
    assert kind == RasterKind(bands=bands, dtype="uint16", masked=True)
    valid = read_raster(data, kind=kind).valid
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[2, 3]]
    assert np.asarray(read_image(data, channels=bands))[2, 3].min() == 255, "clear shows white"
    assert read_alpha(data) is not None


def test_a_png_of_16_bits_is_upright_and_refused_when_cut_short_or_without_its_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    array = values("uint16", 4, 6, 3)
    whole = png(array)
    exif = Image.Exif()
    exif[274] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    turned = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    assert np.array_equal(read_raster(whole[:33] + turned + whole[33:]).array, np.rot90(array, -1))
    with pytest.raises(ImageError, match=r"row 3 is damaged or cut short"):
        read_raster(whole[:-30], name="row 3")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for read in (kind_of, read_raster):
        with pytest.raises(ImageError, match=r"row 3 is a PNG of 16 bits .* pip install imagecodecs"):
            read(whole, name="row 3")
    assert kind_of(png(array[:, :, :1])) is not None, "plain grey needs no library"
    assert read_image(whole).size == (6, 4), "nor does a picture"


# --- masks of GeoTIFFs ------------------------------------------------------------------------------------------------

MASK = np.ones((32, 40), bool)
MASK[:5, :7] = False
HOW = {"subfiletype": 4, "photometric": "mask"}


@pytest.mark.parametrize("how", ["rgb", "grey", "uint16", "float32", "jpeg", "big", "turned", "with copies"])
def test_a_mask_inside_a_tiff_says_where_there_is_no_data(how: str) -> None:
    array = values("uint16", 32, 40, 3) if how == "uint16" else values("uint8", 32, 40, 3)
    first: dict[str, object] = {"photometric": "rgb"}
    if how in ("grey", "float32"):
        array, first = array[:, :, 0], {"photometric": "minisblack"}
        array = array.astype("float32") if how == "float32" else array
    if how == "jpeg":
        array, first = np.full_like(array, 90), {"photometric": "rgb", "compression": "jpeg"}
    if how == "turned":
        first["extratags"] = [(274, 3, 1, 3, True)]
    pages_of: list[tuple[np.ndarray, dict[str, object]]] = [(array, first)]
    if how == "with copies":
        pages_of.append((array[::2, ::2], first | {"subfiletype": 1}))
        pages_of.append((MASK[::2, ::2], HOW | {"subfiletype": 5}))
    data = tiff(*pages_of, (MASK, HOW | {"compression": "zlib"}), bigtiff=how == "big")
    expected = MASK[::-1, ::-1] if how == "turned" else MASK
    kind = kind_of(data)
    assert kind is not None
    assert kind.masked
    assert kind.bands == (1 if how in ("grey", "float32") else 3)
    raster = read_raster(data, kind=kind)
    assert raster.valid is not None
    assert np.array_equal(raster.valid, expected)
    if how != "jpeg":
        shown = array if array.ndim == 3 else array[:, :, None]
        assert np.array_equal(raster.array, shown[::-1, ::-1] if how == "turned" else shown)
    else:
        assert np.abs(raster.array.astype(int) - 90).max() <= 3
    if how != "float32":
        assert (np.asarray(read_image(data))[~expected] == 255).all(), "as a picture it is clear there"
        alpha = read_alpha(data)
        assert alpha is not None
        assert np.array_equal(np.asarray(alpha) == 255, expected)
    assert said(data) == "" if how != "float32" else True


def test_pages_are_told_apart_by_their_tags(tmp_path: Path) -> None:
    rgb = values("uint8", 32, 40, 3)
    data = tiff((rgb, {}), (rgb[::2, ::2], {"subfiletype": 1}), (MASK, HOW), (rgb, {}))
    found = pages(data)
    assert [(page.width, page.reduced, page.mask) for page in found] == [
        (40, False, False), (20, True, False), (40, False, True), (40, False, False)
    ]  # fmt: skip
    assert (full(found), mask_place(found), found.missing) == (2, 2, False)
    small = tiff((rgb, {}), (MASK[::2, ::2], HOW))
    assert mask_place(pages(small)) is None, "of another size it belongs to another page"
    for length in range(16, len(data), 7):
        pages(data[:length])  # wherever it ends
    looped = bytearray(tiff((rgb, {})))
    looped[-4:] = looped[4:8]  # whatever stands there
    pages(bytes(looped))


# --- white is zero ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_where_white_is_zero_it_is_white(dtype: str, order: str) -> None:
    top = np.iinfo(dtype).max
    array = values(dtype, 8, 9)
    inverted = tiff((top - array, {"photometric": "miniswhite"}), byteorder=order)
    straight = tiff((array, {"photometric": "minisblack"}), byteorder=order)
    for channels in (1, 3):
        assert read_image(inverted, channels=channels).tobytes() == read_image(straight, channels=channels).tobytes()
    assert np.array_equal(read_raster(inverted).array, read_raster(straight).array)
    assert kind_of(inverted) == kind_of(straight)


def test_where_white_is_zero_no_data_stays_where_it_was() -> None:
    array = values("uint16", 8, 9) | 1
    array[2, 3] = 0
    tag = (42113, "s", 2, "0", True)
    raster = read_raster(tiff((array, {"photometric": "miniswhite", "extratags": [tag]})))
    assert raster.valid is not None
    assert np.argwhere(~raster.valid).tolist() == [[2, 3]]
    floats = array.astype("float32")
    assert np.array_equal(read_raster(tiff((floats, {"photometric": "miniswhite"}))).array[:, :, 0], floats)


@pytest.mark.parametrize("bands", [1, 3])
def test_what_is_white_in_12_bits_is_white(bands: int) -> None:
    array = np.full((8, 8, bands), 4095, np.uint16)
    array[:, :4] = 2048
    data = tiff(
        (
            array if bands > 1 else array[:, :, 0],
            {"bitspersample": 12, "photometric": "rgb" if bands > 1 else "minisblack"},
        )
    )
    picture = np.asarray(read_image(data, channels=bands))
    assert set(np.unique(picture)) == {128, 255}
    assert said(data, channels=bands) == ""
    assert read_raster(data).array.max() == 4095, "a raster is in its own units"


def test_three_bands_that_are_not_called_rgb_are_read() -> None:
    array = values("uint8", 8, 9, 3)
    data = tiff((array, {"photometric": "minisblack", "planarconfig": "contig"}))
    kind = kind_of(data)
    assert kind == RasterKind(bands=3, dtype="uint8", masked=False)
    assert np.array_equal(read_raster(data, kind=kind).array, array)
    assert np.array_equal(np.asarray(read_image(data)), array)


# --- alpha that is none -----------------------------------------------------------------------------------------------


def data_set(root: Path, content: bytes, *, ending: str = ".tif") -> Path:
    for side in ("source", "target"):
        (root / "train" / side).mkdir(parents=True)
        (root / "train" / side / f"1{ending}").write_bytes(content)
    return root


@pytest.mark.parametrize(("dtype", "bands"), [("uint8", 4), ("uint8", 2), ("uint16", 4)])
def test_a_band_flagged_as_alpha_is_named_and_can_be_asked_for_as_a_band(
    tmp_path: Path, dtype: str, bands: int
) -> None:
    array = values(dtype, 40, 40, bands)
    how = {
        "photometric": "rgb" if bands == 4 else "minisblack",
        "extrasamples": ["unassalpha"],
        "planarconfig": "contig",
    }
    data = tiff((array, how))
    for_it = said(data, channels=bands - 1)
    assert "it: a band flagged as alpha holds values as data do, and makes pixels transparent (values" in for_it
    assert "--in_channels" in for_it
    opened_data = opened(data_set(tmp_path, data), in_channels=bands, out_channels=bands)
    source = opened_data.source(0)
    assert isinstance(source, Raster)
    assert np.array_equal(source.array, array)
    assert source.valid is None
    assert opened_data.about.source_kind == RasterKind(bands=bands, dtype=dtype, masked=False)
    with pytest.raises(DataError, match="5 are asked for"):
        opened(tmp_path, in_channels=5)


def test_pngs_with_alpha_can_be_asked_for_as_four_bands(tmp_path: Path) -> None:
    array = values("uint8", 40, 40, 4)
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    source = opened(data_set(tmp_path / "8", file.getvalue(), ending=".png"), in_channels=4).source(0)
    assert isinstance(source, Raster)
    assert np.array_equal(source.array, array)
    deep = values("uint16", 40, 40, 4)
    source = opened(data_set(tmp_path / "16", png(deep), ending=".png"), in_channels=4).source(0)
    assert isinstance(source, Raster)
    assert np.array_equal(source.array, deep)


def test_alpha_that_is_one_is_not_named() -> None:
    array = values("uint8", 40, 40, 4)
    for alpha in (
        np.where(array[:, :, 0] > 99, 255, 0),
        np.full((40, 40), 128),
        np.linspace(0, 1, 1600).reshape(40, 40) > 0.2,
    ):
        array[:, :, 3] = alpha.astype(np.uint8) * (255 if alpha.dtype == bool else 1)
        assert said(Image.fromarray(array)) == ""


# --- what a picture cannot show ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 255, 4095, 10_000])
def test_deep_values_that_are_nearly_black_in_8_bits_are_named(most: int) -> None:
    for bands in (1, 3):
        array = np.linspace(0, most, 40 * 40 * bands).reshape(40, 40, bands).astype(np.uint16)
        how = {"photometric": "rgb" if bands == 3 else "minisblack"}
        for data in (png(array), tiff((array if bands == 3 else array[:, :, 0], how))):
            assert "it: nearly black in the 8 bits of a picture (values of at most" in said(data, channels=bands)
            assert len(said(data, channels=bands).splitlines()) == 1
    bright = png(np.full((4, 4, 3), 40_000, np.uint16))
    assert said(bright) == ""


def test_of_pages_and_frames_the_first_is_read_and_that_is_said() -> None:
    first, second = (Image.new("RGB", (8, 6), (90 * n, 50, 50)) for n in (1, 2))
    for format, words in (
        ("GIF", "several frames"), ("WEBP", "2 frames"), ("PNG", "2 frames"), ("MPO", "2 frames"), ("TIFF", "2 pages")
    ):  # fmt: skip
        file = io.BytesIO()
        first.copy().save(file, format, save_all=True, append_images=[second.copy()])
        assert f"it: of several pages or frames the first alone is read ({words}); save" in said(file.getvalue()), (
            format
        )
        assert abs(read_image(file.getvalue()).getpixel((4, 3))[0] - 90) <= 3  # type: ignore[index]
        first.copy().save(file := io.BytesIO(), "JPEG" if format == "MPO" else format)
        assert said(file.getvalue()) == ""
    rgb = values("uint8", 32, 40, 3)
    copies = tiff((rgb, {}), (rgb[::2, ::2], {"subfiletype": 1}), (rgb[::4, ::4], {"subfiletype": 1}))
    assert said(copies) == "", "smaller copies are no pages"
    deep = values("uint16", 8, 9)
    stack = tiff((deep, {}), (deep[:4], {}))
    with noted() as notes:
        assert read_raster(stack).bands == 1
    assert "(2 pages)" in told(notes)[0]


def test_a_palette_whose_colours_become_equal_greys_is_named() -> None:
    classes = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) % 3, "P")
    classes.putpalette([128, 0, 0, 0, 65, 0, 255, 255, 255])  # red and green of one lightness
    file = io.BytesIO()
    classes.save(file, "PNG")
    assert "colours of a palette become equal greys (3 colours, 2 greys)" in said(file.getvalue(), channels=1)
    assert said(file.getvalue(), channels=3) == ""


def test_nobody_looks_where_nobody_listens() -> None:
    with noted() as notes:
        pass
    read_image(png(np.full((4, 4, 3), 7, np.uint16)))
    assert notes == []


def test_a_smaller_copy_before_the_image_itself_is_named() -> None:
    """Some cameras and scanners put it first, and readers take the first page."""
    for bands, name in ((3, "rgb"), (1, "minisblack")):
        array = values("uint8", 16, 16, bands).squeeze()
        content = tiff((array[:4, :4], {"photometric": name, "subfiletype": 1}), (array, {"photometric": name}))
        words = "of several pages or frames the first alone is read (which is marked as a smaller copy; 1 of full size"
        assert words in said(content)
        with noted() as notes:
            read_raster(content, name="it")
        assert words in "\n".join(told(notes))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits_is_transparent(bits: int) -> None:
    """Pillow spreads the pixels over 8 bits, but not the value that is transparent."""
    levels = 2**bits
    header = struct.pack(">IIBBBBB", 8, levels, bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([level * 255 // (levels - 1)] * bits) for level in range(levels))
    for clear in {1, levels // 2, levels - 1} - {0}:
        parts = [(b"IHDR", header), (b"tRNS", struct.pack(">H", clear)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        content = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
        alpha = read_alpha(content)
        assert alpha is not None, clear
        assert np.flatnonzero(np.asarray(alpha)[:, 0] == 0).tolist() == [clear]
        raster = read_raster(content)
        assert raster.valid is not None
        assert np.flatnonzero(~raster.valid[:, 0]).tolist() == [clear]


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", "<u2", "u1"])
def test_an_array_of_the_other_byte_order_is_of_the_same_kind(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "x.npy", np.arange(12).reshape(3, 4).astype(dtype))
    raster = read_raster(tmp_path / "x.npy")
    assert raster.array[:, :, 0].tolist() == np.arange(12).reshape(3, 4).tolist()
    kind = kind_of(tmp_path / "x.npy", bands=1, no_data=-1)
    assert kind is not None
    assert kind.dtype == raster.array.dtype.name


@pytest.mark.timeout(60)
def test_pages_with_as_many_tags_as_there_can_be_take_no_time() -> None:
    """They may overlap, so that a small file has thousands of them; a stranger's picture keeps nobody waiting."""
    file = io.BytesIO()
    Image.new("L", (8, 8), 77).save(file, "TIFF")
    first = bytearray(file.getvalue()).ljust(-(-len(file.getvalue()) // 16) * 16, b"\0")
    place = struct.unpack("<I", first[4:8])[0]
    after = place + 2 + 12 * struct.unpack("<H", first[place : place + 2])[0]
    count, apart, length = 20_000, 16, 2 + 12 * 65535
    chain = bytearray(apart * count + length + 4)
    for number in range(count):
        here, following = apart * number, len(first) + apart * (number + 1) if number < count - 1 else 0
        chain[here : here + 2] = b"\xff\xff"
        chain[here + length : here + length + 4] = struct.pack("<I", following)
    first[after : after + 4] = struct.pack("<I", len(first))
    content = bytes(first + chain)
    assert len(pages(content)) == count + 1
    assert read_image(content).getpixel((0, 0)) == (77, 77, 77)


def test_negative_values_of_8_bits_are_no_bright_ones() -> None:
    array = np.arange(256, dtype=np.uint8).view(np.int8).reshape(16, 16)
    content = tiff((array, {}))
    assert read_raster(content).array.min() == -128
    with pytest.raises(ImageError, match=r"holds values from -128 to 127: scale them to 0\.\.255 first"):
        read_image(content)
    assert np.array_equal(np.asarray(read_image(tiff((np.maximum(array, 0), {})), channels=1)), np.maximum(array, 0))
