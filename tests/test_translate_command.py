"""Many images from the command line: subfolders, links, what is in the way, bad input, Ctrl-C, full disks."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from img2img_hub import ResNetGenerator, Translator
from img2img_hub.cli import main
from img2img_hub.data.find.search import MARK
from img2img_hub.images.read import read_raster
from img2img_hub.images.values import BandValues
from img2img_hub.strips.layers import Convolution
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import ROOT
from tests.conftest import picture
from tests.scenes import write_tiff
from tests.test_images import png_of_size


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with a model in model/ and pictures in photos/ and two subfolders."""
    monkeypatch.chdir(tmp_path)
    ResNetGenerator(width=4, blocks=1).save_pretrained("model")
    TranslationSettings(working_size=32).save("model")
    draw("photos/a.png", "photos/b.jpg", "photos/sub/a.png", "photos/sub/deep/c.webp")
    return tmp_path


def draw(*paths: str, size: tuple[int, int] = (20, 16)) -> None:
    for seed, path in enumerate(paths):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        picture(seed=seed, size=size).save(path)


def run(line: str, *, model: str = "model", output: str = "out") -> int:
    return main(["translate", *line.split(), "--model", model, "--output", output])


def files(folder: str = "out") -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir())


def failures(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines below "N failed:" on stderr."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    head, _, lines = error.partition(" failed:\n")
    found = lines.splitlines()
    assert head.endswith(f"img2img_hub: {len(found)}")
    return found


# --- folders ----------------------------------------------------------------------------------------------------------


def test_subfolders_come_by_recursive_only_and_keep_their_place():
    draw("photos/.hidden.png", "photos/.git/d.png", "photos/sub/.e.png")
    assert run("photos") == 0
    assert files() == ["a.png", "b.png"]
    assert run("photos --recursive --overwrite") == 0
    assert files() == ["a.png", "b.png", "sub/a.png", "sub/deep/c.png"]
    translator = Translator.from_pretrained("model")
    for name, source in (("a.png", "a.png"), ("sub/a.png", "sub/a.png"), ("sub/deep/c.png", "sub/deep/c.webp")):
        with Image.open(Path("out", name)) as output:
            expected = np.asarray(translator(f"photos/{source}")).astype(int)
            assert np.abs(np.asarray(output) - expected).max() <= 1


def test_an_output_folder_in_the_input_is_no_input_itself():
    for _ in range(2):
        assert run("photos --recursive --overwrite", output="photos/new") == 0
        assert files("photos/new") == [MARK, "a.png", "b.png", "sub/a.png", "sub/deep/c.png"]
    assert run("photos --recursive") == 0, "nor are they later, when they are not where the outputs go"
    assert files() == ["a.png", "b.png", "sub/a.png", "sub/deep/c.png"]


def test_links_that_lead_in_a_circle_end_and_no_folder_is_taken_twice():
    Path("photos/loop").symlink_to(".")
    Path("photos/sub/up").symlink_to("..")
    Path("photos/again").symlink_to("sub")
    Path("photos/itself").symlink_to("itself")
    draw("other/d.png")
    Path("other/back").symlink_to("../photos")
    Path("photos/other").symlink_to("../other")
    assert run("photos --recursive") == 0
    assert files() == ["a.png", "b.png", "other/d.png", "sub/a.png", "sub/deep/c.png"]


def test_names_that_would_meet_are_refused_before_any_work(capsys):
    draw("more/sub/A.jpg")
    assert run("photos more --recursive") == 2
    assert "photos/sub/a.png and more/sub/A.jpg would both become out/sub/A.png" in capsys.readouterr().err
    assert not Path("out").exists()
    assert run("photos/sub --recursive") == 0
    assert run("photos/sub --recursive") == 2
    assert "out/a.png is there already (and 1 more): add --overwrite" in capsys.readouterr().err
    Path("out/a.png").unlink()
    Path("out/a.png").symlink_to("nowhere.png")  # no file is there, and yet something would be replaced
    Path("out/deep/c.png").unlink()
    assert run("photos/sub --recursive") == 2
    assert "out/a.png is there already: add --overwrite" in capsys.readouterr().err


def test_a_folder_without_images_says_where_they_may_be(capsys):
    draw("top/inner/a.png")
    assert run("top") == 2
    assert "directly in it: add --recursive to look into its subfolders" in capsys.readouterr().err
    Path("top/inner/a.png").unlink()
    assert run("top --recursive") == 2
    assert "in it or its subfolders\n" in capsys.readouterr().err


def test_batches_of_one_size_give_what_each_image_gives_alone():
    names = [f"many/{index:02}.png" for index in range(23)]
    for index, name in enumerate(names):
        draw(name, size=(20, 16) if index % 3 else (9, 31))
    picture(seed=99, size=(20, 16)).save("many/07.png")
    shapes = []
    translator = Translator.from_pretrained("model")
    translator.network.register_forward_pre_hook(lambda _, batch: shapes.append(tuple(batch[0].shape)))

    report = translate_folder(translator, "many", output="out", batch_size=5)
    assert [str(source) for source, _ in report.written] == names
    assert sorted(shape[0] for shape in shapes) == [3, 5, 5, 5, 5]
    assert report.failures == []
    for source, destination in report.written:
        with Image.open(destination) as output:
            expected = np.asarray(translator(source)).astype(int)
            assert np.abs(np.asarray(output) - expected).max() <= 1


def test_a_caller_is_told_of_each_image_that_is_through():
    for index in range(5):
        draw(f"many/{index}.png", size=(20, 16))
    Path("many/2.png").write_text("no picture")
    told = []
    translate_folder(
        Translator.from_pretrained("model"),
        "many",
        output="out",
        batch_size=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (5, 5)
    assert told == sorted(told)
    assert {total for _, total in told} == {5}


def test_at_batch_size_1_every_image_is_what_it_is_alone():
    assert run("photos --recursive --batch_size 1 --format webp") == 0
    assert run("photos/sub --batch_size 1 --overwrite") == 0
    translator = Translator.from_pretrained("model")
    with Image.open("out/a.png") as output:
        assert output.tobytes() == translator("photos/sub/a.png").tobytes()


def test_what_a_picture_format_cannot_hold_is_refused_before_any_image_is_read(capsys):
    ResNetGenerator(width=4, blocks=1, out_channels=2).save_pretrained("model")
    values = BandValues(dtype="float32", low=(0.0, -5.0), high=(1.0, 5.0))
    TranslationSettings(working_size=32, target_channels=2, target_values=values).save("model")
    assert run("photos") == 2
    assert "model makes 2 bands of float32, which png cannot hold: add --format tif" in capsys.readouterr().err
    assert not Path("out").exists()
    assert run("photos --format tif") == 0
    assert read_raster("out/a.tif").array.shape == (16, 20, 2)


def test_formats_say_what_they_do_not_keep_and_pictures_with_holes_take_any_format(capsys):
    place = "lost in this format (where it lies)"
    ResNetGenerator(width=4, blocks=1, in_channels=1, out_channels=1).save_pretrained("model")
    for dtype, most, formats in (
        ("uint8", 255.0, [("tif", "jpg", place), ("tif", "webp", place), ("tif", "png", place), ("tif", "tif", "")]),
        ("uint16", 9.0, [("tif", "png", place), ("tif", "tif", ""), ("png", "png", "")]),
    ):
        values = BandValues(dtype=dtype, low=(0.0,), high=(most,))
        both = {"source_channels": 1, "target_channels": 1, "source_values": values, "target_values": values}
        TranslationSettings(working_size=32, **both).save("model")
        array = np.ones((20, 20), dtype)
        array[:4] = 0
        Image.fromarray(array).save(f"{dtype}.png")
        write_tiff(Path(f"{dtype}.tif"), array, no_data="0")
        for ending, format, lost in formats:
            assert run(f"{dtype}.{ending} --format {format} --overwrite") == 0
            said = capsys.readouterr().err
            assert lost in said
            assert ("lost" in said) == bool(lost)


def test_tif_holds_alpha_and_profile():
    source = picture(seed=0, size=(20, 16))
    source.putalpha(Image.linear_gradient("L").resize(source.size))
    source.save("photo.png", icc_profile=b"profile" * 30)
    assert run("photo.png --format tif") == 0
    with Image.open("out/photo.tif") as output:
        assert (output.format, output.mode, output.info["icc_profile"]) == ("TIFF", "RGBA", b"profile" * 30)
        assert output.tobytes() == Translator.from_pretrained("model")("photo.png").tobytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--batch_size 0", "--batch_size is 0: type 1 or more"),
        ("--seed -1", "--seed is -1: type a whole number"),
        ("--dtype float16 --backend onnx", "dtype 'float16' is for the backends torch and compile, got 'onnx'"),
    ],
)
def test_bad_options_are_refused_before_the_model_is_loaded(capsys, flags, message):
    assert run(f"photos {flags}", model="nosuch") == 2
    assert message in capsys.readouterr().err


