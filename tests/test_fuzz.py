"""Whatever comes in: an image comes out, or one line of our own that names the input and says what to do.

    python -m pytest tests/test_fuzz.py                 # the same 2,700 cases every time
    python -m pytest tests/test_fuzz.py -m slow         # 23,000 others

No exception of Pillow, NumPy or torch reaches the caller, nothing hangs, and no input file is changed.
"""

import io
import linecache
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image, features

import img2img_hub
from img2img_hub import ResNetGenerator, Translator, UNetGenerator
from img2img_hub.images.formats import ImageError
from img2img_hub.images.headers import HeaderError, kind_of
from img2img_hub.images.raster import Raster
from img2img_hub.images.read import read_alpha, read_image, read_raster
from img2img_hub.images.values import BandValues
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.outputs import SAVE_OPTIONS, save_output
from img2img_hub.translation.settings import TranslationSettings
from tests.test_images import png_of_size

PACKAGE = str(Path(img2img_hub.__file__).parent)
SECONDS = 20  # of computing, for one case
PIXELS = 200_000  # from twice as many on a file is a decompression bomb here, so that no case takes long

QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


def cases(number: int) -> Any:
    """So many cases, the same every time."""
    return settings(max_examples=number, derandomize=True, phases=[Phase.generate, Phase.shrink], **QUICK)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PIXELS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about what is odd in a file
        yield
    torch.set_num_threads(threads)


@cache
def translators() -> list[Translator]:
    """Of pictures, colour and grey, and of rasters of five bands."""
    fit = TranslationSettings(working_size=16, resize="fit")
    grey = TranslationSettings(working_size=16, resize="fit", source_channels=1, target_channels=1)
    bands = TranslationSettings(
        working_size=16,
        source_channels=5,
        target_channels=2,
        source_values=BandValues(dtype="uint16", low=(0.0,) * 5, high=(200.0,) * 5),
        target_values=BandValues(dtype="float32", low=(0.0, 0.0), high=(1.0, 1.0)),
    )
    return [
        Translator(UNetGenerator(width=4, levels=3), fit),
        Translator(ResNetGenerator(width=4, blocks=1, in_channels=1, out_channels=1), grey),
        Translator(ResNetGenerator(width=4, blocks=1, in_channels=5, out_channels=2), bands),
    ]


@contextmanager
def no_hang() -> Iterator[None]:
    """By the processor's clock, so that a machine that does something else fails nothing."""

    def ring(*_: object) -> None:
        raise AssertionError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def holds(call: Callable[[], object], *, name: str) -> object:
    """What the call gives, or None where it was refused in our own words."""
    with no_hang():
        try:
            return call()
        except Exception as error:
            assert_ours(error, name=name)
    return None


def assert_ours(error: Exception, *, name: str) -> None:
    """A ValueError of a `raise` in this package, in one line that names the input and goes on with a cure."""
    told = "".join(traceback.format_exception(error))
    assert type(error) in (ImageError, HeaderError, ValueError), told
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert last.filename.startswith(PACKAGE), told
    assert last.lineno is not None
    assert linecache.getline(last.filename, last.lineno).lstrip().startswith("raise "), told
    message = str(error)
    assert name in message, f"{message!r} does not name {name}"
    assert message.count("\n") == 0, message
    assert len(message) < 500 + len(name), message
    rest = message[message.index(name) + len(name) :]
    assert ": " in rest or "needed" in rest, f"{message!r} says no cure"
    assert "Error:" not in message, message


# --- files ------------------------------------------------------------------------------------------------------------

# What each format takes of the modes.
FORMATS = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"],
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "WEBP": ["RGB", "RGBA", "L"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"],
    "GIF": ["1", "L", "P", "RGB", "RGBA"],
    "PPM": ["1", "L", "RGB", "I;16"],
    "TGA": ["L", "LA", "P", "RGB", "RGBA"],
    "ICO": ["RGBA"],
    "PCX": ["1", "L", "P", "RGB"],
    **({"JPEG2000": ["L", "RGB", "RGBA", "I;16"]} if features.check("jpg_2000") else {}),
}
KINDS = [(format, mode) for format, modes in FORMATS.items() for mode in modes]
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".npy", ".txt", ".PNG", ""]


