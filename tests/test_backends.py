"""Backends: ONNX Runtime, OpenVINO and torch.compile give PyTorch's images, and say what they cannot do."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from img2img_hub import Network, ResNetGenerator, Translator, UNetGenerator
from img2img_hub.cli import main
from img2img_hub.runtimes.backends import has_export
from img2img_hub.runtimes.export import EXPORT_VERSION, OPSET, fingerprint, save_whole
from img2img_hub.translation.engine import Engine
from tests.conftest import picture
from tests.hub import run_client
from tests.test_export import model_folder, without
from tests.test_translator import lively

ON_CPU = ["onnx", "openvino"]


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("xdg")))
        yield Path(os.environ["XDG_CACHE_HOME"], "img2img_hub", "onnx")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A U-Net that has no ONNX file."""
    network = lively(UNetGenerator(levels=3, width=8, upsample="resize"))
    return model_folder(tmp_path_factory.mktemp("models") / "model", network)


def values(image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_every_backend_gives_the_same_images_at_any_size_and_exports_once(model, own_cache):
    images = [picture(seed=1, size=(50, 33)), picture(seed=2, size=(16, 16)), picture(seed=3, size=(50, 33))]
    expected = Translator.from_pretrained(model, device="cpu")(images, batch_size=3)
    for backend in ON_CPU:
        translator = Translator.from_pretrained(model, backend=backend)
        assert translator.device == torch.device("cpu")
        assert translator.describe().endswith(f"on cpu by {backend}")
        first = translator(images, batch_size=3)
        for made, right in zip(first, expected, strict=True):
            assert made.size == right.size
            assert abs(values(made) - values(right)).max() <= 1
        assert [image.tobytes() for image in translator(images, batch_size=3)] == [image.tobytes() for image in first]
    (kept,) = own_cache.iterdir()
    assert kept.name == f"{fingerprint(translator.network)[:40]}-{OPSET}-{EXPORT_VERSION}.onnx"
    time = kept.stat().st_mtime_ns
    Translator.from_pretrained(model, backend="onnx")
    assert kept.stat().st_mtime_ns == time, "exported once"
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    Translator.from_pretrained(model, backend="onnx")
    assert kept.stat().st_size == len(whole), "a damaged one is exported anew"
    assert list(own_cache.iterdir()) == [kept], "no leftovers"
    assert not list(model.glob("*.onnx")), "the model's folder is left alone"


def test_a_kept_file_belongs_to_weights_and_statistics(model):
    network = Network.from_pretrained(model)
    first = fingerprint(network)
    assert fingerprint(Network.from_pretrained(model)) == first
    for layer in network.modules():
        if hasattr(layer, "statistics"):
            layer.statistics = "image"  # was "running"
    second = fingerprint(network)
    with torch.no_grad():
        next(network.parameters())[0] += 1e-3
    assert len({first, second, fingerprint(network)}) == 3


def test_a_shipped_file_is_run_and_one_of_other_weights_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = model_folder(tmp_path / "model", lively(UNetGenerator(levels=3, width=4)))
    assert main(["export", "--model", str(folder), "--output", str(folder / "model.onnx"), "--dynamic"]) == 0
    image = picture(seed=1, size=(24, 24))
    expected = values(Translator.from_pretrained(folder, device="cpu")(image))
    for backend in ON_CPU:
        assert abs(values(Translator.from_pretrained(folder, backend=backend)(image)) - expected).max() <= 1
    assert not (tmp_path / "xdg").exists(), "nothing was exported"

    network = Network.from_pretrained(folder)  # trained further
    assert has_export(Translator.from_pretrained(folder).network, where=str(folder))
    assert not has_export(Translator.from_pretrained(folder).network)
    with torch.no_grad():
        next(network.parameters()).mul_(-1)
    network.save_weights(folder)
    changed = values(Translator.from_pretrained(folder, device="cpu")(image))
    assert abs(changed - expected).max() > 5
    assert not has_export(Translator.from_pretrained(folder).network, where=str(folder)), "the page makes one apart"
    for backend in ON_CPU:
        with pytest.warns(UserWarning, match="its model.onnx is not used: .*other weights"):
            translator = Translator.from_pretrained(folder, backend=backend)
        assert abs(values(translator(image)) - changed).max() <= 1
        with pytest.raises(ValueError, match=r"other weights or norm statistics.*export it anew"):
            Translator.from_pretrained(folder, backend=backend, onnx_file="model.onnx")
    assert has_export(Translator.from_pretrained(folder).network, where=str(folder)), "it was kept"


@pytest.mark.parametrize("kind", ["of one size", "a pointer", "cut"])
def test_a_shipped_file_that_cannot_be_used_is_named_and_another_is_made(model, own_cache, tmp_path, kind):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    file = folder / "model.onnx"
    if kind == "of one size":
        assert main(["export", "--model", str(folder), "--output", str(file)]) == 0
    else:
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"
        file.write_bytes(pointer if kind == "a pointer" else b"")
    said = {"of one size": "pixels alone", "a pointer": "no readable ONNX", "cut": "other weights|not name|no readable"}
    image = picture(seed=1, size=(40, 24))
    for backend in ON_CPU:
        with pytest.warns(UserWarning, match=rf"its model.onnx is not used: .*({said[kind]})"):
            translator = Translator.from_pretrained(folder, backend=backend)
        translator(image)


def test_a_cache_that_cannot_be_written_says_what_to_set(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be written \(.*\): set XDG_CACHE_HOME to a folder"):
        Translator.from_pretrained(model, backend="onnx")


def test_two_that_write_one_file_do_not_meet(tmp_path):
    content = [bytes([number]) * 2**20 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: [save_whole(one, tmp_path / "m.onnx") for _ in range(20)], content))
    assert (tmp_path / "m.onnx").read_bytes() in content
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Exception("Non-zero status\ncode returned"), r"the backend failed \(Non-zero status code .*backend='torch'"),
        (RuntimeError("g++ not found"), r"the backend failed \(g\+\+ not found\): use .* \(--backend torch\)"),
        (Exception("Failed to allocate memory for requested buffer"), "not enough memory to translate 8×8 pixels"),
        (RuntimeError("std::bad_alloc"), "not enough memory to translate 8×8 pixels"),
        (ValueError("in own words"), "^in own words$"),
    ],
)
def test_a_backend_that_fails_while_it_runs_is_said_in_one_line(error, said):
    def fail(_: torch.Tensor) -> torch.Tensor:
        raise error

    engine = Engine(UNetGenerator(levels=3, width=4), forward=fail)
    with pytest.raises(ValueError, match=said):
        engine(torch.zeros(1, 3, 8, 8))


