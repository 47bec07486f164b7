"""Rasters: read as they are, refused in words, saved with their place; values to a network and back."""

import io
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from img2img_hub.images import formats
from img2img_hub.images.formats import ImageError
from img2img_hub.images.headers import HeaderError, kind_of
from img2img_hub.images.raster import DTYPES, Raster
from img2img_hub.images.read import Decoded, read_alpha, read_image, read_raster
from img2img_hub.images.resize import resized_bands
from img2img_hub.images.values import BandValues, measured
from img2img_hub.networks import UNetGenerator
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.translator import Translator
from tests.scenes import GEO_TEXT, PLACE, scene, tags_of, write_tiff


def encoded(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def values_in(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.default_rng(0)
    if dtype.startswith("float"):
        return (random.random(shape) * 100 - 50).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


# --- reading and saving -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_every_type_and_number_of_bands_is_read_and_saved_as_it_is(dtype: str, bands: int, tmp_path: Path) -> None:
    array = values_in(dtype, (7, 9, bands))
    path = write_tiff(tmp_path / "a.tif", array)
    kind = kind_of(path)
    if not (dtype == "uint8" and bands == 1):
        assert kind is not None
        assert (kind.bands, kind.dtype) == (bands, dtype)
    raster = read_raster(path)
    assert raster.array.dtype == dtype
    assert np.array_equal(raster.array, array)
    assert raster.valid is None
    for name in ("b.tif", "b.npy"):
        raster.save(tmp_path / name)
        again = read_raster((tmp_path / name).read_bytes(), name=name)
        assert again.array.dtype == dtype
        assert np.array_equal(again.array, array)
    assert tags_of(tmp_path / "b.tif") == PLACE
    assert Decoded(tmp_path / "b.tif").georeference == Decoded(path).georeference


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack", "planarconfig": "contig"},
        {"photometric": "minisblack", "planarconfig": "contig", "compression": "zlib", "predictor": True},
        {"photometric": "minisblack", "planarconfig": "contig", "compression": "lzw"},
        {"photometric": "minisblack", "planarconfig": "contig", "tile": (16, 16)},
        {"photometric": "minisblack", "planarconfig": "contig", "byteorder": ">"},
        {"photometric": "minisblack", "planarconfig": "contig", "bigtiff": True},
        {"photometric": "minisblack", "planarconfig": "separate"},
        {"photometric": "minisblack"},  # a page each
        {"imagej": True},
    ],
    ids=str,
)
def test_bands_are_found_however_a_tiff_lays_them_out(options: dict[str, object]) -> None:
    array = values_in("uint16", (20, 24, 4))
    apart = "planarconfig" not in options or options["planarconfig"] == "separate"
    data = encoded(array.transpose(2, 0, 1) if apart else array, **options)
    kind = kind_of(data)
    assert kind is not None
    assert (kind.bands, kind.dtype) == (4, "uint16")
    raster = read_raster(data)
    assert np.array_equal(raster.array, array)
    assert raster.array.dtype.isnative


def test_pages_of_8_bits_are_bands_too() -> None:
    array = values_in("uint8", (20, 24, 5))
    five, three = (encoded(array[:, :, :bands].transpose(2, 0, 1), photometric="minisblack") for bands in (5, 3))
    kind = kind_of(five)
    assert kind is not None
    assert (kind.bands, kind.dtype) == (5, "uint8")
    assert np.array_equal(read_raster(five).array, array)
    assert np.array_equal(np.asarray(read_image(five, channels=1)), array[:, :, 0]), "as a picture it is its first page"
    kind = kind_of(three)
    assert kind is not None
    assert (kind.bands, kind.dtype) == (3, "uint8")
    assert np.array_equal(read_raster(three).array, array[:, :, :3])
    stack = encoded(np.zeros((2, 2, 8, 8), np.uint8), imagej=True)
    assert kind_of(stack) is None
    assert read_image(stack).size == (8, 8)


