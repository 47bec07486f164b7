"""Images decoded and resized once: their pixels are kept in files that are mapped into memory.

    from img2img_hub.data.cache.resized import open_cache
    from img2img_hub.data.find.sources import DataConfig, open_data

    data = open_data(DataConfig(dataset="facades", side_by_side=True), paired=True, split="train")
    images = open_cache(data, load_size=286)
    print(images.description, images.pair(0)[0].shape)

A cache is a folder of its own, such as ~/.cache/img2img_hub/facades-286-1a2b3c…, with source.npy and target.npy. It may
be deleted at any time, also while it is in use. Whoever first asks for an image fills it in, so that nobody waits at
the start, and any number of runs, ranks and workers may share it: they would all write the same bytes.

No pixel is believed without its check, see `pixel_file`.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
from PIL import features

import img2img_hub
from img2img_hub.data.cache.pixel_file import PixelFile, describe_size
from img2img_hub.data.find.columns import ColumnImages
from img2img_hub.data.samples.opened import ImageData, PairedData, Side
from img2img_hub.data.samples.reading import FileImages, Half, Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.files import cache_folder
from img2img_hub.images.raster import AnyImage
from img2img_hub.images.resize import training_array
from img2img_hub.images.tiff import library_version

logger = logging.getLogger(__name__)

# Other releases, and other decoders, may make other pixels of the same file. The number is for a change in between.
_LIBRARIES = ("libjpeg_turbo", "jpg", "jpg_2000", "webp", "avif", "libtiff")
_DECODERS = [str(features.version(library)) for library in _LIBRARIES]
# The same of class numbers, instances and masks. 1 read those of one bit wrongly, 2 those in a palette's colours with a
# stray one and JPEG inside TIFFs.
_NUMBERS = "3"
_FORMAT = ("2", img2img_hub.__version__, PIL.__version__, *_DECODERS)


def open_cache(data: ImageData, *, load_size: int, folder: str | Path | None = None) -> ResizedImages:
    """``data`` at ``load_size`` x ``load_size`` pixels, kept in a folder of its own in ``folder``.

    Never fails: where nothing can be kept, ``description`` says why, and images are decoded anew every time. A cache
    leaves free at least as much of the disk as it takes.

    Args:
        data: what ``open_data`` gave.
        load_size: pixels, width and height.
        folder: None for $XDG_CACHE_HOME/img2img_hub, or ~/.cache/img2img_hub.
    """
    place = Path(folder or "~/.cache")
    try:
        place = Path(folder).expanduser() if folder is not None else cache_folder()
        name = data.id.replace("/", "--")[:50]
        place = place / f"{name}-{load_size}-{cache_name(data, load_size=load_size)}"
        files = [
            PixelFile(place / f"{name}.npy", side, load_size=load_size * side.scale)
            for name, side in data.sides.items()
        ]
        place.mkdir(parents=True, exist_ok=True)
        size, used = sum(file.size for file in files), sum(file.used() for file in files)
        free = shutil.disk_usage(place).free
        if 2 * (size - used) > free:
            raise OSError(
                errno.ENOSPC, f"it needs {describe_size(size - used)}, more than half of the {describe_size(free)} free"
            )
        for file in files:
            file.open()
            file.leave_free = size - used
        os.utime(place)  # so that `ls -t` and `find -mtime` tell which caches are in use
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        why_not = f"Images are decoded anew every time, for no cache can be kept in {place} ({_why(error)}): "
        return ResizedImages(data, load_size=load_size, description=why_not + "give another --cache_dir")
    amount = describe_size(size) if used == size else f"{describe_size(used)} of {describe_size(size)} so far"
    description = f"Images are cached in {place} ({amount})"
    return ResizedImages(data, load_size=load_size, files=files, description=description)


class ResizedImages:
    """The images of opened data at ``load_size`` x ``load_size``, each an array (channels, load_size, load_size).

    They are decoded anew every time or, with the ``files`` of a cache, only where those do not have them yet. Arrays
    out of a file are read-only. ``description`` is one line on the cache, for people.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        load_size: int,
        files: list[PixelFile] | None = None,
        description: str = "",
    ) -> None:
        self.data = data
        self.load_size = load_size
        self.description = description
        self._files = files
        self._filling = True

    @cached_property
    def _sides(self) -> list[Side]:
        return list(self.data.sides.values())

    def pair(self, index: int) -> tuple[np.ndarray, ...]:
        """Source and target ``index`` of paired data, and what else training reads; twice the target where sources are
        made of it. Those of another scale have so many times the pixels.

        Raises ImageError or DataError as the data does.
        """
        assert isinstance(self.data, PairedData)
        if self.data.corrupter is not None:
            pixels = self._one(0, index, self.data.target)
            return pixels, pixels
        kept = [self._kept(side, index) for side in range(len(self._sides))]
        found = [pixels for pixels in kept if pixels is not None]
        if len(found) < len(kept):
            found = [self._resized(image, side) for side, image in enumerate(self.data.images(index))]
            for side, pixels in enumerate(found):
                self._keep(side, index, pixels)
        return tuple(found)

    def source(self, index: int) -> np.ndarray:
        """Source ``index``, modulo their number, of unpaired data. Raises ImageError or DataError as the data does."""
        return self._one(0, index, self.data.source)

    def target(self, index: int) -> np.ndarray:
        """Target ``index``, modulo their number, of unpaired data. Raises ImageError or DataError as the data does."""
        return self._one(1, index, self.data.target)

    def _one(self, side: int, index: int, read: Callable[[int], AnyImage]) -> np.ndarray:
        pixels = self._kept(side, index)
        if pixels is None:
            pixels = self._resized(read(index), side)
            self._keep(side, index, pixels)
        return pixels

    def _resized(self, image: AnyImage, side: int) -> np.ndarray:
        kind, scale = self._sides[side].kind, self._sides[side].scale
        return training_array(image, load_size=self.load_size * scale, kind=kind)

    def _kept(self, side: int, index: int) -> np.ndarray | None:
        if self._files is None:
            return None
        try:
            return self._files[side].read(index)
        except OSError as error:
            logger.warning("the cache cannot be read any more (%s): images are decoded anew every time", _why(error))
            self._files = None
            return None

    def _keep(self, side: int, index: int, pixels: np.ndarray) -> None:
        if self._files is None or not self._filling:
            return
        try:
            self._files[side].write(index, pixels)
        except OSError as error:
            logger.warning("the cache takes no more images (%s): the others are decoded anew every time", _why(error))
            self._filling = False


