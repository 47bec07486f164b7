"""Any rows of any layer's output, and what they cost: the arithmetic of translating strip by strip.

    python -c "from img2img_hub import ResNetGenerator as R; from img2img_hub.strips.recording import record; \
    from img2img_hub.strips.stages import cost; layers = record(R(width=8).eval(), height=512, width=512); \
    print(cost(layers, layers[-1], (0, 512)))"
"""

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from img2img_hub.strips.feature_maps import BYTES
from img2img_hub.strips.layers import Convolution, Layer, Normalise, Pointwise, Rows, Source
from img2img_hub.translation.stop import Stop

Given = Callable[[Layer, Rows], Tensor]
"""Reads (N, channels, rows, width) of a layer that is not computed: the image, or one that is kept."""

# Multiplications that take as long as a value's way into a file and back. (That into the main memory and back costs
# nothing beside that strips are then smaller, which caches like.)
_FILE = 512
# A convolution or sum of so many multiplications a value is kept, rather than computed again by each pass behind it; it
# then counts as _READ there. So the wide, cheap maps at full resolution are never kept, and each block's sum is.
_KEEP_FROM, _READ = 512, 256
# Resident bytes for each byte of the tensors at the peak, measured with ResNets and U-Nets of 1024² and 2048² pixels:
# 1.1 to 1.45. It is the libraries' work space, and what an allocator keeps of what was given back.
_RESIDENT = 1.5


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of computing some rows: the bytes resident at the worst moment, and the multiplications and their like."""

    bytes: int
    effort: float


def wanted_rows(layers: Sequence[Layer], target: Layer, rows: Rows) -> dict[Layer, Rows]:
    """What each layer has to yield, in the order of computation, so that `target` can yield `rows`."""
    wanted = {target: rows}
    for layer in reversed(layers[: layers.index(target) + 1]):
        if layer in wanted and (layer is target or not layer.kept):
            first, last = layer.needs(wanted[layer])
            for before in layer.inputs:
                others = wanted.get(before, (first, last))
                wanted[before] = min(first, others[0]), max(last, others[1])
    return {layer: wanted[layer] for layer in layers if layer in wanted}


def compute_rows(
    layers: Sequence[Layer], target: Layer, rows: Rows, given: Given, *, stop: Stop | None = None
) -> Tensor:
    """(N, channels, rows, width) of `target`. What no later layer asks for is let go at once.

    Raises:
        Stopped: `stop` was set.
    """
    wanted = wanted_rows(layers, target, rows)
    to_read = Counter(before for layer in wanted if not _is_given(layer, target) for before in layer.inputs)
    values: dict[Layer, Tensor] = {}
    for layer, needed in wanted.items():
        if stop is not None:
            stop.check()
        if _is_given(layer, target):
            values[layer] = given(layer, needed)
            continue
        first, last = layer.needs(needed)
        inputs = [values[before][:, :, first - wanted[before][0] : last - wanted[before][0]] for before in layer.inputs]
        values[layer] = layer.compute(inputs, needed)
        for before in layer.inputs:
            to_read[before] -= 1
            if not to_read[before]:
                values.pop(before, None)  # a layer may read another twice
    return values[target]


def cost(layers: Sequence[Layer], target: Layer, rows: Rows) -> Cost:
    """What `compute_rows` would take."""
    wanted = wanted_rows(layers, target, rows)
    to_read = Counter(before for layer in wanted if not _is_given(layer, target) for before in layer.inputs)
    alive: dict[Layer, int] = {}
    peak, effort = 0, 0.0
    for layer, (first, last) in wanted.items():
        values = layer.channels * layer.width * (last - first)
        read = [] if _is_given(layer, target) else layer.inputs
        in_place = bool(read) and layer.overwrites
        alive[layer] = 0 if in_place else BYTES * values
        # A convolution's library arranges its input and output in another order, beside them.
        arranged = isinstance(layer, Convolution)
        moment = sum(alive.values()) + alive[layer] * layer.kept  # a copy on the way to and from a file
        if arranged and read:
            moment += alive[layer] + alive[read[0]]
        peak = max(peak, moment)
        effort += values * layer.effort * bool(read)
        for before in read:
            to_read[before] -= 1
            if not to_read[before] and before in alive:
                if in_place:
                    alive[layer] = alive[before]
                del alive[before]
    return Cost(bytes=int(_RESIDENT * peak), effort=effort)


# --- the plan -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One pass over the whole image: `target` is computed strip by strip, to be kept, measured or put out."""

    target: Layer
    strips: list[Rows]
    in_memory: bool  # where it is kept
    done: frozenset[Layer]  # what was kept and is read no more afterwards