def test_alpha_says_where_there_is_data() -> None:
    array = values_in("uint16", (8, 8, 4))
    array[:3, :, 3] = 0
    data = encoded(array, photometric="rgb", extrasamples=["unassalpha"])
    kind = kind_of(data)
    assert kind is not None
    assert (kind.bands, kind.masked) == (3, True)
    raster = read_raster(data, kind=kind)
    assert np.array_equal(raster.array, array[:, :, :3])
    assert raster.valid is not None
    assert raster.valid.sum() == 8 * 8 - np.count_nonzero(array[:, :, 3] == 0)
    deep = encoded((array / 65535).astype(np.float32), photometric="rgb", extrasamples=["unassalpha"])
    for picture in (data, deep):  # Pillow reads the first, and has no mode for the second
        alpha = read_alpha(picture)
        assert alpha is not None
        assert np.asarray(alpha) == pytest.approx(array[:, :, 3] / 257, abs=1)
        assert (np.asarray(read_image(picture))[:3] == 255).all(), "what is transparent shows white"


def test_what_is_missing(tmp_path: Path) -> None:
    source, target = scene(0)
    raster = read_raster(write_tiff(tmp_path / "a.tif", source, no_data="0"))
    assert raster.valid is not None
    assert np.array_equal(raster.valid, (source != 0).all(axis=2))
    assert np.array_equal(read_raster(target).valid, np.isfinite(target).all(axis=2))  # type: ignore[arg-type]
    assert read_raster(write_tiff(tmp_path / "a.tif", source, no_data="-9999")).valid is None  # no value of uint16
    assert read_raster(source, no_data=0).valid is not None
    target[0, 0] = np.inf
    assert not read_raster(target).valid[0, 0]  # type: ignore[index]
    lowest = np.finfo(np.float32).min
    target[:] = 5
    target[0, 0, 1] = lowest
    raster = read_raster(write_tiff(tmp_path / "a.tif", target, no_data=f"{lowest:.16g}"))
    assert raster.valid is not None
    assert np.flatnonzero(~raster.valid).tolist() == [0]
    for text in ("nan", "inf", "none"):
        assert read_raster(write_tiff(tmp_path / "a.tif", scene(0)[1], no_data=text)).no_data is None


def test_a_pixel_of_8_bit_rgb_is_missing_where_all_its_bands_are() -> None:
    array = np.full((1, 4, 3), 9, np.uint8)
    array[0, 1] = 0
    array[0, 2] = (255, 0, 0)
    rgb, many = read_raster(array, no_data=0), read_raster(array[:, :, [0, 1, 2, 2]], no_data=0)
    assert rgb.valid is not None
    assert rgb.valid.tolist() == [[True, False, True, True]]
    assert many.valid is not None
    assert many.valid.tolist() == [[True, False, False, True]]


def test_pictures_stay_pictures(tmp_path: Path) -> None:
    rgb = values_in("uint8", (8, 9, 3))
    for data in (encoded(rgb, photometric="rgb"), encoded(rgb[:, :, 0])):
        assert kind_of(data) is None
        assert kind_of(data, no_data=0) is not None
    assert kind_of(encoded(rgb[:, :, [0, 1, 2, 0]], photometric="rgb", extrasamples=["unassalpha"])) is None
    for unreadable in (b"not an image", b"II*\0", tmp_path / "missing.tif"):
        with pytest.raises(HeaderError):
            kind_of(unreadable)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    assert np.array_equal(read_raster(tmp_path / "a.png").array, rgb)


