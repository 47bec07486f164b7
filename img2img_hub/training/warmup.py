"""The warm-up of discriminators that start afresh beside generators that do not: a fine-tuning's steps before step 0.

accelerate launch train_accelerate.py pix2pix --init_from user/generator-alone --discriminator_warmup_steps 500 …

A generator that can already paint would else be led away by a critic that knows nothing yet.
"""

import time
from contextlib import closing
from dataclasses import replace

from torch import Tensor, nn

from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.training.batches import open_stream
from img2img_hub.training.results.logs import Logs
from img2img_hub.training.run.context import RunContext
from img2img_hub.training.run.signals import StopRequest
from img2img_hub.training.step import Stepper


def warm_up(run: RunContext, *, dataset: TrainingDataset, stepper: Stepper, logs: Logs, stop: StopRequest) -> None:
    """Run `discriminator_warmup_steps` steps of the phases that train discriminators; left early if `stop` is asked.

    What else learns, its averages and what its layers keep of images, and the step count stay as they are; optimizers
    and pools of the discriminators go on from here. All discriminators learn, those that were there as well, for they
    share an optimizer. The images come in an order of their own, so that the run's own order is that of any run with
    its seed. There are no checkpoints before step 0: a warm-up that was cut short is made again, and
    comes to the same.
    """
    began = time.perf_counter()
    config, state = run.config, run.state
    phases = run.family.judging_phases
    others = {name for phase in run.family.phases if phase.name not in phases for name in phase.trains}
    kept = {name: _buffers(state.networks[name]) for name in others}
    batches = open_stream(
        dataset,
        config=replace(config, seed=(config.seed + 1) % 2**31),
        accelerator=run.accelerator,
        start=0,
        stop=config.discriminator_warmup_steps * run.plan.batches_per_step,
    )
    averages: dict[str, float] = {}
    with closing(batches):
        for step in range(1, config.discriminator_warmup_steps + 1):
            stepper.step(batches, logs, only=phases)
            if stop.agreed():
                break
            if step % config.log_steps == 0 or step == config.discriminator_warmup_steps:
                averages = logs.take_averages(0)
    for name, buffers in kept.items():
        for key, buffer in state.networks[name].named_buffers():
            buffer.copy_(buffers[key])
    state.seconds += time.perf_counter() - began
    values = ", ".join(f"{key} {value:.3g}" for key, value in averages.items())
    if values:
        logs.say(f"Warm-up: {step} steps of the discriminators alone ({values}).")
    logs.skip_time(0)


def _buffers(network: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers()}
