"""Training steps a second: this project's step against a plain one, as a careful reading of the papers would write it.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --only pix2pix --turns 9 --data facades

The plain step has the same networks with the same weights, and does what the original programs do: a call of a network
for each term, Adam tensor by tensor. Ours is what train() runs. Each step has a process of its own, which does nothing
while the other has its turn; so each has its own memory too, whose peak is compared as well. On a CPU both calculate in
float32, with the same number of threads; where it computes in bfloat16, ours does so, too, as `accelerate launch
--mixed_precision bf16` has it, against the plain step in float32 and in bfloat16. On a GPU ours has bf16 and --compile.
CUT's step stands beside CycleGAN's of the same networks, both ours: that one direction takes less is its paper's point.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.apart import Child, serve, versus
from benchmarks.harness import Case, compare, cores, report, summary
from img2img_hub import Architecture, CycleGAN, DataConfig, Pix2Pix, TrainConfig
from img2img_hub.data.find.sources import open_data
from img2img_hub.families import FAMILIES, Batch, Family
from img2img_hub.images.picture import to_tensor
from img2img_hub.images.read import read_image
from img2img_hub.images.resize import resized
from img2img_hub.networks import winograd
from img2img_hub.training.results.logs import Logs
from img2img_hub.training.run.context import RunContext
from img2img_hub.training.run.folder import RunFolder
from img2img_hub.training.run.launch import has_bfloat16_instructions, start_accelerator
from img2img_hub.training.run.plan import Plan
from img2img_hub.training.state.checkpoints import RunState
from img2img_hub.training.state.optimizers import make_optimizers, prepare_networks
from img2img_hub.training.step import Stepper

MODULE = "benchmarks.train_step"
BATCHES = 8  # different ones, again and again
Built = tuple[Family, dict[str, nn.Module], Iterator[Batch]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A family with the papers' networks, and how much faster its step has to be."""

    family: str
    image_size: int
    batch_size: int = 1
    on_cpu: float
    on_cpu_in_bf16: float | None = None  # None: not measured
    on_gpu: float | None = 2.5

    def __str__(self) -> str:
        return f"{self.family} {self.image_size}²" + (f", batch {self.batch_size}" if self.batch_size > 1 else "")


TASKS = [
    Task(family="pix2pix", image_size=256, on_cpu=1.2, on_cpu_in_bf16=1.75),
    Task(family="pix2pix", image_size=256, batch_size=4, on_cpu=1.05, on_gpu=None),
    Task(family="cyclegan", image_size=128, on_cpu=0.97, on_cpu_in_bf16=1.85),
    Task(family="cyclegan", image_size=256, on_cpu=1.0, on_cpu_in_bf16=1.85, on_gpu=None),
]

CUT_SPEED, CUT_MEMORY = 1 / 0.6, 0.7
"""Of CUT's step against CycleGAN's, as its paper says."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="pairs side by side in DIR/train (default: synthetic)")
    parser.add_argument("--only", choices=["cut", "cyclegan", "pix2pix"], help="one family (default: all)")
    parser.add_argument("--turns", type=int, default=15, help="how often both steps take turns")
    parser.add_argument("--threads", type=int, default=cores(), help="of either step, on a CPU")
    parser.add_argument("--compile", action="store_true", help="compile our step on a CPU too")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        settings = json.loads(arguments.child)
        size = settings["task"]["image_size"]
        plain = settings["step"] == "plain"
        serve(plain_step(settings) if plain else our_step(settings, build, image_size=size), settings)
        return 0
    gpu = torch.cuda.is_available() and not arguments.cpu
    cases: list[Case] = []
    for task in TASKS:
        if arguments.only in (None, task.family):
            cases += measure_on_gpu(task, arguments) if gpu else measure_on_cpu(task, arguments)
    if arguments.only in (None, "cut"):
        cases += measure_cut(arguments, gpu=gpu)
    return report("train_step", cases)


def measure_cut(arguments: argparse.Namespace, *, gpu: bool) -> list[Case]:
    tasks = [Task(family=name, image_size=256 if gpu else 128, on_cpu=CUT_SPEED) for name in ("cyclegan", "cut")]
    shared = {"data": str(arguments.data or ""), "gpu": gpu, "threads": arguments.threads, "steps": 50 if gpu else 1}
    children = [Child(MODULE, shared | {"task": asdict(task), "step": "ours"}) for task in tasks]
    first, second = children
    name = f"{tasks[1]} beside CycleGAN"
    speed = compare(
        f"{name}, images a second", plain=first.turn, ours=second.turn, target=CUT_SPEED, turns=arguments.turns
    )
    peaks = [child.finish() for child in children]
    return [speed, summary(f"{name}, peak memory", [peaks[1] / peaks[0]] * 2, target=CUT_MEMORY, at_most=True)]


def measure_on_gpu(task: Task, arguments: argparse.Namespace) -> list[Case]:
    if task.on_gpu is None:
        return []
    plain = {"task": asdict(task), "data": str(arguments.data or ""), "gpu": True, "threads": 1, "steps": 50}
    ours = plain | {"compile": True, "bf16": True}
    return against_plain(task, plain, ours, kind="bf16, compiled", target=task.on_gpu, turns=arguments.turns)


def measure_on_cpu(task: Task, arguments: argparse.Namespace) -> list[Case]:
    plain = {"task": asdict(task), "data": str(arguments.data or ""), "gpu": False, "threads": arguments.threads}
    ours = plain | {"compile": arguments.compile}
    kind = "compiled" if arguments.compile else "not compiled"
    cases = against_plain(task, plain, ours, kind=kind, target=task.on_cpu, turns=arguments.turns)
    if task.on_cpu_in_bf16 is not None and has_bfloat16_instructions():
        target, turns = task.on_cpu_in_bf16, arguments.turns
        in_bf16 = ours | {"bf16": True}
        cases += against_plain(task, plain, in_bf16, kind=f"bf16, {kind}", target=target, turns=turns)
        kind = f"bf16, {kind}, against the plain step in bf16"  # whoever writes the plain step can have it, too
        cases += against_plain(task, plain | {"bf16": True}, in_bf16, kind=kind, target=1.0, turns=turns)
    return cases


def against_plain(
    task: Task, plain: dict[str, Any], ours: dict[str, Any], *, kind: str, target: float, turns: int
) -> list[Case]:
    steps = plain | {"step": "plain"}, ours | {"step": "ours"}
    return versus(str(task), MODULE, *steps, kind=f", {kind}", target=target, turns=turns)


def build(settings: dict[str, Any]) -> Built:
    """The papers' networks, on the CPU, and batches on the device, without end."""
    torch.manual_seed(0)
    task = Task(**settings["task"])
    family = FAMILIES[task.family]()
    networks = family.build(Architecture(), in_channels=3, out_channels=3, image_size=task.image_size)
    device = "cuda" if settings["gpu"] else "cpu"
    batches = [
        {name: image.to(device) for name, image in batch.items()} for batch in read_batches(task, data=settings["data"])
    ]
    return family, dict(networks), cycle(batches)