# --- bad input --------------------------------------------------------------------------------------------------------


def test_every_bad_file_has_a_line_with_its_cure_and_the_rest_is_done(capsys):
    draw("photos/cut.png")  # of the size of the others, so that it comes into a batch with them
    Path("photos/cut.png").write_bytes(Path("photos/cut.png").read_bytes()[:300])
    Path("photos/empty.png").touch()
    Path("photos/bomb.png").write_bytes(png_of_size(60_000, 60_000))
    Path("photos/text.png").write_text("Dear reader")
    Path("photos/loop.png").symlink_to("loop.png")
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save("photos/nan.tif")
    before = {path: path.read_bytes() for path in Path("photos").rglob("*") if path.is_file()}
    assert run("photos --recursive") == 1
    captured = capsys.readouterr()
    assert "4 of 10 images translated into out" in captured.out
    lines = captured.err.partition(" failed:\n")[2].splitlines()
    expected = {
        "bomb.png": "would: make it smaller first",
        "cut.png": "is damaged or cut short (",
        "empty.png": "is empty (0 bytes): copy or download it again",
        "loop.png": "is a link to what is not there: copy the file here, or delete the link",
        "nan.tif": "has pixels that are NaN: fill them, or use a model of rasters",
        "text.png": "is not an image that can be read: save it as PNG, JPEG, WebP or TIFF",
    }
    assert len(lines) == len(expected)
    for line, (name, says) in zip(lines, expected.items(), strict=True):
        assert line.startswith(f"photos/{name}")
        assert says.casefold() in line.casefold()
    assert files() == ["a.png", "b.png", "sub/a.png", "sub/deep/c.png"]
    assert {path: path.read_bytes() for path in Path("photos").rglob("*") if path.is_file()} == before


