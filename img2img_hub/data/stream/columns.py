"""The columns of a stream as lists of images, which read a row in the place of its number.

python -c "from img2img_hub.data.stream.columns import StreamedColumn; help(StreamedColumn)"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from img2img_hub.data.find.config import DataError
from img2img_hub.data.samples.reading import Half, Images, read_as
from img2img_hub.data.samples.stack import Stack
from img2img_hub.images.headers import kind_of
from img2img_hub.images.raster import AnyImage, RasterKind
from img2img_hub.images.read import Decoded

if TYPE_CHECKING:  # `datasets` takes a second to import and is not needed for folders of images
    from datasets import IterableDataset


class Cell(NamedTuple):
    """An encoded image of a stream, and where in its split it lies."""

    content: bytes | None
    place: str


Row = dict[str, Cell]
"""By column."""


class StreamedColumn:
    """The images of one column of a stream. Where other lists of images take a row's number, it takes the row."""

    left_out = ""

    def __init__(self, dataset: IterableDataset, column: str, *, title: str) -> None:
        self.dataset = dataset
        self.column = column
        self.title = title

    def __len__(self) -> int:
        """Rows in the split; 0 where the data set's card does not tell."""
        known = (self.dataset.info.splits or {}).get(str(self.dataset.split))
        return known.num_examples if known else 0

    def read(self, row: Any, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        return read_as(self.decoded(row), channels=channels, kind=kind)

    def decoded(self, row: Any) -> Decoded:
        content = row[self.column].content
        if content is None:
            raise DataError(f"{self.where(row)} holds no image: delete the row or fill it")
        return Decoded(content, name=self.where(row))

    def kind(self, row: Any, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        return kind_of(row[self.column].content, no_data=no_data, bands=bands, name=self.where(row))

    def name(self, row: Any) -> str:
        return row[self.column].place

    def where(self, row: Any) -> str:
        return f"{row[self.column].place} of {self.title}"


def cell(value: Any, place: str, *, title: str) -> Cell:
    value = value if value is not None else {"bytes": None, "path": None}
    if not isinstance(value, dict) or (value["bytes"] is None and value["path"] is not None):
        raise DataError(
            f"{title} holds files of images, of which a stream would fetch one after the other: leave out --streaming, "
            f"or type --dataset_revision refs/convert/parquet if the Hub has that"
        )
    path = value["path"]
    return Cell(value["bytes"], f"{place} ({path})" if path else place)


def columns_of(images: Images) -> list[StreamedColumn]:
    if isinstance(images, Stack):
        return [column for part in images.parts.values() for column in columns_of(part)]
    column = images.both.images if isinstance(images, Half) else images
    assert isinstance(column, StreamedColumn)
    return [column]
