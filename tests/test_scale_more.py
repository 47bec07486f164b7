"""What lies around a network that enlarges: layers that strips know, exports of each precision, edges and masks, maps
and 16 bits, and folders that count what comes out."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from img2img_hub import Translator
from img2img_hub.cli import main
from img2img_hub.images.raster import Raster
from img2img_hub.images.values import BandValues
from img2img_hub.networks import CompactGenerator, Generator, SRResNetGenerator
from img2img_hub.networks.blocks import set_norm_statistics
from img2img_hub.runtimes.by_openvino import knows_bfloat16
from img2img_hub.runtimes.export import psnr
from img2img_hub.runtimes.portable import portable
from img2img_hub.strips.translate import bytes_a_pixel
from img2img_hub.translation import engine, folders
from img2img_hub.translation.engine import Engine
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.settings import TranslationSettings
from tests.test_scale import SMALL, made, photo, translator

# --- strips -----------------------------------------------------------------------------------------------------------


class _Toy(Generator):
    """Two convolutions; between them, or around, what a case does."""

    in_channels = out_channels = 3

    def __init__(self, does: Callable[["_Toy", Tensor], Tensor], *, scale: int = 1, wide: int = 6, last: int = 6):
        super().__init__()
        self.does, self.scale = does, scale
        self.first, self.last = nn.Conv2d(3, wide, 3, padding=1), nn.Conv2d(last, 3, 3, padding=1)
        self.slope, self.slopes, self.norm = nn.PReLU(), nn.PReLU(6), nn.BatchNorm2d(6)
        with torch.no_grad():
            self.slopes.weight.copy_(torch.linspace(-0.5, 0.9, 6))
            self.norm.running_mean.uniform_(-0.5, 0.5)
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def _dense(toy: _Toy, x: Tensor) -> Tensor:
    once = F.leaky_relu(toy.first(x), 0.2)
    return toy.last(torch.cat([x, once], 1) * 0.2 + torch.cat([x, once], 1))


def _enlarged(toy: _Toy, x: Tensor, mode: str) -> Tensor:
    size = (toy.scale * x.shape[-2], toy.scale * x.shape[-1])
    return toy.last(F.interpolate(toy.first(x), size=size, mode=mode)) + F.interpolate(x, size=size, mode=mode)


CASES = {
    "shuffled x3": lambda: _Toy(lambda toy, x: toy.last(F.pixel_shuffle(toy.first(x), 3)), scale=3, wide=54),
    "shuffled there and back": lambda: _Toy(
        lambda toy, x: F.pixel_shuffle(toy.last(F.pixel_unshuffle(F.pixel_shuffle(toy.first(x), 2), 2)), 1),
        wide=8,
        last=8,
    ),
    "one slope": lambda: _Toy(lambda toy, x: toy.last(toy.slope(toy.first(x)))),
    "a slope a channel": lambda: _Toy(lambda toy, x: toy.last(toy.slopes(toy.first(x)))),
    "dense": lambda: _Toy(_dense, last=9),
    "nearest x2": lambda: _Toy(lambda toy, x: _enlarged(toy, x, "nearest"), scale=2),
    "nearest, by a factor": lambda: _Toy(lambda toy, x: toy.last(nn.Upsample(scale_factor=2)(toy.first(x))), scale=2),
    "bilinear, by two factors": lambda: _Toy(
        lambda toy, x: toy.last(F.interpolate(toy.first(x), scale_factor=(3.0, 3.0), mode="bilinear")), scale=3
    ),
    "bilinear x4": lambda: _Toy(lambda toy, x: _enlarged(toy, x, "bilinear"), scale=4),
    "(x + 1) / 2, y * 2 - 1": lambda: _Toy(lambda toy, x: toy.last(toy.first((x + 1) / 2)) * 2 - 1),
    "numbers before": lambda: _Toy(lambda toy, x: 0.5 + 2 * toy.last(-toy.first(x))),
    "a difference": lambda: _Toy(lambda toy, x: toy.last(toy.first(x)) - x),
    "methods": lambda: _Toy(lambda toy, x: toy.last(toy.first(x).sub(0.5).div(2)).mul(0.2).add(x)),
    "running averages": lambda: _Toy(lambda toy, x: toy.last(toy.norm(toy.first(x)))),
}


def by_strips_and_at_once(network: Generator, *, height: int = 44, width: int = 36) -> tuple[Tensor, Tensor]:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    few = Engine(network, tiles="exact", memory=bytes_a_pixel(network) * height * width / 8 / 2**30)
    assert not few.fits(height, width)
    return few(image), Engine(network, memory=100)(image)


@pytest.mark.parametrize("case", CASES)
def test_strips_know_what_networks_that_enlarge_are_made_of(case: str, monkeypatch) -> None:
    monkeypatch.setattr(engine, "_ALWAYS_FITS", 0)
    torch.manual_seed(0)
    network = CASES[case]().eval()
    strips, whole = by_strips_and_at_once(network)
    assert whole.shape == (1, 3, 44 * network.scale, 36 * network.scale)
    torch.testing.assert_close(strips, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_images_own_statistics_are_the_whole_images(scale: int, monkeypatch) -> None:
    monkeypatch.setattr(engine, "_ALWAYS_FITS", 0)
    network = made(f"srresnet x{scale}")
    assert isinstance(network, SRResNetGenerator)
    set_norm_statistics(network, "image")
    strips, whole = by_strips_and_at_once(network)
    torch.testing.assert_close(strips, whole, atol=2e-5, rtol=0)
    set_norm_statistics(network, "running")
    averages, _ = by_strips_and_at_once(network)
    assert (averages - whole).abs().max() > 0.01, "other statistics than the image's own"


@pytest.mark.parametrize(
    ("does", "name"),
    [
        (lambda toy, x: toy.last(toy.first(x).add(1, alpha=2)), "add"),
        (lambda toy, x: toy.last(toy.first(x) ** 2), "pow"),
    ],
)
def test_what_they_do_not_know_of_arithmetic_is_said(does, name: str, monkeypatch) -> None:
    monkeypatch.setattr(engine, "_ALWAYS_FITS", 0)
    network = _Toy(does).eval()
    with pytest.raises(ValueError, match=f"strips do not know its operation '{name}'"):
        Engine(network, memory=1e-6)(torch.zeros(1, 3, 40, 40))


# --- exports ----------------------------------------------------------------------------------------------------------

EXPORTED = ["compact x4", "srresnet x3"]  # RRDBNet and MSRResNet take minutes; their float graphs are in test_scale.py


@pytest.fixture
def folder(tmp_path: Path, request) -> Path:
    """A model of `request.param`, and photos of other sizes than it was trained at."""
    model = translator(request.param, working_size=16)
    model.network.save_pretrained(tmp_path / "model")
    model.settings.save(tmp_path / "model")
    (tmp_path / "photos").mkdir()
    for number, size in enumerate([(40, 26), (12, 30), (16, 16), (9, 9)]):
        photo(*size).save(tmp_path / f"photos/{number}.png")
    return tmp_path


def exported(folder: Path, *words: str) -> tuple[Path, dict]:
    file = folder / "m.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["export", "--model", str(folder / "model"), "--output", str(file), *words]) == 0
    return file, json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", EXPORTED, indirect=True)
@pytest.mark.parametrize("words", [(), ("--half",), ("--half", "--dynamic"), ("--int8",), ("--int8", "--dynamic")])
def test_each_precision_says_the_outputs_size_and_makes_it(folder: Path, words: tuple[str, ...]) -> None:
    model = Translator.from_pretrained(folder / "model", device="cpu")
    scale = model.network.scale
    calibration = ("--calibration", str(folder / "photos")) if "--int8" in words else ()
    file, facts = exported(folder, *words, *calibration)
    dynamic = "--dynamic" in words
    assert facts["target"]["shape"] == (["N", 3, "H", "W"] if dynamic else [1, 3, 16 * scale, 16 * scale])
    most = 0.06 if "--int8" in words else 0.005 if "--half" in words else 1e-4
    assert all(check["max_abs_difference"] < most for check in facts["checks"])
    if "--int8" in words:
        assert facts["int8"]["psnr_min"] > 35
    image = photo(23, 18) if dynamic else photo(16, 15 if model.network.multiple > 1 else 16)
    for backend in ("onnx", "openvino"):
        other = Translator.from_pretrained(folder / "model", backend=backend, onnx_file=str(file))
        output = other(image)
        assert output.size == (image.width * scale, image.height * scale)
        difference = np.asarray(output).astype(int) - np.asarray(model(image)).astype(int)
        assert np.abs(difference).max() <= (12 if "--int8" in words else 1)


@pytest.mark.parametrize("name", [*EXPORTED, "rrdb x2", "msrresnet x2"])
def test_portable_copies_give_the_same(name: str) -> None:
    network = made(name)
    image = torch.rand(1, 3, 12, 20) * 2 - 1
    for phases in (False, True):
        torch.testing.assert_close(portable(network, phases=phases)(image), network(image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", EXPORTED)
def test_openvino_in_bfloat16(name: str, monkeypatch, tmp_path: Path) -> None:
    if not knows_bfloat16():
        pytest.skip("the processor does not compute in bfloat16")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = translator(name)
    image = torch.rand(1, 3, 14, 26, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made_so = model.with_backend("openvino", dtype="bfloat16").translate_tensor(image)
    assert psnr(made_so, model.translate_tensor(image)) > 40


# --- edges, masks, maps and 16 bits -----------------------------------------------------------------------------------

PLACE = [(33550, 12, 3, (10.0, 10.0, 0.0)), (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0))]
AREA, POINT = 1, 2


def placed(kind: int) -> list[tuple]:
    """Tags of TIFF; a pixel's place is its upper left corner, or its middle."""
    keys = (34735, 3, 8, (1, 1, 0, 1, 1025, 0, 1, kind))
    return [(code, type_, count, value, False) for code, type_, count, value in (*PLACE, keys)]


