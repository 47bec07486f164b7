"""Images of a multiple of the input's size: translated, by strips, from folders, with alpha, georeference and bits, and
exported."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from img2img_hub import Translator
from img2img_hub.cli import main
from img2img_hub.evaluation.calibration import calibration_batches
from img2img_hub.images.picture import to_image
from img2img_hub.networks import (
    CompactGenerator,
    ModifiedSRResNetGenerator,
    Network,
    RRDBGenerator,
    SRResNetGenerator,
)
from img2img_hub.strips.recording import record
from img2img_hub.strips.translate import bytes_a_pixel
from img2img_hub.translation import engine
from img2img_hub.translation.engine import Engine
from img2img_hub.translation.settings import TranslationSettings

SMALL = {"blocks": 2, "width": 6}
NETWORKS = {
    **{f"srresnet x{scale}": (SRResNetGenerator, {"scale": scale}) for scale in (2, 3, 4)},
    **{f"msrresnet x{scale}": (ModifiedSRResNetGenerator, {"scale": scale}) for scale in (2, 3, 4)},
    **{f"compact x{scale}": (CompactGenerator, {"scale": scale}) for scale in (1, 2, 3, 4)},
    **{f"rrdb x{scale}": (RRDBGenerator, {"scale": scale, "growth": 3}) for scale in (1, 2, 4)},
    "rrdb x2, plain": (RRDBGenerator, {"scale": 2, "growth": 3, "unshuffle": False}),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def made(name: str) -> Network:
    torch.manual_seed(0)
    kind, arguments = NETWORKS[name]
    network = kind(**SMALL, **arguments)
    with torch.no_grad():
        for parameter in network.parameters():  # so that each layer counts, and norms have statistics of their own
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for key, buffer in network.named_buffers():
            if "running" in key:
                buffer.add_(torch.rand_like(buffer) * 0.3)
    return network.eval()


def translator(name: str, **settings) -> Translator:
    network = made(name)
    known = TranslationSettings(family="srgan", norm_statistics="running", resize="native", crop="native", **settings)
    return Translator(network, known, device="cpu", name="m")


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    bands = [across, down, (np.sin(9 * across) * np.cos(7 * down) + 1) / 2]
    return Image.fromarray((np.stack(bands, axis=2) * 255).astype(np.uint8)).convert(mode)


# --- strips -----------------------------------------------------------------------------------------------------------


@each_network
def test_by_strips_as_at_once(name: str, monkeypatch) -> None:
    monkeypatch.setattr(engine, "_ALWAYS_FITS", 0)
    network = made(name)
    height, width = 52, 40
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    whole = Engine(network, memory=100)(image)
    assert whole.shape == (1, 3, height * network.scale, width * network.scale)
    few = bytes_a_pixel(network) * height * width / 8 / 2**30
    strips = Engine(network, tiles="exact", memory=few)
    assert not strips.fits(height, width)
    torch.testing.assert_close(strips(image), whole, atol=1e-5, rtol=0)


@each_network
def test_all_layers_are_known_by_rows(name: str) -> None:
    network = made(name)
    layers = record(network, height=16, width=24)
    assert (layers[-1].channels, layers[-1].height) == (3, 16 * network.scale)
    assert layers[-1].width == 24 * network.scale


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compact x2", "srresnet x3", "rrdb x4"])
def test_pictures_arrays_tensors_and_lists_come_out_larger(name: str) -> None:
    model, scale = translator(name), NETWORKS[name][1]["scale"]
    image = photo(21, 13)
    output = model(image)
    assert output.size == (21 * scale, 13 * scale)
    assert model(np.asarray(image)).size == output.size
    several = model([image, photo(9, 11)])
    assert [each.size for each in several] == [(21 * scale, 13 * scale), (9 * scale, 11 * scale)]
    tensor = model.translate_tensor(torch.zeros(2, 3, 7, 5))
    assert tensor.shape == (2, 3, 7 * scale, 5 * scale)
    assert f"{scale} times the size" in model.describe()


def test_grey_and_alpha_keep_their_places() -> None:
    model = translator("compact x4")
    picture = photo(20, 12, "RGBA")
    alpha = Image.new("L", (20, 12), 255)
    alpha.paste(0, (10, 0, 20, 12))
    picture.putalpha(alpha)
    output = model(picture)
    assert (output.mode, output.size) == ("RGBA", (80, 48))
    found = np.asarray(output.getchannel("A"))
    assert found[:, :36].min() == 255
    assert found[:, 44:].max() == 0


def test_of_large_photos_the_middle_says_what_to_quantise_by(tmp_path: Path) -> None:
    photo(1300, 520).save(tmp_path / "1.png")
    photo(40, 30).save(tmp_path / "2.png")
    model = translator("compact x4")
    large, small = calibration_batches(model, str(tmp_path))
    assert (large.shape, small.shape) == ((1, 3, 512, 512), (1, 3, 30, 40))
    middle = photo(1300, 520).crop((394, 4, 394 + 512, 4 + 512))
    assert np.array_equal(np.asarray(to_image(large[0])), np.asarray(middle))


def test_values_beyond_the_range_are_cut_off() -> None:
    model = translator("srresnet x2")
    with torch.no_grad():
        model.network.last.bias.fill_(50.0)
    assert np.asarray(model(photo(8, 8))).min() == 255


def test_a_folder_and_the_command_line(tmp_path: Path, capsys) -> None:
    model = translator("compact x2")
    model.network.save_pretrained(tmp_path / "model")
    model.settings.save(tmp_path / "model")
    for number, size in enumerate([(16, 12), (16, 12), (9, 30)]):
        photo(*size).save(tmp_path / f"{number}.png")
    files = [str(tmp_path / f"{number}.png") for number in range(3)]
    words = ["--model", str(tmp_path / "model"), "--device", "cpu"]
    assert main(["translate", *files, *words, "--output", str(tmp_path / "out")]) == 0
    assert [Image.open(tmp_path / f"out/{number}.png").size for number in range(3)] == [(32, 24), (32, 24), (18, 60)]
    alone = np.asarray(model(photo(16, 12))).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "out/0.png")).astype(int) - alone).max() <= 1
    assert "2 times the size" in capsys.readouterr().out


def test_a_raster_keeps_its_corners(tmp_path: Path) -> None:
    from img2img_hub.images.values import BandValues

    values = BandValues(dtype="uint16", low=(0.0,), high=(10000.0,))
    network = CompactGenerator(in_channels=1, out_channels=1, scale=3, **SMALL).eval()
    settings = TranslationSettings(
        source_channels=1, target_channels=1, source_values=values, target_values=values, resize="native"
    )
    array = (np.arange(20 * 14).reshape(14, 20) * 30).astype(np.uint16)
    tags = [(33550, 12, 3, (10.0, 10.0, 0.0)), (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0))]
    tifffile.imwrite(
        tmp_path / "a.tif", array, extratags=[(code, kind, count, value, False) for code, kind, count, value in tags]
    )
    output = Translator(network, settings, device="cpu", name="m")(tmp_path / "a.tif")
    output.save(tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        page = file.pages[0]
        assert page.shape == (42, 60)
        assert page.dtype == np.uint16
        across, down, _ = page.tags[33550].value
        place = page.tags[33922].value
    assert (across, down) == (pytest.approx(10 / 3), pytest.approx(10 / 3))
    assert place[3] + (60 - place[0]) * across == pytest.approx(500000 + 20 * 10), "the right edge"
    assert place[4] - (42 - place[1]) * down == pytest.approx(4600000 - 14 * 10), "the lower edge"


# --- exports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compact x4", "srresnet x3", "msrresnet x2", "rrdb x2"])
def test_exports_give_what_the_network_gives(name: str, tmp_path: Path, capsys, recwarn) -> None:
    model = translator(name, working_size=16)
    model.network.save_pretrained(tmp_path / "model")
    model.settings.save(tmp_path / "model")
    words = ["--model", str(tmp_path / "model"), "--output", str(tmp_path / "m.onnx"), "--dynamic"]
    assert main(["export", *words]) == 0
    said = capsys.readouterr().out
    assert all(float(line.split()[1]) < 1e-4 for line in said.splitlines() if line.startswith("difference")), said
    image = photo(30, 22)
    for backend in ("onnx", "openvino"):
        other = Translator.from_pretrained(
            tmp_path / "model", backend=backend, onnx_file=str(tmp_path / "m.onnx"), device="cpu"
        )
        difference = np.asarray(other(image)).astype(int) - np.asarray(model(image)).astype(int)
        assert np.abs(difference).max() <= 1
