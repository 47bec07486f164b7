"""train(): read it from top to bottom. It knows phases only; what they optimise is the family's.

    python -c "from img2img_hub import train, CycleGAN, DataConfig, TrainConfig; \\
        train(CycleGAN(), TrainConfig(output_dir='runs/a', max_steps=30, cpu=True), DataConfig(dataset='photos'))"
"""

import time
from contextlib import closing, nullcontext, suppress
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from img2img_hub.data.find.damage import without_bad
from img2img_hub.data.find.findings import findings
from img2img_hub.data.find.sources import DataConfig, StreamedData, open_train_and_validation
from img2img_hub.evaluation.preview import TrainingData
from img2img_hub.families import Family
from img2img_hub.families.options import Architecture
from img2img_hub.training.batches import Ahead, open_samples, open_stream, raise_broken, stop_cropping
from img2img_hub.training.results.logs import Logs
from img2img_hub.training.results.push import Publisher, create_repos, find_repo_ids, push_all
from img2img_hub.training.results.results import Results
from img2img_hub.training.results.run import Run
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.context import RunContext
from img2img_hub.training.run.folder import RunFolder
from img2img_hub.training.run.launch import (
    describe_speed,
    errors_of_each_process,
    errors_of_lost_processes,
    start_accelerator,
)
from img2img_hub.training.run.plan import Plan
from img2img_hub.training.run.signals import StopRequest
from img2img_hub.training.state.checkpoints import RunState, errors_of_writing, load_checkpoint, save_checkpoint
from img2img_hub.training.state.encoders import start_encoders
from img2img_hub.training.state.finetune import Start, initialise_from
from img2img_hub.training.state.optimizers import (
    freeze,
    make_averages,
    make_optimizers,
    prepare_helpers,
    prepare_networks,
    set_learning_rates,
)
from img2img_hub.training.step import Stepper
from img2img_hub.training.warmup import warm_up


def train(family: Family, config: TrainConfig, data: DataConfig | TrainingData, *, architecture: Any = None) -> Run:
    """Train `family` on `data` and leave finished generators in Hub layout under config.output_dir.

    Args:
        data: a DataConfig, or what `open_pairs` or `open_unpaired` gave.
        architecture: an Architecture; None for the family's defaults.

    Returns:
        The run, with its translators. After Ctrl-C or SIGTERM it is not finished, and config.output_dir holds a
        checkpoint to resume from.

    Raises:
        ValueError: settings or data that cannot work, each with what to do instead.
    """
    opening = "open_pairs" if family.paired else "open_unpaired"
    if isinstance(data, TrainingData):
        if data.paired != family.paired:
            raise ValueError(f"{family.title} does not train on these data: open them by {opening}")
        data = data.config
    if not isinstance(data, DataConfig):
        raise ValueError(f"data is a {type(data).__name__}: give {opening}(…) or DataConfig(dataset=…)")
    folder = RunFolder(family=family, config=config, data=data, architecture=architecture or Architecture())
    with closing(folder), errors_of_writing(folder.checkpoints):
        accelerator = start_accelerator(folder.config)
        with errors_of_lost_processes(accelerator, folder.checkpoints):
            stopped_by = _train(folder, accelerator)
    return Run(path=folder.path, family=folder.family, config=folder.config, stopped_by=stopped_by)


