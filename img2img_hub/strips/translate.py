"""Images that do not fit into memory at once: strip by strip, layer by layer.

    python -c "from img2img_hub import ResNetGenerator as R; from img2img_hub.strips.translate import bytes_a_pixel; \
    print(bytes_a_pixel(R(width=16).eval()), 'bytes of memory a pixel, at once')"

A strip is some whole rows. Each layer computes the rows that the next ones ask for, with as many neighbouring rows as
its kernel sees (the halo): no strip has a border of its own, so nothing is to be blended. What would be expensive to
compute again is kept for the whole image (`feature_maps`).

The statistics that norm layers normalise with are the whole image's, in one of two ways:

- "exact": each norm layer's are gathered over all strips, one norm layer after the other. The result is that of the
  whole image at once, but for the rounding of float32.
- "fast": all are estimated before, in one pass over square pieces that lie evenly over the image and are normalised
  together; what follows is computed once. A layer that is kept is measured on the way, as in "exact".
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil
import torch
from torch import Tensor

from img2img_hub.networks import Network
from img2img_hub.strips.feature_maps import FeatureMap
from img2img_hub.strips.layers import Layer, Normalise, Rows, Source
from img2img_hub.strips.recording import NotByRows, record
from img2img_hub.strips.stages import best_stages, compute_rows, cost, to_measure
from img2img_hub.translation.stop import Stop

Tiles = Literal["fast", "exact"]
Read = Callable[[int, int], Tensor]
"""From the first row up to, not including, the second: (1, channels, rows, width) float32 on the network's device."""
Write = Callable[[int, Tensor], None]
"""Takes the first row's number and (1, channels, rows, width): from above to below, each row once."""
Statistics = tuple[Tensor, Tensor]
"""A norm layer's mean and variance, (channels,) each."""

# The sample of "fast": at least that many pieces, of at most that side, which is several times what a ResNet's pixel
# sees; of that part of the image's pixels, or of that many.
_PIECES, _SIDE = 9, 512
_PART, _LEAST = 1 / 16, 2**20
# Of a container: the files with its limit, what it uses, and of what kinds that is; of cgroup version 2 and 1.
_CGROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def translate_strips(
    network: Network,
    read: Read,
    write: Write,
    *,
    height: int,
    width: int,
    tiles: Tiles,
    memory: int,
    stop: Stop | None = None,
) -> None:
    """Translate one image of a size that the network takes, in eval mode, in about `memory` bytes beside the images.

    Raises:
        Stopped: `stop` was set.
        NotByRows: a layer looks at the whole image, as self-attention does.
        ValueError: no space for a temporary file.
    """
    layers = record(network, height=height, width=width)
    if tiles == "fast":
        estimated = estimate_statistics(network, read, height=height, width=width, memory=memory, stop=stop)
        for norm, statistics in zip(_norms(layers), estimated, strict=True):
            norm.statistics = statistics
    device = next(network.parameters()).device
    maps: dict[Layer, FeatureMap] = {}

    def given(layer: Layer, rows: Rows) -> Tensor:
        if layer is layers[0]:
            return read(*rows)
        if isinstance(layer, Source):
            return layer.held(rows, images=1, device=device)
        return maps[layer].read(*rows)

    stages = best_stages(layers, memory=memory)
    for norm in _norms(layers):
        if norm.inputs[0].kept:
            norm.statistics = None  # its pass measures it anyway, before anybody asks
    for stage in stages:
        target = stage.target
        norms = to_measure(target)
        gathered = _Gathered()
        if target.kept:
            shape = (target.channels, target.height, target.width)
            maps[target] = FeatureMap(shape, device=device, in_memory=stage.in_memory)
        for rows in stage.strips:
            made = compute_rows(layers, target, rows, given, stop=stop)
            if norms:
                gathered.add(made)
            if target.kept:
                maps[target].write(rows[0], made)
            if target is layers[-1]:
                write(rows[0], made)
        for norm in norms:
            norm.statistics = gathered.statistics
        for layer in stage.done:
            del maps[layer]