def cache_name(data: ImageData, *, load_size: int) -> str:
    """What the cache of ``data`` is called by: 20 digits that are others where any pixel could be another."""
    # Pairs are checked for one size when they are decoded; sides that were decoded apart must not stand in for them.
    kind = "pairs" if isinstance(data, PairedData) else "two sides"
    digest = hashlib.sha256("\n".join((*_FORMAT, kind)).encode())
    for side in data.sides.values():
        digest.update(PixelFile(Path(), side, load_size=load_size * side.scale).header)  # sizes, type, bands, number
        if side.kind is not None:
            digest.update(f"{side.kind} {library_version()}".encode())
        for line in _identity(side.images, side.rows):
            digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()[:20]


def _identity(images: Images, rows: np.ndarray) -> Iterator[str]:
    """Where the pixels of these rows come from, in lines that change when they do."""
    if isinstance(images, Half):
        yield "left" if images.left else "right"
        yield from _identity(images.both.images, rows)
    elif isinstance(images, Stack):
        for slot in images.slots:
            yield slot.describe()
            if slot.by_nearest:
                yield f"{_NUMBERS} {slot.palette} {slot.unknown} {slot.unknown_channel}"
            yield from _identity(images.parts[slot.name], rows)
    elif isinstance(images, FileImages):
        yield str(images.root.resolve())
        for row in rows.tolist():
            yield f"{images.name(row)} {_stamp(images.where(row))}"
    elif isinstance(images, ColumnImages):
        import pyarrow.compute as compute

        dataset, column, rows = images._dataset, images._column, images._rows[rows]
        yield f"{dataset._fingerprint} {column} {hashlib.sha256(rows.astype('<i8').tobytes()).hexdigest()}"
        for file in dataset.cache_files:
            yield _stamp(file["filename"])
        values = dataset.with_format("arrow")[:].column(column)
        outside = compute.is_null(compute.struct_field(values, "bytes")).to_numpy()[rows]
        for path in compute.struct_field(values, "path").take(rows[outside]).to_pylist():
            yield f"{path} {_stamp(path or '')}"
    else:
        raise TypeError(f"{type(images).__name__} has no place in {__name__}: say what tells two of them apart")


def _stamp(path: str) -> str:
    """Size and times of a file. The last one, ctime, is set by any change and cannot be set back."""
    try:
        status = os.stat(path)
    except OSError:  # whoever reads it will be told
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
