"""What a family (a paper) tells the loop: its networks, the directions it publishes, the phases in which it learns.

    python -c "from img2img_hub.families import FAMILIES; print(FAMILIES)"

A new family is one new file in this folder with one subclass of Family; it is found by module name. One from elsewhere
is known as soon as its class is defined. What papers with a discriminator share is in adversarial.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, NamedTuple, get_args, get_origin

from torch import Tensor, nn

from img2img_hub.images.resize import Size
from img2img_hub.images.slots import Slot
from img2img_hub.networks import Network
from img2img_hub.networks.blocks import NormStatistics
from img2img_hub.objectives.losses import ImagePool

Networks = dict[str, nn.Module]
# "source" and "target", (N, C, H, W) float in [-1, 1]; of rasters with pixels without data, which are 0, also
# "source_valid" and "target_valid", (N, 1, H, W), 1 where there is data and 0 elsewhere; of sources with instances
# their ids, "instances", (N, 1, H, W) int32; and what `prepare` adds.
Batch = dict[str, Tensor]
Terms = dict[str, tuple[Tensor, float]]  # {term: (value, weight)}: the phase minimises the weighted sum


@dataclass(kw_only=True)
class Outputs:
    """What one phase leaves for the next on the same batch.

    `fakes` are kept with their graph when `keep_graph` is set: then a later phase uses them again, and computing them
    once is enough. `features` are what a generator saw on the way to them, by the name of the image that it saw.
    """

    keep_graph: bool
    pools: dict[str, ImagePool]
    fakes: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One optimiser step: the networks it trains, those it reads frozen, its loss, and how often it repeats.

    A repeat after the first runs on a fresh batch (WGAN-GP's critic).
    """

    name: str
    trains: tuple[str, ...]
    freezes: tuple[str, ...] = ()
    loss: Callable[[Networks, Batch, Outputs], Terms]
    repeats: int = 1


class Metric(NamedTuple):
    """How one number is to be read."""

    title: str
    note: str  # unit, range, what is compared
    higher_is_better: bool | None = False  # None: it tells what was measured, and no value is better
    digits: int = 4  # after the point, for people

    @property
    def meaning(self) -> str:
        """Such as "dB, higher is better"."""
        if self.higher_is_better is None:
            return self.note
        return f"{self.note}, {'higher' if self.higher_is_better else 'lower'} is better"

    @property
    def label(self) -> str:
        """Such as "PSNR (dB, higher is better)"."""
        return f"{self.title} ({self.meaning})"

    def is_better(self, value: float, than: float) -> bool:
        """Strictly; nan is never better."""
        assert self.higher_is_better is not None
        return value > than if self.higher_is_better else value < than


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A generator that is published, and what it is between. Whoever wants to know asks here, never by a name."""

    generator: str
    """The network's name."""
    folder: str = ""
    """Where it is published below OUTPUT_DIR, and the end of its repo's name; "" for OUTPUT_DIR itself."""
    source: Literal["source", "target"] = "source"
    """The side of the data that it reads; it makes the other one."""
    judges: tuple[str, ...] = ()
    """The discriminators of what it makes, which stand beside it under training/."""
    auxiliaries: tuple[str, ...] = ()
    """Trained networks that translate nothing, such as CUT's heads: they stand there, too."""
    back: str | None = None
    """The generator of the opposite direction; None where there is none."""

    @property
    def target(self) -> Literal["source", "target"]:
        return "source" if self.source == "target" else "target"

    @property
    def beside(self) -> tuple[str, ...]:
        """All networks that are kept with it for a later training."""
        return (*self.judges, *self.auxiliaries)

    def seen_from_here(self, side: str) -> str:
        """What a side of the data ("source" or "target") is to this generator."""
        return "source" if side == self.source else "target"


