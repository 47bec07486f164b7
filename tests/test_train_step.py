"""The step as a whole: what of it is asked for alone, its two learning rates, its memory, and that it is what the
benchmark compares it with."""

import copy
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from benchmarks.train_step import PlainStep
from img2img_hub import CycleGAN, Pix2Pix, TrainConfig
from img2img_hub.training.state.checkpoints import RunState
from img2img_hub.training.state.optimizers import make_averages, make_optimizers, prepare_networks
from img2img_hub.training.step import Stepper
from tests.families import PACKAGED
from tests.runs import lines
from tests.test_families import NoLogs, assert_same_weights, batches, build, run

pytest_plugins = ["tests.starting"]

by_name = pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN(pool_size=2)], ids=lambda family: family.name)


@by_name
def test_the_benchmark_compares_with_a_step_that_does_the_same(family):
    networks, plain = build(family)
    data = batches(3)
    run(family, networks, data)
    step = PlainStep(family, plain)
    for batch in data:
        step(batch)
    assert_same_weights(networks, plain)


def make_stepper(family):
    """As train() makes it, and what it changes."""
    AcceleratorState._reset_state(reset_partial_state=True)
    config = TrainConfig(output_dir="unused", cpu=True, ema_decay=0.9).of(family)
    accelerator = Accelerator(cpu=True)
    networks, _ = build(family)
    shared = {"networks": networks, "accelerator": accelerator}
    averages = make_averages(family, config, **shared)
    wrapped = prepare_networks(family, config, **shared)
    optimizers = make_optimizers(family, config, **shared)
    pools = family.make_pools(seed=0)
    state = RunState(networks=networks, optimizers=optimizers, averages=averages, pools=pools)
    return Stepper(family, config, accelerator=accelerator, wrapped=wrapped, state=state)


@by_name
def test_phases_can_run_alone_and_then_no_average_follows(family):
    stepper, logs = make_stepper(family), NoLogs()
    networks, averages = stepper.state.networks, stepper.state.averages
    before, averages_before = (
        {k: copy.deepcopy(v.state_dict()) for k, v in kind.items()} for kind in (networks, averages)
    )
    graphs = []
    for name in family.published.values():
        networks[name].register_forward_pre_hook(lambda *_: graphs.append(torch.is_grad_enabled()))
    stepper.step(iter(batches(1)), logs, only={"discriminator"})  # type: ignore[arg-type]
    assert graphs
    assert not any(graphs), "a graph is kept for a phase that does not come"
    assert [phase for phase, _ in logs.terms] == ["discriminator"]
    for name in family.published.values():
        parameters = networks[name].named_parameters()
        assert all(torch.equal(value, before[name][key]) for key, value in parameters)
    for name, average in averages.items():
        assert all(torch.equal(value, averages_before[name][key]) for key, value in average.state_dict().items())
    for name in networks.keys() - averages.keys():
        assert all(not torch.equal(value, before[name][key]) for key, value in networks[name].named_parameters())
    stepper.step(iter(batches(1)), logs)  # type: ignore[arg-type]
    assert all(average.n_averaged == 1 for average in averages.values())


@by_name
def test_the_order_of_channels_changes_no_number(family):
    """What GPUs do in half precision."""
    plain, stepper = make_stepper(family), make_stepper(family)
    stepper.channels_last = True
    seen = []
    generator = stepper.state.networks[next(iter(family.published.values()))]
    generator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for one in (plain, stepper):
        data = iter(batches(3, size=2))
        for _ in range(3):
            one.step(data, NoLogs())  # type: ignore[arg-type]
    assert seen
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert_same_weights(stepper.state.networks, plain.state.networks)
    for network in stepper.state.networks.values():
        assert all(value.is_contiguous() for value in network.state_dict().values())


@by_name
def test_each_player_has_its_own_learning_rate(start, family):
    folder = start(
        family,
        "run",
        discriminator_learning_rate=8e-4,
        max_steps=4,
        num_epochs=2,
        decay_epochs=1,
        log_steps=1,
        checkpoint_steps=1,
        keep_checkpoints=4,
    )
    factors = [1.0, 1.0, 1.0, 0.5]
    for step, factor in enumerate(factors, start=1):
        state = torch.load(folder / f"checkpoints/step-{step}/training_state.pt", weights_only=True)
        rates = {name: optimizer["param_groups"][0]["lr"] for name, optimizer in state["optimizers"].items()}
        assert rates == pytest.approx({"generator": 2e-4 * factor, "discriminator": 8e-4 * factor})
    logged = [line for line in lines(folder) if "learning_rate" in line]
    assert [line["learning_rate"] for line in logged] == pytest.approx([2e-4 * factor for factor in factors])
    assert [line["discriminator_learning_rate"] for line in logged] == pytest.approx([8e-4 * f for f in factors])


def test_one_learning_rate_is_said_once(start):
    folder = start(Pix2Pix(), "run", max_steps=1)
    (line,) = [line for line in lines(folder) if "learning_rate" in line]
    assert "discriminator_learning_rate" not in line


def test_freed_memory_stays_with_the_process():
    """By the count of pages that the system hands out: a training that frees and takes the same again needs none."""
    code = """if True:
        import resource, sys, torch
        from img2img_hub.training.run.memory import keep_freed_memory
        if sys.argv[1] == "keep" and not keep_freed_memory():
            print(-1), sys.exit()
        torch.set_num_threads(1)
        for turn in range(40):
            torch.ones(2**24)
            if turn == 29:  # by then it has found its place
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    pages = {}
    for what in ("keep", "leave"):
        answer = subprocess.run([sys.executable, "-c", code, what], capture_output=True, text=True, check=True)
        pages[what] = int(answer.stdout)
    if pages["keep"] < 0:
        pytest.skip("not glibc")
    assert pages["keep"] < pages["leave"] / 20


def test_every_family_says_what_a_compiler_cannot_do():
    for family in PACKAGED:
        plain = {"real": True} if family.name == "esrgan" else {}  # whose relativistic verdicts take neither
        assert not family(**plain).differentiates_twice  # type: ignore[call-arg]
        assert family(adversarial_loss="wgangp", **plain).differentiates_twice  # type: ignore[call-arg]
        assert family(lambda_r1=1.0, **plain).differentiates_twice  # type: ignore[call-arg]
