"""A family that is one file outside the package goes everywhere: python -m pytest tests/test_toy_family.py"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from PIL import Image
from safetensors.torch import load_file

from img2img_hub import Architecture, Network, Translator
from img2img_hub.cli import main, training
from img2img_hub.demo.app import build_demo, launch_options
from img2img_hub.demo.models import find_models
from img2img_hub.families import FAMILIES
from img2img_hub.networks import Generator
from img2img_hub.training.step import Stepper
from tests.conftest import picture
from tests.runs import assert_same_end, interrupt_at, lines
from tests.toy import Tint, TintGenerator

pytest_plugins = ["tests.starting"]


@pytest.fixture
def run(start):
    return start(Tint(), "tint", architecture=Architecture(), eval_every=6, best_metric="swd_target")


def test_it_trains_and_leaves_all_that_a_run_promises(run):
    for name in ("config.json", "model.safetensors", "translation.json", "README.md", "sample_sheet.png"):
        assert (run / name).is_file()
    assert {path.name for path in (run / "training").iterdir()} == {"critic", "gains"}
    assert type(Network.from_pretrained(run / "training/gains")).__name__ == "GainTable"
    assert (run / "best/model.safetensors").is_file()
    settings = json.loads((run / "run.json").read_text())["training"]
    assert (settings["num_epochs"], settings["decay_epochs"], settings["learning_rate"]) == (7, 2, 1e-3)
    last = lines(run)[-1]
    assert [key for key in last if key.startswith("final/")] == ["final/swd_target"], "no cycle, no cycle's numbers"
    card = (run / "README.md").read_text()
    assert "Tint" in card
    assert "Nobody: Tint" in card
    assert "SWD, target" in card
    assert "cycle" not in card.lower()


def test_it_learns(run):
    before = Tint().build(None, in_channels=3, out_channels=3, image_size=16)["critic"].state_dict()
    after = load_file(run / "training/critic/model.safetensors")
    assert not any(torch.equal(before[name], after[name]) for name in ("layer.weight", "layer.bias"))
    assert not torch.equal(load_file(run / "training/gains/model.safetensors")["gains"], torch.ones(1, 3, 1, 1))


def test_it_resumes_bit_for_bit_and_deletes_its_old_checkpoints(start, monkeypatch):
    whole = start(Tint(), "whole", architecture=Architecture())
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        cut = start(Tint(), "cut", architecture=Architecture(), checkpoint_steps=2)
    start(Tint(), "cut", architecture=Architecture(), checkpoint_steps=2, resume=True)
    assert_same_end(whole, cut, step=6)
    assert sorted(path.name for path in (cut / "checkpoints").iterdir()) == ["step-4", "step-6"]
    start(Tint(), "cut", architecture=Architecture(), overwrite=True, max_steps=2)
    assert sorted(path.name for path in (cut / "checkpoints").iterdir()) == ["step-2"]


def test_it_is_a_start_for_another_run_which_says_what_it_took_up(start, run, capsys):
    start(Tint(), "tuned", architecture=Architecture(), init_from=str(run), max_steps=1)
    said = capsys.readouterr().err
    for name in ("painter", "critic", "gains"):
        assert f"{name} starts from {run}" in said
    (run / "training/gains/config.json").unlink()
    start(Tint(), "again", architecture=Architecture(), init_from=str(run), max_steps=1)
    said = capsys.readouterr().err
    assert f"gains starts afresh: {run} has no training/gains" in said
    assert "Warm-up" not in said, "only discriminators need one"


def test_it_translates_is_measured_and_exported(run, unpaired_folder, tmp_path, capsys):
    translator = Translator.from_pretrained(run)
    image = picture(seed=1, size=(31, 17))
    assert translator(image).size == (31, 17)
    assert "no norm" in translator.describe()
    data = ["--dataset", str(unpaired_folder), "--split", "test"]
    assert main(["evaluate", "--model", str(run), *data, "--sheet", str(tmp_path / "sheet.png")]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [key for key in report if "swd" in key or "cycle" in key] == ["swd_target"]
    assert main(["export", "--model", str(run), "--output", str(tmp_path / "tint.onnx"), "--dynamic"]) == 0
    other = Translator.from_pretrained(run, backend="onnx", onnx_file=tmp_path / "tint.onnx")
    assert np.abs(np.asarray(other(image), int) - np.asarray(translator(image), int)).max() <= 1


def test_the_page_shows_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7860")
    monkeypatch.setenv("IMG2IMG_BACKEND", "torch")
    page = build_demo(find_models(str(run)))
    options = launch_options(page) | {"server_port": None}
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **options)
    try:
        picture(seed=2, size=(32, 32)).save(tmp_path / "a.png")
        client = Client(address, verbose=False, analytics_enabled=False, download_files=str(tmp_path / "got"))
        before_and_after, *_ = client.predict(
            run.name, handle_file(str(tmp_path / "a.png")), "native", api_name="/translate"
        )
    finally:
        page.close()
    shown = np.asarray(Image.open(before_and_after[1]).convert("RGB"))
    assert np.array_equal(shown, np.asarray(Translator.from_pretrained(run)(tmp_path / "a.png")))


def test_the_command_line_has_it_once_it_is_imported(capsys):
    assert FAMILIES["tint"] is Tint
    with pytest.raises(SystemExit):
        training.main(["tint", "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--lambda_shape FLOAT Weight of the likeness in shape. (default: 1.0)" in said
    assert "Passes over the data set. (default: 7)" in said


def test_another_process_that_does_not_know_it_says_so(run, tmp_path):
    picture(seed=1, size=(16, 16)).save(tmp_path / "a.png")
    line = [sys.executable, "-m", "img2img_hub", "translate", str(tmp_path / "a.png"), "--model", str(run)]
    line += ["--output", str(tmp_path / "out")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1], timeout=120)
    assert done.returncode == 2
    assert "names the architecture 'TintGenerator'; this version knows" in done.stderr


def test_helpers_learn_nothing_and_are_not_saved(start, monkeypatch):
    seen = []
    original = Stepper.step

    def step(self, *arguments, **options):
        seen.append(self.helpers)
        original(self, *arguments, **options)

    monkeypatch.setattr(Stepper, "step", step)
    folder = start(Tint(), "run", architecture=Architecture(), max_steps=2)
    assert set(seen[0]) == {"blur"}
    assert not seen[0]["blur"].training
    names = {path.name.split(".")[0] for path in (folder / "checkpoints/step-2").glob("*.safetensors")}
    assert names == {"painter", "critic", "gains", "paint", "judge"}


class Enlarging(TintGenerator):
    """Twice the size."""

    def __init__(self, *, in_channels: int = 3, out_channels: int = 3, width: int = 8) -> None:
        super().__init__(in_channels=in_channels, out_channels=out_channels, width=width)
        self.scale = 2

    def forward(self, source):
        return super().forward(source).repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_a_generator_of_another_scale_gives_no_corner_of_its_output():
    network = Enlarging().eval()
    image = picture(seed=1, size=(32, 20))
    made = Translator(network)(image)
    assert made.size == (64, 40)
    whole = network(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1)
    assert np.abs(np.asarray(made) / 127.5 - 1 - whole[0].detach().permute(1, 2, 0).numpy()).max() < 0.005


def test_a_network_that_is_no_generator_is_refused_by_what_it_is():
    class Plain(Network):
        def __init__(self, *, in_channels: int = 3) -> None:
            super().__init__()
            self.in_channels = self.out_channels = in_channels

    assert not issubclass(Plain, Generator)
    with pytest.raises(ValueError, match="a Plain"):
        Translator(Plain())
