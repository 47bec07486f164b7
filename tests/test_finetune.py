"""--init_from: what a run starts from, what it starts afresh, and the warm-up of discriminators that are not there."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2img_hub import Architecture, CycleGAN, DataConfig, Pix2Pix
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.training.step import Stepper
from tests.families import each_family
from tests.runs import assert_same_end, checkpoints, interrupt_at, lines
from tests.scenes import scene, write_tiff

pytest_plugins = ["tests.starting"]

STILL = {"learning_rate": 1e-12, "discriminator_learning_rate": 1e-12}


def test_a_resumed_fine_tuning_does_not_ask_for_its_start_again(start, finished, capsys):
    first = finished(Pix2Pix(), "run", max_steps=1)
    start(Pix2Pix(), "second", init_from=str(first), max_steps=1)
    shutil.rmtree(first)
    capsys.readouterr()
    start(Pix2Pix(), "second", init_from=str(first), max_steps=2, resume=True)
    assert "generator starts from" not in capsys.readouterr().err


@each_family
def test_fine_tuning_starts_from_generators_and_discriminators(start, finished, family, capsys):
    first = finished(family, "run")
    second = start(family, "second", init_from=str(first), max_steps=1, **STILL)
    said = capsys.readouterr().err
    for part, name in family.published.items():
        assert f"{name} starts from {first / part}" in said
        a, b = load_file(first / part / "model.safetensors"), load_file(second / part / "model.safetensors")
        assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in weights_of(a))
    assert "starts afresh:" not in said
    for direction in family.directions[:1]:
        for name in direction.beside:
            (first / direction.folder / "training" / name / "model.safetensors").unlink()
    start(family, "third", init_from=str(first), max_steps=1, discriminator_warmup_steps=1)
    said = capsys.readouterr().err
    assert all(f"{name} starts afresh" in said for name in direction.beside)
    assert "Warm-up: 1 steps of the discriminators alone" in said


def test_fine_tuning_another_architecture_is_refused(start, finished):
    first = finished(Pix2Pix(), "run", max_steps=1)
    wider = Architecture(width=8, noise_channels=1, discriminator_layers=1)
    with pytest.raises(ValueError, match="width: 4 -> 8"):
        start(Pix2Pix(), "second", init_from=str(first), architecture=wider)
    with pytest.raises(ValueError, match="holds no source2target: name the output folder of a run"):
        start(CycleGAN(), "third", init_from=str(first))


def test_other_value_ranges_than_those_of_the_start_are_named(start, tmp_path, capsys):
    def on(name, *, scale, **more):
        for index in range(3):
            source, target = scene(index)
            write_tiff(tmp_path / name / "train/source" / f"{index}.tif", source[3:-2, :, 0] // scale)
            write_tiff(tmp_path / name / "train/target" / f"{index}.tif", target[3:-2, :, 0])
        return DataConfig(dataset=str(tmp_path / name), validation_split="none", **more)

    def said_from(place, data, output):
        capsys.readouterr()
        start(Pix2Pix(), output, init_from=str(place), data=data, max_steps=1)
        return [line for line in capsys.readouterr().err.splitlines() if "alue ranges" in line]

    first = start(Pix2Pix(), "first", data=on("counts", scale=1, source_range=(500, 9000)), max_steps=1)
    assert said_from(first, on("counts", scale=1, source_range=(500, 9000)), "same") == []
    (line,) = said_from(first, on("tenths", scale=10, source_range=(50, 900)), "second")
    assert f"of the sources differ: {first} was trained with 1 band of uint16: 500 … 9000; this run" in line
    assert "trains with 1 band of uint16: 50 … 900," in line
    assert "--source_range" in line
    (first / "translation.json").unlink()
    (line,) = said_from(first, on("counts", scale=1), "third")
    assert f"{first} was trained with is not known: it has no translation.json" in line
    pictures = start(Pix2Pix(), "pictures", max_steps=1)
    (pictures / "translation.json").unlink()
    assert said_from(pictures, None, "fourth") == [], "those are always 0 to 255"


PALETTE = {"sky": "#0000de", "wall": "#0030ff", "window": "#70ff8f", "door": "#ae0000"}


@pytest.fixture
def on_classes(tmp_path):
    """on_classes(palette, **options): two pairs of maps and photos, both of which the palette's file is for."""

    def on_classes(palette, *, target=False, **options):
        colours = np.array([list(bytes.fromhex(colour[1:])) for colour in palette.values()], np.uint8)
        root = tmp_path / f"maps-{len(list(tmp_path.iterdir()))}"
        for index in range(2):
            numbers = np.random.default_rng(index).integers(0, len(palette), (16, 16))
            for name, array in (("map", colours[numbers]), ("photo", colours[numbers] // 2)):
                (root / "train" / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / f"train/{name}/{index}.png")
        (root / "palette.json").write_text(json.dumps(palette))
        sides = {"source_column": "photo" if target else "map", "target_column": "map" if target else "photo"}
        said = {"target_palette" if target else "palette": str(root / "palette.json")}
        return DataConfig(dataset=str(root), validation_split="none", **sides, **said, **options)

    return on_classes


@pytest.mark.parametrize(
    ("palette", "options", "says"),
    [
        (PALETTE, {}, None),
        (
            {"sky": "#0000de", "door": "#0030ff", "window": "#70ff8f", "wall": "#ae0000"},
            {},
            "class 1 was wall and is door, class 3 was door and is wall; networks know a class by its number alone, "
            "and have to get used to this. The file of --palette",
        ),
        (
            PALETTE | {"window": "#000000"},
            {},
            "class 2 was #70ff8f and is #000000; networks know a class by its number alone, and do not mind; maps in "
            "the former colours are refused. The file of --palette",
        ),
        (
            {"sky": "#0000de", "wall": "#0030ff", "window": "#70ff8f"},
            {"unknown_channel": True},
            "4 classes became 3 classes and a channel of what is of none; networks know a class by its number",
        ),
        (
            dict(zip("abcd", PALETTE.values(), strict=True)),
            {},
            "was sky and is a, class 1 was wall and is b, class 2 was window and is c and 1 more; networks know",
        ),
        ("auto", {}, None),
    ],
)
def test_other_classes_than_those_of_the_start_are_named(start, on_classes, capsys, palette, options, says):
    first = start(Pix2Pix(), "first", data=on_classes(PALETTE), max_steps=1)
    capsys.readouterr()
    data = on_classes(PALETTE if palette == "auto" else palette, **options)
    data = dataclasses.replace(data, palette="auto") if palette == "auto" else data  # nobody says what they are called
    start(Pix2Pix(), "second", init_from=str(first), data=data, max_steps=1)
    said = [line for line in capsys.readouterr().err.splitlines() if "lasses of" in line or "alue ranges" in line]
    assert len(said) == (says is not None), said
    if says is not None:
        assert f"Classes of the sources differ from those that {first} was trained with: " in said[0]
        assert says in said[0]


def test_other_colours_of_targets_than_those_of_the_start_are_named(start, on_classes, capsys):
    first = start(Pix2Pix(), "first", data=on_classes(PALETTE, target=True), max_steps=1)
    others = on_classes(PALETTE | {"window": "#000000"}, target=True)
    pictures = dataclasses.replace(others, target_palette=None)
    for name, data, where, says in (
        ("same", on_classes(PALETTE, target=True), first, None),
        (
            "colours",
            others,
            first,
            "class 2 was #70ff8f and is #000000; networks make a class by its colour, and have to",
        ),
        (
            "pictures",
            pictures,
            first,
            "4 classes became pictures; networks make a class by its colour, and have to get used to this.",
        ),
    ):
        capsys.readouterr()
        start(Pix2Pix(), name, init_from=str(where), data=data, max_steps=1)
        said = [line for line in capsys.readouterr().err.splitlines() if "lasses of" in line or "alue ranges" in line]
        assert len(said) == (says is not None), said
        if says is not None:
            assert f"Classes of the targets differ from those that {first} was trained with: {says}" in said[0]


# --- from a checkpoint ------------------------------------------------------------------------------------------------


@each_family
def test_fine_tuning_starts_from_a_checkpoint_with_all_networks(start, family, tmp_path, capsys):
    """What a message about a run that has diverged tells to do; the run of the checkpoint need not be finished."""
    first = start(family, "first", max_steps=2, ema_decay=0.5)
    (first / "finished.json").unlink()
    checkpoint = first / "checkpoints/step-2"
    second = start(family, "second", init_from=str(checkpoint), max_steps=1, **STILL)
    assert f"All networks start from {checkpoint}" in capsys.readouterr().err
    networks = [path.name for path in checkpoint.glob("*.safetensors") if path.name.count(".") == 1]
    assert len(networks) == sum(1 + len(direction.beside) for direction in family.directions)
    for name in networks:
        a, b = (load_file(folder / name) for folder in (checkpoint, second / "checkpoints/step-1"))
        assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in weights_of(a))
    with pytest.raises(ValueError, match=rf"that run is not finished; the last good checkpoint is {checkpoint}: name"):
        start(family, "third", init_from=str(first))


def test_a_checkpoint_of_other_networks_is_refused_in_one_line(start, finished):
    checkpoint = finished(Pix2Pix(), "run", max_steps=1) / "checkpoints/step-1"
    wider = Architecture(width=8, noise_channels=1, discriminator_layers=1)
    with pytest.raises(ValueError, match=r"its generator is not this run's \(.*give the flags of that run's networks"):
        start(Pix2Pix(), "second", init_from=str(checkpoint), architecture=wider)
    with pytest.raises(ValueError, match=r"its source2target is not this run's"):
        start(CycleGAN(), "second", init_from=str(checkpoint))


# --- the warm-up ------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_judges(finished):
    """without_judges(family): the folder of finished generators without their discriminators."""

    def without_judges(family):
        folder = finished(family, "run", max_steps=1)
        for part in family.published:
            shutil.rmtree(folder / part / "training")
        return str(folder)

    return without_judges


@pytest.fixture
def watched(monkeypatch):
    """What the steps of warm-up and run leave, and the samples that the run's own steps draw."""
    seen = {"warm-up": [], "run": [], "samples": []}
    original, drawn = Stepper.step, TrainingDataset.__getitem__

    def stepping(self, batches, logs, *, only=None, **options):
        original(self, batches, logs, only=only, **options)
        if only:
            seen["samples"].clear()
        networks = {**self.state.networks, **{f"average of {k}": v for k, v in self.state.averages.items()}}
        state = {name: {k: v.clone() for k, v in network.state_dict().items()} for name, network in networks.items()}
        seen["warm-up" if only else "run"].append((self.state.step, state))

    def draw(self, position):
        seen["samples"].append(tuple(position))
        return drawn(self, position)

    monkeypatch.setattr(Stepper, "step", stepping)
    monkeypatch.setattr(TrainingDataset, "__getitem__", draw)
    return seen


@each_family
def test_missing_discriminators_learn_alone_first(start, without_judges, watched, family, capsys):
    where = without_judges(family)
    settings = {"init_from": where, "ema_decay": 0.9, "max_steps": 2}
    forget(watched)
    start(family, "cold", discriminator_warmup_steps=0, **settings)
    cold = forget(watched)
    folder = start(family, "warm", discriminator_warmup_steps=3, **settings)
    assert "Warm-up: 3 steps of the discriminators alone (discriminator/" in capsys.readouterr().err
    assert not cold["warm-up"]
    assert [step for step, _ in watched["warm-up"]] == [0, 0, 0], "they are none of the run's steps"
    assert [step for step, _ in watched["run"]] == [0, 1]
    assert watched["samples"] == cold["samples"], "the run's own images come in their own order"
    states = [state for _, state in watched["warm-up"]]
    judges = [name for name in states[0] if name.startswith("discriminator")]
    generators = [name for name in states[0] if name not in judges and not name.startswith("average")]
    for name in judges:
        assert not same(states[0][name], states[-1][name]), f"{name} learns"
    for part, name in family.published.items():
        start_from = load_file(f"{where}/{part}/model.safetensors")
        assert name in generators
        assert same({k: start_from[k] for k in weights_of(start_from)}, states[-1][name])
        assert states[-1][f"average of {name}"]["n_averaged"] == 0
        # Batch norm counted the warm-up's batches; the run does not know of them.
        counts = [
            int(v) for k, v in load_file(folder / f"checkpoints/step-2/{name}.safetensors").items() if "num_b" in k
        ]
        cold_counts = [int(v) for k, v in cold["run"][-1][1][name].items() if "num_b" in k]
        assert counts == cold_counts
    first_line = lines(folder)[0]
    assert first_line["step"] == 2


def forget(seen):
    """What was seen until now."""
    before = {key: list(value) for key, value in seen.items()}
    for value in seen.values():
        value.clear()
    return before


def weights_of(state):
    """The names of what is learnt; not of what any image moves: batch norm's averages, spectral norm's vectors."""
    return [key for key in state if not re.search(r"\.(running_\w+|num_batches_tracked|_[uv])$", key)]


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


@each_family
@pytest.mark.parametrize("stop_at", [2, 5])  # in the warm-up of three steps, and in the run
def test_a_run_that_was_stopped_in_or_after_its_warm_up_ends_as_one_that_was_not(
    start, without_judges, monkeypatch, capsys, family, stop_at
):
    settings = {"init_from": without_judges(family), "ema_decay": 0.9, "discriminator_warmup_steps": 3}
    whole = start(family, "whole", **settings)
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop_at)
        cut = start(family, "cut", checkpoint_steps=100, **settings)
    said = capsys.readouterr().err
    if stop_at == 2:
        assert "Stopped in the warm-up; the same command with --resume begins it again" in said
        assert checkpoints(cut) == []
    else:
        assert checkpoints(cut) == ["step-2"]
    start(family, "cut", resume=True, **settings)
    assert ("Warm-up: 3 steps" in capsys.readouterr().err) == (stop_at == 2)
    assert_same_end(whole, cut, step=6)