@dataclass(frozen=True, kw_only=True)
class Family:
    """A paper: its knobs are the fields, with the paper's defaults."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]  # citation for the card
    paired: ClassVar[bool]
    directions: ClassVar[tuple[Direction, ...]]
    # TrainConfig's fields, as the paper has them; what is not named is as in pix2pix and CycleGAN.
    run_defaults: ClassVar[dict[str, Any]] = {}
    # Whether images are resized and cropped at random to the end; else only until the learning rate begins to fall.
    jitter_in_decay: ClassVar[bool] = True
    # What batch norm normalises with at test time; None: each image's own statistics where training saw one at a time,
    # else training's averages.
    norm_statistics: ClassVar[NormStatistics | None] = None
    # Whether the learning rate begins to fall an epoch after decay_epochs have begun, as in pix2pixHD's code.
    decays_late: ClassVar[bool] = False

    # Numbers of its own that `measure` gives, by name, beside those of all evaluations.
    metrics: ClassVar[dict[str, Metric]] = {}
    # What it reads and makes, by name: "target", and the inputs, band behind band to the generator; of pairs also what
    # training alone reads. Most read one source as it is.
    slots: ClassVar[tuple[Slot, ...]] = (Slot(name="source"), Slot(name="target"))

    registry: ClassVar[dict[str, type["Family"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):  # what families share has none
            _check_slots(cls)
            Family.registry[cls.name] = cls

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if get_origin(item.type) is Literal and value not in get_args(item.type):
                raise ValueError(f"--{item.name} must be one of {', '.join(get_args(item.type))}, got {value!r}")
            if item.name.startswith("lambda_") and not value >= 0:
                raise ValueError(f"--{item.name} is a weight of a loss and must be 0 or more, got {value}")

    @property
    def phases(self) -> tuple[Phase, ...]:
        raise NotImplementedError

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        """Make the networks, on the CPU, initialised. Raises ValueError for options that do not fit together."""
        raise NotImplementedError

    def make_helpers(self) -> Networks:
        """Networks that losses read and nothing trains, such as a perceptual network: in each loss's `networks`, on its
        device, in eval mode; neither wrapped nor saved. {} for none. Raises ValueError where one cannot be had."""
        return {}

    def describe_losses(self) -> str:
        """What a card says of the losses beside the paper, such as which helper they look through; "" for nothing."""
        return ""

    def frozen_parameters(self, networks: Networks, *, epoch: int) -> dict[str, list[nn.Parameter]]:
        """{phase: parameters that its steps leave as they are in this epoch (from 0), though it trains their network};
        {} for none. When a phase has none any more, its optimizer starts afresh."""
        return {}

    def make_pools(self, *, seed: int) -> dict[str, ImagePool]:
        """Fresh pools of past fakes, one a discriminator; {} where the paper has none."""
        return {}

    def prepare(self, batch: Batch) -> Batch:
        """A batch on its device as the losses want it; as it is by default."""
        return batch

    @staticmethod
    def finish(made: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """What a translation becomes of the network's output, such as known pixels pasted back: of the same shape.

        Args:
            made: (N, C, H, W) in [-1, 1].
            inputs: what the network read, by slot ("source" for one image), (N, c, H, W), of that size, or so much
                smaller as the scale says. Some rows of the image or all of them: it is to look at no neighbours.
        """
        return made

    @staticmethod
    def measure(made: Tensor, inputs: dict[str, Tensor], target: Tensor) -> dict[str, float]:
        """Of a pair the numbers that `metrics` names, of which an evaluation gives the means; nan where there is
        nothing to say. All (1, C, H, W) in [-1, 1], inputs as in `finish`."""
        return {}

    @staticmethod
    def show(made: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Columns of a sheet beside the inputs, the output and the target, by title: (1, 1 or 3, H, W) in [-1, 1]."""
        return {}

    def complete(self, generator: Network, networks: Networks) -> Network:
        """What of a generator is drawn, measured and published: itself, or another with something beside its weights
        that the run's networks, which are bare, have learnt."""
        return generator

    @property
    def differentiates_twice(self) -> bool:
        """Whether a loss holds a gradient of the judges. Compiled networks cannot be differentiated again."""
        return False

    def leave_out(self, *names: str) -> None:
        """For `__post_init__` of a family whose knobs say that it has none of these judges and auxiliaries: the class
        names what any may have, by which a run's folder knows its own files."""

        def rest(found: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in found if name not in names)

        ways = (replace(way, judges=rest(way.judges), auxiliaries=rest(way.auxiliaries)) for way in self.directions)
        object.__setattr__(self, "directions", tuple(ways))

    def check_inputs(self, inputs: Sequence[Slot]) -> None:
        """Refuse what the user says the sources are, where this makes sources, too. Raises ValueError."""
        both_ways = any(direction.source != "source" for direction in self.directions)
        if both_ways and any(slot.by_nearest for slot in inputs):
            said = ", ".join(slot.describe() for slot in inputs)
            raise ValueError(
                f"{self.title} makes sources, too, and no network here makes {said}: leave out --labels and --masks, "
                "so that sources are pictures, or train pix2pix on pairs"
            )

    # --- asked of any family ------------------------------------------------------------------------------------------

    @property
    def published(self) -> dict[str, str]:
        """{folder of the published generator, "" for OUTPUT_DIR itself: name of the network}."""
        return {direction.folder: direction.generator for direction in self.directions}

    @property
    def judging_phases(self) -> frozenset[str]:
        """Names of the phases that train judges and nothing else."""
        judges = {judge for direction in self.directions for judge in direction.judges}
        return frozenset(phase.name for phase in self.phases if judges.issuperset(phase.trains))

    @property
    def has_cycles(self) -> bool:
        return any(direction.back is not None for direction in self.directions)


def _check_slots(family: type[Family]) -> None:
    """Refuse a class whose slots do not fit together. Raises TypeError, for whoever writes it."""
    names = [slot.name for slot in family.slots]
    extras = [slot for slot in family.slots if slot.training_only]
    inputs = [slot for slot in family.slots if slot.name != "target" and not slot.training_only]
    targets = [slot for slot in family.slots if slot.name == "target"]
    if len(set(names)) < len(names) or len(targets) != 1 or not inputs or targets[0].training_only:
        raise TypeError(f"{family.__name__}.slots are {', '.join(names)}: one target, inputs, each of another name")
    holes = [place for place, slot in enumerate(inputs) if slot.kind == "hole"]
    if len(holes) > 1 or holes[:1] == [0]:
        raise TypeError(f"{family.__name__}.slots: one mask of holes at most, behind what they are in")
    if targets[0].kind in ("mask", "hole", "instances"):
        raise TypeError(f"{family.__name__} makes {targets[0].kind}, and a target is a picture, a raster or labels")
    if any(slot.scale != 1 for slot in inputs):
        raise TypeError(f"{family.__name__}.slots: inputs are of one size, and scale says how much larger others are")
    one_way = all(direction.source == "source" for direction in family.directions)
    if not family.paired and (extras or len(inputs) > 1 or targets[0].scale != 1):
        raise TypeError(f"{family.__name__} has no pairs: it reads one source, and makes a target of its size")
    named = ("source", "target", *(slot.name for slot in extras))
    beside = {f"{name}_{what}" for name in named for what in ("valid", "numbers")} | {"source", "instances"}
    if taken := sorted(beside & {slot.name for slot in extras}):
        raise TypeError(f"{family.__name__}.slots: {taken[0]} is in every batch already, call it otherwise")
    if not one_way and any(slot.by_nearest for slot in inputs):
        raise TypeError(f"{family.__name__} makes sources, too, and they are {inputs[0].kind}")