def best_stages(layers: Sequence[Layer], *, memory: int) -> list[Stage]:
    """The faster of two: what is expensive is kept, for which up to half of `memory` is set aside; or of that only what
    is small, which needs wider halos, and for each norm layer to be measured a computation from farther back.

    The layers are marked accordingly.
    """
    keep_expensive(layers)
    expensive = plan_stages(layers, memory=memory)
    keep_expensive(layers, up_to=layers[0].height * layers[0].width)
    small = plan_stages(layers, memory=memory)
    if small[1] < expensive[1]:
        return small[0]
    keep_expensive(layers)
    return expensive[0]


def keep_expensive(layers: Sequence[Layer], *, up_to: float = math.inf) -> None:
    """Mark the layers whose output is to be kept: expensive ones of up to so many values."""
    efforts: dict[Layer, float] = {}
    for layer in layers:
        before = sum(efforts[one] * one.values for one in layer.inputs)
        efforts[layer] = layer.effort + before / layer.values
        is_sum = isinstance(layer, Pointwise) and layer.function is torch.add
        may_be = is_sum or isinstance(layer, Convolution)
        layer.kept = may_be and efforts[layer] >= _KEEP_FROM and layer.values <= up_to and layer is not layers[-1]
        if layer.kept:
            efforts[layer] = _READ


def plan_stages(layers: Sequence[Layer], *, memory: int) -> tuple[list[Stage], float]:
    """The passes over the layers as they are marked, with strips of about `memory` bytes or one row; their effort."""
    targets = [layer for layer in layers if layer.kept or layer is layers[-1] or to_measure(layer)]
    read = [{one for one in wanted_rows(layers, layer, (0, 1)) if one.kept} for layer in targets]
    for_maps = min(memory // 2, sum(BYTES * layer.values for layer in layers if layer.kept))
    stages: list[Stage] = []
    effort, alive = 0.0, set[Layer]()
    for number, target in enumerate(targets):
        in_memory = sum(BYTES * one.values for one in alive | {target}) <= for_maps
        strips = list(_strips(layers, target, memory=memory - for_maps))
        effort += len(strips) * cost(layers, target, strips[len(strips) // 2]).effort
        if target.kept:
            effort += 0 if in_memory else _FILE * target.values
            alive.add(target)
        done = frozenset(alive - set[Layer]().union(*read[number + 1 :]))
        alive -= done
        stages.append(Stage(target=target, strips=strips, in_memory=in_memory, done=done))
    return stages, effort


def to_measure(layer: Layer) -> list[Normalise]:
    """The norm layers behind this one that still need the whole image's statistics."""
    return [norm for norm in layer.readers if isinstance(norm, Normalise) and norm.statistics is None]


def _strips(layers: Sequence[Layer], target: Layer, *, memory: int) -> Iterator[Rows]:
    """The whole height, cut into as few equal strips as the memory allows."""

    def too_high(size: int) -> bool:
        middle = (target.height - size) // 2
        return cost(layers, target, (middle, middle + size)).bytes > memory

    # The first size that is too high; one row is always allowed.
    beyond = bisect.bisect_left(range(2, target.height + 1), True, key=too_high) + 2
    count = math.ceil(target.height / (beyond - 1))
    edges = [target.height * number // count for number in range(count + 1)]
    yield from itertools.pairwise(edges)


def _is_given(layer: Layer, target: Layer) -> bool:
    return isinstance(layer, Source) or (layer.kept and layer is not target)