def pixels(mode: str, size: tuple[int, int], *, seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    width, height = size
    if mode == "F":
        return Image.fromarray(generator.normal(0.5, 1, (height, width)).astype(np.float32))
    if mode in ("I", "I;16"):
        array = generator.integers(0, 65_536, (height, width))
        return Image.fromarray(array.astype(np.uint16 if mode == "I;16" else np.int32))
    image = Image.fromarray(generator.integers(0, 256, (height, width, 4), dtype=np.uint8))
    return image.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "LAB", "P") else image.convert(mode)


@st.composite
def image_files(draw: st.DrawFn) -> bytes:
    """A sound file of one kind or another, with what may hang on it."""
    format, mode = draw(st.sampled_from(KINDS))
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)) | st.sampled_from([(1, 1), (1, 300), (300, 1)]))
    image = pixels(mode, size, seed=draw(st.integers(0, 9)))
    options: dict[str, Any] = {}
    junk = draw(st.none() | st.binary(max_size=200))
    if junk is not None and format in ("PNG", "JPEG", "WEBP", "TIFF"):
        options["icc_profile"] = junk
    if draw(st.booleans()) and format in ("PNG", "JPEG", "WEBP"):
        exif = Image.Exif()
        exif[274] = draw(st.integers(0, 9))
        known = b"Exif\0\0" + draw(st.sampled_from([b"", b"II*\0", b"MM\0*\0\0\0\x08"]))
        options["exif"] = draw(st.sampled_from([exif.tobytes(), known + draw(st.binary(max_size=60))]))
    if draw(st.booleans()) and format in ("PNG", "GIF") and mode in ("P", "L", "RGB"):
        value = draw(st.integers(0, 255))
        options["transparency"] = (value, value, 7) if mode == "RGB" and format == "PNG" else value
    if draw(st.booleans()) and format in ("GIF", "WEBP", "TIFF", "PNG"):
        options |= {"save_all": True, "append_images": [pixels(mode, size, seed=seed) for seed in (50, 51)]}
    if format == "TIFF" and mode not in ("I", "F", "LAB", "YCbCr"):
        options["compression"] = draw(st.sampled_from([None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]))
    buffer = io.BytesIO()
    try:
        image.save(buffer, format, **options)
    except Exception:  # what cannot be written so is written plainly
        buffer = io.BytesIO()
        image.save(buffer, format)
    return buffer.getvalue()


@st.composite
def damaged(draw: st.DrawFn, files: st.SearchStrategy[bytes]) -> bytes:
    """Bytes changed, cut off, put in or doubled; often in the head, where the sizes and offsets are."""
    content = bytearray(draw(files))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, min(len(content), 120)) | st.integers(0, len(content)))
        what = draw(st.sampled_from(["set", "flip", "cut", "insert", "double", "high", "zero"]))
        if what == "cut":
            del content[place:]
        elif what == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=20))
        elif what == "double":
            content[place:place] = content[place : place + 50]
        elif place < len(content):
            changes = {"flip": content[place] ^ (1 << draw(st.integers(0, 7))), "high": 255, "zero": 0}
            content[place] = changes[what] if what in changes else draw(st.integers(0, 255))
    return bytes(content)


@st.composite
def raster_files(draw: st.DrawFn) -> bytes:
    """A sound TIFF of rasters: any type, bands as samples, planes or pages, with tags as GDAL writes them."""
    shape = (draw(st.integers(1, 14)), draw(st.integers(1, 14)), draw(st.sampled_from([1, 2, 3, 4, 5, 5])))
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "float32", "float64", "uint32", "int64", "complex64"]))
    array = (np.random.default_rng(draw(st.integers(0, 9))).random(shape) * 200).astype(dtype)
    layout = draw(st.sampled_from(["contig", "separate", "pages"])) if shape[2] > 1 else "pages"
    missing = draw(st.sampled_from([None, "0", "nan", "-9999", "x", "1e400", "-inf"]))
    tags: list[Any] = [] if missing is None else [(42113, "s", 0, missing, True)]
    tags += [(33550, "d", 3, (1.0, 1.0, 0.0), True)] if draw(st.booleans()) else []
    tags += [(274, "H", 1, draw(st.integers(0, 9)), True)] if draw(st.booleans()) else []
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        array if layout == "contig" else array.transpose(2, 0, 1),
        photometric="minisblack",
        planarconfig=None if layout == "pages" else layout,
        bigtiff=draw(st.booleans()),
        byteorder=draw(st.sampled_from("<>")),
        compression=draw(st.sampled_from([None, "zlib", "lzw", "packbits"])),
        metadata=None,
        extratags=tags,
    )
    return buffer.getvalue()


