"""A generator run on batches of tensors: any height and width, one call at a time, fixed or varied by a seed.

    python -c "import torch; from img2img_hub import UNetGenerator as U; from img2img_hub.translation.engine import \
    Engine; print(Engine(U(width=8))(torch.zeros(1, 3, 300, 200)).shape)"

What images become before and after is the Translator's business. An image that does not fit into the memory goes
through strip by strip, see `strips.translate`.
"""

import copy
import math
import statistics
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from img2img_hub.errors import one_line
from img2img_hub.images.resize import crop, pad_to_multiple, reflected
from img2img_hub.networks import Network
from img2img_hub.networks.attention import SelfAttention
from img2img_hub.strips.recording import NotByRows
from img2img_hub.strips.translate import Tiles, available_memory, bytes_a_pixel, needs_statistics, translate_strips
from img2img_hub.translation.devices import moved, out_of_memory
from img2img_hub.translation.stop import Stop
from img2img_hub.translation.variation import Style, vary

Dtype = Literal["float32", "float16", "bfloat16"]

_ALWAYS_FITS = 2**18  # pixels; below, nobody needs to look how much memory there is
_FOREIGN = 4 / 3  # of what PyTorch takes; measured with ONNX Runtime, which takes the most


def check_dtype(dtype: str) -> None:
    if dtype not in get_args(Dtype):
        raise ValueError(f"dtype must be one of {', '.join(get_args(Dtype))}, got {dtype!r}")


