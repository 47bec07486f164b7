"""--compile: the same training, to rounding; the same files; as exact as the other when it is resumed."""

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from img2img_hub import Architecture, CycleGAN, Pix2Pix
from tests.runs import PLAIN, TINY, TWO, assert_same_end, interrupt_at, run

pytest_plugins = ["tests.starting"]

# Half a minute of compilers for the smallest networks there are; the cache makes it less the second time.
SMALLEST = Architecture(width=4, levels=2, norm="none", dropout=0.0)
SMALL = Architecture(width=4, levels=4, discriminator_layers=1, dropout=0.0)
WITHOUT_NORMS = Architecture(width=4, levels=4, norm="none", discriminator_layers=1, dropout=0.0)
RESNET = Architecture(width=4, blocks=1, norm="none", discriminator_layers=1)


@pytest.fixture(autouse=True)
def from_nothing():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def assert_close(one, other, *, names, tolerance=1e-5):
    for name in names:
        first, second = load_file(one / name), load_file(other / name)
        assert first.keys() == second.keys(), name
        for key in first:
            assert torch.allclose(first[key].float(), second[key].float(), atol=tolerance), f"{name}: {key}"


USELESS = "--compile makes no step faster on a CPU"


def test_a_compiled_run_ends_as_the_other_does(start, capsys):
    """In its files' names and, to rounding, its numbers; nothing is compiled anew on the way. It says its worth."""
    family = Pix2Pix(discriminator="pixel")
    settings = {"architecture": SMALLEST, "ema_decay": 0.9}
    plain = start(family, "plain", **settings)
    assert not counters["stats"]
    assert USELESS not in capsys.readouterr().err
    compiled = start(family, "compiled", compile=True, **settings)
    assert capsys.readouterr().err.count(USELESS) == 1
    # One of the attempt; one of the generator; of the discriminator one that learns and one that is frozen.
    assert counters["stats"]["unique_graphs"] == 4
    assert not counters["graph_break"]
    networks = ["generator.safetensors", "generator.ema.safetensors", "discriminator.safetensors"]
    assert_close(plain, compiled, names=["model.safetensors", *(f"checkpoints/step-6/{name}" for name in networks)])


def test_without_a_compiler_nothing_is_begun(paired_folder, tmp_path):
    result = run(
        "pix2pix",
        "--dataset",
        paired_folder,
        "--side_by_side",
        "--output_dir",
        tmp_path / "run",
        "--compile",
        *TINY,
        warm=False,
        CXX="/no/such/compiler",
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert result.returncode == 2, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "error: " in line]
    assert "--compile does not work on this machine" in line
    assert "apt install g++" in line
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "architecture", "graphs"),
    [
        (Pix2Pix(), SMALL, 4),
        (CycleGAN(), RESNET, 5),  # of both directions together: one image at a time and two
        (CycleGAN(critic_steps=2), RESNET, 6),  # and generators without a gradient
        (Pix2Pix(adversarial_loss="wgangp", critic_steps=2), WITHOUT_NORMS, 3),  # critics are not compiled
        (CycleGAN(lambda_r1=1.0), RESNET, 3),
    ],
    ids=["pix2pix", "cyclegan", "critic_steps", "wgangp", "r1"],
)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_every_kind_of_step_can_be_compiled(start, family, architecture, graphs, accumulation):
    settings = {"architecture": architecture, "gradient_accumulation_steps": accumulation, "max_steps": 3}
    plain = start(family, "plain", **settings)
    compiled = start(family, "compiled", compile=True, **settings)
    if accumulation == 1:
        assert counters["stats"]["unique_graphs"] == graphs
    names = [path.name for path in (plain / "checkpoints/step-3").glob("*.safetensors")]
    assert_close(plain / "checkpoints/step-3", compiled / "checkpoints/step-3", names=names, tolerance=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN(pool_size=2)], ids=lambda family: family.name)
def test_a_compiled_run_is_resumed_bit_for_bit(start, monkeypatch, family):
    """With dropout, whose numbers come from torch's generator in a compiled network too."""
    architecture = Architecture(
        width=4, dropout=0.5, discriminator_layers=1, **({} if family.paired else {"blocks": 1})
    )
    settings = {"architecture": architecture, "image_size": 64, "ema_decay": 0.9, "compile": True}
    whole = start(family, "whole", **settings)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        start(family, "cut", checkpoint_steps=100, **settings)
    torch._dynamo.reset()
    cut = start(family, "cut", resume=True, **settings)
    assert_same_end(whole, cut, step=6)


@pytest.mark.slow
def test_a_run_can_be_compiled_or_not_from_its_resumption_on(start):
    settings = {"architecture": SMALLEST, "max_steps": 3}
    family = Pix2Pix(discriminator="pixel")
    plain = start(family, "plain", **(settings | {"max_steps": 6, "num_epochs": 2, "decay_epochs": 0}))
    settings |= {"num_epochs": 2, "decay_epochs": 0}
    start(family, "run", **settings)
    start(family, "run", **(settings | {"max_steps": 5, "compile": True, "resume": True}))
    mixed = start(family, "run", **(settings | {"max_steps": 6, "resume": True}))
    assert_close(plain, mixed, names=["model.safetensors"])


@pytest.mark.slow
def test_two_processes_compile_what_each_of_them_runs(paired_folder, tmp_path):
    shared = ["pix2pix", "--dataset", paired_folder, "--side_by_side", "--max_steps", 3, *PLAIN]
    for name, more in (("plain", []), ("compiled", ["--compile"])):
        result = run(*shared, "--output_dir", tmp_path / name, *more, launcher=TWO)
        assert result.returncode == 0, result.stderr
    names = ["generator.safetensors", "discriminator.safetensors"]
    assert_close(tmp_path / "plain/checkpoints/step-3", tmp_path / "compiled/checkpoints/step-3", names=names)