ODD_FILES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=80).map(str.encode),
    st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)).map(lambda size: png_of_size(*size)),
    st.binary(max_size=60).map(lambda rest: b"\x93NUMPY\x01\0" + rest),
    st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"\xff\xd8\xff\xe0", b"BM"]).flatmap(
        lambda magic: st.binary(max_size=120).map(lambda rest: magic + rest)
    ),
)


def check_file(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"in put{ending}")
        path.write_bytes(content)
        before = path.stat()
        for channels in (1, 3):
            read = holds(lambda: read_image(path, channels=channels), name=str(path))  # noqa: B023
            assert read is None or (read.mode, read.info.keys() - {"icc_profile"}) == (
                "L" if channels == 1 else "RGB",
                set(),
            )  # type: ignore[attr-defined]
        holds(lambda: read_alpha(path), name=str(path))
        holds(lambda: kind_of(path), name=str(path))
        holds(lambda: read_raster(path), name=str(path))
        holds(lambda: read_image(content, name="row 7"), name="row 7")
        for translator, suffix in zip(translators(), [*draw_suffixes(content), ".tif"], strict=True):
            output = holds(lambda: translator(path), name=str(path))  # noqa: B023
            if output is not None:
                target = Path(folder, f"out{suffix}")
                save_output(output, target)  # type: ignore[arg-type]
                if isinstance(output, Raster):
                    assert tifffile.imread(target).shape == output.array.shape
                    continue
                with Image.open(target) as saved:
                    assert saved.size == output.size  # type: ignore[attr-defined]
        after = path.stat()
        assert path.read_bytes() == content
        assert (before.st_mtime_ns, before.st_ino, before.st_mode) == (after.st_mtime_ns, after.st_ino, after.st_mode)
        assert {file.name for file in Path(folder).iterdir()} <= {path.name, *(f"out{end}" for end in SAVE_OPTIONS)}


def draw_suffixes(content: bytes) -> list[str]:
    endings = sorted(SAVE_OPTIONS)
    return [endings[len(content) % len(endings)], endings[sum(content) % len(endings)]]


FILES = (damaged(image_files()) | ODD_FILES, st.sampled_from(ENDINGS))
test_files_of_any_content = cases(1200)(given(*FILES)(check_file))

RASTERS = (damaged(raster_files()), st.sampled_from([".tif", ".tiff", ".png"]))
test_rasters_of_any_content = cases(400)(given(*RASTERS)(check_file))


# --- PIL images -------------------------------------------------------------------------------------------------------

PIL_MODES = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La"]
PIL_MODES += ["I;16", "I;16B", "I;16L"]


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    size = draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
    image = Image.new(draw(st.sampled_from(PIL_MODES)), size, draw(st.sampled_from([0, None])))
    known = [("transparency", draw(st.sampled_from([0, 255, 300, b"", b"\0\x80", (1, 2, 3), "x"])))]
    known += [("icc_profile", draw(st.binary(max_size=20))), ("exif", draw(st.binary(max_size=40)))]
    image.info.update(draw(st.lists(st.sampled_from(known), max_size=2)))
    return image


def check_picture(image: Image.Image) -> None:
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    for call in (read_image, read_alpha, read_raster, *translators()):
        holds(lambda: call(image), name="")  # noqa: B023
    assert (image.mode, image.size, image.tobytes(), dict(image.info)) == before


test_pictures_of_any_mode_and_size = cases(300)(given(pictures())(check_picture))


# --- arrays and tensors -----------------------------------------------------------------------------------------------

