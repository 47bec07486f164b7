"""python -m img2img_hub export: ONNX files that do what PyTorch does, in three precisions, at any size."""

import builtins
import copy
import importlib.util
import json
import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from img2img_hub import CoarseToFineGenerator, Network, ResNetGenerator, Translator, UNetGenerator
from img2img_hub.cli import main
from img2img_hub.evaluation.calibration import calibration_batches
from img2img_hub.images.picture import to_tensor
from img2img_hub.images.values import BandValues
from img2img_hub.networks.blocks import BatchNorm2d, set_norm_statistics
from img2img_hub.runtimes.export import export_model
from img2img_hub.runtimes.portable import portable
from img2img_hub.translation.settings import TranslationSettings
from tests.conftest import picture
from tests.test_translator import lively


def sources(bands: int, height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, bands, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1


def run(file: Path, source: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"source": source.numpy()})[0])


def model_folder(folder: Path, network: Network, *, examples: int = 0, **settings: object) -> Path:
    network.save_weights(folder)
    TranslationSettings(working_size=30, norm_statistics="image", **settings).save(folder)  # type: ignore[arg-type]
    for number in range(examples):
        (folder / "examples").mkdir(exist_ok=True)
        picture(seed=number, size=(40, 30)).save(folder / "examples" / f"{number}.png")
    return folder


@pytest.fixture
def unet() -> Network:
    return lively(UNetGenerator(levels=3, width=8, upsample="resize"))


# --- the portable copy ------------------------------------------------------------------------------------------------

