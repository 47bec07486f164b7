"""GauGAN against the same layers written down plainly: the generator's forward, and a whole step of training.

    python -m benchmarks.spade
    python -m benchmarks.spade --width 64 --hidden 128 --turns 5

Label maps of 256², weights the same, the outputs compared before anything is timed. Each side has a process of its own,
as in `benchmarks.train_step`, so that the peak of its memory can be compared, too. By default the networks are narrow,
for a CPU; the discriminators are as wide as the generator, and the perceptual loss, which would be the same on both
sides, is left out. `benchmarks.plain_spade` is the plain side.
"""

import argparse
import json
import sys
from collections.abc import Callable
from itertools import cycle
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.apart import serve, versus
from benchmarks.harness import Case, cores, report
from benchmarks.plain_spade import PlainDiscriminator, PlainGenerator, PlainStep
from benchmarks.train_step import Built, our_step
from img2img_hub import Architecture, Spade, SpadeGenerator
from img2img_hub.families import Batch
from img2img_hub.networks.blocks import BatchNorm2d

SIZE, CLASSES, BATCHES = 256, 12, 4
Plain = TypeVar("Plain", PlainGenerator, PlainDiscriminator)
TARGET = 1.2
TOLERANCE = 1e-4  # of values in [-1, 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["forward", "step"], help="one of them (default: both)")
    parser.add_argument("--width", type=int, default=16, help="of generator and discriminators (paper: 64)")
    parser.add_argument("--hidden", type=int, default=32, help="channels in which a norm reads the map (paper: 128)")
    parser.add_argument("--turns", type=int, default=15, help="how often both sides take turns")
    parser.add_argument("--threads", type=int, default=cores(), help="of either side")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        settings = json.loads(arguments.child)
        serve(WORK[settings["work"], settings["whose"]](settings), settings)
        return 0
    shared = {"width": arguments.width, "hidden": arguments.hidden, "threads": arguments.threads}
    check(shared)
    cases: list[Case] = []
    for work in [arguments.only] if arguments.only else ["forward", "step"]:
        plain, ours = (shared | {"work": work, "whose": whose} for whose in ("plain", "ours"))
        name = f"spade {work} {SIZE}², width {arguments.width}"
        cases += versus(name, "benchmarks.spade", plain, ours, target=TARGET, turns=arguments.turns)
    return report("spade", cases)


def check(settings: dict[str, Any]) -> None:
    """Both generators make the same of a map, by their batch's statistics and by the averages that they keep of it."""
    _, networks, batches = build(settings)
    generator, map = networks["generator"], next(batches)["source"]
    plain = plain_generator(generator)
    for training in (True, False):
        with torch.no_grad():
            made, expected = generator.train(training)(map), plain.train(training)(map)
        difference, how = float((made - expected).abs().max()), "training" if training else "eval"
        print(f"in {how}: differs by at most {difference:.2g}, of {float(expected.std()):.2g}", file=sys.stderr)
        assert difference <= TOLERANCE, f"our generator differs by {difference:.2g} from the plain one"


def build(settings: dict[str, Any]) -> Built:
    """The family's networks, with weights that paint something, and batches without end."""
    torch.manual_seed(0)
    family = Spade(perceptual="none")
    architecture = Architecture(width=settings["width"], hidden=settings["hidden"])
    networks: dict[str, Any] = family.build(architecture, in_channels=CLASSES, out_channels=3, image_size=SIZE)
    enliven(networks["generator"])
    return family, networks, cycle(read_batches())


@torch.no_grad()
def enliven(generator: SpadeGenerator) -> SpadeGenerator:
    """With weights and averages of a generator that paints something: γ, β and the image begin near 0."""
    for name, value in generator.named_parameters():
        if name.endswith(("gamma.weight", "beta.weight", "image.weight")):
            value.mul_(20)
    norms = [layer for layer in generator.modules() if isinstance(layer, BatchNorm2d)]
    usual = norms[0].momentum
    for layer in norms:
        layer.momentum = 1.0
    generator.train()(read_batches()[0]["source"])
    for layer in norms:
        layer.momentum = usual
    return generator


def read_batches() -> list[Batch]:
    """Blocks of classes, and smooth noise."""
    made = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(BATCHES):
        classes = F.one_hot(torch.randint(CLASSES, (1, 16, 16), generator=made), CLASSES)
        coarse = torch.rand(1, 3, 16, 16, generator=made) * 2 - 1
        batches.append(
            {
                "source": F.interpolate(classes.movedim(-1, 1).float(), (SIZE, SIZE)).contiguous(),
                "target": F.interpolate(coarse, (SIZE, SIZE), mode="bilinear"),
            }
        )
    return batches


def plain_generator(generator: Any) -> PlainGenerator:
    """A plain one with the same weights."""
    sizes = {key: generator.config[key] for key in ("width", "hidden")}
    return with_weights(PlainGenerator(classes=generator.in_channels, **sizes), generator)


def plain_discriminator(discriminator: Any) -> PlainDiscriminator:
    sizes = {key: discriminator.config[key] for key in ("width", "layers")}
    return with_weights(PlainDiscriminator(channels=discriminator.in_channels, **sizes), discriminator)


def with_weights(network: Plain, of: nn.Module) -> Plain:
    network.to(next(of.parameters()).dtype).load_state_dict(of.state_dict())
    return network


# --- what a process does in its turn ----------------------------------------------------------------------------------


def plain_forward(settings: dict[str, Any]) -> Callable[[], Tensor]:
    _, networks, batches = build(settings)
    return forward(plain_generator(networks["generator"]), batches, settings)


def our_forward(settings: dict[str, Any]) -> Callable[[], Tensor]:
    _, networks, batches = build(settings)
    return forward(networks["generator"], batches, settings)


def forward(generator: nn.Module, batches: Any, settings: dict[str, Any]) -> Callable[[], Tensor]:
    torch.set_num_threads(settings["threads"])
    generator.eval()
    return torch.no_grad()(lambda: generator(next(batches)["source"]))


def plain_step(settings: dict[str, Any]) -> Callable[[], None]:
    torch.set_num_threads(settings["threads"])
    _, networks, batches = build(settings)
    step = PlainStep(plain_generator(networks["generator"]), plain_discriminator(networks["discriminator"]))
    return lambda: step(next(batches))


WORK: dict[tuple[str, str], Callable[[dict[str, Any]], Callable[[], object]]] = {
    ("forward", "plain"): plain_forward,
    ("forward", "ours"): our_forward,
    ("step", "plain"): plain_step,
    ("step", "ours"): lambda settings: our_step({"gpu": False} | settings, build, image_size=SIZE),
}


if __name__ == "__main__":
    sys.exit(main())