def test_a_pictures_edge_goes_up_smoothly() -> None:
    model, picture = translator("compact x4"), photo(24, 16, "RGBA")
    disc = np.hypot(*(np.mgrid[:16, :24] - np.array([8, 12])[:, None, None])) < 6
    picture.putalpha(Image.fromarray(disc.astype(np.uint8) * 255))
    alpha = model(picture).getchannel("A")
    assert alpha.size == (96, 64)
    assert len(np.unique(alpha)) > 20, "no blocks of four by four"
    assert alpha.tobytes() == picture.getchannel("A").resize((96, 64), Image.Resampling.BICUBIC).tobytes()
    picture.putalpha(128)
    assert (np.asarray(model(picture).getchannel("A")) == 128).all()


@pytest.mark.parametrize("kind", ["alpha", "mask"])
def test_what_has_no_data_on_a_map_stays_a_mask(kind: str, tmp_path: Path) -> None:
    colours, valid = np.asarray(photo(20, 12)), np.ones((12, 20), bool)
    valid[:, :7] = False
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        if kind == "alpha":
            bands = np.dstack([colours, valid.astype(np.uint8) * 255])
            file.write(bands, photometric="rgb", extrasamples=["unassalpha"], extratags=placed(AREA))
        else:
            file.write(colours, photometric="rgb", extratags=placed(AREA))
            file.write(valid, photometric="mask", subfiletype=4)
    alpha = np.asarray(translator("compact x3")(tmp_path / "a.tif").getchannel("A"))
    assert (alpha == valid.repeat(3, axis=0).repeat(3, axis=1) * 255).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("kind", [AREA, POINT])
