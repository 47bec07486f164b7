"""What commands write goes out on any stream, and ends quietly where nobody reads on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from img2img_hub import __version__
from img2img_hub.cli import main
from img2img_hub.cli.shared import missing_package
from tests.hub.client import ROOT
from tests.runs import TINY

ENV = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    "words",
    [
        ["train_accelerate.py", "pix2pix", "--help"],
        ["-m", "img2img_hub", "translate", "--help"],
        ["-m", "img2img_hub", "train", "cut", "-h"],
    ],
    ids=lambda words: words[-2],
)
def test_a_reader_that_leaves_ends_a_command_quietly(words: list[str]) -> None:
    words = [str(ROOT / words[0]) if words[0].endswith(".py") else words[0], *words[1:]]
    command = subprocess.Popen(
        [sys.executable, *words], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()  # as head does when it has its lines
    assert command.stderr.read() == ""
    assert command.wait(60) == 141


def test_a_training_goes_on_where_nobody_reads_what_it_says(paired_folder: Path, tmp_path: Path) -> None:
    words = ["pix2pix", "--dataset", str(paired_folder), "--side_by_side", *TINY, "--levels", "4", "--num_workers", "0"]
    words += ["--max_steps", "30", "--log_steps", "1", "--output_dir", str(tmp_path / "run")]
    command = subprocess.Popen(
        [sys.executable, str(ROOT / "train_accelerate.py"), *words],
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert command.stdout is not None
    command.stdout.readline()
    command.stdout.close()
    assert command.wait(120) == 0
    assert (tmp_path / "run/finished.json").is_file()


def test_a_package_that_training_lacks_is_named_by_the_script(tmp_path: Path) -> None:
    (tmp_path / "accelerate.py").write_text("raise ModuleNotFoundError('No module', name='accelerate')")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train_accelerate.py"), "pix2pix", "--dataset", "x", "--output_dir", "y"],
        env=ENV | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "train_accelerate.py: error: this needs accelerate, which is not installed: pip install 'img2img_hub[train]'\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_stream_that_cannot_show_a_letter_stops_nothing(encoding: str, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "→ 例.png")
    model = ROOT / "model_cards/yosemite-summer2winter"
    words = ["translate", "→ 例.png", "--model", str(model), "--output", "out"]
    done = subprocess.run(
        [sys.executable, "-m", "img2img_hub", *words],
        env=ENV | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"1 of 1 images translated" in done.stdout
    assert (tmp_path / "out/→ 例.png").is_file()


def test_names_of_255_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("ä" * 125 + "x.png", "y" * 251 + ".bmp"):
        assert len(os.fsencode(name)) == 255
        Image.new("RGB", (16, 16)).save(Path("in") / name)
    model = str(ROOT / "model_cards/yosemite-summer2winter")
    assert main(["translate", "in", "--model", model, "--output", "out"]) == 0
    assert len([path for path in Path("out").iterdir() if path.suffix == ".png"]) == 2
    assert main(["translate", "in", "--model", model, "--output", "out", "--format", "webp"]) == 2
    said = capsys.readouterr().err
    assert said.count("File name too long") == 2
    assert "Traceback" not in said


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"img2img_hub {__version__}\n"


def test_a_package_that_is_missing_is_named_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in [name for name in sys.modules if name.startswith("img2img_hub.demo")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "img2img_hub: error: this needs gradio, which is not installed: pip install 'img2img_hub[demo]'\n"
    )
    assert missing_package(ModuleNotFoundError("No module named 'x'", name="x")) is None
    assert "img2img_hub[train]" in str(missing_package(ModuleNotFoundError("x", name="accelerate.utils")))
