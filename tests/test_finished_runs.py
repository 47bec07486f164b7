"""A run's end, taken up again: pushed when it was not, lengthened without losing lines, never half replaced.

python -m pytest tests/test_finished_runs.py
"""

import shutil
import sys

import pytest

from img2img_hub import Pix2Pix, TrainConfig
from img2img_hub.training.results.card import training_command
from img2img_hub.training.results.generators import Generators
from img2img_hub.training.results.push import Publisher
from tests.pushing import titles
from tests.runs import checkpoints, lines

pytest_plugins = ["tests.starting"]
PUSH = {"push_to_hub": True, "hub_model_id": "alice/maps", "license": "mit"}


def test_a_push_that_a_kill_prevented_is_made_at_resume(start, as_alice, hub_server, monkeypatch):
    with monkeypatch.context() as patch:

        def killed(self):
            raise SystemExit("killed between the end and the push")

        patch.setattr(Publisher, "finish", killed)
        with pytest.raises(SystemExit):
            start(Pix2Pix(), "run", **PUSH)
    assert "Upload the generator" not in titles(hub_server)
    folder = start(Pix2Pix(), "run", resume=True, **PUSH)
    assert titles(hub_server)[0] == "Upload the generator"
    pushed = hub_server.repo("alice/maps")
    files = pushed.resolve("main").files
    assert hub_server.hub.storage.read(files["model.safetensors"]) == (folder / "model.safetensors").read_bytes()


def test_a_pushed_snapshot_has_its_checkpoint(start, as_alice, hub_server, monkeypatch):
    """What is on the Hub can be trained on, from the very step."""
    there = []
    original = Publisher.offer

    def offer(self, write, *, step, total_steps):
        there.append((step, f"step-{step}" in checkpoints(self.root)))
        original(self, write, step=step, total_steps=total_steps)

    monkeypatch.setattr(Publisher, "offer", offer)
    start(Pix2Pix(), "run", push_every=3, checkpoint_steps=100, **PUSH)
    assert there == [(3, True)]


def test_while_finished_generators_are_replaced_the_run_does_not_count_as_finished(start, finished, monkeypatch):
    folder = finished(Pix2Pix(), "run")
    assert (folder / "finished.json").exists()
    original, seen = Generators.save, []

    def save(self, *arguments, **options):
        seen.append((folder / "finished.json").exists())
        original(self, *arguments, **options)

    monkeypatch.setattr(Generators, "save", save)
    start(Pix2Pix(), "run", max_steps=8, resume=True)
    assert seen
    assert not any(seen)
    assert (folder / "finished.json").exists()


def test_lengthening_a_run_keeps_the_numbers_that_do_not_come_again(start):
    """What the whole split gave stands once for each step; `final/` is of an end and comes again only there."""
    start(Pix2Pix(), "run", eval_every=4)
    folder = start(Pix2Pix(), "run", max_steps=8, eval_every=4, resume=True)
    validated = [line["step"] for line in lines(folder) if any(key.startswith("validation/") for key in line)]
    final = [line["step"] for line in lines(folder) if any(key.startswith("final/") for key in line)]
    assert validated == sorted(set(validated)) == [4, 6, 8]
    assert final == [6, 8]


def test_another_precision_at_resume_is_refused_by_name(start, finished, monkeypatch):
    folder = finished(Pix2Pix(), "run", max_steps=4)
    (folder / "finished.json").unlink()
    shutil.rmtree(folder / "checkpoints/step-4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(
        ValueError, match=r"step-2 was made with --mixed_precision no, this run has bf16: .*--init_from"
    ):
        start(Pix2Pix(), "run", max_steps=4, resume=True)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION")
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert (folder / "finished.json").exists()


def test_no_token_reaches_what_is_published(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_mine.py", "--hub_token", "hf_AbCdEfGh12345678", "--width", "8"])
    command = training_command()
    assert command.endswith("train_mine.py --hub_token 'hf_…' --width 8") or command.endswith("hf_… --width 8")
    assert "AbCdEf" not in command
    assert "secret" not in repr(TrainConfig(output_dir="run", hub_token="hf_secret_token"))