def test_a_map_keeps_its_corners_in_a_file(scale: int, kind: int, tmp_path: Path) -> None:
    """Wherever a pixel's place is: the outer edges are the same."""
    tifffile.imwrite(tmp_path / "a.tif", np.asarray(photo(20, 14)), photometric="rgb", extratags=placed(kind))
    report = translate_folder(translator(f"compact x{scale}"), tmp_path / "a.tif", output=tmp_path / "o", format="tif")
    assert not report.failures
    corners = []
    for path in (tmp_path / "a.tif", tmp_path / "o/a.tif"):
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            across, down, _ = page.tags[33550].value
            column, row, _, east, north, _ = page.tags[33922].value
            half = 0.5 if kind == POINT else 0.0
            left, upper = east - (column + half) * across, north + (row + half) * down
            corners.append((left, upper, left + page.imagewidth * across, upper - page.imagelength * down))
    assert corners[1] == pytest.approx(corners[0])


def test_sixteen_bits_of_grey_stay_sixteen(tmp_path: Path) -> None:
    values = BandValues(dtype="uint16", low=(0.0,), high=(65535.0,))
    network = CompactGenerator(in_channels=1, out_channels=1, scale=4, **SMALL).eval()
    with torch.no_grad():  # nothing but the enlarged source
        network.layers[-1].weight.zero_()
        network.layers[-1].bias.zero_()
    bands = {"source_channels": 1, "target_channels": 1, "source_values": values, "target_values": values}
    model = Translator(network, TranslationSettings(**bands, crop="native"), device="cpu")
    array = (np.arange(14 * 20).reshape(14, 20) * 211).astype(np.uint16)
    Image.fromarray(array).save(tmp_path / "a.png")
    assert not translate_folder(model, tmp_path / "a.png", output=tmp_path / "o").failures
    with Image.open(tmp_path / "o/a.png") as output:
        assert output.mode == "I;16"
        found = np.asarray(output).astype(int)
    assert np.abs(found - array.repeat(4, axis=0).repeat(4, axis=1)).max() <= 1