def test_an_output_that_cannot_be_replaced_is_named_and_the_others_are_written(capsys):
    Path("out/a.png").mkdir(parents=True)
    assert run("photos --overwrite") == 1
    (line,) = failures(capsys)
    assert line.startswith("photos/a.png: out/a.png cannot be written (Is a directory")
    assert files() == ["b.png"]


@pytest.mark.parametrize("place", ["/proc/out", "/proc/self/task"])
def test_a_folder_that_cannot_be_written_to_is_refused_in_one_line(capsys, place):
    assert run("photos", output=place) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"img2img_hub: error: the folder {place} cannot be ")
    assert error.count("\n") == 1


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The system refuses to let a file grow further, in the same place as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tif"])
def test_a_disk_that_fills_up_leaves_no_half_image_and_what_was_there(capsys, format):
    draw("photos/large.png", size=(300, 300))
    draw(f"out/large.{format}")
    before = Path(f"out/large.{format}").read_bytes()
    with no_file_above(3000):
        assert run(f"photos --overwrite --format {format}") == 1
    (line,) = failures(capsys)
    assert line.startswith(f"photos/large.png: out/large.{format} cannot be written (")
    assert line.endswith("): make room there, or name another --output")
    assert files() == [f"a.{format}", f"b.{format}", f"large.{format}"]
    assert Path(f"out/large.{format}").read_bytes() == before


def test_a_full_disk_is_said_before_any_work(capsys):
    with no_file_above(0):
        assert run("photos") == 2
    assert "the folder out cannot be written to (File too large): make room there" in capsys.readouterr().err


