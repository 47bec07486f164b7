"""One column of a table as a list of images, and what the columns of a table hold.

python -c "from img2img_hub.data.find.columns import ColumnImages; help(ColumnImages)"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from img2img_hub.data.find.config import DataError
from img2img_hub.data.samples.reading import read_as
from img2img_hub.errors import counted, listing
from img2img_hub.images.headers import kind_of
from img2img_hub.images.raster import AnyImage, RasterKind
from img2img_hub.images.read import Decoded

if TYPE_CHECKING:  # `datasets` takes a second to import and is not needed for folders of images
    from datasets import Dataset


class ColumnImages:
    """The images of one column, still encoded; rows in the order given."""

    def __init__(
        self, dataset: Dataset, column: str, *, title: str, rows: Sequence[int] | None = None, left_out: str = ""
    ) -> None:
        from datasets import Image as ImageFeature

        # Undecoded bytes, so that orientation, bands and damage are handled in one place, images/.
        self._dataset = dataset.select_columns([column]).cast_column(column, ImageFeature(decode=False))
        self._column = column
        self._rows = np.arange(len(dataset)) if rows is None else np.asarray(rows, dtype=np.int64)
        self.title = title
        self.left_out = left_out

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, row: int, *, channels: int, kind: RasterKind | None = None) -> AnyImage:
        return read_as(self.decoded(row), channels=channels, kind=kind)

    def decoded(self, row: int) -> Decoded:
        content, name = self._content(row)
        return Decoded(content, name=name)

    def kind(self, row: int, *, no_data: float | None, bands: int | None) -> RasterKind | None:
        content, name = self._content(row)
        return kind_of(content, no_data=no_data, bands=bands, name=name)

    def _content(self, row: int) -> tuple[bytes | str, str]:
        """The encoded image or its path, and what messages call it."""
        value = self._dataset[int(self._rows[row])][self._column]
        if value is None or (value["bytes"] is None and value["path"] is None):
            raise DataError(f"{self.where(row)} holds no image: delete the row or fill it")
        if value["bytes"] is not None:
            return value["bytes"], self.where(row)
        return value["path"], f"{self.where(row)} ({value['path']})"

    def name(self, row: int) -> str:
        """The row's number in the split."""
        return str(self._rows[row])

    def where(self, row: int) -> str:
        return f"row {self._rows[row]} of {self.title}"

    def filled(self) -> np.ndarray:
        """For each row whether it holds an image, without reading any."""
        import pyarrow.compute as compute

        values = self._dataset.with_format("arrow")[:].column(self._column)
        empty = [compute.is_null(compute.struct_field(values, part)).to_numpy() for part in ("bytes", "path")]
        return ~(empty[0] & empty[1])[self._rows]

    def where_filled(self) -> ColumnImages:
        filled = np.flatnonzero(self.filled())
        empty = len(self._rows) - len(filled)
        left_out = f"{self.title}: left out {counted(empty, 'row')} without an image" if empty else ""
        return self.at(filled.tolist(), left_out=left_out)

    def at(self, rows: Sequence[int], *, left_out: str = "") -> ColumnImages:
        """Some of them, in this order."""
        places = self._rows[np.asarray(rows, dtype=np.int64)].tolist()
        return ColumnImages(self._dataset, self._column, title=self.title, rows=places, left_out=left_out)


def image_columns(dataset: Dataset) -> list[str]:
    """The columns that hold images: typed so, or as encoded bytes."""
    import datasets

    def holds_images(feature: Any) -> bool:
        if isinstance(feature, dict):
            return feature.keys() == {"bytes", "path"}
        return isinstance(feature, datasets.Image) or getattr(feature, "dtype", "") in ("binary", "large_binary")

    return [name for name, feature in dataset.features.items() if holds_images(feature)]


def class_labels(dataset: Dataset, column: str | None) -> tuple[str | None, list[str]]:
    """The column of labels, the only ClassLabel one by default, and the names of its labels (none for plain values)."""
    import datasets

    if column is None:
        typed = [name for name, feature in dataset.features.items() if isinstance(feature, datasets.ClassLabel)]
        if len(typed) != 1:
            return None, []
        column = typed[0]
    elif column not in dataset.features:
        raise DataError(f"there is no column {column!r}: found {listing(list(dataset.features), limit=12)}")
    feature = dataset.features[column]
    return column, list(feature.names) if isinstance(feature, datasets.ClassLabel) else []
