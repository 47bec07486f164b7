"""Plan: how long a run is and how many images stand behind a step.

plan = Plan.make(family, config, num_samples=400, world_size=2); plan.total_steps
"""

import math
from dataclasses import dataclass

from img2img_hub.families import Family
from img2img_hub.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many steps of how many samples."""

    num_samples: int  # in an epoch
    batches_per_step: int  # micro-batches a rank consumes in one step
    samples_per_step: int  # over all ranks
    global_batch: int  # images behind one optimizer step
    total_steps: int

    @classmethod
    def make(cls, family: Family, config: TrainConfig, *, num_samples: int, world_size: int) -> "Plan":
        groups = 1 + sum(phase.repeats - 1 for phase in family.phases)
        batches = config.gradient_accumulation_steps * groups
        samples = config.batch_size * world_size * batches
        return cls(
            num_samples=num_samples,
            batches_per_step=batches,
            samples_per_step=samples,
            global_batch=config.batch_size * world_size * config.gradient_accumulation_steps,
            total_steps=config.max_steps or math.ceil(config.num_epochs * num_samples / samples),
        )

    def epoch(self, step: int) -> int:
        return step * self.samples_per_step // self.num_samples

    def describe(self, config: TrainConfig) -> list[str]:
        return [
            f"{self.total_steps} steps ({self.total_steps * self.samples_per_step / self.num_samples:.1f} epochs of "
            f"{self.num_samples}), global batch {self.global_batch}, learning rate {config.learning_rate:g}"
        ]
