"""What a step works with: networks on their device (compiled if asked for), their averages, an optimizer a phase.

optimizers = make_optimizers(family, config, networks=networks, accelerator=accelerator)
"""

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from img2img_hub.errors import first_line
from img2img_hub.families import Family
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.plan import Plan
from img2img_hub.training.state.encoders import frozen_encoders


def prepare_networks(
    family: Family, config: TrainConfig, *, networks: Mapping[str, nn.Module], accelerator: Accelerator
) -> dict[str, nn.Module]:
    """The networks on this process's device, as the phases call them: with autocast, the exchange between ranks, and
    compiled if asked for. `networks` themselves are moved and stay what they are: a call is compiled, no module.

    Raises:
        ValueError: --compile, and nothing can be compiled here.
    """
    wrapped = {name: accelerator.prepare(network) for name, network in networks.items()}
    if config.compile:
        _try_to_compile(accelerator.device)
        # On CPUs the compiler's choice of channels_last costs a copy of every weight in every call.
        options = {"layout_optimization": False} if accelerator.device.type == "cpu" else None
        judges = {judge for direction in family.directions for judge in direction.judges}
        for name, network in networks.items():
            if name not in judges or not family.differentiates_twice:
                network.compile(dynamic=False, options=options)
    return wrapped


def prepare_helpers(family: Family, accelerator: Accelerator) -> dict[str, nn.Module]:
    """The family's helpers on this process's device, which learn nothing. What has to be downloaded for them, the first
    process of each machine downloads for all.

    Raises:
        ValueError: one that cannot be had.
    """
    with accelerator.local_main_process_first():
        helpers = family.make_helpers()
    for network in helpers.values():
        network.to(accelerator.device).eval().requires_grad_(False)
    return helpers


def _try_to_compile(device: torch.device) -> None:
    """Something small, before anything else is done: compilers are looked for at the first call only."""
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # each missing part has its own
        raise ValueError(
            f"--compile does not work on this machine ({first_line(error)}): it needs a C++ compiler such as g++ "
            "(Debian: apt install g++) and Python's headers; or leave it out"
        ) from None


def make_averages(
    family: Family, config: TrainConfig, *, networks: Mapping[str, nn.Module], accelerator: Accelerator
) -> dict[str, AveragedModel]:
    """An exponential moving average of each published generator, its buffers included; {} with ema_decay 0."""
    if not config.ema_decay:
        return {}
    averages = {}
    for name in family.published.values():
        average = AveragedModel(
            networks[name],
            device=accelerator.device,
            multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay),
            use_buffers=True,
        )
        average.n_averaged = average.n_averaged.cpu()  # it is asked for in every step: a GPU would be waited for
        averages[name] = average
    return averages


def make_optimizers(
    family: Family, config: TrainConfig, *, networks: Mapping[str, nn.Module], accelerator: Accelerator
) -> dict[str, AcceleratedOptimizer]:
    """One Adam a phase, over all networks that it trains."""
    optimizers = {}
    for phase in family.phases:
        adam = torch.optim.Adam(
            [parameter for name in phase.trains for parameter in networks[name].parameters()],
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            fused=True,
        )
        optimizers[phase.name] = accelerator.prepare(adam)
    return optimizers


def freeze(
    family: Family,
    config: TrainConfig,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, AcceleratedOptimizer],
    *,
    plan: Plan,
    step: int,
) -> dict[str, list[nn.Parameter]]:
    """What this step (from 0) leaves as it is, by phase: encoders in their first steps, what the family says. In the
    first step in which a phase trains all of its networks again, its Adam forgets what it knew.

    Raises:
        ValueError: something is frozen for some epochs, and how long one is is not known.
    """
    frozen = family.frozen_parameters(dict(networks), epoch=plan.epoch(step))
    if frozen and plan.num_samples is None:
        raise ValueError(
            "how many images the stream holds is not known, so that nobody can tell when the epochs end in which "
            f"{family.title} trains a part of its networks: leave out --streaming, or --fix_global_epochs"
        )
    before = family.frozen_parameters(dict(networks), epoch=plan.epoch(max(step - 1, 0)))
    for phase in before.keys() - frozen.keys():
        optimizers[phase].optimizer.state.clear()
    kept = frozen_encoders(family, config, networks, step=step)
    return {phase: [*frozen.get(phase, ()), *kept.get(phase, ())] for phase in frozen.keys() | kept.keys()}


def set_learning_rates(
    optimizers: Mapping[str, AcceleratedOptimizer], family: Family, config: TrainConfig, *, factor: float
) -> dict[str, float]:
    """Give every optimizer its phase's learning rate times `factor`, the schedule's share.

    Returns:
        What a log line says of it: {"learning_rate"}, and {"discriminator_learning_rate"} where that is another one.
    """
    rates = {"learning_rate": config.learning_rate * factor}
    if config.discriminator_learning_rate is not None:
        rates["discriminator_learning_rate"] = config.discriminator_learning_rate * factor
    for name, optimizer in optimizers.items():
        key = "discriminator_learning_rate" if name in family.judging_phases else "learning_rate"
        for group in optimizer.param_groups:
            group["lr"] = rates.get(key, rates["learning_rate"])
    return rates