def estimate_statistics(
    network: Network, read: Read, *, height: int, width: int, memory: int, stop: Stop | None = None
) -> list[Statistics]:
    """Each norm layer's statistics over square pieces of the image, which are normalised as if they were one image."""
    multiple, least = int(network.multiple), int(network.min_size)  # type: ignore[arg-type]
    memory_of_a_pixel = bytes_a_pixel(network)
    pixels = min(max(height * width * _PART, _LEAST), memory / memory_of_a_pixel)
    side = max(min(_SIDE, height, width, math.isqrt(int(pixels / _PIECES))) // multiple * multiple, least)
    count = max(pixels / side**2, 1.0)
    down = min(max(round(math.sqrt(count * height / width)), 1), math.ceil(height / side))
    across = min(max(int(count / down), 1), math.ceil(width / side))
    pieces = []
    for top in _evenly(height - side, down):
        rows = read(top, top + side)
        pieces += [rows[..., left : left + side].clone() for left in _evenly(width - side, across)]
    sample = torch.cat(pieces)
    layers = record(network, height=side, width=side)

    def given(layer: Layer, rows: Rows) -> Tensor:
        if isinstance(layer, Source) and layer is not layers[0]:
            return layer.held(rows, images=len(sample), device=sample.device)
        return sample

    # A norm layer without statistics takes those of its input.
    compute_rows(layers, layers[-1], (0, side), given, stop=stop)
    return [norm.statistics for norm in _norms(layers) if norm.statistics is not None]


def bytes_a_pixel(network: Network) -> float:
    """What an image takes for each of its pixels when it is translated at once, in memory beside its own."""
    side = _some_side(network)
    try:
        layers = record(network, height=side, width=side)
    except NotByRows as error:
        layers = error.layers
    return cost(layers, layers[-1], (0, layers[-1].height)).bytes / side**2


def needs_statistics(network: Network) -> bool:
    """Whether it can go by strips and normalises with the image's own statistics, so that "fast" estimates any."""
    try:
        return bool(_norms(record(network, height=_some_side(network), width=_some_side(network))))
    except NotByRows:
        return False


def _some_side(network: Network) -> int:
    """Of an image that the network takes, and that is several times what it takes at least."""
    return 4 * max(int(network.multiple), int(network.min_size))  # type: ignore[arg-type]


def available_memory(device: torch.device) -> int:
    """Bytes that are free on the device now."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    free = [_free_in_container(*files) for files in _CGROUPS]
    return min(one for one in (*free, psutil.virtual_memory().available) if one is not None)


def _free_in_container(folder: Path, limit: str, usage: str) -> int | None:
    """Bytes up to its limit; None: it has none. Copies of files in memory give way, so they count as free."""
    if not (folder / limit).exists() or not (most := (folder / limit).read_text(encoding="ascii").strip()).isdigit():
        return None
    used = int((folder / usage).read_text(encoding="ascii"))
    kinds = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    # Version 1 counts the groups inside it under names of their own.
    files = sum(int(kinds.get(f"total_{kind}", kinds.get(kind, 0))) for kind in ("inactive_file", "active_file"))
    return max(int(most) - max(used - files, 0), 0)


class _Gathered:
    """Mean and variance of a whole feature map from those of its strips, exact whatever the strips' heights.

    Parts are joined as in Chan, Golub and LeVeque 1983 (Algorithms for computing the sample variance), in float64.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = torch.zeros(())
        self._squares = torch.zeros(())  # sum of squared differences from the mean

    def add(self, rows: Tensor) -> None:
        # On the CPU, as not every device has float64.
        variance, mean = (value.cpu().double() for value in torch.var_mean(rows, dim=(0, 2, 3), correction=0))
        count = rows.shape[2] * rows.shape[3]
        if not self._count:
            self._mean, self._squares = torch.zeros_like(mean), torch.zeros_like(mean)
        total = self._count + count
        apart = mean - self._mean
        self._squares = self._squares + variance * count + apart**2 * (self._count * count / total)
        self._mean = self._mean + apart * (count / total)
        self._count = total

    @property
    def statistics(self) -> Statistics:
        return self._mean.float(), (self._squares / self._count).float()


def _norms(layers: list[Layer]) -> list[Normalise]:
    """Those that normalise with the image's statistics, given or not."""
    return [layer for layer in layers if isinstance(layer, Normalise) and not layer.trained]


def _evenly(room: int, count: int) -> list[int]:
    """The first pixels of `count` pieces that share what is left beside one of them."""
    return [room * number // (count - 1) for number in range(count)] if count > 1 else [room // 2]
