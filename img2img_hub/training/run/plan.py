"""Plan: how long a run is and how many images stand behind a step.

plan = Plan.make(family, config, num_samples=400, world_size=2); plan.total_steps
"""

import math
from dataclasses import dataclass

from img2img_hub.families import Family
from img2img_hub.training.run.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many steps of how many samples."""

    num_samples: int | None  # in an epoch; None for a stream whose length is not known
    batches_per_step: int  # micro-batches a rank consumes in one step
    samples_per_step: int  # over all ranks
    global_batch: int  # images behind one optimizer step
    total_steps: int

    @classmethod
    def make(cls, family: Family, config: TrainConfig, *, num_samples: int | None, world_size: int) -> "Plan":
        """Raises ValueError where neither the steps nor the samples in an epoch are known."""
        if config.max_steps is None and num_samples is None:
            raise ValueError(
                f"how many images the stream holds is not known, so that --num_epochs {config.num_epochs} has no end: "
                f"give --max_steps, such as 100000"
            )
        if config.learning_rate_policy == "step" and num_samples is None:
            raise ValueError(
                "how many images the stream holds is not known, so that --learning_rate_policy step has no epochs to "
                "count: take linear or cosine, which count --max_steps"
            )
        groups = 1 + sum(phase.repeats - 1 for phase in family.phases)
        batches = config.gradient_accumulation_steps * groups
        samples = config.batch_size * world_size * batches
        return cls(
            num_samples=num_samples,
            batches_per_step=batches,
            samples_per_step=samples,
            global_batch=config.batch_size * world_size * config.gradient_accumulation_steps,
            total_steps=config.max_steps or math.ceil(config.num_epochs * (num_samples or 0) / samples),
        )

    def epoch(self, step: int) -> int:
        """Passes over the data begun before this step's, 0 where their length is not known."""
        return step * self.samples_per_step // self.num_samples if self.num_samples else 0

    def steps_before_decay(self, config: TrainConfig) -> int:
        """Steps before the decay: of both ways that `TrainConfig.learning_rate_factor` has."""
        if not config.decays:
            return self.total_steps
        if config.max_steps is None and self.num_samples:
            flat = config.num_epochs - config.decay_epochs
            return math.ceil(flat * self.num_samples / self.samples_per_step)
        return self.total_steps - round(self.total_steps * config.decay_epochs / config.num_epochs)

    def epochs(self, step: int) -> float | None:
        """Passes over the data after so many steps, None where their length is not known."""
        return step * self.samples_per_step / self.num_samples if self.num_samples else None

    def describe(self, config: TrainConfig) -> list[str]:
        epochs = self.epochs(self.total_steps)
        passes = "of a stream of unknown length" if epochs is None else f"{epochs:.1f} epochs of {self.num_samples}"
        return [
            f"{self.total_steps} steps ({passes}), global batch {self.global_batch}, "
            f"learning rate {config.learning_rate:g}"
            + (f" (discriminators {slow:g})" if (slow := config.discriminator_learning_rate) is not None else "")
        ]