def read_batches(task: Task, *, data: str) -> list[Batch]:
    """BATCHES batches, of pairs in the folder `data` or, where that is "", of smooth noise."""
    size, count = task.image_size, BATCHES * task.batch_size
    if data:
        config = DataConfig(dataset=data, side_by_side=True, max_samples=count)
        pairs = open_data(config, paired=True, split="train")
        images = [
            to_tensor(resized(read_image(side(n)), (size, size)))[None]
            for n in range(len(pairs))
            for side in (pairs.source, pairs.target)
        ]
    else:
        coarse = torch.rand(2 * count, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
        images = [F.interpolate(image, (size, size), mode="bilinear") for image in coarse]
    sources, targets = (torch.cat(images[side::2]).split(task.batch_size) for side in (0, 1))
    return [{"source": source, "target": target} for source, target in zip(sources, targets, strict=True)]


# --- our step ---------------------------------------------------------------------------------------------------------


def our_step(
    settings: dict[str, Any], build: Callable[[dict[str, Any]], Built], *, image_size: int
) -> Callable[[], None]:
    """The product's step, made as train() makes it, of what is built by the settings once the accelerator is there."""
    config = TrainConfig(
        output_dir="unused",
        image_size=image_size,
        compile=settings.get("compile", False),
        cpu=not settings["gpu"],
        cpu_threads=settings["threads"],
    )
    accelerator = start_accelerator(config)
    family, networks, batches = build(settings)
    config = config.of(family)
    wrapped = prepare_networks(family, config, networks=networks, accelerator=accelerator)
    optimizers = make_optimizers(family, config, networks=networks, accelerator=accelerator)
    state = RunState(networks=networks, optimizers=optimizers, averages={}, pools=family.make_pools(seed=0))
    stepper = Stepper(family, config, accelerator=accelerator, wrapped=wrapped, state=state)
    folder = RunFolder(family=family, config=config, data=DataConfig(dataset="unused"), architecture=Architecture())
    plan = Plan.make(family, config, num_samples=1, world_size=1)
    logs = Logs(  # nothing is written
        RunContext(
            folder=folder,
            accelerator=accelerator,
            state=state,
            plan=plan,
            train_data=None,  # type: ignore[arg-type]  # a step asks for its batches alone
            validation_data=None,
            repo_ids={},
        )
    )
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
    winograd.CHANNELS = sys.maxsize  # PyTorch's own convolutions, as whoever writes it plainly has them
    if settings.get("bf16"):
        for network in networks.values():
            network.forward = in_bf16(network.forward)
    step = PlainStep(family, networks)
    return lambda: step(next(batches))


def in_bf16(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Under autocast; losses are left in float32."""
    return lambda image: torch.autocast("cpu", torch.bfloat16)(forward)(image).float()


class PlainStep:
    """Both papers' steps as one would write them down."""

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
