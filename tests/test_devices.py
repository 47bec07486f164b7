"""Two processes are one with a larger batch: the same samples, the same gradients, the same weights."""

import json
import subprocess
import sys
from collections import Counter

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import nn

from img2img_hub import Architecture, CycleGAN, DataConfig, Pix2Pix, TrainConfig, train
from img2img_hub.families import FAMILIES
from img2img_hub.networks.blocks import set_norm_statistics
from tests.conftest import picture
from tests.ranks import in_double
from tests.runs import ROOT, environment, free_port

STEPS = 5
# Without what makes a batch of two another thing than two of one: batch norm, dropout, pools of another order.
SMALL = {"width": 4, "discriminator_layers": 1, "dropout": 0.0}
ALIKE = {"pix2pix": {**SMALL, "norm": "none"}, "cyclegan": {**SMALL, "norm": "instance", "blocks": 1}}
ALIKE["cut"] = ALIKE["cyclegan"]
ALIKE["pix2pixhd"] = {**ALIKE["cyclegan"], "width": 2, "enhancers": 1, "enhancer_blocks": 1}
ALIKE["spade"] = {"width": 4, "hidden": 4, "discriminator_layers": 1, "norm": "instance"}
OBJECTIVES = {"pix2pix": {}, "cyclegan": {"pool_size": 0}, "cut": {"nce_patches": 10_000, "head_width": 8}}
OBJECTIVES["pix2pixhd"] = {"perceptual": "none", "fix_global_epochs": 1}  # of the two or so that five steps are
OBJECTIVES["spade"] = {"perceptual": "none"}
SIZES = {"pix2pixhd": 64, "spade": 64}
PAIRED = ("pix2pix", "pix2pixhd", "spade")
APART = 1e-7  # what is not exchanged differs by more than 1e-4
NETWORKS = {"pix2pix": 3, "cyclegan": 6, "cut": 4, "pix2pixhd": 3, "spade": 3}  # and averages of the generators


