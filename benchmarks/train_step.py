"""Training steps a second: this project's step against a plain one, as a careful reading of the papers would write it.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --only pix2pix --turns 9 --data facades

The plain step has the same networks with the same weights, and does what the original programs do: a call of a network
for each term, Adam tensor by tensor. Ours is what train() runs. Each step has a process of its own, which does nothing
while the other has its turn; so each has its own memory too, whose peak is compared as well. On a CPU both calculate in
float32, with the same number of threads; on a GPU ours has bf16 autocast, as `accelerate launch --mixed_precision bf16`
gives it, and --compile.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.harness import Case, compare, cores, report, seconds, summary
from img2img_hub import Architecture, CycleGAN, DataConfig, Pix2Pix, TrainConfig
from img2img_hub.data.sources import open_data
from img2img_hub.data.transforms import evaluation_image
from img2img_hub.families import FAMILIES, Batch, Family
from img2img_hub.images import read_image, to_tensor
from img2img_hub.training.checkpoints import RunState
from img2img_hub.training.launch import start_accelerator
from img2img_hub.training.logs import Logs
from img2img_hub.training.optimizers import make_optimizers, prepare_networks
from img2img_hub.training.plan import Plan
from img2img_hub.training.run_folder import RunFolder
from img2img_hub.training.step import Stepper

BATCHES = 8  # different ones, again and again


@dataclass(frozen=True, kw_only=True)
class Task:
    """A family with the papers' networks, and how much faster its step has to be."""

    family: str
    image_size: int
    on_cpu: float
    on_gpu: float = 2.5

    def __str__(self) -> str:
        return f"{self.family} {self.image_size}²"


TASKS = [
    Task(family="pix2pix", image_size=256, on_cpu=1.2),
    Task(family="cyclegan", image_size=128, on_cpu=0.97),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="pairs side by side in DIR/train (default: synthetic)")
    parser.add_argument("--only", choices=[task.family for task in TASKS], help="one family (default: both)")
    parser.add_argument("--turns", type=int, default=15, help="how often both steps take turns")
    parser.add_argument("--threads", type=int, default=cores(), help="of either step, on a CPU")
    parser.add_argument("--compile", action="store_true", help="compile our step on a CPU too")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        serve(json.loads(arguments.child))
        return 0
    gpu = torch.cuda.is_available() and not arguments.cpu
    cases: list[Case] = []
    for task in TASKS:
        if arguments.only in (None, task.family):
            cases += measure(task, arguments, gpu=gpu)
    return report("train_step", cases)


def measure(task: Task, arguments: argparse.Namespace, *, gpu: bool) -> list[Case]:
    common = {
        "family": task.family,
        "image_size": task.image_size,
        "data": str(arguments.data) if arguments.data else None,
        "gpu": gpu,
        "threads": arguments.threads,
        "steps": 50 if gpu else 1,
    }
    compiled = gpu or arguments.compile
    plain = Child(common | {"step": "plain", "compile": False})
    ours = Child(common | {"step": "ours", "compile": compiled})
    kind = "bf16, compiled" if gpu else "compiled" if compiled else "not compiled"
    for child, name in ((plain, "plain"), (ours, f"ours, {kind}")):
        print(f"{task}, {name}: the first step took {child.first:.1f} s", file=sys.stderr)
    target = task.on_gpu if gpu else task.on_cpu
    speed = compare(
        f"{task}, images a second, {kind}",
        plain=plain.turn,
        ours=ours.turn,
        target=target,
        turns=arguments.turns,
    )
    peaks = [child.finish() for child in (plain, ours)]
    print(f"{task}: peak memory {peaks[0] / 2**20:.0f} MiB plain, {peaks[1] / 2**20:.0f} MiB ours", file=sys.stderr)
    memory = summary(f"{task}, peak memory, {kind}", [peaks[1] / peaks[0]] * 2, target=1.0, at_most=True)
    return [speed, memory]


# --- each step in a process of its own --------------------------------------------------------------------------------


class Child:
    """A process that makes a turn's steps when it is asked to."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.train_step", "--child", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ({"ACCELERATE_MIXED_PRECISION": "bf16"} if settings["gpu"] else {}),
        )
        self.first = self._answer()

    def _answer(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a step's process has ended: its message stands above")
        return float(line)

    def turn(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        self._answer()

    def finish(self) -> float:
        """The peak of its memory, in bytes: resident, or on the GPU."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak = self._answer()
        self.process.wait()
        return peak


def serve(settings: dict[str, Any]) -> None:
    """Seconds of the first step, an answer a turn, and the peak of the memory at the end."""
    step = plain_step(settings) if settings["step"] == "plain" else our_step(settings)

    def steps(count: int) -> None:
        for _ in range(count):
            step()
        if settings["gpu"]:
            torch.cuda.synchronize()

    print(seconds(lambda: steps(1)), flush=True)
    for _ in sys.stdin:
        steps(settings["steps"])
        print(0, flush=True)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(torch.cuda.max_memory_allocated() if settings["gpu"] else resident, flush=True)


def build(settings: dict[str, Any]) -> tuple[Family, dict[str, nn.Module], Iterator[Batch]]:
    """The papers' networks, on the CPU, and batches on the device, without end."""
    torch.manual_seed(0)
    family = FAMILIES[settings["family"]]()  # type: ignore[call-arg]
    networks = family.build(Architecture(), in_channels=3, out_channels=3, image_size=settings["image_size"])
    device = "cuda" if settings["gpu"] else "cpu"
    batches = [{name: image.to(device) for name, image in batch.items()} for batch in read_batches(settings)]
    return family, dict(networks), cycle(batches)