def _train(folder: RunFolder, accelerator: Accelerator) -> int | None:
    """The signal that stopped the run before its end, if one did."""
    family, config, data = folder.family, folder.config, folder.data

    # Where it goes, and whether it may: nothing is touched before everything was found to be in order.
    checkpoint = folder.check()
    repo_ids = find_repo_ids(family, config, accelerator)
    train_data, validation_data = open_train_and_validation(
        data, paired=family.paired, seed=config.seed, slots=family.slots
    )
    family.check_inputs(train_data.about.inputs)
    if data.skip_bad:
        train_data, validation_data = without_bad(train_data), without_bad(validation_data)
    folder.refuse_damaged(train_data, validation_data)
    folder.find_origin(train_data)
    said = folder.check_data(checkpoint, train_data, validation_data)
    dataset = open_samples(train_data, config=config)

    # Networks, the same on every rank, and one optimizer a phase.
    channels = {"in_channels": train_data.in_channels, "out_channels": train_data.out_channels}
    shape: dict[str, Any] = {**channels, "image_size": config.image_size}
    fresh = config.init_from is not None and checkpoint is None  # a checkpoint has all that it would bring
    networks: dict[str, nn.Module] = {}
    with suppress(ValueError) if fresh else nullcontext():  # what starts from other networks may get their shape yet
        networks.update(family.build(folder.architecture, **shape))
    start = Start()
    if fresh:
        found = folder.find_start()
        taken = folder.take_shape_of(found, networks)
        if taken or not networks:
            said += [f"The networks have the shape of those in {config.init_from}: {taken}."] if taken else []
            family = folder.family
            set_seed(config.seed)  # as if they had been asked for at once
            networks = dict(family.build(folder.architecture, **shape))
        where = str(config.init_from)
        start = initialise_from(networks, family=family, where=where, found=found, data=train_data)
    with accelerator.local_main_process_first():  # the first one downloads for all
        encoders = start_encoders(networks, config, fresh=checkpoint is None and not fresh)
    batch_norm = any(isinstance(layer, nn.BatchNorm2d) for network in networks.values() for layer in network.modules())
    if batch_norm and accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        networks = {name: nn.SyncBatchNorm.convert_sync_batchnorm(network) for name, network in networks.items()}
    plan = Plan.make(family, config, num_samples=len(dataset) or None, world_size=accelerator.num_processes)
    if (
        not family.jitter_in_decay and config.load_size is None and config.crop == "resize"
    ):  # one that was given is the scale to train at
        flat = plan.steps_before_decay(config) * plan.samples_per_step
        stop_cropping(dataset, config=config, from_sample=flat)
    averages = make_averages(family, config, networks=networks, accelerator=accelerator)
    wrapped = prepare_networks(family, config, networks=networks, accelerator=accelerator)
    optimizers = make_optimizers(family, config, networks=networks, accelerator=accelerator)
    freeze(family, config, networks, optimizers, plan=plan, step=0)  # whether it can be
    helpers = prepare_helpers(family, accelerator)

    # The place in the run: a checkpoint's, or the beginning.
    set_seed(config.seed, device_specific=True)  # from here on dropout and pools differ by rank
    state = RunState(
        networks=networks,
        optimizers=optimizers,
        averages=averages,
        pools=family.make_pools(seed=config.seed + accelerator.process_index),
        settings=folder.settings(),
    )
    if checkpoint is not None:
        load_checkpoint(checkpoint, state, accelerator)
    run = RunContext(
        folder=folder,
        accelerator=accelerator,
        state=state,
        plan=plan,
        train_data=train_data,
        validation_data=validation_data,
        repo_ids=repo_ids,
    )
    results = Results(run)
    ways = family.directions
    state.translations = {way.generator: results.generators.settings(way).to_dict() for way in ways}
    said += create_repos(repo_ids, config, accelerator, origin=folder.origin)
    folder.open(from_step=state.step)
    logs = Logs(run)
    logs.say(f"{family.title} on {train_data.description}")
    for line in [
        *(findings(train_data) if accelerator.is_main_process else []),
        *describe_speed(accelerator, config, resumed=checkpoint is not None),
        *said,
        *start.said,
        *encoders,
        *plan.describe(config),
        *folder.describe_start(checkpoint, total=plan.total_steps),
    ]:
        logs.say(line)
    if dataset.images.description:
        logs.say(dataset.images.description)
    if isinstance(train_data, StreamedData):
        logs.say(train_data.describe_reading(world_size=accelerator.num_processes))
    if batch_norm and accelerator.num_processes > 1 and accelerator.device.type == "cpu":
        logs.say("Batch norm statistics are each process's own: SyncBatchNorm does not run on CPUs.")
    if state.step >= plan.total_steps and folder.finished_step == state.step:
        logs.close()
        if accelerator.is_main_process:  # a kill may have come between the end and the push
            for url in push_all(folder.path, repo_ids, config=config):
                logs.say(f"Pushed to {url}")
        return None

    # The loop: every phase takes one optimizer step (or several, on fresh batches), again and again.
    stream = open_stream(
        dataset,
        config=config,
        accelerator=accelerator,
        start=state.step * plan.batches_per_step,
        stop=plan.total_steps * plan.batches_per_step,
    )
    batches = Ahead(stream, count=plan.batches_per_step)
    stepper = Stepper(family, config, accelerator=accelerator, wrapped=wrapped, state=state, helpers=helpers)
    to_push = repo_ids if accelerator.is_main_process else {}
    with (
        errors_of_each_process(accelerator),
        closing(logs.bar),  # an error's line does not hang on the bar
        closing(batches),
        Publisher(folder.path, to_push, config=config, say=logs.say) as publisher,
        StopRequest() as stop,
    ):
        results.begin(logs)
        if start.missing and config.discriminator_warmup_steps:
            set_learning_rates(optimizers, family, config, factor=1.0)
            warm_up(run, dataset=dataset, stepper=stepper, logs=logs, stop=stop)
            if stop.agreed():
                logs.say("Stopped in the warm-up; the same command with --resume begins it again.")
                logs.close()
                return stop.number
        results.look(logs)
        readable = batches.ready(stop)
        stopping = stop.agreed(broken=not readable)
        if stop.broken:
            raise_broken(batches, folder)
        if stopping:
            logs.say(f"Stopped at step {state.step}, before its next one; --resume goes on from there.")
            logs.close()
            return stop.number
        while state.step < plan.total_steps:
            began = time.perf_counter()
            factor = config.learning_rate_factor(
                step=state.step,
                total_steps=plan.total_steps,
                epoch=plan.epoch(state.step),
                late=family.decays_late,
            )
            rates = set_learning_rates(optimizers, family, config, factor=factor)
            frozen = freeze(family, config, networks, optimizers, plan=plan, step=state.step)
            stepper.step(batches, logs, frozen=frozen)
            state.step += 1
            logs.advance(state.step)

            # What the step gave: a line, a checkpoint, a sheet, a push. The checkpoint stands before the sheet is
            # drawn: an image that cannot be read there must not cost what was learnt.
            last = state.step == plan.total_steps
            stopping = stop.agreed(broken=not last and not batches.ready(stop))
            if last or stopping or state.step % config.log_steps == 0:
                logs.write(state.step, epoch=plan.epoch(state.step), rates=rates)
            state.seconds += time.perf_counter() - began  # a line waits for the GPU, so what it did is counted
            pushing = config.push_every is not None and state.step % config.push_every == 0 and not last
            due = state.step % config.checkpoint_steps == 0 or results.measures_all or pushing
            if last or stopping or due:
                logs.check_finite(state.step)
                save_checkpoint(folder.checkpoints, state, accelerator, keep=config.keep_checkpoints)
            if stop.broken and not last:
                raise_broken(batches, folder)
            if stopping and not last:
                logs.say(f"Stopped at step {state.step}; the same command with --resume goes on from there.")
                logs.close()
                return stop.number
            results.look(logs)
            if pushing:
                publisher.offer(results.write_snapshot, step=state.step, total_steps=plan.total_steps)
                logs.skip_time(state.step)

        # The end: generators in Hub layout, measured as saved, with a true card; pushed if asked.
        results.finish(logs)
    logs.close()
    publisher.finish()  # here a Ctrl-C ends it: all else is done
    return None
