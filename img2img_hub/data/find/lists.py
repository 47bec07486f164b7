"""A list of files: a CSV, TSV or JSONL whose columns name images, one row a pair, below it or anywhere.

    python -m img2img_hub check-data --dataset pairs.csv

    source,target,split
    maps/1.png,photos/1.jpg,train

A column "split" (or "set", "subset") says which split a row is of; without one all rows are of the training split.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

from img2img_hub.data.find.config import DataConfig, DataError, SplitMissingError
from img2img_hub.data.find.names import find_pairs
from img2img_hub.data.samples.reading import FileImages, Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.errors import counted, listing, one_line
from img2img_hub.images.formats import IMAGE_EXTENSIONS

LISTS = (".csv", ".tsv", ".jsonl")
_SPLITS = ("split", "set", "subset")
_MOST = 100_000_000  # bytes of such a file


class ListSet:
    """The images that a file names."""

    def __init__(self, file: Path, *, train_split: str, name: str = "", hub_id: str | None = None) -> None:
        """hub_id: of one that is from the Hub, and may name nothing outside its folder.

        Raises:
            DataError: it cannot be read, or names no images.
        """
        self.file = file
        self.name = name or file.stem
        self.hub_id = hub_id
        self.train_split = train_split
        self.notes: list[str] = []
        self._rows = _read(file)
        self.columns = [column for column in self._rows[0] if self._names_images(column)]
        if not self.columns:
            raise DataError(
                f"{file} has the columns {listing(list(self._rows[0]), limit=12)}, and none names images: write paths "
                f"that end in {' '.join(sorted(IMAGE_EXTENSIONS))}"
            )
        self._split_column = next((column for column in self._rows[0] if column.lower() in _SPLITS), None)

    def _names_images(self, column: str) -> bool:
        first = [row[column] for row in self._rows[:100] if row.get(column)]
        return bool(first) and all(Path(value).suffix.lower() in IMAGE_EXTENSIONS for value in first)

    def one(self, split: str, *, config: DataConfig, role: str) -> Images:
        """The images of the column that ROLE_column names, or of the only one."""
        column = getattr(config, f"{role}_column")
        if column is None:
            if len(self.columns) > 1:
                raise DataError(
                    f"{self.file} has the image columns {' '.join(self.columns)}: type --{role}_column with one"
                )
            column = self.columns[0]
        (images,) = self._images(split, [column], config=config)
        return images

    def two(self, split: str, *, config: DataConfig, paired: bool) -> tuple[Images, Images]:
        """The columns of sources and targets."""
        self.notes = []
        if config.sources:
            wanted = [*config.sources, str(config.target_column)]
            *sources, target = self._images(split, wanted, config=config, whole=True)
            return Stack(dict(zip(config.sources, sources, strict=True))), target
        names = (config.source_name, config.target_column)
        if None in names:
            pairs = find_pairs(self.columns)
            if len(pairs) != 1:
                raise DataError(
                    f"{self.file} has the image columns {listing(self.columns, limit=12)}, and which are sources and "
                    "targets is not clear: type --source_column and --target_column with two of them"
                )
            names = pairs[0]
        source, target = self._images(split, [str(name) for name in names], config=config, whole=paired)
        return source, target

    def beside(self, split: str, column: str, *, partners: Images) -> Images:
        """The images of another column."""
        (images,) = self._images(split, [column], config=DataConfig(dataset="."))
        if len(images) != len(partners):
            raise DataError(f"{self.file}: column {column} has {len(images)} images for {len(partners)} pairs: fill it")
        return images

    def _images(self, split: str, columns: list[str], *, config: DataConfig, whole: bool = False) -> list[FileImages]:
        """The files of columns; `whole`: of rows that have all of them."""
        for column in columns:
            if column not in self._rows[0]:
                raise DataError(f"{self.file} has no column {column}: found {listing(list(self._rows[0]), limit=12)}")
        rows = [(line, row) for line, row in enumerate(self._rows, 2) if self._split(row) == split]
        if not rows:
            splits = sorted({self._split(row) for row in self._rows})
            raise SplitMissingError(
                f"{self.file} has no rows of the split {split!r}: found {listing(splits)}. Type the one to use with "
                "--split, --train_split or --validation_split"
            )
        lacking = {
            line: f"line {line} names {self._said(row, column)}"
            for line, row in rows
            for column in reversed(columns)
            if not self._there(row, column)
        }
        if lacking and whole and not config.drop_unmatched:
            said = f"{counted(len(lacking), 'row')} without an image ({listing(list(lacking.values()), limit=3)})"
            raise DataError(f"{self.file}: {said}: mend or delete them, or leave them out by --drop_unmatched")
        if lacking and whole:
            lines = listing([f"line {line}" for line in lacking])
            self.notes.append(f"{counted(len(lacking), 'row')} without an image left out ({lines})")
            rows = [(line, row) for line, row in rows if line not in lacking]
        found: list[FileImages] = []
        for column in columns:
            paths = [self._path(row[column]) for _, row in rows if self._there(row, column)]
            if not paths:
                raise DataError(f"{self.file}: column {column} names no image of the split {split!r} that is there")
            root = Path(os.path.commonpath([path.parent for path in paths]))
            found.append(FileImages(paths, root=root, title=f"{self.file.name}, column {column}"))
        return found

    def _split(self, row: dict[str, str]) -> str:
        return row.get(self._split_column, "") if self._split_column else self.train_split

    def _path(self, value: str) -> Path:
        return Path(os.path.normpath(self.file.parent / Path(value).expanduser()))

    def _there(self, row: dict[str, str], column: str) -> bool:
        value = row.get(column)
        if not value:
            return False
        path = self._path(value)
        inside = path.is_relative_to(os.path.normpath(self.file.parent))
        return (self.hub_id is None or inside) and os.path.isfile(path)

    def _said(self, row: dict[str, str], column: str) -> str:
        value = row.get(column)
        return f"{value[:80]}, which is not there" if value else f"nothing in column {column}"


def _read(file: Path) -> list[dict[str, str]]:
    """The rows, at least one, all of the same columns. Raises DataError."""
    try:
        if file.stat().st_size > _MOST:
            raise DataError(f"{file} has more than {_MOST // 1_000_000} MB, which is no list of files: name another")
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            if not all(isinstance(row, dict) for row in rows):
                raise ValueError("a line holds no object")
        else:
            dialect = csv.excel_tab if file.suffix.lower() == ".tsv" else _dialect(text)
            rows = list(csv.DictReader(text.splitlines(), dialect=dialect))
    except DataError:
        raise
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({one_line(error, most=200)}): mend it, or name another file") from None
    if not rows:
        raise DataError(f"{file} has no rows: write the names of the columns, then a row for each pair")
    columns = dict.fromkeys(key for row in rows for key in row if isinstance(key, str))
    return [{key: str(row.get(key) or "").strip() for key in columns} for row in rows]


def _dialect(text: str) -> type[csv.Dialect] | csv.Dialect:
    first = text.split("\n", 1)[0]
    return next((_Semicolons() for mark in (";",) if mark in first and "," not in first), csv.excel)


class _Semicolons(csv.excel):
    delimiter = ";"
