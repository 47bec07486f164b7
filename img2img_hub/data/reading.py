"""Lists of images that are read only when asked for: files, and the halves of side-by-side images.

python -c "from img2img_hub.data.reading import FileImages; print(len(FileImages.of_folder('facades/train')))"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from img2img_hub.data.config import DataError, listing
from img2img_hub.images import IMAGE_EXTENSIONS, ImageError, read_image
from img2img_hub.raster_kinds import kind_of
from img2img_hub.rasters import AnyImage, Raster, RasterKind, read_raster


class Images(Protocol):
    """A list of images; nothing is decoded before ``read``. Can be pickled for DataLoader workers."""

    title: str
    """Where the images are, for people: a folder, or a data set with split and column."""

    def __len__(self) -> int: ...

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        """Image ``row`` as "L" (1 channel) or "RGB" (3) or, with a kind, as a raster of that kind.

        Raises ImageError or DataError, naming the file or row."""

    def kind(self, row: int, *, no_data: float | None) -> RasterKind | None:
        """What image ``row`` is, from its file's header; None for an 8-bit picture. Raises HeaderError where that
        cannot be read."""

    def name(self, row: int) -> str:
        """The file's stem, or the row's number."""

    def where(self, row: int) -> str:
        """The file or row, for messages."""


class FileImages:
    """Image files, in the order given."""

    def __init__(self, paths: Sequence[Path], *, root: Path, title: str) -> None:
        self.root = root
        self.title = title
        self._paths = [str(path) for path in paths]  # strings are a fifth of the memory of Path objects

    @classmethod
    def of_folder(cls, folder: str | Path, *, title: str | None = None) -> FileImages:
        """All images below ``folder`` in natural order (2.jpg before 10.jpg). Raises DataError where there are none."""
        folder = Path(folder)
        title = title or str(folder)
        paths = image_files(folder)
        if not paths:
            others = sorted({path.suffix or path.name for path in folder.rglob("*") if path.is_file()})
            held = f"only {listing(others)} files" if others else "nothing"
            endings = " ".join(sorted(IMAGE_EXTENSIONS))
            raise DataError(f"folder {folder} has no images (found {held}): put files ending in {endings} there")
        return cls(paths, root=folder, title=title)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        return read_as(self._paths[row], channels=channels, kind=kind)

    def kind(self, row: int, *, no_data: float | None) -> RasterKind | None:
        return kind_of(self._paths[row], no_data=no_data)

    def name(self, row: int) -> str:
        """The path below the folder, without its ending: "1", or "aachen/1"."""
        return Path(self._paths[row]).relative_to(self.root).with_suffix("").as_posix()

    def where(self, row: int) -> str:
        return self._paths[row]


class SideBySide:
    """Images A|B, and the views of their halves."""

    def __init__(self, images: Images) -> None:
        self.images = images
        # The two halves of a pair are asked for one after the other: the last image is kept, not decoded twice.
        self._last: tuple[tuple[int, int, RasterKind | None], AnyImage] | None = None

    def whole(self, row: int, *, channels: int, kind: RasterKind | None) -> AnyImage:
        last = self._last
        if last is None or last[0] != (row, channels, kind):
            image = self.images.read(row, channels=channels, kind=kind)
            if image.width % 2 or image.width < 2:
                raise DataError(
                    f"{self.images.where(row)} is {image.width} pixels wide, which is odd, so that it cannot hold two "
                    f"halves of one size side by side: mend or delete it, or leave out --side_by_side"
                )
            self._last = last = (row, channels, kind), image
        return last[1]


class Half:
    """The left (A) or right (B) halves of side-by-side images."""

    def __init__(self, both: SideBySide, *, left: bool) -> None:
        self.both = both
        self.left = left
        self.title = f"{'left' if left else 'right'} halves of {both.images.title}"

    def __len__(self) -> int:
        return len(self.both.images)

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        image = self.both.whole(row, channels=channels, kind=kind)
        middle = image.width // 2
        half = image.crop((0, 0, middle, image.height) if self.left else (middle, 0, image.width, image.height))
        if isinstance(half, Raster) and half.valid is not None and not half.valid.any():
            side = "left" if self.left else "right"
            raise ImageError(f"{self.where(row)}: its {side} half holds no data: leave it out")
        return half

    def kind(self, row: int, *, no_data: float | None) -> RasterKind | None:
        return self.both.images.kind(row, no_data=no_data)

    def name(self, row: int) -> str:
        return self.both.images.name(row)

    def where(self, row: int) -> str:
        return self.both.images.where(row)


def read_as(content: str | bytes, *, channels: int, kind: RasterKind | None, name: str | None = None) -> AnyImage:
    """A file, by path or bytes, as a picture of so many channels or a raster of that kind."""
    if kind is None:
        return read_image(content, channels=channels, name=name)
    return read_raster(content, kind=kind, name=name)


def image_files(folder: Path) -> list[Path]:
    """The images below ``folder``, in natural order of their paths; hidden files (.DS_Store, ._1.jpg) are no images."""
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_EXTENSIONS
        and not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        and not path.is_dir()  # a link to nothing stays in, for whoever reads it to be told
    ]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key that puts "2" before "10", and is the same on every file system and in every locale."""
    pieces = re.split(r"([0-9]+)", text)
    key = [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece.lower()) for piece in pieces if piece]
    return key, text  # the text itself decides between "01" and "1", "a" and "A"