class Engine:
    """A generator in eval mode, on one device, safe to call from several threads.

    Args:
        network: a generator. It stays on its device unless `device` is given, and in its mode between calls.
        device: "cpu", "cuda", "cuda:1", "mps" …
        forward: what runs a padded float32 batch (N, in_channels, H, W), on the network's device, in its place (an
            exported or compiled copy of it); None: the network itself. Only the network varies, and goes in strips.
        dtype: of convolutions, by autocast: "float16" and "bfloat16" take half of the memory and, where the processor
            computes in them, about half of the time. What goes in strips is float32 all the same.
        tiles: where an image does not fit into the memory: "fast" estimates the statistics that its norm layers
            normalise with, "exact" gathers them, see `strips.translate`.
        memory: GiB that a translation may take beside the program and the images; None: half of what is free.

    Raises:
        ValueError: the device is not there, or a bad option.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | torch.device | None = None,
        forward: Callable[[Tensor], Tensor] | None = None,
        dtype: Dtype = "float32",
        tiles: Tiles = "fast",
        memory: float | None = None,
    ) -> None:
        check_dtype(dtype)
        if tiles not in get_args(Tiles):
            raise ValueError(f"tiles must be 'fast' or 'exact', got {tiles!r}")
        if memory is not None and not (isinstance(memory, int | float) and memory > 0):
            raise ValueError(f"memory must be some GiB, more than 0, got {memory!r}")
        self.network = network if device is None else moved(network, device)
        self.device = next(self.network.parameters()).device
        self.dtype = dtype
        self.tiles = tiles
        self.memory = memory
        self._forward = self.network if forward is None else forward
        self._pixel_bytes = 0.0  # not known yet
        self._warned = False
        self._calls = 0
        self._paces: deque[float] = deque(maxlen=7)  # seconds a pixel of the latest calls
        self._lock = threading.Lock()
        self._stop: Stop | None = None
        self.style: Style | None = None

    def __call__(self, batch: Tensor, *, seed: int | None = None, things: Tensor | None = None) -> Tensor:
        """(N, in_channels, H, W) float in [-1, 1] of any size to (N, out_channels, scale · H, scale · W), on the
        batch's device.

        The batch is reflected up to the network's multiple and cropped back.

        Args:
            seed: None: the one deterministic output. A number: dropout, noise and style are drawn, by PyTorch.
            things: with a seed, the instances in the images, whole numbers (N, 1, H, W), see `variation.vary`.

        Raises:
            ValueError: another shape, a bad seed, not enough memory for that size, or the backend failed.
        """
        if batch.ndim != 4 or batch.shape[1] != self.network.in_channels or 0 in batch.shape:
            raise ValueError(f"a batch (N, {self.network.in_channels}, H, W) is needed, got {tuple(batch.shape)}")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63):
            raise ValueError(f"a seed is a whole number from 0 to 2**63 - 1, got {seed!r}")
        height, width = batch.shape[-2:]
        plain = seed is None and self.style is None
        if plain and not self.fits(height, width, images=len(batch)):
            return self._one_by_one(batch)
        if not plain and not self.fits(height, width):
            raise self._too_large_to_vary(height, width)
        multiple = self._multiple(height, width)
        padded, (top, left) = pad_to_multiple(batch.to(self.device, torch.float32), multiple=multiple)
        with self._running(height, width), self._autocast():
            began = time.perf_counter()
            if plain:
                output = self._by_backend(padded)
            else:  # one by one, so that an image's noise does not depend on its batch-mates
                parts: Sequence[Tensor | None] = [None] * len(padded)
                if things is not None:
                    parts = pad_to_multiple(things.to(self.device), multiple=multiple)[0].split(1)
                made = [
                    vary(self.network, one, seed=seed, style=self.style, things=own)
                    for one, own in zip(padded.split(1), parts, strict=True)
                ]
                output = torch.cat(made)
            place = {"top": top, "left": left, "height": height, "width": width}
            place = {name: pixels * self.scale for name, pixels in place.items()}
            output = crop(output, **place).to(batch.device, torch.float32)
            self._note(time.perf_counter() - began, pixels=len(padded) * padded.shape[2] * padded.shape[3])
        return output.clone()  # a tensor like any other: one of inference mode cannot be used where gradients are

    def with_forward(self, forward: Callable[[Tensor], Tensor] | None, *, dtype: Dtype = "float32") -> Self:
        """This engine with something else to run its batches; the two share the network and take turns."""
        other = copy.copy(self)  # with the same lock
        other._forward, other.dtype = self.network if forward is None else forward, dtype
        other._pixel_bytes, other._calls, other._paces = 0.0, 0, deque(maxlen=self._paces.maxlen)
        return other

    def heeding(self, stop: Stop) -> Self:
        """This engine with calls that end as soon as `stop` is set: before the next layer, or of another runtime before
        the next batch. The two share the network and take turns."""
        other = copy.copy(self)  # with the same lock
        other._stop = stop
        return other

    def with_style(self, style: Style) -> Self:
        """This engine with all that it makes in one style, by PyTorch. The two share the network and take turns."""
        other = copy.copy(self)  # with the same lock
        other.style = style
        return other

    def beside(self) -> Self:
        """This engine with a network of its own, which shares the weights, so that the two need not take turns."""
        other = copy.copy(self)
        with self._lock:  # nobody writes into the tensors in eval mode
            tensors: dict[int, Any] = {id(each): each for each in (*self.network.parameters(), *self.network.buffers())}
            other.network = other._forward = copy.deepcopy(self.network, tensors)
        other._lock, other._calls, other._paces = threading.Lock(), 0, deque(maxlen=self._paces.maxlen)
        return other

    def forecast(self, height: int, width: int) -> float | None:
        """Seconds that an image of that size takes at once, judging by the latest calls; None before the first."""
        paces = list(self._paces)
        return statistics.median(paces) * self._padded_pixels(height, width) if paces else None

    @property
    def runs_network(self) -> bool:
        """Whether the network itself computes, and nothing in its place."""
        return self._forward is self.network

    @property
    def scale(self) -> int:
        """Pixels of the output for one of the input, a side."""
        return int(getattr(self.network, "scale", 1))

    @property
    def bytes_a_pixel(self) -> float:
        """What an image takes for each of its pixels when it goes through the network at once."""
        if not self._pixel_bytes:
            with self._lock, self._evaluating():
                self._pixel_bytes = bytes_a_pixel(self.network) * (1 if self.runs_network else _FOREIGN)
        return self._pixel_bytes

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that the network sees of an image of that size: it is padded to a multiple before."""
        multiple = self._multiple(height, width)
        return math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple

    def fits(self, height: int, width: int, *, images: int = 1) -> bool:
        """Whether so many images of that size go through the network at once, in the memory that there is."""
        pixels = images * self._padded_pixels(height, width)
        return pixels * self.scale**2 <= _ALWAYS_FITS or pixels * self.bytes_a_pixel <= self._budget()

    def translate_rows(
        self, read: Callable[[int, int], Tensor], write: Callable[[int, Tensor], None], *, height: int, width: int
    ) -> None:
        """Translate one image strip by strip, without ever holding all of it or of its translation.

        Args:
            read: from the first row up to, not including, the second: (in_channels, rows, width) float in [-1, 1]. Is
                asked for the same rows more than once.
            write: gets the number of the first row of the output and (out_channels, rows, scale · width) float32 in
                [-1, 1] on the engine's device; from above to below, each row once.

        Raises:
            ValueError: the network has an operation that strips do not know, such as self-attention, which looks at the
                whole image, or there is not enough memory.
        """
        self._warn_once()
        multiple, cpu = self._multiple(height, width), torch.device("cpu")
        rows, top = reflected(height, multiple, cpu)
        columns, left = reflected(width, multiple, cpu)

        def read_padded(first: int, last: int) -> Tensor:
            wanted = rows[first:last]
            start = int(wanted.min())
            part = read(start, int(wanted.max()) + 1).to(self.device, torch.float32)
            return part.index_select(1, (wanted - start).to(part.device)).index_select(2, columns.to(part.device))[None]

        def write_cropped(first: int, made: Tensor) -> None:
            begin, end = top * self.scale, (top + height) * self.scale
            above, below = max(begin - first, 0), max(first + made.shape[2] - end, 0)
            if above + below < made.shape[2]:
                columns = slice(left * self.scale, (left + width) * self.scale)
                write(first + above - begin, made[0, :, above : made.shape[2] - below, columns])

        with self._running(height, width):
            translate_strips(
                self.network,
                read_padded,
                write_cropped,
                height=len(rows),
                width=len(columns),
                tiles=self.tiles,
                memory=int(self._budget()),
                stop=self._stop,
            )

    # --- inside -----------------------------------------------------------------------------------------------------

    def _too_large_to_vary(self, height: int, width: int) -> ValueError:
        return ValueError(
            f"a variation (seed, style) of {width}×{height} pixels is computed at once, which takes about "
            f"{self._gib(height, width):.1f} GiB: give memory= (--memory), use resize='fit' (--resize fit), or drop it"
        )

    def _one_by_one(self, batch: Tensor) -> Tensor:
        """Images that do not fit together: each at once, or else strip by strip."""
        height, width = batch.shape[-2:]
        if len(batch) > 1:
            return torch.cat([self(image[None]) for image in batch])
        size = (height * self.scale, width * self.scale)
        made = batch.new_empty(1, self.network.out_channels, *size, dtype=torch.float32)

        def write(first: int, rows: Tensor) -> None:
            made[0, :, first : first + rows.shape[1]] = rows

        self.translate_rows(lambda first, last: batch[0, :, first:last], write, height=height, width=width)
        return made

    def _note(self, seconds: float, *, pixels: int) -> None:
        if self._calls == 1:  # the first call prepares what later ones find ready
            self._paces.clear()
        self._calls += 1
        self._paces.append(seconds / pixels)

    def _multiple(self, height: int, width: int) -> int:
        """What height and width are padded to a multiple of."""
        multiple, smallest = int(self.network.multiple), int(self.network.min_size)  # type: ignore[arg-type]
        return smallest if min(height, width) < smallest else multiple  # a smallest size is such a multiple too

    def _padded_pixels(self, height: int, width: int) -> int:
        return math.prod(self.padded_size(height, width))

    def _gib(self, height: int, width: int) -> float:
        """What an image takes at once."""
        return self._padded_pixels(height, width) * self.bytes_a_pixel / 2**30

    def _budget(self) -> float:
        return available_memory(self.device) / 2 if self.memory is None else self.memory * 2**30

    def _warn_once(self) -> None:
        if self._warned or self.tiles != "fast":
            return
        with self._lock, self._evaluating():
            estimates, self._warned = not self._warned and needs_statistics(self.network), True
        if estimates:
            warnings.warn(
                "an image does not fit into the memory and is translated strip by strip by estimated statistics, so "
                "that it differs a little from the image at once: tiles='exact' (--tiles exact) or more memory= "
                "(--memory) avoid that",
                stacklevel=3,
            )

    def _by_backend(self, padded: Tensor) -> Tensor:
        if self.runs_network:
            return self.network(padded)
        try:
            return self._forward(padded)
        except ValueError:  # in our own words
            raise
        except Exception as error:  # each runtime has its own classes
            if out_of_memory(error):
                raise
            said = one_line(error, most=200)
            raise ValueError(f"the backend failed ({said}): use backend='torch' (--backend torch)") from error

    @contextmanager
    def _running(self, height: int, width: int) -> Iterator[None]:
        """One call at a time, in eval mode; what does not fit is said in words."""
        size = f"{width}×{height} pixels"
        try:
            with self._lock, torch.inference_mode(), self._evaluating():
                own = self.network if self.runs_network else None
                with nullcontext() if self._stop is None else self._stop.checked_by(own):
                    yield
        except NotByRows as error:
            needed, why = self._gib(height, width), "its self-attention looks at the whole image"
            if not any(isinstance(layer, SelfAttention) for layer in self.network.modules()):
                why = f"strips do not know its operation {error.operation!r} as it uses it"
            raise ValueError(
                f"{size} at once take about {needed:.1f} GiB, and this network cannot work in strips, because {why}: "
                f"give it memory={math.ceil(needed)} (--memory) if there is as much, use resize='fit' (--resize fit), "
                "or a smaller image"
            ) from None
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise ValueError(
                f"not enough memory to translate {size} on {self.device}: give less to it with memory= (--memory), use "
                "resize='fit' (--resize fit) or a smaller image"
            ) from None

    def _autocast(self) -> torch.autocast:
        half = self.dtype != "float32"
        return torch.autocast(self.device.type, dtype=getattr(torch, self.dtype) if half else None, enabled=half)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Eval mode for the call: a network that is being trained is left in training mode."""
        training = self.network.training
        self.network.eval()
        try:
            yield
        finally:
            self.network.train(training)