NETWORKS = [
    UNetGenerator(levels=6, width=4),
    UNetGenerator(levels=3, width=4, upsample="resize", noise_channels=1, in_channels=1, out_channels=2),
    UNetGenerator(levels=3, width=4, upsample="bilinear"),
    UNetGenerator(levels=3, width=4, upsample="bilinear", refine_channels=4),
    UNetGenerator(levels=3, width=4, norm="none"),
    ResNetGenerator(width=4, blocks=2, norm="batch", dropout=0.5),
    ResNetGenerator(width=8, blocks=2, upsample="resize", self_attention=True),
    ResNetGenerator(width=4, blocks=1, norm="batch", antialias=True),
    CoarseToFineGenerator(width=2, blocks=1, enhancer_blocks=1, norm="batch"),
    CoarseToFineGenerator(width=2, blocks=1, enhancers=0, feature_channels=2, layout="pix2pixhd"),
]


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_the_portable_copy_gives_the_same_and_leaves_the_network_alone(network, statistics):
    lively(network)
    set_norm_statistics(network, statistics)
    source = sources(network.in_channels, 64, 128, count=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        made = portable(network)
        assert torch.allclose(made(source), network(source), atol=2e-5)
        assert torch.allclose(portable(network, phases=True)(source), network(source), atol=2e-5)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    norms = sum(isinstance(layer, BatchNorm2d) for layer in made.modules())
    assert (norms == 0) == (statistics == "running" or network.config["norm"] != "batch"), "running averages are merged"


class Foreign(Network):
    """A generator from outside the package, of the layers that a test gives."""

    def __init__(self, multiple: int, *layers: nn.Module) -> None:
        super().__init__()
        self.in_channels = self.out_channels = 3
        self.multiple, self.min_size = multiple, 16
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        return self.layers(source)


del Network.registry["Foreign"]  # other tests go through the package's


def wide(bands: int, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(3 * options.get("dilation", 1)), nn.Conv2d(bands, 3, 7, **options))


HALF = nn.Conv2d(3, 8, 4, stride=2, padding=1)
FOREIGN: dict[str, tuple[int, list[nn.Module]]] = {
    "kernel 2": (2, [HALF, nn.ConvTranspose2d(8, 3, 2, stride=2)]),
    "stride 4": (4, [nn.Conv2d(3, 8, 4, stride=4), nn.ConvTranspose2d(8, 3, 4, stride=4)]),
    "stride 1": (1, [nn.Conv2d(3, 8, 4), nn.ConvTranspose2d(8, 3, 4)]),
    "another output": (2, [HALF, nn.ConvTranspose2d(8, 3, 4, stride=2, padding=2, output_padding=1), nn.ZeroPad2d(1)]),
    "dilated": (2, [HALF, nn.ConvTranspose2d(8, 3, 2, stride=2, dilation=3, padding=1)]),
    "in groups": (2, [HALF, nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1, groups=2), nn.Conv2d(8, 3, 1)]),
    "a long kernel": (2, [HALF, nn.ConvTranspose2d(8, 3, (4, 2), stride=2, padding=(1, 0))]),
    "an uneven border": (2, [HALF, nn.ConvTranspose2d(8, 3, 4, stride=2, padding=(1, 0))]),
    "odd sizes": (1, [wide(3)]),
    "7×7, dilated": (2, [wide(3, dilation=2)]),
    "7×7, in groups": (2, [wide(3, groups=3)]),
    "spectral norm": (
        2,
        [
            *(spectral_norm(nn.Conv2d(3, 8, 4, stride=2, padding=1)), BatchNorm2d(8), nn.ReLU()),
            *(spectral_norm(nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)), BatchNorm2d(8), wide(8)),
        ],
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_the_portable_copy_of_a_network_from_outside_gives_the_same(name):
    torch.manual_seed(0)
    multiple, layers = FOREIGN[name]
    network = Foreign(multiple, *copy.deepcopy(layers))
    side = 33 if multiple == 1 else 32
    for _ in range(30 if name == "spectral norm" else 0):  # finds the largest singular values
        network(sources(3, side, side))
    network.eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
        expected = network(sources(3, side, side, count=2))
        for phases in (False, True):
            made = portable(network, phases=phases)(sources(3, side, side, count=2))
            assert made.shape == expected.shape
            assert torch.allclose(made, expected, atol=2e-5)
        assert torch.equal(network(sources(3, side, side, count=2)), expected), "left alone"


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_dynamic_unet_equals_pytorch_at_sizes_and_numbers_it_was_not_traced_at(tmp_path, unet):
    set_norm_statistics(unet, "image")
    facts = export_model(unet, tmp_path / "m.onnx", working_size=30, about={"model": "m"}, dynamic=True)
    assert [(check["height"], check["width"]) for check in facts["checks"]] == [(32, 32), (40, 48)]
    assert all(check["max_abs_difference"] < 1e-5 for check in facts["checks"])
    for shape in ((1, 16, 64), (3, 24, 8)):
        source = sources(3, *shape[1:], count=shape[0])
        with torch.no_grad():
            assert torch.allclose(run(tmp_path / "m.onnx", source), unet(source), atol=1e-5)
    model = onnx.load(tmp_path / "m.onnx")
    kinds = {node.op_type for node in model.graph.node}
    assert "InstanceNormalization" in kinds
    assert not kinds & {"BatchNormalization", "Dropout", "MatMul"}, "kernels are constants, the mode is baked in"
    assert model.opset_import[0].version == facts["opset"] >= 20
    assert str(Path.cwd()).encode() not in (tmp_path / "m.onnx").read_bytes(), "paths of this machine"


def test_a_fixed_resnet_with_running_averages_has_no_norm_left(tmp_path):
    network = lively(ResNetGenerator(width=4, blocks=1, norm="batch"))
    set_norm_statistics(network, "running")
    facts = export_model(network, tmp_path / "sub" / "m.onnx", working_size=30, about={})
    assert facts["source"]["shape"] == [1, 3, 32, 32]
    assert facts["checks"][0]["max_abs_difference"] < 1e-5
    kinds = [node.op_type for node in onnx.load(tmp_path / "sub" / "m.onnx").graph.node]
    assert not {"BatchNormalization", "InstanceNormalization"} & set(kinds)
    source = sources(3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(run(tmp_path / "sub" / "m.onnx", source), network(source), atol=1e-5)


def test_half_is_half_as_large_and_close(tmp_path, unet):
    facts = export_model(unet, tmp_path / "half.onnx", working_size=32, about={}, half=True)
    assert facts["precision"] == "float16"
    assert 0 < facts["checks"][0]["max_abs_difference"] < 0.05
    weights = sum(value.numel() for value in unet.parameters())
    assert (tmp_path / "half.onnx").stat().st_size < 4 * weights, (
        "4 bytes a weight would be float32; 16 up-kernels of 9"
    )


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_and_writes_how_far_it_is_from_pytorch(tmp_path, unet, capsys):
    folder = model_folder(tmp_path / "model", unet)
    (tmp_path / "m.onnx").write_bytes(b"old")
    (tmp_path / "m.json").write_text('{"opset": 1}')  # an export's; another program's is not replaced
    line = ["export", "--model", str(folder), "--output", str(tmp_path / "m.onnx"), "--dynamic"]
    assert main(line) == 2
    assert main([*line, "--overwrite"]) == 0
    said = capsys.readouterr().out
    facts = json.loads((tmp_path / "m.json").read_text())
    for check in facts["checks"]:
        assert f"{check['max_abs_difference']:.2g} at most at {check['width']}×{check['height']}" in said
    assert facts["model"] == str(folder)
    assert TranslationSettings.from_dict(facts["translation"]).working_size == 30
    assert facts["padding"]["multiple"] == 8
    named = re.findall(r"\w+_\w+", facts["values"])
    assert named == ["source_values", "target_values"]
    assert set(named) <= set(facts["translation"])
    assert {"low", "high"} <= {field.name for field in fields(BandValues)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "m.onnx", "model"], "no leftovers"

    # What the JSON says is enough to use the file by itself.
    image = np.asarray(picture(seed=1, size=(32, 24)), dtype=np.float32)
    source = torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = Translator.from_pretrained(folder, device="cpu").translate_tensor(source)
    assert torch.allclose(run(tmp_path / "m.onnx", source.contiguous()), expected, atol=1e-5)


def test_int8_is_calibrated_on_the_models_examples_and_says_what_it_costs(tmp_path, unet, capsys):
    folder = model_folder(tmp_path / "model", unet, examples=5)
    assert main(["export", "--model", str(folder), "--output", str(tmp_path / "m.onnx"), "--int8", "--dynamic"]) == 0
    said = capsys.readouterr().out
    facts = json.loads((tmp_path / "m.json").read_text())
    assert facts["int8"]["calibration_images"] == facts["int8"]["measured_on"] == 5, "too few to keep some out"
    assert not facts["int8"]["measured_on_other_images"]
    assert facts["int8"]["psnr_min"] < facts["int8"]["psnr_mean"]
    assert facts["int8"]["psnr_mean"] > 25
    assert f"{facts['int8']['psnr_mean']:.1f} dB" in said
    model = onnx.load(tmp_path / "m.onnx")
    convolutions = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    made_by = {output: node.op_type for node in model.graph.node for output in node.output}
    assert convolutions
    for node in convolutions:
        assert [made_by[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2, "images and weights in int8"
    stored = {value.name: value.data_type for value in model.graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in stored.values()) >= len(convolutions)
    # a border is quantised before it is made, so that runtimes pad bytes
    assert {made_by[node.input[0]] for node in model.graph.node if node.op_type == "Pad"} == {"DequantizeLinear"}


def test_of_many_images_one_in_four_is_kept_out_to_measure_by(tmp_path, unet):
    batches = [sources(3, 32, 32) for _ in range(16)]
    facts = export_model(unet, tmp_path / "m.onnx", working_size=30, about={}, calibration=batches)
    assert facts["precision"] == "int8"
    assert facts["int8"]["calibration_images"] == 12
    assert facts["int8"]["measured_on"] == 4
    assert facts["int8"]["measured_on_other_images"]


def test_the_innermost_convolutions_stay_in_float(tmp_path):
    """Norms over four values would make noise of their rounding."""
    network = lively(UNetGenerator(width=4, levels=4))  # 32 → 16 → 8 → 4 → 2 → 4 → …
    set_norm_statistics(network, "image")
    export_model(network, tmp_path / "m.onnx", working_size=32, about={}, calibration=[sources(3, 32, 32)])
    graph = onnx.load(tmp_path / "m.onnx").graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    whole = [made_by.get(node.input[1]) == "DequantizeLinear" for node in convolutions]
    assert whole == [True, True, True, False, True, True, True, True]


def test_an_antialiased_resnet_equals_pytorch_at_any_size_and_its_blurs_stay_in_float(tmp_path):
    network = lively(ResNetGenerator(width=4, blocks=1, antialias=True))
    checks = export_model(network, tmp_path / "m.onnx", working_size=32, about={}, dynamic=True)["checks"]
    assert len(checks) == 2
    assert max(check["max_abs_difference"] for check in checks) < 1e-4
    facts = export_model(network, tmp_path / "i.onnx", working_size=32, about={}, calibration=[sources(3, 32, 32)])
    assert facts["int8"]["psnr_min"] > 20
    graph = onnx.load(tmp_path / "i.onnx").graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    whole = [made_by.get(node.input[1]) == "DequantizeLinear" for node in convolutions]
    # in, half and blur, half and blur, the block's two, ×2 and on, ×2 and on, out
    assert whole == [True, True, False, True, False, True, True, False, True, False, True, True]


def test_without_images_there_is_no_int8(tmp_path, unet):
    with pytest.raises(ValueError, match=r"no image to quantise by.*--calibration"):
        export_model(unet, tmp_path / "m.onnx", working_size=30, about={}, calibration=[])


def test_calibration_is_never_short_of_memory(tmp_path, unet, monkeypatch):
    monkeypatch.setattr("img2img_hub.translation.engine._ALWAYS_FITS", 0)
    monkeypatch.setattr("img2img_hub.translation.engine.available_memory", lambda _: 0)
    translator = Translator.from_pretrained(model_folder(tmp_path / "model", unet, examples=2), device="cpu")
    assert len(calibration_batches(translator)) == 2


def test_calibration_takes_a_folder_or_a_data_set_of_images_as_the_network_gets_them(tmp_path, unet, unpaired_folder):
    folder = model_folder(tmp_path / "model", unet, family="cyclegan")
    translator = Translator.from_pretrained(folder, device="cpu")
    photos = tmp_path / "photos"
    shutil.copytree(unpaired_folder / "trainA", photos)
    one, other = (calibration_batches(translator, str(place)) for place in (photos, unpaired_folder))
    assert len(one) == len(other) == 4
    assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True)), "the data set's sources"
    assert {batch.shape for batch in one} == {(1, 3, 32, 32)}, "32×32, resized to 30, padded to multiples of 8"
    inside = to_tensor(Image.open(photos / "0.png").convert("RGB").resize((30, 30), Image.Resampling.BICUBIC))
    assert torch.equal(one[0][0, :, 1:31, 1:31], inside)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "m.pt"], "let it end in .onnx"),
        (["--output", "there.onnx"], "there.onnx is there already: add --overwrite"),
        (["--output", "described.onnx"], "described.json is there already: add --overwrite"),
        (["--output", "described.onnx", "--overwrite"], "described.json describes no ONNX file, so that it is not"),
        (["--output", "model/config.onnx", "--overwrite"], "model/config.json describes no ONNX file"),
        (["--output", "m.onnx", "--half", "--int8"], "two precisions"),
        (["--output", "m.onnx", "--calibration", "photos"], "--calibration is for --int8"),
        (["--output", "m.onnx", "--int8"], "--calibration photos/"),
        (["--output", "m.onnx", "--int8", "--calibration", "nowhere"], "nowhere"),
        (["--output", "m.onnx", "--int8", "--calibration", "empty"], "empty"),
        (["--output", "there.onnx/m.onnx"], "cannot be made"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, unet, arguments, said, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_folder(tmp_path / "model", unet)
    Path("there.onnx").write_bytes(b"mine")
    Path("described.json").write_bytes(b"mine")
    Path("empty").mkdir()
    assert main(["export", "--model", "model", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert Path("there.onnx").read_bytes() == Path("described.json").read_bytes() == b"mine"


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, unet, missing, capsys, monkeypatch):
    folder = model_folder(tmp_path / "model", unet)
    without(missing, monkeypatch)
    assert main(["export", "--model", str(folder), "--output", str(tmp_path / "m.onnx")]) == 2
    assert f"export needs {missing}: pip install 'img2img_hub[onnx]'" in capsys.readouterr().err


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package were not installed."""
    find, load = importlib.util.find_spec, builtins.__import__

    def no_spec(name, *rest):
        return None if name.split(".")[0] == package else find(name, *rest)

    def no_import(name, *rest, **more):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *rest, **more)

    monkeypatch.setattr("img2img_hub.runtimes.export.find_spec", no_spec)
    monkeypatch.setattr(builtins, "__import__", no_import)
