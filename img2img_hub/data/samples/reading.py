"""Lists of images that are read only when asked for: files, and the halves of side-by-side images.

python -c "from img2img_hub.data.samples.reading import FileImages; print(len(FileImages.of_folder('facades/train')))"
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.search import images_below, is_run
from img2img_hub.errors import listing
from img2img_hub.images.formats import IMAGE_EXTENSIONS, ImageError
from img2img_hub.images.headers import kind_of
from img2img_hub.images.raster import AnyImage, Raster, RasterKind
from img2img_hub.images.read import Decoded
from img2img_hub.images.remarks import look_at


class Images(Protocol):
    """A list of images; nothing is decoded before ``read``. Can be pickled for DataLoader workers."""

    title: str
    """Where the images are, for people: a folder, or a data set with split and column."""
    left_out: str
    """One line of what is there besides and is not read; "" for nothing."""

    def __len__(self) -> int: ...

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        """Image ``row`` as "L" (1 channel) or "RGB" (3) or, with a kind, as a raster of that kind.

        Raises ImageError or DataError, naming the file or row."""

    def decoded(self, row: int) -> Decoded:
        """Image ``row``, of which nothing is decoded yet. Raises ImageError or DataError, naming the file or row."""

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        """What image ``row`` is, from its file's header; None for an 8-bit picture. Arguments as of ``kind_of``.
        Raises HeaderError where the header cannot be read."""

    def name(self, row: int) -> str:
        """The file's stem, or the row's number."""

    def where(self, row: int) -> str:
        """The file or row, for messages."""


class FileImages:
    """Image files, in the order given."""

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        root: Path,
        title: str,
        left_out: str = "",
        inner: str = "",
        listed: bool = False,
    ) -> None:
        self.root = root
        self.title = title
        self.left_out = left_out
        self.listed = listed  # one by one: what else is in the folder is not read
        self._inner = inner  # of clips: the folder in each of them
        self._paths = [str(path) for path in paths]  # strings are a fifth of the memory of Path objects

    @classmethod
    def of_folder(cls, folder: str | Path, *, title: str | None = None) -> FileImages:
        """All images below ``folder`` in natural order (2.jpg before 10.jpg). Raises DataError where there are
        none, and where it is the folder of a run."""
        folder = Path(folder)
        title = title or str(folder)
        if is_run(folder):
            raise DataError(
                f"folder {folder} is that of a run (it holds run.json), whose sheets and checkpoints are no data: move "
                f"the run's files elsewhere, or name another folder"
            )
        found, left_out = images_below(folder)
        if not found:
            held = f"only {listing([f'{kind}s' for kind in left_out.kinds])}" if left_out.kinds else "nothing"
            endings = " ".join(sorted(IMAGE_EXTENSIONS))
            raise DataError(f"folder {folder} has no images (found {held}): put files ending in {endings} there")
        return cls(found, root=folder, title=title, left_out=left_out.describe(title))

    @classmethod
    def of_clips(cls, root: Path, clips: Sequence[str], inner: str, *, title: str) -> FileImages:
        """All images below ROOT/CLIP/INNER, clip behind clip; their names leave INNER out. Raises DataError."""
        each = [cls.of_folder(root / clip / inner, title=f"{title}/{clip}/{inner}") for clip in clips]
        paths = [path for images in each for path in images._paths]
        left_out = "; ".join(images.left_out for images in each if images.left_out)
        return cls(paths, root=root, title=f"{title}/*/{inner}", left_out=left_out, inner=inner)

    def at(self, rows: Sequence[int]) -> FileImages:
        """Some of them, in this order."""
        paths = [self._paths[row] for row in rows]
        same = {"root": self.root, "title": self.title, "left_out": self.left_out, "inner": self._inner}
        return FileImages(paths, **same, listed=self.listed)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        return read_as(self.decoded(row), channels=channels, kind=kind)

    def decoded(self, row: int) -> Decoded:
        return Decoded(self._paths[row])

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        return kind_of(self._paths[row], no_data=no_data, bands=bands)

    def name(self, row: int) -> str:
        """The path below the folder, without its ending: "1", or "aachen/1"."""
        return PurePosixPath(self.file(row)).with_suffix("").as_posix()

    def file(self, row: int) -> str:
        """The path below the folder: "1.png", or "aachen/1.png"."""
        parts = Path(self._paths[row]).relative_to(self.root).parts
        return "/".join((parts[0], *parts[2:]) if self._inner else parts)

    def where(self, row: int) -> str:
        return self._paths[row]


class SideBySide:
    """Images A|B, and the views of their halves."""

    def __init__(self, images: Images) -> None:
        self.images = images
        # The two halves of a pair are asked for one after the other: the last image is kept, not decoded twice.
        self._last: tuple[Any, Decoded] | None = None

    def whole(self, row: int) -> Decoded:
        last = self._last
        if last is None or last[0] != row:
            self._last = last = row, self.images.decoded(row)
        return last[1]


class Half:
    """The left (A) or right (B) halves of side-by-side images."""

    def __init__(self, both: SideBySide, *, left: bool) -> None:
        self.both = both
        self.left = left
        self.title = f"{'left' if left else 'right'} halves of {both.images.title}"
        self.left_out = both.images.left_out

    def __len__(self) -> int:
        return len(self.both.images)

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        image = read_as(self.both.whole(row), channels=channels, kind=kind)
        half = image.crop(self._box(row, image.size))
        if isinstance(half, Raster) and half.valid is not None and not half.valid.any():
            side = "left" if self.left else "right"
            raise ImageError(f"{self.where(row)}: its {side} half holds no data: leave it out")
        look_at(half, name=self.where(row))
        return half

    def decoded(self, row: int) -> Decoded:
        whole = self.both.whole(row)
        return whole.cropped(self._box(row, whole.size))

    def _box(self, row: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        width, height = size
        if width % 2 or width < 2:
            raise DataError(
                f"{self.where(row)} is {width} pixels wide, which is odd, so that it cannot hold two halves of one "
                f"size side by side: mend or delete it, or leave out --side_by_side"
            )
        return (0, 0, width // 2, height) if self.left else (width // 2, 0, width, height)

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        return self.both.images.kind(row, no_data=no_data, bands=bands)

    def name(self, row: int) -> str:
        return self.both.images.name(row)

    def where(self, row: int) -> str:
        return self.both.images.where(row)


def read_as(image: Decoded, *, channels: int, kind: RasterKind | None) -> AnyImage:
    """An image as a picture of so many channels or a raster of that kind."""
    read: AnyImage = image.picture(channels=channels) if kind is None else image.raster(kind=kind)
    look_at(read, name=image.name)
    return read