def read_batches(settings: dict[str, Any]) -> list[Batch]:
    """BATCHES batches of one image each."""
    size = settings["image_size"]
    if settings["data"] is None:
        coarse = torch.rand(2 * BATCHES, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
        images = [F.interpolate(image, (size, size), mode="bilinear") for image in coarse]
        return [{"source": images[2 * n], "target": images[2 * n + 1]} for n in range(BATCHES)]
    config = DataConfig(dataset=settings["data"], side_by_side=True, max_samples=BATCHES)
    data = open_data(config, paired=True, split="train")
    return [
        {
            "source": to_tensor(evaluation_image(read_image(data.source(n)), image_size=size))[None],
            "target": to_tensor(evaluation_image(read_image(data.target(n)), image_size=size))[None],
        }
        for n in range(len(data))
    ]


# --- our step ---------------------------------------------------------------------------------------------------------


def our_step(settings: dict[str, Any]) -> Callable[[], None]:
    """The product's step, made as train() makes it."""
    config = TrainConfig(
        output_dir="unused",
        image_size=settings["image_size"],
        compile=settings["compile"],
        cpu=not settings["gpu"],
        cpu_threads=settings["threads"],
    )
    accelerator = start_accelerator(config)
    family, networks, batches = build(settings)
    wrapped = prepare_networks(family, config, networks=networks, accelerator=accelerator)
    optimizers = make_optimizers(family, config, networks=networks, accelerator=accelerator)
    state = RunState(networks=networks, optimizers=optimizers, averages={}, pools=family.make_pools(seed=0))
    stepper = Stepper(family, config, accelerator=accelerator, wrapped=wrapped, state=state)
    folder = RunFolder(family=family, config=config, data=DataConfig(dataset="unused"), architecture=Architecture())
    plan = Plan.make(family, config, num_samples=1, world_size=1)
    logs = Logs(folder, config=config, accelerator=accelerator, plan=plan, start_step=0)  # nothing is written
    logs.bar.leave = False
    logs.bar.close()
    return lambda: stepper.step(batches, logs)


# --- the plain step ---------------------------------------------------------------------------------------------------


def plain_step(settings: dict[str, Any]) -> Callable[[], None]:
    torch.set_num_threads(settings["threads"])
    torch.backends.cudnn.benchmark = True  # as the originals have it
    family, networks, batches = build(settings)
    if settings["gpu"]:
        networks = {name: network.cuda() for name, network in networks.items()}
    step = PlainStep(family, networks)
    return lambda: step(next(batches))


class PlainStep:
    """Both papers' steps at batch size 1 as one would write them down."""

    def __init__(self, family: Family, networks: dict[str, nn.Module]) -> None:
        self.networks = networks
        for network in networks.values():
            network.train()
        self.pools = family.make_pools(seed=0)
        if isinstance(family, Pix2Pix):
            self.run, players = self.pix2pix, (["generator"], ["discriminator"])
        else:
            assert isinstance(family, CycleGAN)
            players = (["source2target", "target2source"], ["discriminator_target", "discriminator_source"])
            self.run = self.cyclegan
        self.critics = [networks[name] for name in players[1]]
        self.generator_adam, self.critic_adam = (
            torch.optim.Adam(
                [parameter for name in names for parameter in networks[name].parameters()],
                lr=2e-4,
                betas=(0.5, 0.999),
                foreach=False,
                fused=False,
            )
            for names in players
        )

    def __call__(self, batch: Batch) -> None:
        self.run(batch["source"], batch["target"])

    def pix2pix(self, source: Tensor, target: Tensor) -> None:
        generator, critic = self.networks["generator"], self.networks["discriminator"]
        fake = generator(source)

        self.freeze_critics(False)
        self.critic_adam.zero_grad()
        of_fake = cross_entropy(critic(torch.cat([source, fake], 1).detach()), 0.0)
        of_real = cross_entropy(critic(torch.cat([source, target], 1)), 1.0)
        ((of_fake + of_real) * 0.5).backward()
        self.critic_adam.step()

        self.freeze_critics(True)
        self.generator_adam.zero_grad()
        fooled = cross_entropy(critic(torch.cat([source, fake], 1)), 1.0)
        (fooled + F.l1_loss(fake, target) * 100.0).backward()
        self.generator_adam.step()

    def cyclegan(self, source: Tensor, target: Tensor) -> None:
        forth, back = self.networks["source2target"], self.networks["target2source"]
        target_critic, source_critic = self.critics
        fake_target = forth(source)
        source_again = back(fake_target)
        fake_source = back(target)
        target_again = forth(fake_source)

        self.freeze_critics(True)
        self.generator_adam.zero_grad()
        identity = F.l1_loss(forth(target), target) * 5.0 + F.l1_loss(back(source), source) * 5.0
        fooled = squares(target_critic(fake_target), 1.0) + squares(source_critic(fake_source), 1.0)
        cycles = F.l1_loss(source_again, source) * 10.0 + F.l1_loss(target_again, target) * 10.0
        (identity + fooled + cycles).backward()
        self.generator_adam.step()

        self.freeze_critics(False)
        self.critic_adam.zero_grad()
        for critic, real, name, fake in (
            (target_critic, target, "target", fake_target),
            (source_critic, source, "source", fake_source),
        ):
            past = self.pools[name].query(fake)
            ((squares(critic(real), 1.0) + squares(critic(past.detach()), 0.0)) * 0.5).backward()
        self.critic_adam.step()

    def freeze_critics(self, frozen: bool) -> None:
        for critic in self.critics:
            for parameter in critic.parameters():
                parameter.requires_grad = not frozen


def cross_entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def squares(logits: Tensor, label: float) -> Tensor:
    return F.mse_loss(logits, torch.full_like(logits, label))


if __name__ == "__main__":
    sys.exit(main())
