"""Trainings in one of several processes, watched from within: samples drawn, gradients, exchanges, weights.

RANK=0 LOCAL_RANK=0 WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 python -m tests.ranks jobs.json

jobs.json: {name: {"family", "objective", "architecture", "data", "run", "port"}}. What rank R saw is in
<output_dir>.seen-R.pt.
"""

import hashlib
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from img2img_hub import Architecture, DataConfig, TrainConfig, train
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.families import FAMILIES
from img2img_hub.training.step import Stepper


class Watch:
    """What happens in one training."""

    def __init__(self):
        self.samples = []  # (epoch, index) in the order drawn
        self.touched = []  # of parameters that a phase does not train: those to which it gave a gradient
        self.exchanges = 0  # all-reduces of gradients
        self.weights = []  # a digest of all networks and averages after every optimizer step
        self.counted = []  # of every batch norm layer, the batches it has seen; rank R began at 1000 R
        self.stepper = None

    def batch_norms(self):
        for network in self.stepper.state.networks.values():
            yield from (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))

    def parameters(self):
        for name, network in self.stepper.state.networks.items():
            for key, parameter in network.named_parameters():
                yield f"{name}.{key}", parameter

    def before_optimizer(self, optimizer, *_):
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        self.touched += [
            name for name, parameter in self.parameters() if id(parameter) not in own and parameter.grad is not None
        ]

    def after_optimizer(self, *_):
        digest = hashlib.sha256()
        networks = [*self.stepper.state.networks.values(), *self.stepper.state.averages.values()]
        for network in networks:
            for parameter in network.parameters():
                digest.update(parameter.detach().numpy().tobytes())
        self.weights.append(digest.hexdigest())

    def exchange(self, group, bucket):
        self.exchanges += 1
        return allreduce_hook(group, bucket)


@contextmanager
def in_double(family):
    """Trainings in float64: in float32 a ReLU or the sign of a difference that is nearly 0 goes another way in another
    process or on another processor, by rounding alone."""
    build, joined = type(family).build, TrainingDataset.joined

    def built(self, *arguments, **options):
        return {name: network.double() for name, network in build(self, *arguments, **options).items()}

    def doubled(self, batch):
        return {
            name: tensor.double() if tensor.is_floating_point() else tensor
            for name, tensor in joined(self, batch).items()
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(family), "build", built)
        patch.setattr(TrainingDataset, "joined", doubled)
        yield


def watched(job, rank):
    watch = Watch()
    made, drawn = Stepper.__init__, TrainingDataset.__getitem__

    def make(self, *arguments, **options):
        made(self, *arguments, **options)
        watch.stepper = self
        for layer in watch.batch_norms():
            layer.num_batches_tracked += 1000 * int(rank)
        for network in options["wrapped"].values():
            if isinstance(network, DistributedDataParallel):
                network.register_comm_hook(None, watch.exchange)

    def draw(self, position):
        watch.samples.append(tuple(position))
        return drawn(self, position)

    Stepper.__init__, TrainingDataset.__getitem__ = make, draw
    hooks = [
        register_optimizer_step_pre_hook(watch.before_optimizer),
        register_optimizer_step_post_hook(watch.after_optimizer),
    ]
    family = FAMILIES[job["family"]](**job["objective"])
    run, data, architecture = TrainConfig(**job["run"]), DataConfig(**job["data"]), Architecture(**job["architecture"])
    try:
        with in_double(family):
            train(family, run, data, architecture=architecture)
    finally:
        Stepper.__init__, TrainingDataset.__getitem__ = made, drawn
        for hook in hooks:
            hook.remove()
    watch.counted = [int(layer.num_batches_tracked) for layer in watch.batch_norms()]
    seen = {name: getattr(watch, name) for name in ("samples", "touched", "exchanges", "weights", "counted")}
    torch.save(seen, Path(f"{job['run']['output_dir']}.seen-{rank}.pt"))


def main(path):
    for job in json.loads(Path(path).read_text()).values():
        AcceleratorState._reset_state(reset_partial_state=True)
        os.environ["MASTER_PORT"] = job["port"]  # a training ends its group, and the next one needs a place of its own
        watched(job, os.environ["RANK"])


if __name__ == "__main__":
    main(sys.argv[1])
