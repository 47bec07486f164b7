"""Data sets with columns, opened by the `datasets` library: on the Hub, or a folder of Parquet or with metadata.csv.

Sources and targets are two image columns, or the halves of one (--side_by_side); unpaired also two splits (trainA and
trainB) or two labels of one column.

    python -m img2img_hub check-data --dataset user/name --source_column sketch --target_column photo
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from img2img_hub.data.find.columns import ColumnImages, class_labels, image_columns
from img2img_hub.data.find.config import DataConfig, DataError, SplitMissingError, reason
from img2img_hub.data.find.names import find_pairs, without_prefix
from img2img_hub.data.samples.reading import Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.data.stream.columns import StreamedColumn
from img2img_hub.data.stream.streaming import first_rows, is_stream
from img2img_hub.errors import counted, listing

if TYPE_CHECKING:  # `datasets` takes a second to import and is not needed for folders of images
    from datasets import Dataset, IterableDataset

# What tells a folder of tables from a folder of images, up to two folders deep.
_TABLE_FILES = ("*.parquet", "*.arrow", "metadata.csv", "metadata.jsonl", "metadata.parquet")


class TableSet:
    """A data set with columns, all its splits; they are streams with --streaming."""

    def __init__(
        self,
        splits: Mapping[str, Dataset | IterableDataset],
        *,
        name: str,
        hub_id: str | None,
        head: int | None = None,
    ) -> None:
        self.splits = dict(splits)
        self.name = name
        self.hub_id = hub_id
        self._head = head
        self._cut: set[str] = set()  # splits that have more rows than their head
        self.notes: list[str] = []  # of the split that was opened last
        self._kept: list[int] | None = None  # its rows, where some were left out

    def head(self, rows: int) -> TableSet:
        """The same splits; of one that is a stream, its first rows, read into memory when it is asked for."""
        return TableSet(self.splits, name=self.name, hub_id=self.hub_id, head=rows)

    @staticmethod
    def is_table(path: Path) -> bool:
        """Whether a folder is for `datasets` to open rather than a plain folder of images."""
        saved = (path / "dataset_dict.json").exists() or (path / "state.json").exists()
        depths = ("", "*/", "*/*/")
        return saved or any(next(path.glob(depth + name), None) for name in _TABLE_FILES for depth in depths)

    @classmethod
    def from_folder(cls, path: Path, *, config: DataConfig) -> TableSet:
        """Open a folder of Parquet or Arrow files, an image folder with metadata, or a saved data set."""
        import datasets

        if config.dataset_revision:
            raise DataError(f"{path} is a folder here, which has no revisions: leave out --dataset_revision")
        name = path.resolve().name
        if not ((path / "dataset_dict.json").exists() or (path / "state.json").exists()):
            return cls(_load(str(path), config=config), name=name, hub_id=None)
        if config.streaming:
            raise DataError(f"{path} is a saved data set here, read as it is needed: leave out --streaming")
        loaded = datasets.load_from_disk(str(path))
        splits = loaded if isinstance(loaded, datasets.DatasetDict) else {config.train_split: loaded}
        return cls(splits, name=name, hub_id=None)

    @classmethod
    def from_hub(cls, name: str, *, config: DataConfig) -> TableSet:
        """Open a Hub data set (or its copy in the cache). Raises DataError, or the Hub client's own error."""
        return cls(_load(name, config=config), name=name, hub_id=name)

    def one(self, split: str, *, config: DataConfig, role: str) -> Images:
        """The image column of ``split`` that ROLE_column names, or its only one, narrowed to the rows of ROLE_label."""
        dataset = self._split(split)
        column = getattr(config, f"{role}_column")
        if column is None:
            columns = image_columns(dataset)
            if len(columns) != 1:
                raise DataError(
                    f"{self._title(split)} has {len(columns)} image columns ({self._columns(split)}): "
                    f"type --{role}_column with the one to use"
                )
            column = columns[0]
        images = self._column(split, column)
        label = getattr(config, f"{role}_label")
        return images if label is None else self._labelled(split, column, label, label_column=config.label_column)

    def two(self, split: str, *, config: DataConfig, paired: bool) -> tuple[Images, Images]:
        """The images of A and B in ``split``: two columns or, unpaired, two splits or two labels."""
        self.notes, self._kept = [], None
        if config.source_label is not None:
            return self.one(split, config=config, role="source"), self.one(split, config=config, role="target")
        if config.sources:
            return self._several(split, config=config, paired=paired)
        names = (config.source_name, config.target_column)
        if (names[0] is None) != (names[1] is None):
            raise DataError(
                f"only one of --source_column and --target_column is given: type both; "
                f"{self._title(split)} has the columns {self._columns(split)}"
            )
        if names[0] is not None and names[1] is not None:
            return self._two_columns(split, names[0], names[1], paired=paired, drop=config.drop_unmatched)
        if split in self.splits:
            columns = image_columns(self._split(split))
            pair = self._only(find_pairs(columns), split, what="columns", flag="column")
            if pair:
                return self._two_columns(split, *pair, paired=paired, drop=config.drop_unmatched)
        found = None if paired else self._two_splits(split, config=config) or self._two_labels(split, config=config)
        if found:
            return found
        raise self._not_found(split, paired=paired)

    def beside(self, split: str, column: str, *, partners: Images, config: DataConfig) -> Images:
        """The images of another column, of the rows that the pairs are of."""
        images = self._column(split, column)
        if self._kept is not None and isinstance(images, ColumnImages):
            images = images.at(self._kept)
        if isinstance(images, ColumnImages) and not (filled := images.filled()).all():
            empty = listing(np.flatnonzero(~filled).astype(str).tolist())
            raise DataError(f"{images.title} has rows without an image ({empty}): fill or delete these rows")
        return images

    def _several(self, split: str, *, config: DataConfig, paired: bool) -> tuple[Images, Images]:
        """Several columns that make one source, and that of the targets."""
        if not paired:
            raise DataError("--source_column with several names makes pairs, and unpaired data are wanted: name one")
        columns = {name: self._column(split, name) for name in (*config.sources, str(config.target_column))}
        columns = self._complete(columns, drop=config.drop_unmatched)
        target = columns.pop(str(config.target_column))
        return Stack(columns), target

    def _two_columns(
        self, split: str, first: str, second: str, *, paired: bool, drop: bool = False
    ) -> tuple[Images, Images]:
        source, target = self._column(split, first), self._column(split, second)
        if isinstance(source, StreamedColumn) or isinstance(target, StreamedColumn):
            return source, target  # what is empty shows when it is read
        if not paired:
            # Columns of a table are equally long; the shorter of two unpaired sets is filled up with nothing.
            return source.where_filled(), target.where_filled()
        both = self._complete({"source": source, "target": target}, drop=drop)
        return both["source"], both["target"]

    def _complete(self, columns: dict[str, Any], *, drop: bool) -> dict[str, Any]:
        """Columns of pairs: each row has to have an image in all of them, or is left out; of streams it shows when they
        are read. Raises DataError."""
        if not all(isinstance(each, ColumnImages) for each in columns.values()):
            return columns
        filled = {name: each.filled() for name, each in columns.items()}
        whole = np.logical_and.reduce(list(filled.values()))
        if whole.all():
            return columns
        if drop and whole.any():
            self.notes.append(f"{counted(int((~whole).sum()), 'row')} without a partner left out")
            self._kept = np.flatnonzero(whole).tolist()
            return {name: each.at(self._kept) for name, each in columns.items()}
        for name, each in columns.items():
            if len(alone := np.flatnonzero(~filled[name])):
                beside = (other for key, other in columns.items() if key != name and filled[key][alone].any())
                raise DataError(
                    f"images without a partner: {next(beside, each).title} has {len(alone)} rows "
                    f"({listing(alone.astype(str).tolist())}) where {each.title} is empty: fill or delete these rows, "
                    "or leave them out by --drop_unmatched"
                )
        return columns

    def _two_splits(self, split: str, *, config: DataConfig) -> tuple[Images, Images] | None:
        """The splits trainA and trainB for "train"."""
        named = without_prefix(self.splits, split)
        pair = self._only(find_pairs(named), split, what="splits", flag="split")
        if pair is None:
            return None
        return tuple(self.one(named[name], config=config, role="source") for name in pair)  # type: ignore[return-value]

    def _two_labels(self, split: str, *, config: DataConfig) -> tuple[Images, Images] | None:
        """The labels A and B in ``split``; or trainA and trainB in the only split, as folders so named are loaded."""
        for where, prefix in ((split, ""), (next(iter(self.splits)), split)):
            if where not in self.splits or (prefix and len(self.splits) > 1):
                continue
            dataset = self._split(where)
            column, labels = class_labels(dataset, config.label_column)
            named = without_prefix(labels, prefix)
            pair = self._only(find_pairs(named), split, what="labels", flag="label")
            columns = image_columns(dataset)
            if pair is None or len(columns) != 1:
                continue
            first, second = (self._labelled(where, columns[0], named[name], label_column=column) for name in pair)
            return first, second
        return None

    def _only(self, pairs: list[tuple[str, str]], split: str, *, what: str, flag: str) -> tuple[str, str] | None:
        if len(pairs) > 1:
            texts = [f"{first} + {second}" for first, second in pairs]
            raise DataError(
                f"{self._title(split)} has more than one pair of {what} ({listing(texts)}): "
                f"type --source_{flag} {pairs[0][0]} --target_{flag} {pairs[0][1]} for the first"
            )
        return pairs[0] if pairs else None

    def _split(self, split: str) -> Dataset | IterableDataset:
        if split not in self.splits:
            raise SplitMissingError(
                f"{self.name} has no split {split!r}: found {listing(list(self.splits), limit=10)}. "
                f"Type the one to use with --split, --train_split or --validation_split"
            )
        dataset = self.splits[split]
        if self._head is not None and is_stream(dataset):
            rows = first_rows(dataset, self._head + 1, title=self._title(split))
            if len(rows) > self._head:
                rows = rows.select(range(self._head))
                self._cut.add(split)
            self.splits[split] = dataset = rows
        return dataset

    def _column(self, split: str, column: str) -> ColumnImages | StreamedColumn:
        dataset = self._split(split)
        if column not in image_columns(dataset):
            wrong = "is no image column" if column in dataset.features else "does not exist"
            raise DataError(f"column {column!r} {wrong} in {self._title(split)}: found {self._columns(split)}")
        title = f"{self._title(split)}, column {column}"
        return (StreamedColumn if is_stream(dataset) else ColumnImages)(dataset, column, title=title)

    def _labelled(self, split: str, column: str, label: str, *, label_column: str | None) -> ColumnImages:
        dataset = self._split(split)
        if is_stream(dataset):
            raise DataError(
                f"{self._title(split)} tells sources from targets by the label of each row, and a stream may hold all "
                f"of one label first: leave out --streaming"
            )
        name, labels = class_labels(dataset, label_column)
        if name is None:
            raise DataError(
                f"which column of {self._title(split)} holds the labels is not clear: found {self._columns(split)}. "
                f"Type --label_column NAME"
            )
        values = np.asarray(
            [labels[value] if labels and value is not None else str(value) for value in dataset[name][:]]
        )
        rows = np.flatnonzero(values == label)
        if not len(rows):
            found = listing(np.unique(values).tolist(), limit=10)
            raise DataError(f"no row of {self._title(split)} has the label {label!r} in column {name!r}: found {found}")
        title = f"{self._title(split)}, column {column}, {name} {label}"
        return ColumnImages(dataset, column, title=title, rows=rows.tolist())

    def _title(self, split: str) -> str:
        return f"{self.name}, split {split}" + (f" (first {self._head} rows)" if split in self._cut else "")

    @property
    def cut(self) -> int | None:
        """Rows that there are of a split which has more; None as long as all that were opened are whole."""
        return self._head if self._cut else None

    def _columns(self, split: str) -> str:
        """ "photo (image), text (string)" for messages."""
        dataset = self._split(split)
        images = image_columns(dataset)
        kinds = [
            f"{name} ({'image' if name in images else getattr(feature, 'dtype', type(feature).__name__)})"
            for name, feature in dataset.features.items()
        ]
        return listing(kinds, limit=12)

    def _not_found(self, split: str, *, paired: bool) -> DataError:
        dataset = self._split(split)
        columns = image_columns(dataset)
        found = f"{self._title(split)} has the columns {self._columns(split)}"
        if not columns:
            return DataError(f"{found}, and none of them holds images: type --dataset with another data set")
        if len(columns) > 1:
            return DataError(
                f"{found}, and which are source and target is not clear: "
                f"type --source_column {columns[0]} --target_column {columns[1]}, or the columns that are"
            )
        choices = ["--side_by_side if each image holds A|B side by side"]
        if paired:
            choices.append("--corrupt box to make the sources of these")
        else:
            name, labels = class_labels(dataset, None)
            if len(labels) > 1:
                choices.append(
                    f"--source_label and --target_label with two of {name}'s labels ({listing(labels, limit=8)})"
                )
            if len(self.splits) > 1:
                choices.append(
                    f"--source_split and --target_split with two of the splits ({listing(list(self.splits), limit=8)})"
                )
            choices.append("--target_dataset with the data set that holds the targets")
        need = "pairs need two image columns" if paired else "two sets of images are needed"
        return DataError(f"{found}, but {need}: type {', or '.join(choices)}")


def _load(name: str, *, config: DataConfig) -> Mapping[str, Dataset]:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        splits = datasets.load_dataset(
            name, config.dataset_config, revision=config.dataset_revision, streaming=config.streaming
        )
    except HfHubHTTPError:
        raise
    except RuntimeError as error:
        if "scripts" not in str(error):
            raise
        raise DataError(
            f"{name} is loaded by a script of its own, and none is run here: type --dataset_revision "
            "refs/convert/parquet, where the Hub keeps what such a script gives, or name a data set of plain files"
        ) from None
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{name!r} cannot be opened as a data set ({reason(error).rstrip('.')}): type a folder that exists here "
            f"or the id of a Hub data set (user/name), with --dataset_config and --dataset_revision where it has "
            f"several"
        ) from error
    for split, dataset in splits.items():
        if dataset.features is None:
            raise DataError(
                f"{name}, split {split} does not tell its columns before it is read: leave out --streaming, or type "
                f"--dataset_revision refs/convert/parquet if the Hub has that"
            )
    return splits
