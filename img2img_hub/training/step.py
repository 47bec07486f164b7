"""Stepper: one step of all phases, each with its own optimizer. What the phases are is the family's.

stepper = Stepper(family, config, accelerator=accelerator, wrapped=wrapped, state=state); stepper.step(batches, logs)
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from img2img_hub.families import Batch, Family, Outputs, Phase
from img2img_hub.training.results.logs import Logs
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.state.checkpoints import RunState


@dataclass(kw_only=True)
class _Micro:
    batch: Batch
    outputs: Outputs


class Stepper:
    """One step of all phases."""

    def __init__(
        self,
        family: Family,
        config: TrainConfig,
        *,
        accelerator: Accelerator,
        wrapped: dict[str, nn.Module],
        state: RunState,
        helpers: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self.family = family
        self.phases = family.phases
        self.accumulation = config.gradient_accumulation_steps
        self.max_grad_norm = config.max_grad_norm
        self.accelerator = accelerator
        self.wrapped = wrapped
        self.helpers = dict(helpers or {})
        self.state = state
        # Tensor cores want a half precision image's channels together, and its convolutions follow; CPUs were slower.
        # Weights keep their order: to a fused Adam, a checkpoint in another one is other numbers.
        self.channels_last = accelerator.device.type == "cuda" and accelerator.mixed_precision in ("fp16", "bf16")
        for network in wrapped.values():
            network.train()

    def step(
        self,
        batches: Iterator[Batch],
        logs: Logs,
        *,
        only: Collection[str] | None = None,
        frozen: Mapping[str, Sequence[nn.Parameter]] | None = None,
    ) -> None:
        """One step of all phases, then the averages follow; of the phases named by `only`, and then they do not.
        What is `frozen`, by phase, stays as it is."""
        phases = [phase for phase in self.phases if only is None or phase.name in only]
        micros: list[_Micro] = []
        for phase in phases:
            for repeat in range(phase.repeats):
                # A phase starts on what the one before it left; its repeats go on fresh batches.
                if not micros or repeat:
                    micros = [self._draw(batches) for _ in range(self.accumulation)]
                # Several micro-batches' graphs do not fit the memory that accumulation is meant to save.
                reused = phase is not phases[-1] and repeat == phase.repeats - 1
                for micro in micros:
                    micro.outputs.keep_graph = reused and self.accumulation == 1
                self._optimise(phase, micros, logs, frozen=(frozen or {}).get(phase.name, ()))
        if only is None:
            for name, average in self.state.averages.items():
                average.update_parameters(self.state.networks[name])  # type: ignore[operator]

    def _draw(self, batches: Iterator[Batch]) -> _Micro:
        batch = next(batches)
        if self.channels_last:
            batch = {
                name: extra.contiguous(memory_format=torch.channels_last) if extra.ndim == 4 else extra
                for name, extra in batch.items()
            }
        return _Micro(batch=self.family.prepare(batch), outputs=Outputs(keep_graph=False, pools=dict(self.state.pools)))

    def _optimise(self, phase: Phase, micros: list[_Micro], logs: Logs, *, frozen: Sequence[nn.Parameter] = ()) -> None:
        """Gradients of one phase over all micro-batches, then its optimizer's step."""
        # What is read only needs no gradient of its own; unwrapped, it takes no part in the exchange between ranks.
        read = {name: self.state.networks[name] for name in phase.freezes}
        networks = self.wrapped | self.helpers | read
        for network in read.values():
            network.requires_grad_(False)
        optimizer = self.state.optimizers[phase.name]
        optimizer.zero_grad()
        for index, micro in enumerate(micros):
            with ExitStack() as exchange:
                if index < len(micros) - 1:  # ranks exchange gradients once, with the last micro-batch
                    for name in phase.trains:
                        exchange.enter_context(self.accelerator.no_sync(self.wrapped[name]))
                terms = phase.loss(networks, micro.batch, micro.outputs)
                loss = torch.stack([value.float() * weight for value, weight in terms.values()]).sum()
                self.accelerator.backward(loss / len(micros))
            logs.add(phase.name, terms)
        for parameter in frozen:  # Adam leaves out what has none; ranks exchange them all the same
            parameter.grad = None
        if self.max_grad_norm is not None:
            learning = [each for name in phase.trains for each in self.state.networks[name].parameters()]
            self.accelerator.clip_grad_norm_(learning, self.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()  # gradients would lie beside the next phase's graphs
        for network in read.values():
            network.requires_grad_(True)