@pytest.mark.slow
def test_a_compiler_that_is_not_there_is_said_in_one_line(model, tmp_path):
    code = """
        import sys
        from img2img_hub.cli import main

        sys.exit(main(["translate", *sys.argv[1:], "--backend", "compile", "--device", "cpu"]))
    """
    picture(seed=1, size=(32, 32)).save(tmp_path / "a.png")
    line = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "a.png", "--model", model, "--output"]
    own = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    done = subprocess.run([*line, tmp_path / "out"], env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 2
    assert "use backend='torch' (--backend torch)" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_int8_file_is_run_by_its_name_and_a_fixed_size_is_said(model, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        picture(seed=number, size=(32, 32)).save(folder / f"{number}.png")
    file = tmp_path / "model_int8.onnx"
    line = ["export", "--model", str(model), "--output", str(file), "--int8", "--calibration", str(folder)]
    assert main(line) == 0
    images = [picture(seed=number, size=(60, 50)) for number in range(2)]
    expected = Translator.from_pretrained(model, device="cpu")(images, resize="fit")
    for backend in ON_CPU:
        translator = Translator.from_pretrained(model, backend=backend, onnx_file=file)
        for made, right in zip(translator(images, resize="fit", batch_size=2), expected, strict=True):
            difference = abs(values(made) - values(right))
            assert difference.max() > 1, "int8 is not float"
            assert difference.mean() < 8
        with pytest.raises(ValueError, match=r"exported for 32×32 pixels, got 64×56 \(padded\).*--dynamic"):
            translator(images[0], resize="native")


def test_compile_gives_the_same(model):
    image = picture(seed=1, size=(32, 32))
    expected = values(Translator.from_pretrained(model, device="cpu")(image))
    made = Translator.from_pretrained(model, backend="compile", device="cpu")(image)
    assert abs(values(made) - expected).max() <= 1


FREED = """
import signal, sys, threading
from img2img_hub import Translator

freed, model = sys.argv[1:]
opened = [Translator.from_pretrained(model, backend="openvino") for _ in range(2)]
if freed == "by another thread":
    thread = threading.Thread(target=opened.clear)
    thread.start()
    thread.join()
else:
    opened.pop(0)
    opened.pop(0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a command in the background is born without
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("Ctrl-C as ever")
"""


@pytest.mark.parametrize("freed", ["in the order they came", "by another thread"])
def test_signals_are_handled_after_openvino_translators_were_freed(model, freed):
    assert run_client(["-c", FREED, freed, model], dict(os.environ)).stdout == "Ctrl-C as ever\n"


@pytest.mark.parametrize("backend", ON_CPU)
def test_pytorch_draws_the_variations_of_every_backend(own_cache, tmp_path, backend):
    model = model_folder(tmp_path / "model", lively(UNetGenerator(levels=3, width=4, noise_channels=2)))
    translator, by_torch = Translator.from_pretrained(model, backend=backend), Translator.from_pretrained(model)
    image = picture(seed=1, size=(16, 16))
    assert translator(image, seed=3).tobytes() == by_torch(image, seed=3).tobytes()
    assert translator(image, seed=3).tobytes() != translator(image, seed=4).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_differs_by_its_rounding_alone(model, dtype):
    image = picture(seed=1, size=(40, 24))
    full, half = Translator.from_pretrained(model), Translator.from_pretrained(model, dtype=dtype)
    batch = full.pixels.tensor(full.pixels.read(image), size=(40, 24))[None]
    expected, made = full.translate_tensor(batch), half.translate_tensor(batch)
    assert made.dtype == torch.float32
    assert 0 < (made - expected).abs().max() < {"float16": 0.01, "bfloat16": 0.08}[dtype]
    assert half(image).size == image.size
    assert f"in {dtype}" in half.describe()
    assert "in float" not in full.describe()
    again = Translator.from_pretrained(model, dtype=dtype)
    assert again(image, seed=3).tobytes() == half(image, seed=3).tobytes()


def test_strips_are_float32_in_half_precision_too(model):
    image = picture(seed=1, size=(800, 720))
    exact = Translator.from_pretrained(model, tiles="exact", memory=0.02)
    half = Translator.from_pretrained(model, tiles="exact", memory=0.02, dtype="bfloat16")
    assert not half.engine.fits(*reversed(image.size))
    assert half(image).tobytes() == exact(image).tobytes()


def test_outputs_are_tensors_like_any_other(model):
    batch = torch.zeros(1, 3, 16, 16)
    weight = torch.ones(1, requires_grad=True)
    (Translator.from_pretrained(model).translate_tensor(batch) * weight).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"dtype": "float64"}, "dtype must be one of float32, float16, bfloat16, got 'float64'"),
        ({"dtype": "float16", "backend": "onnx"}, "dtype 'float16' is for the backends torch and compile, got 'onnx'"),
        (
            {"dtype": "float16", "backend": "openvino"},
            "dtype 'float16' is for the backends torch and compile, got 'open",
        ),
        (
            {"dtype": "bfloat16", "backend": "onnx"},
            "'bfloat16' is for the backends torch, compile and openvino, got 'onnx",
        ),
        ({"dtype": "float64", "backend": "openvino"}, "dtype must be one of float32, float16, bfloat16, got 'float64'"),
        ({"backend": "tensorrt"}, "backend must be one of torch, compile, onnx, openvino, got 'tensorrt'"),
        ({"backend": "onnx", "device": "cuda"}, "runs on the CPU, got device 'cuda': leave device out"),
        ({"backend": "openvino", "device": "foo"}, "runs on the CPU, got device 'foo': leave device out"),
        ({"onnx_file": "m.onnx"}, "onnx_file is for the backends onnx and openvino"),
        ({"backend": "onnx", "onnx_file": "nowhere.onnx"}, "there is no file 'nowhere.onnx'"),
        ({"backend": "openvino", "onnx_file": "broken.onnx"}, "broken.onnx is no readable ONNX file"),
        ({"backend": "onnx", "onnx_file": "foreign.onnx"}, "does not name its weights"),
    ],
)
def test_what_cannot_be_is_refused(model, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.onnx").write_bytes(b"\x08 no protobuf")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], [])), "foreign.onnx")
    with pytest.raises(ValueError, match=re.escape(said)):
        Translator.from_pretrained(model, **arguments)


@pytest.mark.parametrize(("backend", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_package_is_named_before_anything_is_loaded(backend, package, monkeypatch):
    without(package, monkeypatch)
    with pytest.raises(ValueError, match=rf"needs {package}: pip install 'img2img_hub\[{backend}\]'"):
        Translator.from_pretrained("nobody/nothing", backend=backend)


def test_threads_are_pytorchs(model, monkeypatch):
    asked = []
    import onnxruntime

    session = onnxruntime.InferenceSession

    def spy(path, options, **rest):
        asked.append(options.intra_op_num_threads)
        return session(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    Translator.from_pretrained(model, backend="onnx")
    assert asked == [3]


def test_a_hub_repo_gives_its_examples_to_calibrate_by_and_its_file_to_run(alice, tmp_path):
    folder = model_folder(tmp_path / "model", lively(ResNetGenerator(width=4, blocks=1)), examples=2)
    code = """
        import os, sys
        from huggingface_hub import HfApi
        from img2img_hub import Translator
        from img2img_hub.cli import main

        folder, cache = sys.argv[1:]
        api = HfApi()
        api.create_repo("alice/resnet")
        api.upload_folder(repo_id="alice/resnet", folder_path=folder)
        line = ["export", "--model", "alice/resnet", "--output", folder + "/model_int8.onnx", "--int8", "--dynamic"]
        assert main(line) == 0
        api.upload_folder(repo_id="alice/resnet", folder_path=folder)
        Translator.from_pretrained("alice/resnet", backend="onnx", onnx_file="model_int8.onnx")
        assert not os.path.exists(cache), "the file that the repo ships was run"
        try:
            Translator.from_pretrained("alice/resnet", backend="onnx", onnx_file="other.onnx")
        except ValueError as error:
            print(error)
    """
    path = tmp_path / "client.py"
    path.write_text(textwrap.dedent(code))
    said = run_client(
        [path, folder, tmp_path / "xdg" / "img2img_hub"],
        {**alice, "XDG_CACHE_HOME": str(tmp_path / "xdg")},
        timeout=400,
    ).stdout
    assert "calibrated on 2, the same images" in said
    assert "there is no file 'other.onnx', here or in alice/resnet" in said


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_loaded_translator_goes_over_to_another_backend_and_still_varies(model, backend):
    translator = Translator.from_pretrained(model, device="cpu")
    image = picture(seed=1, size=(50, 33))
    plain, varied = translator(image), translator(image, seed=5)
    faster = translator.with_backend(backend)
    assert (translator.backend, faster.backend) == ("torch", backend)
    assert faster.network is translator.network
    assert faster.describe().endswith(f"on cpu by {backend}")
    assert abs(values(faster(image)) - values(plain)).max() <= 1
    assert translator(image).tobytes() == plain.tobytes()
    assert translator(image, seed=5).tobytes() == varied.tobytes()
    assert faster(image, seed=5).tobytes() == varied.tobytes(), "PyTorch draws variations"


def test_two_backends_of_one_network_take_turns():
    network = lively(UNetGenerator(levels=2, width=4))
    busy, meetings = threading.Lock(), []

    def forward(batch: torch.Tensor) -> torch.Tensor:
        meetings.append(not busy.acquire(blocking=False))
        time.sleep(0.02)
        busy.release()
        return batch

    one = Engine(network, forward=forward)
    engines = [one, one.with_forward(forward)] * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda engine: engine(torch.zeros(1, 3, 8, 8)), engines))
    assert meetings == [False] * 8


def test_the_time_of_a_size_is_foretold_from_the_latest_calls():
    def forward(batch: torch.Tensor) -> torch.Tensor:
        time.sleep(batch[0, 0, 0, 0].item())
        return batch

    engine = Engine(lively(UNetGenerator(levels=2, width=4)), forward=forward)
    assert engine.forecast(16, 16) is None, "nothing is known before the first call"
    engine(torch.full((1, 3, 16, 16), 0.5))
    assert engine.forecast(16, 16) == pytest.approx(0.5, rel=0.2)
    for _ in range(3):
        engine(torch.full((1, 3, 16, 16), 0.05))
    assert engine.forecast(16, 16) == pytest.approx(0.05, rel=0.5), "the first call, which prepares, counts no more"
    assert engine.forecast(30, 62) == pytest.approx(8 * engine.forecast(16, 16)), "as padded: 32 × 64"
    assert engine.with_forward(None).forecast(16, 16) is None, "another backend has times of its own"