def test_a_subfolder_that_may_not_be_read_is_named_and_the_others_are_done(here):
    line = [sys.executable, "-m", "img2img_hub", "translate", "photos", "--recursive", "--model", "model"]
    if os.geteuid() == 0:  # who may read everything, until that right is given up
        line = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *line]
    Path("photos/sub").chmod(0)
    try:
        done = subprocess.run(
            [*line, "--output", "out"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    finally:
        Path("photos/sub").chmod(0o700)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "photos/sub cannot be looked into (Permission denied): change its permissions, or leave it out"
    )
    assert files() == ["a.png", "b.png"]


@pytest.mark.parametrize(("format", "most"), [("jpg", 65_500), ("webp", 16_383)])
def test_an_image_that_the_format_cannot_hold_is_named(capsys, format, most):
    Image.new("L", (most + 1, 1)).save("wide.png")
    assert run(f"wide.png photos --resize fit --format {format}") == 1
    (line,) = failures(capsys)
    assert line.startswith(f"wide.png: out/wide.{format} would be {most + 1}×1 pixels")
    assert line.endswith(f"holds no side of more than {most}: use --format png")


# --- models that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda: Path("model/config.json").unlink(),
            "model has no config.json, so it is no model folder of img2img_hub",
        ),
        (
            lambda: config({"model_type": "bert"}, only=True),
            "model: config.json names no 'architecture' and 'format_version', so it was not written by img2img_hub",
        ),
        (
            lambda: config({"_class_name": "UNet2DModel"}, only=True),
            "model: config.json names no 'architecture' and 'format_version', so it was not written by img2img_hub",
        ),
        (lambda: config({"format_version": 2}), "format_version 2, this version reads 1: update img2img_hub"),
        (lambda: config({"width": 8}), "have another shape (first: layers.1.bias is (4,), config.json asks (8,))"),
        (lambda: config({"blocks": 2}), "tensors are missing (first: "),
        (lambda: settings({"format_version": 3}), "format_version is 3, this version reads 2: update img2img_hub"),
        (lambda: settings({"source_channels": 1}), "translation.json says source_channels 1, the network has 3"),
        (
            lambda: save_file({"unet.weight": torch.ones(2)}, "model/model.safetensors"),
            "are not of this network (first",
        ),
        (lambda: Path("model/model.safetensors").write_bytes(b"PK"), "is no readable safetensors file"),
        (lambda: Path("model/model.safetensors").rename("model/pytorch_model.bin"), "model has no model.safetensors"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused_before_any_image_is_read(capsys, change, message):
    change()
    assert run("photos") == 2
    error = capsys.readouterr().err
    assert error.startswith("img2img_hub: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not Path("out").exists()


def config(values: dict[str, object], *, only: bool = False) -> None:
    content = {} if only else json.loads(Path("model/config.json").read_text())
    Path("model/config.json").write_text(json.dumps({**content, **values}))


def settings(values: dict[str, object]) -> None:
    content = json.loads(Path("model/translation.json").read_text())
    Path("model/translation.json").write_text(json.dumps({**content, **values}))


# --- being stopped ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", ["1", "2"])
def test_ctrl_c_leaves_whole_images_only(here: Path, threads: str):
    draw("many/0000.jpg", size=(40, 40))
    for index in range(1, 3000):
        os.link("many/0000.jpg", f"many/{index:04}.jpg")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "img2img_hub", "translate", "many", "--model", "model", "--output", "out"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=here) as process:
        patience = time.monotonic() + 120
        while not (Path("out").exists() and len(files()) > 20):
            assert time.monotonic() < patience
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error.rstrip().endswith("img2img_hub: stopped")
    assert "Traceback" not in error
    assert len(files()) < 3000
    assert not list(Path("out").glob(".*"))
    for path in Path("out").iterdir():
        with Image.open(path) as output:
            output.load()


@pytest.mark.parametrize(
    ("by_strips", "seats"), [(False, 1), (False, 2), (True, 1)], ids=["at once", "two networks", "by strips"]
)
def test_ctrl_c_does_not_wait_for_the_network(by_strips: bool, seats: int, monkeypatch: pytest.MonkeyPatch):
    """It is heard between two layers. Here each of them takes seconds, and all together minutes."""
    if by_strips:
        draw("large/a.png", size=(600, 500))  # more than fits in any case
    folder, count = ("large", 1) if by_strips else ("photos", 4)
    translator = Translator.from_pretrained("model", memory=1e-6)
    began, pressed, ended = threading.Event(), threading.Event(), threading.Event()
    layers, hooks = [], []

    def seconds_in_a_layer(*_: object) -> None:
        layers.append(0)
        began.set()
        pressed.wait(60)
        time.sleep(3)

    def press() -> None:
        began.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        pressed.set()

    with monkeypatch.context() as slow:
        if by_strips:
            compute = Convolution.compute
            slow.setattr(Convolution, "compute", lambda *given: (seconds_in_a_layer(), compute(*given))[1])
        else:
            hooks = [layer.register_forward_pre_hook(seconds_in_a_layer) for layer in translator.network.modules()]
            hooks.append(translator.network.register_forward_hook(lambda *_: ended.set()))
        threading.Thread(target=press).start()
        with pytest.raises(KeyboardInterrupt):
            translate_folder(translator, folder, output="out", recursive=True, batch_size=4 // seats, seats=seats)
    assert not ended.is_set()
    assert len(layers) < 3
    assert files() == []
    for hook in hooks:
        hook.remove()
    assert (
        len(
            translate_folder(
                translator, folder, output="out", recursive=True, batch_size=4 // seats, seats=seats
            ).written
        )
        == count
    )


def test_a_mistake_of_ours_ends_the_work_and_is_raised(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(Translator, "__call__", broken)
    with pytest.raises(TypeError, match="a bug"):
        run("photos")