def test_a_rasters_pixels_without_data_stay_a_mask() -> None:
    values = BandValues(dtype="float32", low=(-5.0,), high=(5.0,), no_data=-9999.0)
    network = CompactGenerator(in_channels=1, out_channels=1, scale=2, **SMALL).eval()
    bands = {"source_channels": 1, "target_channels": 1, "source_values": values, "target_values": values}
    model = Translator(network, TranslationSettings(**bands), device="cpu")
    valid = np.ones((9, 11), bool)
    valid[2:5, 3:4] = False
    source = Raster(array=np.where(valid, 1.0, -9999.0).astype(np.float32)[:, :, None], valid=valid, no_data=-9999.0)
    output = model(source)
    assert isinstance(output, Raster)
    assert output.valid is not None
    assert (output.valid == valid.repeat(2, axis=0).repeat(2, axis=1)).all()


@pytest.mark.parametrize("crop", ["resize", "native"])
def test_fitted_outputs_have_the_scales_size_too(crop: str) -> None:
    network = made("compact x4")
    model = Translator(network, TranslationSettings(working_size=16, resize="fit", crop=crop), device="cpu")
    image = photo(40, 24)
    output = model(image)
    assert output.size == (160, 96)
    at_16 = model(image.resize((16, 16), Image.Resampling.BICUBIC)).resize((160, 96), Image.Resampling.BICUBIC)
    same = np.abs(np.asarray(output).astype(int) - np.asarray(at_16)).max() <= 1
    assert same == (crop == "resize"), "of crops as they are there is nothing to fit to"


# --- folders ----------------------------------------------------------------------------------------------------------


def test_batches_of_a_folder_give_what_each_gives_alone(tmp_path: Path) -> None:
    model = translator("srresnet x3")
    for number in range(5):
        photo(15, 11).rotate(90 * (number % 2), expand=False).save(tmp_path / f"{number}.png")
    assert not translate_folder(model, tmp_path, output=tmp_path / "o", batch_size=4).failures
    for number in range(5):
        output = np.asarray(Image.open(tmp_path / f"o/{number}.png")).astype(int)
        assert output.shape == (33, 45, 3)
        assert np.abs(output - np.asarray(model(tmp_path / f"{number}.png"))).max() <= 1


def test_a_folder_holds_no_more_output_than_it_would_hold_input(tmp_path: Path, monkeypatch) -> None:
    jobs = []
    for number in range(8):
        photo(10, 10).save(tmp_path / f"{number}.png")
        jobs.append((tmp_path / f"{number}.png", tmp_path / f"o/{number}.png"))
    monkeypatch.setattr(folders, "MOST_PIXELS", 3200)  # two outputs of 40 × 40

    def counts(scale: int) -> list[tuple[int, int]]:
        found = folders._batches(jobs, batch_size=8, fit=None, scale=scale)
        return [(len(batch.jobs), batch.pixels) for batch in found]

    assert counts(1) == [(8, 800)]
    assert counts(4) == [(3, 4800), (3, 4800), (2, 3200)]
    seen: list[int] = []
    real = folders._batches

    def looking(*arguments, **options):
        seen.append(options["scale"])
        return real(*arguments, **options)

    monkeypatch.setattr(folders, "_batches", looking)
    translate_folder(translator("compact x4"), tmp_path, output=tmp_path / "o")
    assert seen == [4]