ARRAY_TYPES = [
    "bool",
    "u1",
    "i1",
    "u2",
    ">u2",
    "i2",
    "u4",
    "i4",
    "u8",
    "i8",
    "f2",
    "f4",
    ">f4",
    "f8",
    "c8",
    "O",
    "U3",
    "M8[s]",
]
LENGTHS = st.sampled_from([0, 1, 2, 3, 4, 5, 16, 33])
SHAPES = st.lists(LENGTHS, max_size=5).map(tuple) | st.tuples(LENGTHS, LENGTHS) | st.tuples(LENGTHS, LENGTHS, LENGTHS)
FILLS = st.sampled_from([0, 1, -1, 0.5, 2, 255, 256, 65_535, 65_536, -1e30, 1e30, 1e300, np.nan, np.inf, -np.inf])


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    shape, kind = draw(SHAPES), np.dtype(draw(st.sampled_from(ARRAY_TYPES)))
    if kind.kind in "OUM":
        return np.zeros(shape, kind)
    with np.errstate(all="ignore"):
        array = np.full(shape, draw(FILLS)).astype(kind)
        if array.size and draw(st.booleans()):
            array.flat[-1] = np.asarray(draw(FILLS)).astype(kind)
    return draw(st.sampled_from([array, array[::-1] if shape else array, array.T, np.asfortranarray(array)]))


def check_array(array: np.ndarray) -> None:
    before = array.copy()
    for call in (read_image, read_alpha, read_raster, *translators()):
        holds(lambda: call(array), name="")  # noqa: B023
    assert array.dtype == before.dtype
    assert array.tobytes() == before.tobytes()


test_arrays_of_any_type_shape_and_value = cases(600)(given(arrays())(check_array))

TENSOR_TYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64, torch.bool, torch.complex64,
]  # fmt: skip


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    kind, shape = draw(st.sampled_from(TENSOR_TYPES)), draw(SHAPES)
    fill = draw(FILLS)
    if kind in (torch.uint8, torch.int64, torch.bool):
        fill = int(min(max(fill, -1), 255)) if np.isfinite(fill) else 7
    tensor = torch.full(shape, min(max(fill, -6e4), 6e4) if fill == fill else fill).to(kind)
    if kind.is_floating_point and draw(st.booleans()):
        tensor.requires_grad_()
    return draw(st.sampled_from([tensor, tensor.flip(0) if shape else tensor, tensor[None]]))


def check_tensor(tensor: torch.Tensor) -> None:
    before = tensor.detach().clone()
    for call in (read_image, read_alpha, *translators()):
        holds(lambda: call(tensor), name="")  # noqa: B023
    for translator in translators():
        holds(lambda: translator.translate_tensor(tensor), name="")  # noqa: B023
    assert torch.equal(tensor.detach().nan_to_num(7), before.nan_to_num(7))


test_tensors_of_any_type_shape_and_value = cases(400)(given(tensors())(check_tensor))


# --- folders ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(image_files() | damaged(image_files()) | ODD_FILES, st.sampled_from(ENDINGS[:7])), max_size=6)
)
@cases(100)
def test_folders_of_anything_are_done_as_far_as_they_can_be(files: list[tuple[bytes, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in/sub").mkdir(parents=True)
        sound = pixels("RGB", (9, 7), seed=1)
        sound.save(folder / "in/sub/sound.png")
        for index, (content, ending) in enumerate(files):
            (folder / "in" / f"{index}{ending}").write_bytes(content)
        before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.*")}
        with no_hang():
            report = translate_folder(translators()[0], folder / "in", output=folder / "out", recursive=True)
        assert len(report.written) + len(report.failures) == len(files) + 1
        assert {destination for _, destination in report.written} == {*(folder / "out").rglob("*.*")}
        assert folder / "out/sub/sound.png" in {destination for _, destination in report.written}
        for path, message in report.failures:
            assert str(path) in message
            assert ": " in message[message.index(str(path)) + len(str(path)) :]
            assert message.count("\n") == 0
        assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


# --- more of it -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("check", "inputs", "number"),
    [
        (check_file, FILES, 12_000),
        (check_file, RASTERS, 3_000),
        (check_array, [arrays()], 5_000),
        (check_tensor, [tensors()], 3_000),
        (check_picture, [pictures()], 3_000),
    ],
)
def test_other_cases_every_time(check: Callable[..., None], inputs: Any, number: int) -> None:
    settings(max_examples=number, **QUICK)(given(*inputs)(check))()