def job(folder, family, name, *, architecture=None, objective=None, **settings):
    """A training of tests/ranks.py."""
    kind = "pix2pix" if family in PAIRED else "cyclegan"
    data = {"dataset": str(folder / kind), "validation_split": "none", "side_by_side": family in PAIRED}
    run = {
        "max_steps": STEPS,
        "image_size": SIZES.get(family, 16),
        "cpu": True,
        "cpu_threads": 1,
        "num_workers": 0,
        "ema_decay": 0.9,
    }
    run |= {"output_dir": str(folder / name), "log_steps": 1, **settings}
    objective = objective or OBJECTIVES[family]
    return {
        "family": family,
        "objective": objective,
        "architecture": architecture or ALIKE[family],
        "data": data,
        "run": run,
        "port": free_port(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, and what two processes made of them: all in one pair of processes, which take seconds to start."""
    folder = tmp_path_factory.mktemp("devices")
    for split, count, size in (("pix2pix/train", 5, (64, 32)), ("cyclegan/trainA", 5, (32, 32))):
        (folder / split).mkdir(parents=True)
        for index in range(count):
            picture(seed=index, size=size).save(folder / split / f"{index}.png")
    (folder / "cyclegan/trainB").mkdir()
    for index in range(3):
        picture(seed=100 + index, size=(32, 32)).save(folder / "cyclegan/trainB" / f"{index}.png")
    jobs = {}
    for family in ALIKE:
        jobs[f"{family}-two"] = job(folder, family, f"{family}-two", learning_rate=2e-4)
        jobs[f"{family}-accumulated"] = job(
            folder, family, f"{family}-accumulated", gradient_accumulation_steps=2, learning_rate=1e-4
        )
        batch_norm = {"width": 4, "discriminator_layers": 1, "norm": "batch"}
        own = {"pix2pix": {}, "pix2pixhd": {"blocks": 1, "enhancers": 1}, "spade": {"hidden": 4}}
        batch_norm |= own.get(family, {"blocks": 1})
        objective = OBJECTIVES[family] | ({"latent": 4} if family == "spade" else {})
        jobs[f"{family}-batch-norm"] = job(
            folder, family, f"{family}-batch-norm", architecture=batch_norm, objective=objective
        )
    (folder / "jobs.json").write_text(json.dumps(jobs))
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ranks", str(folder / "jobs.json")],
            cwd=ROOT,
            env=environment(RANK=rank, LOCAL_RANK=rank, **group),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        said = [rank.communicate(timeout=300)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
    (folder / "said.txt").write_text(said[0])
    (folder / "said-by-the-other.txt").write_text(said[1])
    return folder


def seen(folder, name):
    return [torch.load(folder / f"{name}.seen-{rank}.pt", weights_only=True) for rank in (0, 1)]


def train_alone(folder, family, name, **settings):
    """The same in this process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    one = job(folder, family, name, **settings)
    made = FAMILIES[family](**one["objective"])
    architecture = Architecture(**one["architecture"])
    with in_double(made):
        train(made, TrainConfig(**one["run"]), DataConfig(**one["data"]), architecture=architecture)
    AcceleratorState._reset_state(reset_partial_state=True)


# Of GauGAN not where gradients are accumulated: its spectral norm makes a step of power iteration a call.
@pytest.mark.parametrize(
    ("family", "name", "batch_size", "learning_rate"),
    [
        *((family, "two", 2, 2e-4) for family in ALIKE),
        *((family, "accumulated", 4, 1e-4) for family in ALIKE if family != "spade"),
    ],
)
def test_two_processes_equal_one_of_their_global_batch(folder, family, name, batch_size, learning_rate):
    train_alone(folder, family, f"{family}-one-{name}", batch_size=batch_size, learning_rate=learning_rate)
    two, one = (folder / f"{family}-{which}/checkpoints/step-{STEPS}" for which in (name, f"one-{name}"))
    files = sorted(path.name for path in one.glob("*.safetensors") if "optimizer" not in path.name)
    assert len(files) == NETWORKS[family]
    for file in files:
        first, second = load_file(one / file), load_file(two / file)
        for key, value in first.items():
            assert value.dtype == torch.float64 or not value.is_floating_point()
            assert (value.double() - second[key].double()).abs().max() < APART, f"{file}: {key}"


@pytest.mark.parametrize("family", ALIKE)
@pytest.mark.parametrize("name", ["two", "accumulated"])
def test_each_sample_comes_once_an_epoch_over_all_processes(folder, family, name):
    drawn = Counter(sample for rank in seen(folder, f"{family}-{name}") for sample in rank["samples"])
    epochs = 2 if name == "two" else 4
    assert drawn == Counter((epoch, index) for epoch in range(epochs) for index in range(5))


@pytest.mark.parametrize("family", ALIKE)
@pytest.mark.parametrize("name", ["two", "accumulated", "batch-norm"])
def test_no_phase_touches_the_gradients_of_another_and_all_processes_agree(folder, family, name):
    ranks = seen(folder, f"{family}-{name}")
    assert [rank["touched"] for rank in ranks] == [[], []]
    assert len(ranks[0]["weights"]) == 2 * STEPS
    assert len(set(ranks[0]["weights"])) == 2 * STEPS, "every optimizer step changes something"
    assert ranks[0]["weights"] == ranks[1]["weights"]


@pytest.mark.parametrize("family", ALIKE)
def test_gradients_are_exchanged_once_a_phase_however_many_micro_batches(folder, family):
    for rank_of_two, rank_of_accumulated in zip(
        seen(folder, f"{family}-two"), seen(folder, f"{family}-accumulated"), strict=True
    ):
        assert rank_of_two["exchanges"] == rank_of_accumulated["exchanges"] >= 2 * STEPS


@pytest.mark.parametrize("family", ALIKE)
def test_batch_norm_statistics_are_not_exchanged_at_every_call(folder, family):
    first, second = (rank["counted"] for rank in seen(folder, f"{family}-batch-norm"))
    assert first
    assert [count + 1000 for count in first] == second


def test_the_main_process_alone_speaks_and_says_what_is_each_ones_own(folder):
    said = (folder / "said.txt").read_text()
    assert said.count("global batch 2") == 2 * len(ALIKE)
    assert said.count("global batch 4") == len(ALIKE)
    assert said.count("Batch norm statistics are each process's own") == len(ALIKE), (
        "once in either run with batch norm"
    )
    assert "global batch" not in (folder / "said-by-the-other.txt").read_text()
    for name in ("pix2pix-two", "cyclegan-accumulated"):
        assert len((folder / name / "metrics.jsonl").read_text().splitlines()) == STEPS


# --- SyncBatchNorm: it runs on GPUs only, what surrounds it does not --------------------------------------------------


@pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN()], ids=lambda family: family.name)
def test_converted_networks_are_saved_as_if_they_were_not(family):
    """Initialised before the conversion, with the same names, and back in a copy that knows both test-time choices."""
    torch.manual_seed(0)
    architecture = Architecture(width=4, norm="batch", discriminator_layers=1)
    networks = family.build(architecture, in_channels=3, out_channels=3, image_size=16)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    for network in networks.values():
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        network.train()
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        layers = [layer for layer in converted.modules() if isinstance(layer, nn.SyncBatchNorm)]
        assert layers
        gains = torch.cat([layer.weight.detach() for layer in layers])
        assert 0.005 < gains.std() < 0.05, "N(1, 0.02)"
        assert converted.state_dict().keys() == kept.keys()
        assert all(torch.equal(value, kept[name]) for name, value in converted.state_dict().items())
        copy = converted.copy_as_saved(dtype="float32")
        assert not any(isinstance(layer, nn.SyncBatchNorm) for layer in copy.modules())
        if network in [networks[name] for name in family.published.values()]:
            outputs = []
            for statistics in ("image", "running"):
                set_norm_statistics(copy, statistics)
                with torch.no_grad():
                    outputs.append(copy(image))
            assert not torch.allclose(*outputs), "a layer that was lost would not care"
