"""Training from a notebook: data that can be looked at, and what a run gives back."""

import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from img2img_hub import (
    Architecture,
    DataConfig,
    Pix2Pix,
    TrainConfig,
    Translator,
    open_pairs,
    open_unpaired,
    train,
)
from img2img_hub.cli import training as train_command
from tests.conftest import picture
from tests.families import each_family, mask_for, of_pairs
from tests.runs import interrupt_at, lines

pytest_plugins = ["tests.starting"]


# --- data -------------------------------------------------------------------------------------------------------------


def test_pairs_are_shown_as_training_opens_them(paired_folder):
    data = open_pairs(paired_folder, side_by_side=True, direction="BtoA")
    train_line, validation_line = repr(data).splitlines()
    assert train_line.startswith("train: 5 pairs: right halves of pairs/train (source)")
    assert validation_line.startswith("validation: 3 pairs")
    sheet = data.show(rows=2)
    whole = np.asarray(Image.open(paired_folder / "train/0.png"))
    pixels = np.asarray(sheet)
    rows = [top for top in range(len(pixels) - 31) if (pixels[top : top + 32, 8:40] == whole[:, 32:]).all()]
    assert len(rows) == 1, "the source stands on the left"
    assert (pixels[rows[0] : rows[0] + 32, 44:76] == whole[:, :32]).all(), "and the target beside it"
    assert data.show(rows=1).height < sheet.height < data.show(rows=9).height
    with pytest.raises(ValueError, match="rows is 0"):
        data.show(rows=0)


def test_unpaired_data_too(unpaired_folder):
    data = open_unpaired(unpaired_folder)
    assert repr(data).startswith("train: unpaired: 4 sources")
    assert data.show().mode == "RGB"
    with pytest.raises(ValueError, match="open them by open_pairs"):
        train(Pix2Pix(), TrainConfig(output_dir="nowhere"), data)
    with pytest.raises(ValueError, match="data is a str: give open_pairs"):
        train(Pix2Pix(), TrainConfig(output_dir="nowhere"), "facades")


@each_family
def test_a_run_from_opened_data_is_that_of_their_configuration(start_run, paired_folder, unpaired_folder, family):
    folder = paired_folder if family.paired else unpaired_folder
    data = open_pairs(folder, family=family, **of_pairs(family)) if family.paired else open_unpaired(folder)
    opened = start_run(family, "opened", data=data, max_steps=2)
    configured = start_run(family, "configured", data=data.config, max_steps=2)
    assert opened.metrics == configured.metrics


# --- a run ------------------------------------------------------------------------------------------------------------


@each_family
def test_a_run_gives_its_translators_sheet_and_numbers(start_run, family):
    run = start_run(family, "run")
    assert run.finished
    photo = picture(seed=1, size=(50, 30))
    for translator, folder in zip([run.translator, run.reverse_translator], family.published, strict=False):
        saved = Translator.from_pretrained(run.path / folder, device="cpu")
        mask = mask_for(family, photo)
        assert translator(photo, mask=mask).tobytes() == saved(photo, mask=mask).tobytes()
    assert list(run.translators) == list(family.published)
    assert (run.reverse_translator is None) == (len(family.directions) == 1)
    assert run.show_results().tobytes() == Image.open(run.path / "samples/step-6.png").tobytes()
    final = {key: value for key, value in lines(run.path)[-1].items() if key.startswith("final/")}
    assert {f"final/{key}": value for key, value in run.metrics.items()} == final
    assert final
    first = next(iter(run.metrics))
    assert repr(run).startswith(f"{family.title} in {run.path}, finished: {first} ")


def test_the_newest_sheet_is_that_of_the_highest_step(start_run):
    run = start_run(Pix2Pix(), "run", max_steps=10, sample_steps=1)
    assert run.show_results().tobytes() == Image.open(run.path / "samples/step-10.png").tobytes()


def test_a_stopped_run_says_so_and_goes_on(start_run, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        run = start_run(Pix2Pix(), "run")
    assert not run.finished
    assert "stopped" in repr(run)
    for ask in (lambda: run.translator, lambda: run.metrics, lambda: run.push_to_hub("alice/run")):
        with pytest.raises(ValueError, match="was stopped before its end: train again with resume=True"):
            ask()
    with pytest.raises(ValueError, match="has drawn no sheet yet"):
        run.show_results()
    again = start_run(Pix2Pix(), "run", resume=True)
    assert again.finished
    assert again.translator(picture(seed=1, size=(16, 16))).size == (16, 16)
    assert start_run(Pix2Pix(), "run", resume=True).finished, "also where nothing was left to train"


@pytest.mark.usefixtures("as_alice")
@each_family
def test_a_run_is_pushed(start_run, hub_server, family):
    run = start_run(family, "run", max_steps=1)
    urls = run.push_to_hub("alice/maps", private=True)
    names = ["maps-source2target", "maps-target2source"] if family.has_cycles else ["maps"]
    assert [url.split("/")[-1] for url in urls] == names
    for name in names:
        repo = hub_server.repo(f"alice/{name}")
        assert repo.private
    with pytest.raises(ValueError, match=r"pushing to bob/maps.* failed .*push-model"):
        run.push_to_hub("bob/maps")


def test_the_card_of_a_notebooks_run_has_a_command_that_trains_the_same(start_run, paired_folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/lib/ipykernel_launcher.py", "-f", "/home/alice/kernel-1.json"])
    family, data = Pix2Pix(lambda_l1=10), DataConfig(dataset=str(paired_folder), corrupt=("box", "grayscale"))
    architecture = Architecture(width=4, levels=3, discriminator_layers=1, discriminator_spectral_norm=True)
    settings = {"flip": False, "source_name": "label map", "max_steps": 1, "hub_token": "hf_secret"}
    run = start_run(family, "run", data=data, architecture=architecture, **settings)
    (command,) = [line for line in (run.path / "README.md").read_text().splitlines() if line.startswith("accelerate")]
    assert "ipykernel" not in command
    seen = []

    def remember(*parts, architecture):
        seen.extend([*parts, architecture])
        return run

    monkeypatch.setattr(train_command, "train", remember)
    assert train_command.main(shlex.split(command)[3:]) == 0
    # Of local paths only the last part is told, and of the decay only another one than follows from the epochs.
    assert "--decay_epochs" not in command
    assert [seen[0], seen[1].of(family), *seen[2:]] == [
        family,
        replace(run.config, hub_token=None, output_dir="run"),
        replace(data, dataset="pairs"),
        architecture,
    ]