def test_a_picture_of_a_tiff_that_pillow_has_no_mode_for_is_scaled() -> None:
    array = values_in("uint16", (8, 9, 3))
    data = encoded(array, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(np.asarray(read_image(data)), np.round(array / 257).astype(np.uint8))
    with pytest.raises(ImageError, match=r"has 5 bands, and a picture has 1 .* or 3"):
        read_image(encoded(values_in("uint16", (8, 9, 5)), photometric="minisblack", planarconfig="contig"))


def test_a_place_that_is_named_in_other_letters_is_kept(tmp_path: Path) -> None:
    raster = read_raster(write_tiff(tmp_path / "a.tif", scene(0)[0]))
    kind, count, _ = raster.georeference[GEO_TEXT]
    raster.georeference[GEO_TEXT] = (kind, count, "M\u00fcnchen \u0160|")
    raster.save(tmp_path / "b.tif")
    saved = Decoded(tmp_path / "b.tif").georeference
    assert saved[GEO_TEXT][2] == "M\u00fcnchen ?|"
    assert {code: saved[code] for code in PLACE if code != GEO_TEXT} == {
        code: raster.georeference[code] for code in PLACE if code != GEO_TEXT
    }


def test_png_holds_what_it_can(tmp_path: Path) -> None:
    for dtype, bands in (("uint8", 1), ("uint8", 3), ("uint16", 1)):
        array = values_in(dtype, (5, 6, bands))
        Raster(array=array).save(tmp_path / "a.png")
        assert np.array_equal(read_raster(tmp_path / "a.png").array, array)
    with pytest.raises(ImageError, match=r"PNG cannot hold 2 bands of float32: .* \.tif or \.npy"):
        Raster(array=np.zeros((2, 2, 2), np.float32)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"b\.jpg would have to hold 1 band of uint8"):
        Raster(array=np.zeros((2, 2), np.uint8)).save(tmp_path / "b.jpg")
    with pytest.raises(ImageError, match=r"nowhere/a\.tif cannot be written .*: name another place"):
        Raster(array=np.zeros((2, 2), np.uint8)).save(tmp_path / "nowhere/a.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    source = scene(0)[0]
    whole = write_tiff(tmp_path / "a.tif", source).read_bytes()
    for data, message in (
        (whole[: len(whole) // 2], "row 7 is damaged or cut short"),
        (b"", r"row 7 is empty \(0 bytes\)"),
        (np.full((4, 4), np.nan), "row 7 holds no data, every pixel is NaN or marked as missing: leave it out"),
        (np.zeros((4, 4), np.complex64), "row 7 holds complex64 values: convert them to one of uint8"),
        (encoded(np.zeros((4, 4), np.complex64)), "row 7 holds complex64 values"),
        (np.zeros((0, 4), np.uint16), r"row 7 is an array of shape \(0, 4, 1\)"),
        (np.zeros((2, 2, 2, 2), np.uint16), r"row 7 is an array of shape \(2, 2, 2, 2\)"),
        (encoded(np.zeros((3, 2, 8, 8), np.uint16), photometric="minisblack"), "row 7 has the axes"),
        (b"\x93NUMPY\x01\x00garbage", "row 7 is damaged or cut short"),
        ("no such file.tif", "row 7 does not exist"),
    ):
        with pytest.raises(ImageError, match=message) as caught:
            read_raster(data, name="row 7")
        assert "\n" not in str(caught.value)


def by_pillow(pages: np.ndarray) -> bytes:
    """Each page with its pixels behind the one before, as most programs write them."""
    first, *others = map(Image.fromarray, pages)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=others)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # says Pillow, besides
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("options", ["pillow", {"metadata": None}, {"compression": "zlib"}, {"imagej": True},
                                     {"ome": True, "compression": "zlib"}, {"bigtiff": True}])  # fmt: skip
def test_pages_cut_off_are_no_file_of_fewer_bands(options: object, dtype: type) -> None:
    """Wherever it is cut: most often every pixel of some pages is still there."""
    pages = np.random.default_rng(0).integers(0, 256, (5, 4, 4)).astype(dtype)
    whole = by_pillow(pages) if options == "pillow" else encoded(pages, photometric="minisblack", **options)
    np.testing.assert_array_equal(read_raster(whole).array, pages.transpose(1, 2, 0))
    missing = 0
    for length in range(8, len(whole)):
        try:
            raster = read_raster(whole[:length], name="scene.tif")
        except ImageError as error:
            missing += bool(re.search(r"scene\.tif is damaged or cut short \(its page \d is missing\)", str(error)))
        else:
            np.testing.assert_array_equal(raster.array, pages.transpose(1, 2, 0))
    assert missing > 16


def test_a_next_page_that_no_file_could_hold_is_missing() -> None:
    pages = np.zeros((2, 4, 4), np.uint16)
    data = bytearray(encoded(pages, photometric="minisblack", metadata=None, bigtiff=True, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = data.index(file.pages[1].offset.to_bytes(8, "little"))
    data[place : place + 8] = b"\xff" * 8
    with pytest.raises(ImageError, match=r"its page 2 is missing"):
        read_raster(bytes(data))


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    data = bytearray(encoded(np.zeros((8, 8), np.float32), metadata=None))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        places = [file.pages.first.tags[code].valueoffset for code in (256, 257)]
    for place in places:
        data[place : place + 2] = (60000).to_bytes(2, "little")
    with pytest.raises(ImageError, match=r"million pixels, .* as a decompression bomb would"):
        read_raster(bytes(data))


def test_a_flag_is_named_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(np.zeros((16, 16), np.float32), metadata=None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # as the page lowers it
    with pytest.raises(ImageError, match=r"bomb would: cut it into parts first$"):
        read_raster(data)
    monkeypatch.setattr(formats, "_USUAL_PIXELS", 40)
    with pytest.raises(ImageError, match=r"cut it into parts first, or type --max_megapixels with a higher limit"):
        read_raster(data)


def test_without_tifffile_one_line_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = write_tiff(tmp_path / "a.tif", scene(0)[0])
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImageError, match=r"a\.tif is a TIFF that needs a library: pip install tifffile imagecodecs"):
        read_raster(path)


# --- values -----------------------------------------------------------------------------------------------------------


def test_the_range_is_that_of_pixels_with_data_without_outliers() -> None:
    random = np.random.default_rng(0)
    images = []
    for _ in range(4):
        array = random.uniform([100, -5], [200, 5], (60, 50, 2)).astype(np.float32)
        array[0, 0] = 1e30  # a bad pixel
        array[1] = np.nan
        array[2] = -9999
        images.append(read_raster(array, no_data=-9999))
    values = measured(images, dtype="float32")
    assert values.low == pytest.approx((100, -5), abs=0.1)
    assert values.high == pytest.approx((210, 6), abs=0.2)  # a tenth beyond, not 1e30
    assert values.no_data == -9999
    constant = measured([Raster(array=np.full((3, 3), 7, np.uint16))], dtype="uint16")
    assert (constant.low, constant.high) == ((6.5,), (7.5,))
    large = measured([Raster(array=np.full((3, 3), 1e20, np.float32), no_data=np.nan)], dtype="float32")
    assert large.low[0] < 1e20 < large.high[0]
    assert large.no_data is None
    eight = measured([Raster(array=np.full((3, 3, 4), 7, np.uint8))], dtype="uint8")
    assert (eight.low, eight.high) == ((0.0,) * 4, (255.0,) * 4)


def test_many_bands_are_measured_in_little_memory() -> None:
    def images() -> Iterator[Raster]:
        for seed in range(60):
            array = np.random.default_rng(seed).random((160, 160, 13), dtype=np.float32)
            array[:, :, 12] *= 100
            yield Raster(array=array)

    tracemalloc.start()
    values = measured(images(), dtype="float32")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6  # an image has 1.3 MB
    assert values.low == pytest.approx((0.0,) * 13, abs=0.01)
    assert values.high == pytest.approx((1.0,) * 12 + (100.0,), rel=0.01)


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("uint16", 50, 60050), ("int16", -300, 900), ("float64", 3e6, 3e6 + 9)]
)
def test_units_come_back(dtype: str, low: float, high: float) -> None:
    array = np.random.default_rng(0).uniform(low, high, (6, 5, 3)).astype(dtype)
    values = BandValues(dtype=dtype, low=(low,) * 3, high=(high,) * 3, no_data=0)
    seen = values.to_network(array.transpose(2, 0, 1))
    assert seen.dtype == torch.float32
    assert -1 <= seen.min() < -0.5 < 0.5 < seen.max() <= 1
    back = values.to_units(seen)
    assert back.dtype == dtype
    assert back == pytest.approx(array, abs=0 if dtype != "float64" else 1e-5)
    valid = np.arange(30).reshape(6, 5) > 3
    assert (values.to_network(array.transpose(2, 0, 1), valid)[:, ~torch.from_numpy(valid)] == 0).all()
    assert (values.to_units(seen, valid=valid)[~valid] == 0).all()
    beyond = np.array([low - 10 * (high - low), high + 10 * (high - low)]).clip(0 if dtype == "uint16" else -3e4, 3e7)
    ends = values.to_network(np.broadcast_to(beyond[None, :1, None], (3, 1, 1)).astype(dtype))
    assert ends.abs().max() <= 1


def test_resizing_spreads_nothing_of_what_is_missing() -> None:
    bands = np.full((1, 40, 40), 100.0, np.float32)
    valid = np.ones((40, 40), bool)
    valid[10:20, 15:30] = False
    bands[:, ~valid] = -9999
    for size in ((20, 20), (64, 50), (40, 40)):
        made, known = resized_bands(bands, valid, size=size)
        assert made.shape == (1, size[1], size[0])
        assert known is not None
        assert made[:, known] == pytest.approx(100)
        assert (~known).mean() == pytest.approx((~valid).mean(), rel=0.1)
    whole = values_in("uint16", (2, 20, 24))
    expected = [Image.fromarray(band.astype(np.float32)).resize((10, 12), Image.Resampling.BICUBIC) for band in whole]
    made, known = resized_bands(whole, None, size=(10, 12))
    assert known is None
    assert np.array_equal(made, np.stack([np.round(np.asarray(one)) for one in expected]).clip(0, 65535))
    assert made.dtype == np.uint16


def test_resizing_keeps_small_differences_of_large_values_and_never_overflows() -> None:
    random = np.random.default_rng(0).random((1, 20, 24))
    for dtype, base in (("float64", 5e6), ("int32", 2**30)):
        scaled = (random * (1 if dtype == "float64" else 1000)).astype(dtype)
        wanted, _ = resized_bands(scaled, None, size=(10, 12))
        some = np.ones((20, 24), bool)
        some[3:6, 2:9] = False
        for valid in (None, some):
            wanted, known = resized_bands(scaled, valid, size=(10, 12))
            made, _ = resized_bands((scaled + base).astype(dtype), valid, size=(10, 12))
            known = np.ones((12, 10), bool) if known is None else known
            assert made.dtype == dtype
            assert (made - base)[:, known] == pytest.approx(wanted[:, known], abs=1e-4 if dtype == "float64" else 1)
    lowest = random.astype(np.float32)
    lowest[:, :3, :3] = np.finfo(np.float32).min
    made, _ = resized_bands(lowest, None, size=(30, 40))
    assert np.isfinite(made).all()
    assert made[:, 20:, 15:] == pytest.approx(resized_bands(random, None, size=(30, 40))[0][:, 20:, 15:], abs=1e-4)


# --- translation.json and the translator ------------------------------------------------------------------------------

MANY = BandValues(dtype="uint16", low=(0.0,) * 5, high=(1000.0,) * 5, no_data=0)
HEIGHTS = BandValues(dtype="float32", low=(300.0, -1.0), high=(900.0, 1.0))


def test_ranges_are_kept_in_translation_json(tmp_path: Path) -> None:
    settings = TranslationSettings(source_channels=5, target_channels=2, source_values=MANY, target_values=HEIGHTS)
    settings.save(tmp_path)
    assert TranslationSettings.load(tmp_path) == settings
    for values, message in (
        ({"dtype": "float32"}, "source_values: high, low is missing"),
        ({"dtype": "complex64", "low": [0], "high": [1]}, "source_values: dtype must be one of uint8"),
        ({"dtype": "float32", "low": [0, "a"], "high": [1, 2]}, "source_values: low must be 1 to 1024 numbers"),
        ({"dtype": "float32", "low": [0, 3], "high": [1, 2]}, "source_values: low must be below high.* band 2"),
        ({"dtype": "float32", "low": [0], "high": [1, 2]}, "source_values: low and high must be as many"),
        (
            {"dtype": "float64", "low": [-1e308], "high": [1e308]},
            r"source_values: .* within ±3\.4e\+38 .* got -1e\+308 and",
        ),
        ({"dtype": "uint8", "low": [-1e39], "high": [1]}, "source_values: .*within .* got -1e.39 and 1 in band 1"),
        ({"dtype": "float32", "low": [0, 0], "high": [1, 1e-310]}, "source_values: .*1e-38 apart, got 0 and 1e-310 in"),
        ({"dtype": "float32", "low": [0], "high": [1e999]}, "source_values: high must be 1 to 1024 numbers"),
        ({"dtype": "float32", "low": [0], "high": [10**400]}, "source_values: high must be 1 to 1024 numbers"),
        ({"dtype": "float32", "low": [0], "high": [1], "unit": "m"}, "source_values: an object .* unknown key unit"),
        ([1], r"source_values: an object .* got \[1\]"),
        ({"dtype": "float32", "low": [0], "high": [1]}, "source_channels must be a whole number, 1, got 5"),
    ):
        with pytest.raises(ValueError, match=message):
            TranslationSettings.from_dict({"source_channels": 5, "source_values": values})


def same(bands_in: int, bands_out: int, source: BandValues | None, target: BandValues | None) -> Translator:
    network = UNetGenerator(in_channels=bands_in, out_channels=bands_out, levels=4, width=4, norm="instance")
    return Translator(
        network,
        TranslationSettings(
            source_channels=bands_in, target_channels=bands_out, source_values=source, target_values=target
        ),
    )


def test_every_way_in_gives_the_same_raster(tmp_path: Path) -> None:
    translator = same(5, 2, MANY, HEIGHTS)
    array = (scene(0)[0] // 11).astype(np.uint16)
    path = write_tiff(tmp_path / "a.tif", array, no_data="0")
    np.save(tmp_path / "a.npy", array)
    expected = translator(path)
    assert isinstance(expected, Raster)
    assert expected.size == (20, 24)
    assert expected.array.dtype == np.float32
    missing = (array == 0).any(axis=2)
    assert np.array_equal(np.isnan(expected.array).all(axis=2), missing)
    for other in (str(path), path.read_bytes(), array, read_raster(path), tmp_path / "a.npy"):
        made = translator(other)
        assert isinstance(made, Raster)
        assert np.array_equal(made.array, expected.array, equal_nan=True)
    assert Decoded(path).georeference == expected.georeference
    fitted = translator(path, resize="fit")
    assert isinstance(fitted, Raster)
    assert fitted.size == (20, 24)
    tensor = MANY.to_network(array.transpose(2, 0, 1))
    direct = HEIGHTS.to_units(translator.translate_tensor(MANY.to_network(array.transpose(2, 0, 1), ~missing)[None])[0])
    assert np.array_equal(direct[~missing], expected.array[~missing])
    assert isinstance(translator(tensor), Raster)
    with pytest.raises(ImageError, match=r"scale them to \[-1, 1\], or give an array"):
        translator(torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1))


def test_pictures_become_rasters_and_rasters_pictures(tmp_path: Path) -> None:
    picture = Image.fromarray(values_in("uint8", (24, 20, 4)), "RGBA")
    made = same(3, 2, None, HEIGHTS)(picture)
    assert isinstance(made, Raster)
    assert np.array_equal(np.isnan(made.array[:, :, 0]), np.asarray(picture)[:, :, 3] == 0)
    array = (scene(0)[0] // 11).astype(np.uint16)
    path = write_tiff(tmp_path / "a.tif", array, no_data="0")
    made = same(5, 3, MANY, None)(path)
    assert isinstance(made, Image.Image)
    assert made.mode == "RGBA"
    assert np.array_equal(np.asarray(made)[:, :, 3] == 0, (array == 0).any(axis=2))
    assert made.info["georeference"] == Decoded(path).georeference


def test_other_values_than_those_of_training_are_pointed_out(tmp_path: Path) -> None:
    translator = same(5, 2, MANY, HEIGHTS)
    array = np.full((16, 16, 5), 500, np.uint16)
    array[:, :8, 2] = 2000
    with pytest.warns(UserWarning, match=r"50% of band 3 lies beyond the range of training \(0 … 1000\)"):
        translator(array)
    with pytest.warns(UserWarning, match="holds uint8, the model was trained on uint16: are these the same units"):
        translator(np.full((16, 16, 5), 200, np.uint8))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [(-np.finfo(np.float32).max, np.finfo(np.float32).max), (0, 1e-38)])
def test_the_widest_and_the_narrowest_range_give_numbers(dtype: str, low: float, high: float) -> None:
    values = BandValues(dtype=dtype, low=(float(low),), high=(float(high),))
    seen = values.to_network(np.array([[[0, 1, 60]]], dtype=dtype))
    assert torch.isfinite(seen).all()
    assert np.isfinite(values.to_units(torch.tensor([[[-1.0, 0.0, 1.0]]]))).all()
