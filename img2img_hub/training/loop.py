"""train(): read it from top to bottom. It knows phases only; what they optimise is the family's.

    python -c "from img2img_hub import train, CycleGAN, DataConfig, TrainConfig; \\
        train(CycleGAN(), TrainConfig(output_dir='runs/a', max_steps=30, cpu=True), DataConfig(dataset='photos'))"
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from img2img_hub.data.sources import DataConfig, open_train_and_validation
from img2img_hub.data.transforms import TrainingDataset
from img2img_hub.families import Family
from img2img_hub.families.options import Architecture
from img2img_hub.training.batches import open_stream
from img2img_hub.training.checkpoints import RunState, load_checkpoint, save_checkpoint
from img2img_hub.training.config import TrainConfig
from img2img_hub.training.finetune import initialise_from
from img2img_hub.training.launch import errors_of_each_process, start_accelerator
from img2img_hub.training.logs import Logs
from img2img_hub.training.plan import Plan
from img2img_hub.training.push import find_repo_ids
from img2img_hub.training.results import Results
from img2img_hub.training.run_folder import RunFolder
from img2img_hub.training.signals import StopRequest
from img2img_hub.training.step import Stepper


def train(family: Family, config: TrainConfig, data: DataConfig, *, architecture: Any = None) -> Path:
    """Train `family` on `data` and leave finished generators in Hub layout under config.output_dir.

    Returns:
        config.output_dir as a path. After Ctrl-C or SIGTERM it holds a checkpoint to resume from instead.

    Raises:
        ValueError: settings or data that cannot work, each with what to do instead.
    """
    architecture = architecture or Architecture()
    accelerator = start_accelerator(config)

    # Where it goes, and whether it may: nothing is touched before everything was found to be in order.
    folder = RunFolder(family=family, config=config, data=data, architecture=architecture)
    checkpoint = folder.check()
    repo_ids = find_repo_ids(family, config, accelerator)
    train_data, validation_data = open_train_and_validation(data, paired=family.paired, seed=config.seed)
    dataset = TrainingDataset(
        train_data,
        image_size=config.image_size,
        load_size=config.jitter_size,
        flip=config.flip,
        seed=config.seed,
    )

    # Networks, the same on every rank, and one optimizer a phase.
    networks: dict[str, nn.Module] = dict(
        family.build(architecture, in_channels=3, out_channels=3, image_size=config.image_size)
    )
    fresh = config.init_from is not None and checkpoint is None  # a checkpoint has all that it would bring
    started_from = initialise_from(networks, family=family, where=str(config.init_from)) if fresh else []
    batch_norm = any(isinstance(layer, nn.BatchNorm2d) for network in networks.values() for layer in network.modules())
    if batch_norm and accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        networks = {name: nn.SyncBatchNorm.convert_sync_batchnorm(network) for name, network in networks.items()}
    plan = Plan.make(family, config, num_samples=len(train_data), world_size=accelerator.num_processes)
    averages = {
        name: AveragedModel(
            networks[name],
            device=accelerator.device,
            multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay),
            use_buffers=True,
        )
        for name in family.published.values()
        if config.ema_decay
    }
    wrapped = {name: accelerator.prepare(network) for name, network in networks.items()}
    optimizers = {
        phase.name: accelerator.prepare(
            torch.optim.Adam(
                [parameter for name in phase.trains for parameter in networks[name].parameters()],
                lr=config.learning_rate,
                betas=(config.adam_beta1, config.adam_beta2),
                fused=True,
            )
        )
        for phase in family.phases
    }

    # The place in the run: a checkpoint's, or the beginning.
    set_seed(config.seed, device_specific=True)  # from here on dropout and pools differ by rank
    state = RunState(
        networks=networks,
        optimizers=optimizers,
        averages=averages,
        pools=family.make_pools(seed=config.seed + accelerator.process_index),
    )
    if checkpoint is not None:
        load_checkpoint(checkpoint, state, accelerator)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        folder.open(from_step=state.step)
    accelerator.wait_for_everyone()
    logs = Logs(folder, config=config, accelerator=accelerator, plan=plan, start_step=state.step)
    results = Results(
        folder,
        accelerator=accelerator,
        state=state,
        train_data=train_data,
        validation_data=validation_data,
        plan=plan,
        repo_ids=repo_ids,
    )
    logs.say(f"{family.title} on {train_data.description}")
    for line in [*started_from, *plan.describe(config), *folder.describe_start(checkpoint, total=plan.total_steps)]:
        logs.say(line)
    if batch_norm and accelerator.num_processes > 1 and accelerator.device.type == "cpu":
        logs.say("Batch norm statistics are each process's own: SyncBatchNorm does not run on CPUs.")
    if state.step >= plan.total_steps and folder.finished_step == state.step:
        return folder.path

    # The loop: every phase takes one optimizer step (or several, on fresh batches), again and again.
    batches = open_stream(
        dataset,
        config=config,
        accelerator=accelerator,
        start=state.step * plan.batches_per_step,
        stop=plan.total_steps * plan.batches_per_step,
    )
    stepper = Stepper(family, config, accelerator=accelerator, wrapped=wrapped, state=state)
    with (
        errors_of_each_process(accelerator),
        closing(logs.bar),  # an error's line does not hang on the bar
        closing(batches),
        StopRequest() as stop,
    ):
        while state.step < plan.total_steps:
            began = time.perf_counter()
            factor = config.learning_rate_factor(
                step=state.step, total_steps=plan.total_steps, epoch=plan.epoch(state.step)
            )
            for optimizer in optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * factor
            stepper.step(batches, logs)
            state.step += 1

            # What the step gave: a line, a checkpoint, a sheet. The last step always gives all three. The checkpoint
            # stands before the sheet is drawn: an image that cannot be read there must not cost what was learnt.
            stopping = stop.agreed()
            last = state.step == plan.total_steps
            if last or stopping or state.step % config.log_steps == 0:
                logs.write(state.step, epoch=plan.epoch(state.step), learning_rate=config.learning_rate * factor)
            state.seconds += time.perf_counter() - began  # a line waits for the GPU, so what it did is counted
            if last or stopping or state.step % config.checkpoint_steps == 0:
                logs.check_finite(state.step)
                save_checkpoint(folder.checkpoints, state, accelerator, keep=config.keep_checkpoints)
            if last or (state.step % config.sample_steps == 0 and not stopping):
                logs.write_validation(state.step, results.sample(), sheet=folder.sheet(state.step))
            if stopping and not last:
                logs.say(f"Stopped at step {state.step}; the same command with --resume goes on from there.")
                logs.close()
                return folder.path

    # The end: generators in Hub layout, measured as saved, with a true card; pushed if asked.
    results.finish(logs)
    logs.close()
    return folder.path
