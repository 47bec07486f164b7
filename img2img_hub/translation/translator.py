"""The one door to inference: any image in, the translated image out, of the same size or the network's scale times it.

    python -c "from img2img_hub import Translator as T; T.from_pretrained('alice/maps')('a.png').save('b.png')"

Python, the command line, the web page and the evaluation all come through here.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, cast, get_args, overload

import torch
from PIL import Image
from torch import Tensor

from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.read import Decoded, ImageLike
from img2img_hub.images.slots import Slot
from img2img_hub.networks import Generator, Network
from img2img_hub.networks.blocks import Dropout, set_norm_statistics
from img2img_hub.runtimes.backends import CPU_ONLY, Backend, Forward, check_backend, make_forward, of_pytorch
from img2img_hub.strips.translate import Tiles
from img2img_hub.translation.describe import describe
from img2img_hub.translation.devices import best_device
from img2img_hub.translation.engine import Dtype, Engine
from img2img_hub.translation.open_model import open_model
from img2img_hub.translation.options import Input, Mask, Options
from img2img_hub.translation.pixels import Pixels, finish_of
from img2img_hub.translation.settings import Resize, TranslationSettings, settings_for
from img2img_hub.translation.styles import Styles

if TYPE_CHECKING:
    from img2img_hub.official.convert import Said


class Translator:
    """A generator and what its repo says about images, as one function from image to image.

    Deterministic unless a seed asks for a variation; safe to call from several threads. One thing more decides about
    an image that is too large for the memory: by strips, with `tiles="fast"`, it differs a little from the image at
    once (there is a warning then), and with `memory=None` it depends on what is free at the moment which of the two it
    is. Where that matters, set `memory`, or `tiles="exact"`.

    Args:
        network: a generator. It stays on its device unless `device` is given, and in its mode between calls.
        settings: what translation.json holds; None: the defaults.
        name: what messages call it.
        device: "cpu", "cuda", "cuda:1", "mps" …
        forward: what runs the network's padded batches in its place, see `runtimes.backends`; None: the network.
        dtype: what the network computes in: "float32", or "float16" or "bfloat16" for speed and memory, mostly on GPUs.
        tiles: how an image that does not fit into the memory is translated strip by strip: "fast" or "exact", see
            `strips.translate`.
        memory: GiB that a translation may take beside the program and the images; None: half of what is free.

    Raises:
        ValueError: the network is no generator, does not fit the settings, or the device is not there.
    """

    backend: Backend = "torch"

    def __init__(
        self,
        network: Network,
        settings: TranslationSettings | None = None,
        *,
        name: str = "",
        device: str | torch.device | None = None,
        forward: Forward | None = None,
        dtype: Dtype = "float32",
        tiles: Tiles = "fast",
        memory: float | None = None,
    ) -> None:
        self.name = name or type(network).__name__
        if not isinstance(network, Generator):
            raise ValueError(
                f"{self.name} is a {type(network).__name__}, which judges images and makes none: name a generator"
            )
        settings = settings or settings_for(network)
        for key, bands in (("source_channels", network.in_channels), ("target_channels", network.out_channels)):
            if (said := getattr(settings, key)) != bands:
                raise ValueError(f"{self.name}: translation.json says {key} {said}, the network has {bands}")
        set_norm_statistics(network, settings.norm_statistics)
        self.network = network
        self.settings = settings
        self.pixels = Pixels(settings, scale=network.scale, finish=finish_of(settings.family))
        self.dtype = dtype
        self.engine = Engine(network, device=device, forward=forward, dtype=dtype, tiles=tiles, memory=memory)
        self.device = self.engine.device
        self._styles = Styles(network, settings, name=self.name)

    @classmethod
    def from_pretrained(
        cls,
        repo_or_folder: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        device: str | torch.device | None = None,
        backend: Backend = "torch",
        onnx_file: str | Path | None = None,
        dtype: Dtype = "float32",
        tiles: Tiles = "fast",
        memory: float | None = None,
    ) -> Self:
        """Load a translator from a Hub repo, a folder or a run's checkpoint, onto `device` (None: cuda, mps or cpu).

        Args:
            backend: what runs the network: "torch"; "compile", torch.compile, which gains nothing on CPUs; "onnx" (ONNX
                Runtime) and "openvino", on the CPU and faster there. PyTorch draws variations (a seed) all the same.
            onnx_file: for "onnx" and "openvino", what to run, such as an int8 file that `export` wrote: a path, or a
                file's name in the repo. None: its model.onnx; where it has none, it is exported once and kept.
            dtype: see above. "openvino" takes bfloat16 where the processor computes in it; what PyTorch computes beside
                it is float32. For "onnx" a file in half precision does that (`export --half`).
            tiles, memory: for images too large to be translated at once, see above; PyTorch does, whatever the backend.

        Raises:
            ValueError: neither a folder nor a Hub id, no generator, a bad config.json or translation.json; a backend
                that is not installed, or an ONNX file of another network.
            huggingface_hub.errors.HfHubHTTPError: what the Hub answered.
        """
        check_backend(backend, device=device, onnx_file=onnx_file, dtype=dtype)
        where = str(repo_or_folder)
        download = {"revision": revision, "token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        network, settings, download = open_model(where, **download)
        set_norm_statistics(network, settings.norm_statistics)
        size = settings.working_size
        forward = make_forward(
            network, backend, where=where, onnx_file=onnx_file, working_size=size, dtype=dtype, **download
        )
        device = device or ("cpu" if backend in CPU_ONLY else best_device())
        own: Dtype = of_pytorch(backend, dtype)
        translator = cls(
            network, settings, name=where, device=device, forward=forward, dtype=own, tiles=tiles, memory=memory
        )
        translator.backend, translator.dtype = backend, dtype
        translator._styles = Styles(network, settings, name=where, download=download)
        return translator

    @classmethod
    def from_official(
        cls,
        path: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: Dtype = "float32",
        tiles: Tiles = "fast",
        memory: float | None = None,
        **said: "Unpack[Said]",
    ) -> Self:
        """Load a generator from a .pth of the original PyTorch code, onto `device` (None: cuda, else mps, else cpu).

        Architecture, width, channels and norm are read off names and shapes; no code in the file is run. `dtype`, and
        `tiles` and `memory` for large images, see above. What is `said` overrides what is inferred or assumed, and
        answers what no file shows: the arguments of `official.convert.convert_official`.

        Raises:
            ValueError: the file is not readable as tensors alone, of no original layout, or a discriminator; something
                has to be said.
        """
        from img2img_hub.official.convert import convert_official  # brings the families and the card's libraries

        converted = convert_official(path, **said)
        return cls(
            converted.network,
            converted.settings,
            name=str(path),
            device=device or best_device(),
            dtype=dtype,
            tiles=tiles,
            memory=memory,
        )

    @overload
    def __call__(self, image: Input, **options: Unpack[Options]) -> AnyImage: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, image: Sequence[Input], **options: Unpack[Options]) -> list[AnyImage]: ...

    def __call__(
        self,
        image: Input | Sequence[Input],
        *,
        resize: Resize | None = None,
        seed: int | None = None,
        style: ImageLike | None = None,
        mask: Mask | None = None,
        batch_size: int = 1,
    ) -> AnyImage | list[AnyImage]:
        """Translate an image, or each of a list of images.

        Args:
            image: a path, bytes, PIL image, array, tensor (see `images.read.read_image`), Raster or Decoded, or a list
                of them. A model of rasters takes arrays (H, W, C) in units and tensors (C, H, W) in [-1, 1]. A model of
                label maps takes arrays and tensors (H, W) of class numbers, too, and one of several images
                (`settings.inputs`) takes them by name: {"rgb": "a.png", "depth": "a.tif"}.
            resize: "native" keeps the resolution, "fit" works at the trained size and resizes the result back, but for
                models that were trained on crops of images as they are, which do that; None: what the repo says is
                better.
            seed: None: the one deterministic translation. A number: dropout and noise act as in training and a style is
                drawn, the same for the same number; each image of a list gets the same draw as if it were alone.
            style: a photo to take the style of, see `with_style`.
            mask: for a model that fills holes, what is white where these are (bool arrays: True), or their colour in
                the image, "#ff00ff"; for a list of images also a list of as many. None: what is transparent in the
                image, or without data. Known pixels come back to the bit.
            batch_size: how many images of a list go through the network at once where their sizes agree. Faster on a
                GPU; no image's statistics enter another's result.

        Returns:
            Images of the size of the (upright) input, times the network's scale, "RGB" or "L" as the network makes
            them, with the input's alpha and ICC profile; of label maps "P", whose numbers are the classes; of other
            bands or types a `Raster` in their units, with the input's georeference and its pixels without data.

        Raises:
            ImageError: the input is no readable image, or has other bands than the model takes.
            ValueError: a bad option, or not enough memory for an image of that size.
        """
        resize = resize or self.settings.resize
        if resize not in get_args(Resize):
            raise ValueError(f"resize must be 'native' or 'fit', got {resize!r}")
        resize = resize if self.settings.resizes else "native"
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        styled = self if style is None else self.with_style(style)
        if not isinstance(image, list | tuple):
            return styled._translate([(cast(Input, image), mask)], resize=resize, seed=seed)[0]
        masks = list(mask) if isinstance(mask, list | tuple) else [mask] * len(image)
        if len(masks) != len(image):
            raise ValueError(f"{len(image)} images and {len(masks)} masks came: give as many, or one for all")
        given, outputs = list(zip(image, masks, strict=True)), []
        for first in range(0, len(given), batch_size):
            outputs += styled._translate(given[first : first + batch_size], resize=resize, seed=seed)
        return outputs

    def translate_tensor(self, batch: Tensor, *, seed: int | None = None) -> Tensor:
        """Translate (N, in_channels, H, W) float in [-1, 1] of any size to (N, out_channels, H, W) float in [-1, 1], of
        that size times the network's scale.

        The batch is reflected up to the network's multiple and cropped back. The result is on the batch's device, as
        the network makes it: nothing is finished yet (`Family.finish`).
        """
        return self.engine(batch, seed=seed)

    def with_backend(self, backend: Backend, *, dtype: Dtype | None = None) -> Self:
        """This translator run by another backend, see `from_pretrained`; the two share the network and take turns.

        Args:
            dtype: what it computes in then; None: what it computes in now.

        Raises:
            ValueError: the backend is not installed, does not run on the translator's device, or not in that dtype.
        """
        dtype = dtype or self.dtype
        check_backend(backend, device=self.device, dtype=dtype)
        where = self.name if Path(self.name).is_dir() else ""  # a repo's may be of another revision by now
        forward = make_forward(self.network, backend, where=where, working_size=self.settings.working_size, dtype=dtype)
        other = copy.copy(self)
        other.engine = self.engine.with_forward(forward, dtype=of_pytorch(backend, dtype))
        other.backend, other.dtype = backend, dtype
        return other

    def with_style(self, photo: ImageLike) -> Self:
        """This translator with all that it makes in the style of a photo (GauGAN); with a seed, drawn from around it.

        By the encoder published with the model, by PyTorch, and not by strips; the two share the network. Raises
        ValueError: the model has no styles or no encoder, or the photo cannot be read.
        """
        other = copy.copy(self)
        other.engine = self.engine.with_style(self._styles.of(photo))
        return other

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What it reads, and what it makes: "target", of so many times the size."""
        return self.settings.slots(scale=self.network.scale)

    @property
    def varies(self) -> bool:
        """Whether a seed makes a difference: the network has dropout, noise or styles."""
        dropout = any(isinstance(layer, Dropout) and layer.p > 0 for layer in self.network.modules())
        return dropout or bool(self.network.noise_channels or self.network.latent or self.network.styles)

    @property
    def takes_style(self) -> bool:
        """Whether a photo can give it a style: it has styles, and the encoder that reads them was published with it."""
        return self._styles.known

    @property
    def reverse(self) -> str | None:
        """Hub id or folder of the translator of the opposite direction, None where the repo names none."""
        reverse, here = self.settings.reverse, Path(self.name)
        if reverse and here.is_dir() and (sibling := here.resolve().parent / Path(reverse).name).is_dir():
            return str(sibling)
        return reverse

    def describe(self) -> str:
        """One line: method, network, bands, scale, norm statistics, working size, device."""
        return describe(self.network, self.settings, device=self.device, backend=self.backend, dtype=self.dtype)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _translate(self, given: Sequence[tuple[Input, Any]], *, resize: Resize, seed: int | None) -> list[AnyImage]:
        """One batch of images and masks: read all, group by shape, translate, put the results back in order."""
        originals = [self.pixels.joined(image, mask) for image, mask in given]
        sources = [self.pixels.read(original) for original in originals]
        if self.settings.hole is not None:
            both = zip(originals, sources, strict=True)
            return [self._filled(original, source, resize=resize, seed=seed) for original, source in both]
        groups: dict[tuple[int, int], list[int]] = {}
        for index, source in enumerate(sources):
            groups.setdefault((self.settings.working_size,) * 2 if resize == "fit" else source.size, []).append(index)
        outputs: dict[int, AnyImage] = {}
        for size, members in groups.items():
            if resize == "native" and self._in_strips(size, seed=seed):
                for index in members:
                    made = self._by_rows(sources[index])
                    outputs[index] = self.pixels.finished(made, original=originals[index], source=sources[index])
                continue
            own = [sources[index] for index in members]
            batch = torch.stack([self.pixels.tensor(source, size=size) for source in own])
            things = self.pixels.things(own, size=size) if self.network.styles and seed is not None else None
            for index, made in zip(members, self.engine(batch, seed=seed, things=things).cpu(), strict=True):
                outputs[index] = self.pixels.finished(made, original=originals[index], source=sources[index])
        return [outputs[index] for index in range(len(given))]

    def _filled(self, original: Decoded, source: AnyImage, *, resize: Resize, seed: int | None) -> AnyImage:
        """An image with its holes filled from what is around each."""

        def make(part: Raster) -> Tensor | Image.Image:
            if resize == "native" and self._in_strips(part.size, seed=seed):
                return self._by_rows(part)
            size = (self.settings.working_size,) * 2 if resize == "fit" else part.size
            return self.engine(self.pixels.tensor(part, size=size)[None], seed=seed)[0].cpu()

        return self.pixels.filled(source, original=original, make=make, square=resize == "fit")

    def _in_strips(self, size: tuple[int, int], *, seed: int | None) -> bool:
        """Whether an image of that size has to be translated strip by strip."""
        return seed is None and self.engine.style is None and not self.engine.fits(size[1], size[0])

    def _by_rows(self, source: AnyImage) -> Tensor | Image.Image:
        """The output for an image that is too large to be made at once; a picture never becomes floats as a whole."""
        width, height = source.size
        canvas = self.pixels.canvas(width, height)
        self.engine.translate_rows(
            lambda first, last: self.pixels.rows(source, first, last), canvas.write, height=height, width=width
        )
        return canvas.made
