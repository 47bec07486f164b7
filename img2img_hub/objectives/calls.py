"""Calling a network on several batches: at once where that gives the same, one by one where it does not.

fake_logits, real_logits = call_each(discriminator, fake, real)
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

_mixing: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def mixes_samples(network: nn.Module) -> bool:
    """Whether a layer of `network` looks at a sample's batch-mates, as batch norm does in training. Looked up once a
    network, however it is wrapped: its layers stay what they are."""
    if network not in _mixing:
        mixers = (nn.BatchNorm2d, nn.SyncBatchNorm)
        _mixing[network] = any(isinstance(layer, mixers) for layer in network.modules())
    return _mixing[network]


def unwrapped(network: nn.Module) -> Any:
    """The network itself, whatever exchanges its gradients between processes around it."""
    inner = getattr(network, "module", network)
    assert isinstance(inner, nn.Module)
    return inner


def call_each(network: nn.Module, *batches: Tensor, **options: Any) -> list[Any]:
    """What `network` makes of each of `batches`, (N, C, H, W) of equal C, H and W: tensors, or tuples of them, or of
    such tuples, as discriminators give with the option `features`.

    One call is less work than several: fewer, larger kernels, and a gradient that is summed once.
    """
    if len(batches) == 1 or mixes_samples(network):
        return [network(batch, **options) for batch in batches]
    return _split(network(torch.cat(batches), **options), [len(batch) for batch in batches])


def _split(made: Any, sizes: list[int]) -> list[Any]:
    if isinstance(made, Tensor):
        return list(made.split(sizes))
    return list(zip(*(_split(part, sizes) for part in made), strict=True))
