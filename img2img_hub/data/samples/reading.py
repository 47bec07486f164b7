"""Lists of images that are read only when asked for: files, and the halves of side-by-side images.

python -c "from img2img_hub.data.samples.reading import FileImages; print(len(FileImages.of_folder('facades/train')))"
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.search import images_below, is_run
from img2img_hub.errors import listing
from img2img_hub.images.formats import IMAGE_EXTENSIONS, ImageError, name_of
from img2img_hub.images.headers import kind_of
from img2img_hub.images.raster import AnyImage, Raster, RasterKind
from img2img_hub.images.read import read_class_numbers, read_image, read_mask, read_raster
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

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        """What image ``row`` is, from its file's header; None for an 8-bit picture. Arguments as of ``kind_of``.
        Raises HeaderError where the header cannot be read."""

    def name(self, row: int) -> str:
        """The file's stem, or the row's number."""

    def where(self, row: int) -> str:
        """The file or row, for messages."""


class FileImages:
    """Image files, in the order given."""

    def __init__(self, paths: Sequence[Path], *, root: Path, title: str, left_out: str = "") -> None:
        self.root = root
        self.title = title
        self.left_out = left_out
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

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        return read_as(self._paths[row], channels=channels, kind=kind)

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        return kind_of(self._paths[row], no_data=no_data, bands=bands)

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
        self.left_out = both.images.left_out

    def __len__(self) -> int:
        return len(self.both.images)

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        image = self.both.whole(row, channels=channels, kind=kind)
        middle = image.width // 2
        half = image.crop((0, 0, middle, image.height) if self.left else (middle, 0, image.width, image.height))
        if isinstance(half, Raster) and half.valid is not None and not half.valid.any():
            side = "left" if self.left else "right"
            raise ImageError(f"{self.where(row)}: its {side} half holds no data: leave it out")
        look_at(half, name=self.where(row))
        return half

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        return self.both.images.kind(row, no_data=no_data, bands=bands)

    def name(self, row: int) -> str:
        return self.both.images.name(row)

    def where(self, row: int) -> str:
        return self.both.images.where(row)


def read_as(content: str | bytes, *, channels: int, kind: RasterKind | None, name: str | None = None) -> AnyImage:
    """A file, by path or bytes, as a picture of so many channels or a raster of that kind."""
    if kind is not None and kind.meaning != "values":  # which are dark as pictures, and ought to be
        return (read_class_numbers if kind.meaning == "labels" else read_mask)(content, name=name)
    image: AnyImage = (
        read_image(content, channels=channels, name=name)
        if kind is None
        else read_raster(content, kind=kind, name=name)
    )
    look_at(image, name=name_of(content, name))
    return image
