"""Lists of files: a CSV, TSV or JSONL whose columns name images, one row a pair, beside it or anywhere.

    python -m img2img_hub check-data --dataset pairs.csv

    source,target,split
    maps/1.png,photos/1.jpg,train

A column "split" (or "set", "subset") says which split a row is of; without one all rows are of the training split, and
of a folder with train.csv, val.csv and test.csv those of the file's name.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from img2img_hub.data.find.config import DataConfig, DataError, SplitMissingError
from img2img_hub.data.find.names import find_pairs
from img2img_hub.data.samples.reading import FileImages, Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.errors import counted, listing, one_line
from img2img_hub.images.formats import IMAGE_EXTENSIONS

LISTS = (".csv", ".tsv", ".jsonl")
_SPLITS = ("split", "set", "subset")
_MOST = 100_000_000  # bytes of such a file


class _Row(NamedTuple):
    file: Path
    line: int
    values: dict[str, str]
    split: str


class ListSet:
    """The images that lists name.

    Args:
        files: each with the split that all of its rows are of; "" where a column, or nothing, says it.
        inside: they are from elsewhere, and may name nothing outside their folder.

    Raises:
        DataError: one cannot be read, or names no images.
    """

    def __init__(
        self,
        files: dict[Path, str],
        *,
        train_split: str,
        name: str = "",
        hub_id: str | None = None,
        inside: bool = False,
    ) -> None:
        first = next(iter(files))
        self.file = first if len(files) == 1 else first.parent
        self.name = name or self.file.stem
        self.hub_id = hub_id
        self.train_split = train_split
        self.inside = inside
        self.notes: list[str] = []
        self._kept: list[_Row] | None = None  # of the pairs that were opened last
        self._rows = [row for file, split in files.items() for row in _read(file, split=split or train_split)]
        self.known = list(dict.fromkeys(column for row in self._rows for column in row.values))
        self.columns = [column for column in self.known if self._names_images(column)]
        if not self.columns:
            raise DataError(
                f"{self.file} has the columns {listing(self.known, limit=12)}, and none names images: write paths that "
                f"end in {' '.join(sorted(IMAGE_EXTENSIONS))}"
            )

    def _names_images(self, column: str) -> bool:
        first = [value for row in self._rows[:100] if (value := row.values.get(column))]
        return bool(first) and all(_is_image(value) for value in first)

    def one(self, split: str, *, config: DataConfig, role: str) -> Images:
        """The images of the column that ROLE_column names, or of the only one."""
        column = getattr(config, f"{role}_column")
        if column is None:
            if len(self.columns) > 1:
                raise DataError(
                    f"{self.file} has the image columns {' '.join(self.columns)}: type --{role}_column with one"
                )
            column = self.columns[0]
        return self._images(self._complete(split, [column], config=config, all_of_them=False), column)

    def two(self, split: str, *, config: DataConfig, paired: bool) -> tuple[Images, Images]:
        """The columns of sources and targets."""
        self.notes, self._kept = [], None
        if config.sources:
            self._kept = self._complete(split, [*config.sources, str(config.target_column)], config=config)
            sources = {name: self._images(self._kept, name) for name in config.sources}
            return Stack(sources), self._images(self._kept, str(config.target_column))
        names = (config.source_name, config.target_column)
        if None in names:
            pairs = find_pairs(self.columns)
            if len(pairs) != 1:
                raise DataError(
                    f"{self.file} has the image columns {listing(self.columns, limit=12)}, and which are sources and "
                    "targets is not clear: type --source_column and --target_column with two of them"
                )
            names = pairs[0]
        both = [str(name) for name in names]
        if paired:
            self._kept = self._complete(split, both, config=config)
            return self._images(self._kept, both[0]), self._images(self._kept, both[1])
        source, target = (
            self._images(self._complete(split, [name], config=config, all_of_them=False), name) for name in both
        )
        return source, target

    def beside(self, split: str, column: str, *, partners: Images, config: DataConfig) -> Images:
        """The images of another column, of the rows that the pairs are of."""
        rows = self._of_split(split) if self._kept is None else self._kept
        self._check_columns([column])
        if lacking := [row for row in rows if not self._there(row, column)]:
            raise DataError(f"{self.file}: {self._lack(lacking, [column])}: mend or delete them")
        return self._images(rows, column)

    def _complete(
        self, split: str, columns: Sequence[str], *, config: DataConfig, all_of_them: bool = True
    ) -> list[_Row]:
        """The rows of which each column names an image that is there; of columns for themselves (`all_of_them` False)
        rows that name none are no fault."""
        self._check_columns(columns)
        rows = self._of_split(split)
        if not all_of_them:
            rows = [row for row in rows if row.values.get(columns[0])]
        lacking = [row for row in rows if not all(self._there(row, column) for column in columns)]
        if lacking and not config.drop_unmatched:
            said = self._lack(lacking, columns)
            raise DataError(f"{self.file}: {said}: mend or delete them, or leave them out by --drop_unmatched")
        if lacking:
            lines = listing([f"line {row.line}" for row in lacking])
            self.notes.append(f"{counted(len(lacking), 'row')} without an image left out ({lines})")
        without = {id(row) for row in lacking}
        kept = [row for row in rows if id(row) not in without]
        if not kept:
            raise DataError(f"{self.file}: no row of the split {split!r} names an image that is there: mend the paths")
        return kept

    def _check_columns(self, columns: Sequence[str]) -> None:
        for column in columns:
            if column not in self.known:
                raise DataError(f"{self.file} has no column {column}: found {listing(self.known, limit=12)}")

    def _of_split(self, split: str) -> list[_Row]:
        rows = [row for row in self._rows if row.split == split]
        if not rows:
            splits = listing(sorted({row.split for row in self._rows}))
            raise SplitMissingError(
                f"{self.file} has no rows of the split {split!r}: found {splits}. Type the one to use with --split, "
                "--train_split or --validation_split"
            )
        return rows

    def _images(self, rows: Sequence[_Row], column: str) -> FileImages:
        paths = [self._path(row, column) for row in rows]
        try:
            root = Path(os.path.commonpath([path.parent for path in paths]))
        except ValueError:  # on two drives of Windows
            raise DataError(f"{self.file}: column {column} names images on several drives: put them on one") from None
        return FileImages(paths, root=root, title=f"{self.file.name}, column {column}", listed=True)

    def _path(self, row: _Row, column: str) -> Path:
        value = row.values[column]
        written = Path(value).expanduser() if value.startswith("~/") else Path(value)
        return Path(os.path.abspath(row.file.parent / written))

    def _there(self, row: _Row, column: str) -> bool:
        if not row.values.get(column):
            return False
        path = self._path(row, column)
        if self.inside and not path.is_relative_to(os.path.abspath(row.file.parent)):
            return False
        return os.path.isfile(path)

    def _lack(self, rows: Sequence[_Row], columns: Sequence[str]) -> str:
        said = []
        for row in rows:
            column = next(name for name in columns if not self._there(row, name))
            value = row.values.get(column)
            what = f"{value[:80]}, which is not there" if value else f"nothing in column {column}"
            said.append(f"line {row.line} names {what}")
        return f"{counted(len(rows), 'row')} without an image ({listing(said, limit=3)})"


def _is_image(value: str) -> bool:
    return Path(value).suffix.lower() in IMAGE_EXTENSIONS


def _read(file: Path, *, split: str) -> list[_Row]:
    """The rows, at least one. Raises DataError."""
    try:
        if file.stat().st_size > _MOST:
            raise DataError(f"{file} has more than {_MOST // 1_000_000} MB, which is no list of files: name another")
        text = file.read_text(encoding="utf-8-sig")
        found = (
            _of_json(text) if file.suffix.lower() == ".jsonl" else _of_table(text, tabs=file.suffix.lower() == ".tsv")
        )
    except DataError:
        raise
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({one_line(error, most=200)}): mend it, or name another file") from None
    if not found:
        raise DataError(f"{file} has no rows: write the names of the columns, then a row for each pair")
    if wrong := [name for name in found[0][1] if _is_image(name)]:
        raise DataError(
            f"{file} begins with an image, {wrong[0]:.80}: write the names of the columns into the first line"
        )
    own = next((column for column in found[0][1] if column.lower() in _SPLITS), None)
    return [_Row(file, line, values, values.get(own, "") if own else split) for line, values in found]


def _of_json(text: str) -> list[tuple[int, dict[str, str]]]:
    found = []
    for line, each in enumerate(text.split("\n"), 1):
        if each.strip():
            values = json.loads(each)
            if not isinstance(values, dict):
                raise ValueError(f"line {line} holds no object")
            found.append((line, {key: "" if value is None else str(value).strip() for key, value in values.items()}))
    return found


def _of_table(text: str, *, tabs: bool) -> list[tuple[int, dict[str, str]]]:
    first = text.split("\n", 1)[0]
    mark = "\t" if tabs else ";" if ";" in first and "," not in first else ","
    reader = csv.DictReader(text.split("\n"), delimiter=mark)
    return [
        (reader.line_num, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)})
        for row in reader
    ]
