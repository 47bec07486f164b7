"""What a trainer types: mistakes are answered in one line, flags of other scripts by ours, files of flags are taken."""

import json
import re
import shutil
import signal
from dataclasses import fields

import pytest
import yaml
from safetensors.torch import load_file

from img2img_hub.cli.elsewhere import ELSEWHERE
from img2img_hub.cli.parsing import flags_of
from img2img_hub.cli.training import command, main
from img2img_hub.cli.training_help import shape_default
from img2img_hub.families import FAMILIES
from img2img_hub.families.options import PREFIX, Architecture
from img2img_hub.networks import DISCRIMINATORS, GENERATORS
from tests.families import PACKAGED, each_family, in_channels
from tests.runs import TINY, interrupt_at, run, same_tensors

ENOUGH = ["--dataset", "somewhere", "--output_dir", "run"]


def refused(words, capsys):
    """The one line of a refusal."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("img2img_hub train: error: ")
    return line.removeprefix("img2img_hub train: error: ")


@pytest.fixture
def pairs(paired_folder):
    return ["--dataset", str(paired_folder), "--side_by_side", *TINY, "--levels", "4", "--num_workers", "0"]


MISTAKES = [
    ([], "say what to do: there are "),
    (["pixpix", *ENOUGH], "there is no pixpix: did you mean pix2pix?; there are "),
    (["quux"], "there is no quux; there are "),
    ([*ENOUGH], "--dataset comes after what to do: there are "),
    ([*ENOUGH, "pix2pix"], "pix2pix stands first: `img2img_hub train pix2pix --dataset …`"),
    (["pix2pix"], "pix2pix needs --dataset (Hub data set (user/name) or local folder) and --output_dir (Folder"),
    (["pix2pix", *ENOUGH, "--learning_rat", "1"], "is no flag of pix2pix: did you mean --learning_rate?"),
    (["pix2pix", *ENOUGH, "--learning-rat=1"], "--learning-rat is no flag of pix2pix: did you mean --learning_rate?"),
    (["pix2pix", *ENOUGH, "--no_flips"], "--no_flips is no flag of pix2pix: did you mean --no_flip?"),
    (["pix2pix", *ENOUGH, "--lambda_cycle", "1"], "--lambda_cycle is no flag of pix2pix, but of cyclegan"),
    (["pix2pix", *ENOUGH, "-seed", "1"], "-seed has one dash: type --seed"),
    (["pix2pix", *ENOUGH, "--zzz"], "--zzz is no flag of pix2pix; `img2img_hub train pix2pix --help` explains every"),
    (["pix2pix", *ENOUGH, "--batch_size", "a"], "--batch_size takes a whole number, got 'a'"),
    (["pix2pix", *ENOUGH, "--learning_rate", "fast"], "--learning_rate takes a number, got 'fast'"),
    (["pix2pix", *ENOUGH, "--max_steps", "many"], "--max_steps takes a whole number, got many"),
    (["pix2pix", *ENOUGH, "--source_range", "1"], "--source_range takes two numbers, got 1"),
    (["pix2pix", *ENOUGH, "--generator", "unett"], "must be one of unet, resnet, coarse_to_fine, got 'unett': did you"),
    (["pix2pix", *ENOUGH, "--antialias", "1"], "--antialias must be one of True, False, got '1'"),
    (["pix2pix", *ENOUGH, "stray"], "stray after --output_dir belongs to no flag: leave it out"),
    (["pix2pix", *ENOUGH, "--num_epochs", "0"], "--num_epochs must be 1 or more, got 0"),
    (["pix2pix", *ENOUGH, "--max_grad_norm", "0"], "--max_grad_norm must be above 0, got 0"),
    (["pix2pix", *ENOUGH, "--direction", "BtoC"], "--direction must be one of AtoB, BtoA, got 'BtoC'"),
    (["pix2pix", *ENOUGH, "--config"], "--config needs a file after it"),
]


@pytest.mark.parametrize(("words", "answer"), MISTAKES, ids=lambda value: " ".join(value)[-40:] if value else "nothing")
def test_a_mistake_is_answered_in_one_line(words, answer, capsys):
    assert answer in refused(words, capsys)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_it_is_one_line_in_any_encoding_and_on_any_terminal(encoding):
    done = run("pix2pix", "--dataset", "x", warm=False, PYTHONIOENCODING=encoding, COLUMNS="20")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("train_accelerate.py: error: pix2pix needs --output_dir (Folder of the run's own for checkp")


def test_a_flag_said_with_true_or_false_is_a_switch(pairs, tmp_path):
    words = [*(word for word in pairs if word != "--cpu"), "--cpu", "True", "--flip", "false", "--cache", "False"]
    assert main(["pix2pix", *words, "--max_steps", "1", "--output_dir", str(tmp_path / "run")]) == 0
    training = json.loads((tmp_path / "run/run.json").read_text())["training"]
    assert [training[key] for key in ("cpu", "flip", "cache")] == [True, False, False]


OTHERS = {
    "lr": "learning_rate",
    "gan_mode": "adversarial_loss",
    "netG": "generator",
    "netD": "discriminator",
    "n_epochs": "num_epochs",
    "n_epochs_decay": "decay_epochs",
    "crop_size": "image_size",
    "continue_train": "resume",
    "max_dataset_size": "max_samples",
    "checkpoints_total_limit": "keep_checkpoints",
    "dataloader_num_workers": "num_workers",
    "train_batch_size": "batch_size",
    "dataroot": "dataset",
    "resolution": "image_size",
    "max_train_steps": "max_steps",
    "lr_policy": "learning_rate_policy",
    "lr_warmup_steps": "learning_rate_warmup_steps",
    "ngf": "width",
}


@pytest.mark.parametrize("flag", OTHERS)
@pytest.mark.parametrize("dash", ["_", "-"])
def test_a_flag_of_another_script_is_answered_by_ours(flag, dash, capsys):
    typed = "--" + flag.replace("_", dash)
    line = refused(["pix2pix", *ENOUGH, typed, "1"], capsys)
    assert line.startswith(f"{typed} is no flag of pix2pix: type --{OTHERS[flag]}")


def test_what_is_said_of_other_scripts_flags_names_flags_that_there_are():
    own = {name for family in FAMILIES.values() for name in flags_of(command(family))}
    for theirs, cure in ELSEWHERE.items():
        named = set(re.findall(r"--(\w+)", re.sub("`.*?`", "", cure)))
        assert {name.removeprefix("no_") for name in named} <= own, theirs
        assert theirs not in own, "it is ours"


# --- files of flags ---------------------------------------------------------------------------------------------------


def test_a_run_made_again_from_its_own_file_or_from_one_of_flags_is_the_same_to_the_bit(pairs, tmp_path, capsys):
    """And goes on from either, whatever it was begun by."""
    typed = [*pairs, "--learning_rate", "1e-3", "--norm", "none", "--no_flip", "--corrupt", "box", "--lambda_l1", "3"]
    typed.remove("--side_by_side")
    assert main(["pix2pix", *typed, "--max_steps", "4", "--output_dir", str(tmp_path / "typed")]) == 0
    own = ["--config", str(tmp_path / "typed/training_config.json"), "--dataset", pairs[1]]
    assert main([*own, "--output_dir", str(tmp_path / "own")]) == 0
    flags = {"family": "pix2pix", "dataset": pairs[1], "image_size": 16, "width": 4, "discriminator_layers": 1}
    flags |= {"cpu": True, "cpu_threads": 1, "validation_split": "none", "levels": 4, "num-workers": 0, "flip": False}
    flags |= {"learning_rate": "1e-3", "norm": "none", "corrupt": ["box"], "lambda_l1": 3, "max_steps": 2}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(flags) + "init_from: null\n")
    words = ["--config", str(tmp_path / "run.yaml"), "--output_dir", str(tmp_path / "yaml")]
    assert main([*words, "--max_steps=4"]) == 0
    for name in ("own", "yaml"):
        assert same_tensors(tmp_path / "typed/model.safetensors", tmp_path / name / "model.safetensors"), name

    half = {"typed": ["pix2pix", *typed], "own": own, "yaml": words[:2]}
    for first, then in (("typed", "own"), ("own", "yaml"), ("yaml", "typed")):
        folder = tmp_path / f"{first}-{then}"
        assert main([*half[first], "--output_dir", str(folder), "--max_steps", "4", "--checkpoint_steps", "2"]) == 0
        shutil.rmtree(folder / "checkpoints/step-4")
        (folder / "finished.json").unlink()
        assert main([*half[then], "--output_dir", str(folder), "--max_steps", "4", "--resume"]) == 0
        assert "at step 2" in capsys.readouterr().err
        assert same_tensors(tmp_path / "typed/model.safetensors", folder / "model.safetensors"), (first, then)


def test_a_runs_file_publishes_nothing_again_and_knows_its_places(pairs, tmp_path, monkeypatch, capsys):
    assert main(["pix2pix", *pairs, "--max_steps", "1", "--output_dir", str(tmp_path / "run")]) == 0
    for name in ("run.json", "training_config.json"):
        said = json.loads((tmp_path / "run" / name).read_text())
        said["training"] |= {"push_to_hub": True, "hub_model_id": "alice/maps", "hub_private": False}
        (tmp_path / "run" / name).write_text(json.dumps(said))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = str(tmp_path / "run/training_config.json")
    assert main(["--config", config, "--output_dir", "again"]) == 0
    assert same_tensors(tmp_path / "run/model.safetensors", tmp_path / "elsewhere/again/model.safetensors")
    again = json.loads((tmp_path / "elsewhere/again/run.json").read_text())
    assert again["training"]["push_to_hub"] is False
    assert again["data"]["dataset"] == pairs[1]


def test_what_yaml_makes_of_no_and_what_is_typed_beside_a_file(pairs, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("mixed_precision: no\ndecay_epochs: 100\nflip: no\nmax_steps: 1\n")
    words = ["pix2pix", *pairs, "--config", str(tmp_path / "run.yaml"), "--output_dir", str(tmp_path / "run")]
    assert main([*words, "--num_epochs", "50"]) == 0
    training = json.loads((tmp_path / "run/run.json").read_text())["training"]
    assert [training[key] for key in ("mixed_precision", "flip", "num_epochs", "decay_epochs")] == ["no", False, 50, 25]
    (tmp_path / "run.yaml").write_text("max_megapixels: 4000\n")
    capsys.readouterr()
    assert "is for the command line alone: type --max_megapixels" in refused(words, capsys)


BROKEN = {
    "family: pix2pix\nlr: 1": "lr is no flag of pix2pix: type --learning_rate",
    "family: pix2pix\nbatchsize: 1": "batchsize is no flag of pix2pix: did you mean --batch_size?",
    "dataset: x": "does not say which family is trained",
    "family: pixpix": "has the family pixpix: there are",
    "family: [1]": "has the family [1]: write a name",
    "- 1\n- 2": "holds no flags: write lines such as",
    "": "holds no flags",
    "1: 2": "holds no flags",
    "a: [": "cannot be read: ",
    "a: !!python/object/apply:os.system ['true']": "cannot be read: ",
    "family: pix2pix\ncpu: 1": "cpu is 1: write true or false",
    "family: pix2pix\nlabels: [[1]]": "labels is [[1]]: write a list of plain values",
    "family: pix2pix\ntraining: {cpu: true}": "training is no flag of pix2pix",
    "family: pix2pix\nwidth: {a: 1}": "width is a group",
    "family: pix2pix\nbatch_size: two\ndataset: x\noutput_dir: y": "--batch_size takes a whole number, got 'two'",
    json.dumps({"objective": [], "architecture": {}, "data": {}, "training": {}}): "is no run's",
    "[" * 100_000: "cannot be read: ",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:40])
def test_a_file_that_holds_no_flags_is_refused_by_name(text, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(text)
    line = refused(["--config", str(tmp_path / "run.yaml")], capsys)
    assert BROKEN[text] in line
    assert len(line) < 600


def test_files_that_are_none_and_another_familys_are_refused(tmp_path, capsys):
    missing = refused(["pix2pix", "--config", str(tmp_path / "no.yaml")], capsys)
    assert f"there is no file {tmp_path / 'no.yaml'}, which --config names: check the spelling" in missing
    assert "Is a directory" in refused(["pix2pix", f"--config={tmp_path}"], capsys)
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    assert "cannot be read" in refused(["pix2pix", "--config", str(tmp_path / "picture.yaml")], capsys)
    (tmp_path / "run.yaml").write_text("family: cyclegan")
    assert "is of cyclegan, and pix2pix is typed" in refused(["pix2pix", f"--config={tmp_path / 'run.yaml'}"], capsys)


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [family.name for family in PACKAGED])
def test_help_says_what_holds_where_nothing_is_typed(family, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as end:
        main([family, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "default: None" not in text
    assert [text.count(f"{group} options") for group in ("objective", "networks", "data", "run")] == [1, 1, 1, 1]
    assert "--config FILE" in text
    assert "hub_token" not in text
    for name in flags_of(command(FAMILIES[family])):
        of_another = name in {item.name for item in fields(Architecture)} and not shape_default(FAMILIES[family], name)
        assert bool(re.search(rf"(?m)(?:^ *|│ *|  )--{name}[ ,]", text)) != of_another, name


def test_the_short_help_fits_on_a_page(capsys):
    for family in PACKAGED:
        assert main([family.name, "-h"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert len(said) < 60
        assert "explains all" in said[-1]
        assert any(line.startswith("  --output_dir") for line in said)
        assert max(map(len, said)) <= 100


@each_family
def test_the_shapes_that_help_names_are_those_that_are_built(family):
    networks = family.build(Architecture(), in_channels=in_channels(family), out_channels=3, image_size=64)
    options, checked = {item.name for item in fields(Architecture)}, 0
    for direction in family.directions[:1]:
        for name, known, prefix in (
            (direction.generator, GENERATORS, ""),
            (direction.judges[0], DISCRIMINATORS, PREFIX),
        ):
            built = networks[name]
            (short,) = [key for key, kind in known.items() if kind is type(built)]
            for key, value in built.config.items():
                said = shape_default(type(family), prefix + key)
                if said and prefix + key in options - type(family).follows.keys():
                    each = dict(part.split(" of ")[::-1] for part in said.split(", ")) if " of " in said else {}
                    assert each.get(short, said) == str(value), key
                    checked += 1
    assert checked > 5


# --- how a run ends and learns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_a_signal_stops_says_so_by_its_exit_status(number, pairs, tmp_path, monkeypatch, capsys):
    interrupt_at(monkeypatch, 2, number)
    words = ["pix2pix", *pairs, "--max_steps", "5", "--output_dir", str(tmp_path / "run")]
    assert main(words) == 128 + number
    assert "Stopped at step 2; the same command with --resume goes on from there." in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*words, "--resume"]) == 0


def test_the_precision_is_the_scripts_or_the_launchers_and_is_recorded(pairs, tmp_path, monkeypatch):
    from accelerate.state import AcceleratorState

    def recorded(*words):
        AcceleratorState._reset_state(reset_partial_state=True)
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        assert main(["pix2pix", *pairs, "--max_steps", "1", "--output_dir", str(folder), *words]) == 0
        assert f"{json.loads((folder / 'run.json').read_text())['training']['mixed_precision']}" in ("no", "bf16")
        card = (folder / "README.md").read_text()
        AcceleratorState._reset_state(reset_partial_state=True)
        said = json.loads((folder / "run.json").read_text())["training"]["mixed_precision"]
        return said, load_file(folder / "model.safetensors"), "bfloat16 mixed" in card

    plain = recorded()
    half = recorded("--mixed_precision", "bf16")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    launched = recorded()
    back = recorded("--mixed_precision", "no")
    assert [each[0] for each in (plain, half, launched, back)] == ["no", "bf16", "bf16", "no"]
    assert [each[2] for each in (plain, half, launched, back)] == [False, True, True, False]
    for one, other in ((plain, back), (half, launched)):
        assert all((one[1][key] == other[1][key]).all() for key in one[1])
    assert any((plain[1][key] != half[1][key]).any() for key in plain[1])


def test_a_tracker_gets_all_that_a_run_is_made_of(pairs, tmp_path):
    words = ["pix2pix", *pairs, "--max_steps", "1", "--output_dir", str(tmp_path / "run"), "--lambda_l1", "7"]
    assert main([*words, "--report_to", "tensorboard"]) == 0
    (file,) = (tmp_path / "run").rglob("hparams.yml")
    found = yaml.safe_load(file.read_text())
    expected = {"family": "pix2pix", "lambda_l1": 7.0, "width": 4, "learning_rate": 2e-4, "side_by_side": True}
    assert expected.items() <= found.items()
    assert found["dataset"] == "pairs"
    assert "hub_token" not in found
