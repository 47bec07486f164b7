"""Local folders: which ones hold the sources and the targets of a split, and which files are partners.

These layouts are understood, with ROOT/train for the split "train" and A, B for any two names that belong together
(A and B, source and target, images and labels, …) or that --source_column and --target_column give:

    ROOT/train/A + ROOT/train/B      ROOT/trainA + ROOT/trainB      ROOT/A/train + ROOT/B/train
    ROOT/A + ROOT/B (no splits)      ROOT/train/*.jpg and ROOT/*.jpg for --side_by_side

    python -m img2img_hub check-data --dataset ROOT
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from img2img_hub.data.find.config import DataConfig, DataError, SplitMissingError
from img2img_hub.data.find.names import find_pairs, without_prefix
from img2img_hub.data.find.search import images_below, is_hidden, is_model, is_run, natural_key
from img2img_hub.data.samples.reading import FileImages, Images
from img2img_hub.data.samples.stack import Stack
from img2img_hub.errors import listing

_SPLIT_WORDS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


class FolderSet:
    """A local folder of images, with or without splits."""

    hub_id: str | None = None

    def __init__(self, root: Path, *, train_split: str) -> None:
        self.root = root
        self.name = root.resolve().name
        self.train_split = train_split  # what a folder without splits counts as
        if not root.is_dir():
            raise DataError(f"{root} is a file, not a folder of images: type the folder that it is in")

    def one(self, split: str, *, config: DataConfig, role: str) -> Images:
        """The images of ``split``, narrowed to the subfolder that ROLE_column or ROLE_label names."""
        inner = getattr(config, f"{role}_label") or getattr(config, f"{role}_column")
        folder = self.root / split
        pairs = [pair for layout in self._layouts(split) for pair in find_pairs(layout)]
        if config.side_by_side and inner is None and pairs:
            raise DataError(
                f"{self.root} has the folders {pairs[0][0]} and {pairs[0][1]} for the split {split!r}, so that its "
                f"images are not pairs side by side: leave out --side_by_side"
            )
        if not folder.is_dir():
            if split != self.train_split or (inner is None and not _count(self.root, deep=False)):
                raise self._missing(split)
            folder = self.root
        if inner is not None:
            folder = folder / inner
            if not folder.is_dir():
                raise DataError(f"there is no folder {folder}: found {self._found()}")
        return self._images(folder)

    def two(self, split: str, *, config: DataConfig, paired: bool) -> tuple[Images, Images]:
        """The folders of A and B in ``split``; for pairs, only after every file has found its partner."""
        if config.sources:
            return self._several(split, config=config, paired=paired)
        names = (config.source_label or config.source_name, config.target_label or config.target_column)
        first, second = self._find_two(split, names=names, paired=paired)
        source, target = self._images(first), self._images(second)
        return _matched(source, target) if paired else (source, target)

    def beside(self, split: str, folder: str, *, partners: Images) -> Images:
        """The images of another folder, partner beside partner. Raises DataError that names every orphan."""
        for layout in self._layouts(split):
            if folder in layout:
                return _matched(partners, self._images(layout[folder]))[1]
        raise DataError(
            f"{self.root} has no folder {folder} for {split!r}, which this method reads beside the pairs: found "
            f"{self._found()}; --columns {folder}=NAME says that it is called otherwise"
        )

    def _several(self, split: str, *, config: DataConfig, paired: bool) -> tuple[Images, Images]:
        """Several folders that make one source, and that of the targets, matched by name."""
        wanted = (*config.sources, str(config.target_column))
        for layout in self._layouts(split):
            if paired and set(wanted) <= set(layout):
                images = {name: self._images(layout[name]) for name in wanted}
                first = images[wanted[0]]
                matched = {name: first if each is first else _matched(first, each)[1] for name, each in images.items()}
                target = matched.pop(wanted[-1])
                return Stack(matched), target
        if not paired:
            raise DataError("--source_column with several names makes pairs, and unpaired data are wanted: name one")
        if not (self.root / split).is_dir() and split != self.train_split:
            raise self._missing(split)
        raise DataError(f"{self.root} has no folders {' '.join(wanted)} for {split!r}: found {self._found()}")

    def _find_two(self, split: str, *, names: tuple[str | None, str | None], paired: bool) -> tuple[Path, Path]:
        layouts = self._layouts(split)
        for layout in layouts:
            pairs = find_pairs(layout)
            if names != (None, None):
                pairs = [(first, second) for first in layout for second in layout if (first, second) == names]
            if len(pairs) > 1:
                texts = [f"{first} + {second}" for first, second in pairs]
                raise DataError(
                    f"{self.root} has more than one pair of folders for the split {split!r} ({listing(texts)}): "
                    f"type --source_column {pairs[0][0]} --target_column {pairs[0][1]} for the first"
                )
            if pairs:
                return layout[pairs[0][0]], layout[pairs[0][1]]
        folders: dict[Path, str] = {}  # trainA may stand in two layouts, as A of the split "train" and as itself
        for layout in layouts:
            for name, path in layout.items():
                folders.setdefault(path, name)
        raise self._not_found(split, names=names, choices=list(dict.fromkeys(folders.values())), paired=paired)

    def _layouts(self, split: str) -> list[dict[str, Path]]:
        """For each layout that ``split`` could have, the folders in it by name."""
        root = self.root
        top = _subfolders(root)
        layouts = [
            {name: root / split / name for name in _subfolders(root / split)},
            {rest: root / name for rest, name in without_prefix(top, split).items()},
            {name: root / name / split for name in top if (root / name / split).is_dir()},
        ]
        if split == self.train_split and not (root / split).is_dir():
            whole = [name for name in top if not set(_subfolders(root / name)) & _SPLIT_WORDS]
            layouts.append({name: root / name for name in whole if name.lower() not in _SPLIT_WORDS})
        return [layout for layout in layouts if layout]

    def _images(self, folder: Path) -> FileImages:
        # Titles reach the model card, where the rest of the path is nobody's business.
        return FileImages.of_folder(folder, title=(Path(self.name) / folder.relative_to(self.root)).as_posix())

    def _missing(self, split: str) -> SplitMissingError:
        return SplitMissingError(
            f"{self.root} has no images for the split {split!r}: found {self._found()}. "
            f"Type the one to use with --split, --train_split or --validation_split"
        )

    def _not_found(
        self, split: str, *, names: tuple[str | None, str | None], choices: list[str], paired: bool
    ) -> DataError:
        here = (self.root / split).is_dir()
        if not here and split != self.train_split:
            return self._missing(split)
        if names != (None, None):
            if None in names:
                return DataError("--source_column and --target_column name two folders: type both")
            return DataError(
                f"{self.root} has no folders {names[0]} and {names[1]} for {split!r}: found {self._found()}"
            )
        direct = self.root / split if here else self.root
        single = _count(direct, deep=here and len(choices) < 2)
        if single:
            need = "pairs need a second folder with their partners" if paired else "two sets of images need two folders"
            return DataError(
                f"{direct} is one folder of {single} images, but {need}: type --side_by_side if each image holds "
                f"A|B side by side"
                + (", or --corrupt box to make the sources of these" if paired else "")
                + ("" if paired else ", or --target_dataset FOLDER for the folder with the targets")
            )
        if not choices:
            return self._missing(split)
        if len(choices) == 1:
            return DataError(
                f"{self.root} has one folder of images for {split!r} and needs two, sources and targets: "
                f"found {self._found()}. Put the other one beside it, or name it by --dataset if that is the data set"
            )
        return DataError(
            f"{self.root} has the folders {listing(choices)}, and which are sources and targets of {split!r} "
            f"is not clear: type --source_column {choices[0]} --target_column {choices[1]}, or the folders that are"
            + ("" if here else f"; or --dataset {self.root / choices[0]} if that is the data set")
        )

    def _found(self) -> str:
        """ "train (400 images), val (100 images)" for messages."""
        top = [f"{name} ({_count(self.root / name, deep=True)} images)" for name in _subfolders(self.root)]
        direct = _count(self.root, deep=False)
        return listing(([f"{direct} images in the folder itself"] if direct else []) + top, limit=8)


ImagesOfFiles = TypeVar("ImagesOfFiles", bound=Images)


def _matched(source: ImagesOfFiles, target: FileImages) -> tuple[ImagesOfFiles, FileImages]:
    """Both lists in the order of the sources, partner beside partner. Raises DataError that names every orphan."""
    rows: list[dict[str, str]] = []
    for images in (source, target):
        by_stem: dict[str, str] = {}
        for row in range(len(images)):
            other = by_stem.setdefault(images.name(row), images.where(row))
            if other != images.where(row):
                raise DataError(
                    f"{other} and {images.where(row)} have one name, so that the partner is not clear: delete one"
                )
        rows.append(by_stem)
    orphans = [
        f"{len(alone)} in {here.title} without a partner in {there.title}: "
        f"{listing([Path(path).name for path in alone])}"
        for here, there, alone in (
            (source, target, [path for stem, path in rows[0].items() if stem not in rows[1]]),
            (target, source, [path for stem, path in rows[1].items() if stem not in rows[0]]),
        )
        if alone
    ]
    if orphans:
        unpaired = 2 * len(rows[0].keys() & rows[1].keys()) < min(len(source), len(target))
        raise DataError(
            f"images without a partner ({'; '.join(orphans)}). Partners have the same name, whatever its ending: "
            + ("these look unpaired: train cyclegan" if unpaired else "rename, add or delete these files")
        )
    partners = [Path(rows[1][stem]) for stem in rows[0]]
    return source, FileImages(partners, root=target.root, title=target.title, left_out=target.left_out)


def _subfolders(folder: Path) -> list[str]:
    """Those that may hold data: no hidden ones, no folder of a run or a model."""
    if not folder.is_dir():
        return []
    inside = (path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name) and path.name[0] != "_")
    return sorted((path.name for path in inside if not is_run(path) and not is_model(path)), key=natural_key)


def _count(folder: Path, *, deep: bool) -> int:
    return sum(deep or path.parent == folder for path in images_below(folder)[0])
