"""--init_from gives a run the shape of what it starts from, where nobody says another one; also from a .pth."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from img2img_hub import CUT, Architecture, CycleGAN, Pix2Pix
from img2img_hub.networks import Network
from img2img_hub.official.file import save_official
from tests.families import each_family, small
from tests.runs import assert_same_end

pytest_plugins = ["tests.starting"]

STILL = {"learning_rate": 1e-12, "discriminator_learning_rate": 1e-12, "max_steps": 1}
NOTHING = Architecture()


def close(one, other):
    one, other = load_file(one), load_file(other)
    learnt = [
        key for key in one if not key.endswith(("running_mean", "running_var", "num_batches_tracked", "_u", "_v"))
    ]
    return one.keys() == other.keys() and all(torch.allclose(one[key], other[key], atol=1e-6) for key in learnt)


@each_family
def test_a_run_has_the_shape_of_what_it_starts_from(start, finished, family, capsys):
    first = finished(family, "run")
    second = start(family, "second", init_from=str(first), architecture=NOTHING, **STILL)
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if "have the shape of those in" in line]
    assert "--width 4" in line
    assert "--discriminator_layers 1" in line
    for folder in family.published:
        assert close(first / folder / "model.safetensors", second / folder / "model.safetensors")
    recorded = json.loads((second / "run.json").read_text())["architecture"]
    expected = {key: value for key, value in vars(small(family)).items() if value is not None}
    assert {key: recorded[key] for key in expected} == expected


def test_another_kind_of_generator_is_taken_up_but_where_somebody_says_one(start, finished, capsys):
    resnet = Pix2Pix(generator="resnet")
    made = start(resnet, "run", architecture=Architecture(width=4, blocks=1, discriminator_layers=1), max_steps=1)
    second = start(Pix2Pix(), "second", init_from=str(made), architecture=NOTHING, **STILL)
    assert "--generator resnet" in capsys.readouterr().err
    assert json.loads((second / "run.json").read_text())["objective"]["generator"] == "resnet"
    assert close(made / "model.safetensors", second / "model.safetensors")
    unet = finished(Pix2Pix(), "unet")
    with pytest.raises(ValueError, match="its network differs from this run's"):
        start(resnet, "third", init_from=str(unet), architecture=NOTHING, **STILL)
    with pytest.raises(ValueError, match="width: 4 -> 8"):
        start(Pix2Pix(), "fourth", init_from=str(unet), architecture=Architecture(width=8), **STILL)


def test_a_resumed_run_keeps_the_shape_that_it_was_given(start, finished, tmp_path):
    """Also where what it started from is gone."""
    first = finished(Pix2Pix(), "run")
    flags = {"init_from": str(first), "architecture": NOTHING, "checkpoint_steps": 2}
    whole = start(Pix2Pix(), "whole", max_steps=4, **flags)
    half = start(Pix2Pix(), "half", max_steps=4, **flags)
    shutil.rmtree(half / "checkpoints/step-4")
    (half / "finished.json").unlink()
    shutil.rmtree(first)
    start(Pix2Pix(), "half", max_steps=4, resume=True, **flags)
    assert_same_end(whole, half, step=4)
    with pytest.raises(ValueError, match="--width: 4 -> 8"):
        start(Pix2Pix(), "half", max_steps=5, resume=True, init_from=str(first), architecture=Architecture(width=8))


def test_a_run_made_again_by_its_own_file_draws_the_same_weights(start, finished, tmp_path):
    """Of what starts afresh, where the first run got its shape from elsewhere, and the second one is told it."""
    first = finished(Pix2Pix(), "run")
    shutil.rmtree(first / "training/discriminator")
    flags = {"init_from": str(first), "max_steps": 1, "discriminator_warmup_steps": 1}
    found = start(Pix2Pix(), "second", architecture=Architecture(discriminator_layers=1), **flags)
    said = json.loads((found / "run.json").read_text())["architecture"]
    told = start(Pix2Pix(), "third", architecture=Architecture(**said), **flags)
    assert_same_end(found, told, step=1)


def test_a_checkpoint_gives_its_runs_shape(start, finished, capsys):
    first = finished(Pix2Pix(), "run")
    step = first / "checkpoints/step-6"
    start(Pix2Pix(), "second", init_from=str(step), architecture=NOTHING, **STILL)
    said = capsys.readouterr().err
    assert "--width 4" in said
    assert f"All networks start from {step}" in said


OFFICIAL = [
    (Pix2Pix(), {"": ("G", "generator"), "training/discriminator": ("D", "discriminator")}),
    (CUT(head_width=8), {"": ("G", "generator"), "training/discriminator": ("D", "discriminator")}),
    (
        CycleGAN(pool_size=2),
        {
            "source2target": ("G_A", "source2target"),
            "target2source": ("G_B", "target2source"),
            "source2target/training/discriminator_target": ("D_A", "discriminator_target"),
            "target2source/training/discriminator_source": ("D_B", "discriminator_source"),
        },
    ),
]


@pytest.mark.parametrize(("family", "files"), OFFICIAL, ids=lambda value: getattr(value, "name", ""))
def test_a_run_starts_from_the_original_codes_checkpoint(family, files, start, tmp_path, capsys):
    plain = replace(small(family), noise_channels=None)
    first = start(family, "run", architecture=plain, max_steps=1, image_size=32)
    for folder, (letter, _) in files.items():
        save_official(Network.from_pretrained(first / folder), tmp_path / f"latest_net_{letter}.pth")
    generator = min(tmp_path.glob("latest_net_G*.pth"))
    capsys.readouterr()
    flags = {"init_from": str(generator), "architecture": NOTHING, "image_size": 32, **STILL}
    second = start(family, "second", **flags)
    said = capsys.readouterr().err
    for folder, (letter, name) in files.items():
        assert f"{name} starts from {tmp_path / f'latest_net_{letter}.pth'}" in said
        if "training" not in folder:
            assert close(first / folder / "model.safetensors", second / folder / "model.safetensors")
    assert ("heads starts afresh" in said) == (family.name == "cut")
    assert "Warm-up" not in said
    for file in tmp_path.glob("latest_net_D*.pth"):
        file.unlink()
    start(family, "third", discriminator_warmup_steps=1, **flags)
    assert "Warm-up: 1 steps of the discriminators alone" in capsys.readouterr().err


def test_a_pth_that_does_not_hold_what_is_needed_is_refused_by_name(start, finished, tmp_path):
    first = finished(CycleGAN(pool_size=2), "run")
    generator = Network.from_pretrained(first / "source2target")
    save_official(generator, tmp_path / "latest_net_G_A.pth")
    save_official(generator, tmp_path / "horse2zebra.pth")
    start_from = {"architecture": NOTHING, **STILL}
    with pytest.raises(ValueError, match=r"needs its target2source, too, and there is no latest_net_G_B\.pth beside"):
        start(CycleGAN(), "second", init_from=str(tmp_path / "latest_net_G_A.pth"), **start_from)
    with pytest.raises(ValueError, match="needs its target2source, too"):
        start(CycleGAN(), "second", init_from=str(tmp_path / "horse2zebra.pth"), **start_from)
    judge = first / "source2target/training/discriminator_target"
    save_official(Network.from_pretrained(judge), tmp_path / "a_net_D.pth")
    with pytest.raises(ValueError, match=r"a_net_D.pth is a PatchDiscriminator, and generator is wanted"):
        start(Pix2Pix(), "second", init_from=str(tmp_path / "a_net_D.pth"), **start_from)
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.pth"):
        start(Pix2Pix(), "second", init_from=str(tmp_path / "bad.pth"), **start_from)
    with pytest.raises(ValueError, match=r"gone\.pth: there is no such file"):
        start(Pix2Pix(), "second", init_from=str(tmp_path / "gone.pth"), **start_from)
