"""Local folders: which ones hold the sources and the targets of a split, and which files are partners.

These layouts are understood, with ROOT/train for the split "train" and A, B for any two names that belong together
(A and B, source and target, images and labels, …) or that --source_column and --target_column give:

    ROOT/train/A + ROOT/train/B      ROOT/trainA + ROOT/trainB      ROOT/A/train + ROOT/B/train
    ROOT/A + ROOT/B (no splits)      ROOT/train/*.jpg and ROOT/*.jpg for --side_by_side
    ROOT/train/CLIP/A + …/CLIP/B     ROOT/train/label_1.png + photo_1.jpg (partners.py)

    python -m img2img_hub check-data --dataset ROOT
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from img2img_hub.data.find.config import DataConfig, DataError, SplitMissingError
from img2img_hub.data.find.names import SPLIT_WORDS, find_pairs, without_prefix
from img2img_hub.data.find.partners import Partners, by_patterns, find_partners, orphans_in_words, two_in_one
from img2img_hub.data.find.search import images_below, is_hidden, is_model, is_run, natural_key
from img2img_hub.data.samples.reading import FileImages, Images
from img2img_hub.data.samples.stack import Stack, lists_of
from img2img_hub.errors import counted, listing


class FolderSet:
    """A local folder of images, with or without splits."""

    def __init__(self, root: Path, *, train_split: str, name: str = "", hub_id: str | None = None) -> None:
        self.root = root
        self.name = name or root.resolve().name
        self.hub_id = hub_id
        self.train_split = train_split  # what a folder without splits counts as
        self.notes: list[str] = []  # of the split that was opened last

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
        self.notes = []
        if config.sources:
            return self._several(split, config=config, paired=paired)
        names = (config.source_label or config.source_name, config.target_label or config.target_column)
        found = self._find_two(split, names=names) or self._clips(split, names=names, config=config)
        if found is None and paired and names == (None, None):
            beside = self._in_one_folder(split, config=config)
            if beside is not None:
                return beside
        if found is None:
            raise self._not_found(split, names=names, paired=paired)
        if not paired:
            return found
        source, others = self._matched(found[0], {"target": found[1]}, config=config)
        return source, others["target"]

    def beside(self, split: str, folder: str, *, partners: Images, config: DataConfig) -> Images:
        """The images of another folder, partner beside partner; those of pairs that were left out are left out, too.
        Raises DataError that names every orphan."""
        for layout in self._layouts(split):
            if folder in layout:
                images, files = self._images(layout[folder]), _files(partners)
                found = find_partners(files, _files(images))
                alone = [files[place] for place in found.alone[0]]
                others = [] if config.drop_unmatched else [images.file(place) for place in found.alone[1]]
                if alone or others:
                    orphans = [(partners.title, images.title, alone), (images.title, partners.title, others)]
                    raise DataError(f"images without a partner ({orphans_in_words(orphans)}): {_CURE}")
                places = dict(found.rows)
                return images.at([places[row] for row in range(len(files))])
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
                first, others = self._matched(images.pop(wanted[0]), images, config=config)
                target = others.pop(wanted[-1])
                return Stack({wanted[0]: first, **others}), target
        if not paired:
            raise DataError("--source_column with several names makes pairs, and unpaired data are wanted: name one")
        if not (self.root / split).is_dir() and split != self.train_split:
            raise self._missing(split)
        raise DataError(f"{self.root} has no folders {' '.join(wanted)} for {split!r}: found {self._found()}")

    def _find_two(self, split: str, *, names: tuple[str | None, str | None]) -> tuple[FileImages, FileImages] | None:
        """The two folders of the names, or of names that belong together; None where there are none."""
        for layout in self._layouts(split):
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
                first, second = (layout[name] for name in pairs[0])
                inside = [find_pairs(_subfolders(folder)) for folder in (first, second)]
                if names == (None, None) and inside[0] and inside[0] == inside[1]:
                    raise DataError(
                        f"{first.name} and {second.name} may be sources and targets, or two clips with "
                        f"{' and '.join(inside[0][0])} in each: type --source_column {first.name} --target_column "
                        f"{second.name}, or --source_column {inside[0][0][0]} --target_column {inside[0][0][1]}"
                    )
                return self._images(first), self._images(second)
        return None

    def _base(self, split: str) -> Path | None:
        """Where the images of a split lie, if not in folders of their own."""
        if (self.root / split).is_dir():
            return self.root / split
        return self.root if split == self.train_split else None

    def _clips(
        self, split: str, *, names: tuple[str | None, str | None], config: DataConfig
    ) -> tuple[FileImages, FileImages] | None:
        """Folders of the names in each of several folders: clip_1/A and clip_1/B, clip_2/A and clip_2/B."""
        base = self._base(split)
        if base is None or set(_subfolders(base)) & SPLIT_WORDS:
            return None
        found: dict[tuple[str, str], list[str]] = {}
        for clip in _subfolders(base):
            inside = _subfolders(base / clip)
            pairs = find_pairs(inside)
            if names != (None, None):
                pairs = [(first, second) for first in inside for second in inside if (first, second) == names]
            for pair in pairs:
                found.setdefault(pair, []).append(clip)
        if len(found) != 1:
            return None
        ((first, second), those) = next(iter(found.items()))
        others = [clip for clip in _subfolders(base) if clip not in those and _count(base / clip, deep=True)]
        if others and not config.drop_unmatched:
            raise DataError(
                f"{base} has clips with {first} and {second} in them, and {listing(others)} without: {_CURE}"
            )
        if others:
            self.notes.append(
                f"{counted(len(others), 'folder')} without {first} and {second} left out ({listing(others)})"
            )
        title = (Path(self.name) / base.relative_to(self.root)).as_posix()
        return (
            FileImages.of_clips(base, those, first, title=title),
            FileImages.of_clips(base, those, second, title=title),
        )

    def _in_one_folder(self, split: str, *, config: DataConfig) -> tuple[FileImages, FileImages] | None:
        """Sources and targets that lie beside each other: label_1 and photo_1, 1_A and 1_B, 1.png and 1.jpg."""
        base = self._base(split)
        if base is None or not _count(base, deep=False):
            return None
        images = self._images(base)
        if base == self.root:  # in which other splits may have folders
            own = [row for row in range(len(images)) if images.file(row).split("/")[0].lower() not in SPLIT_WORDS]
            images = images.at(own)
        files = _files(images)
        patterns = config.pair_pattern
        if not patterns:
            found = two_in_one(files)
            if found is None:
                return None
            if not found[1]:
                both = " ".join(f"'{text}'" for text in found[0])
                raise DataError(
                    f"{base} holds pairs by {' and '.join(found[0])}, and which are the sources is not clear: type "
                    f"--pair_pattern {both}, the sources' first"
                )
            patterns = found[0]
        partners = by_patterns(files, files, (patterns[0], patterns[1]))
        taken = {place for row in partners.rows for place in row}
        alone = [files[place] for place in range(len(files)) if place not in taken]
        if alone and (not config.drop_unmatched or not taken):
            raise DataError(
                f"{base} has {counted(len(alone), 'image')} without a partner by {' and '.join(patterns)}: "
                f"{listing(alone)}: {_CURE}"
            )
        self._say(partners.how, alone=alone)
        return images.at([row[0] for row in partners.rows]), images.at([row[1] for row in partners.rows])

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
            whole = [name for name in top if not set(_subfolders(root / name)) & SPLIT_WORDS]
            layouts.append({name: root / name for name in whole if name.lower() not in SPLIT_WORDS})
        return [layout for layout in layouts if layout]

    def _matched(
        self, source: FileImages, others: dict[str, FileImages], *, config: DataConfig
    ) -> tuple[FileImages, dict[str, FileImages]]:
        """All lists in the order of the sources, partner beside partner. Raises DataError that names every orphan."""
        files = _files(source)
        places: dict[str, dict[int, int]] = {}
        orphans, how, unpaired = [], [], False
        for name, images in others.items():
            found = self._partners(source, images, files=files, config=config)
            places[name] = dict(found.rows)
            how += [found.how] if found.how else []
            theirs = _files(images)
            orphans += [
                (source.title, images.title, [files[place] for place in found.alone[0]]),
                (images.title, source.title, [theirs[place] for place in found.alone[1]]),
            ]
            unpaired |= 2 * len(found.rows) < min(len(source), len(images))
        rows = [place for place in range(len(files)) if all(place in each for each in places.values())]
        alone = {name for _, _, names in orphans for name in names}
        if alone and not (config.drop_unmatched and rows):
            raise DataError(
                f"images without a partner ({orphans_in_words(orphans)}). Partners have the same name, whatever its "
                f"ending{', or by --pair_pattern what it says' if config.pair_pattern else ''}: "
                + ("these look unpaired: train cyclegan" if unpaired else _CURE)
            )
        self._say(*dict.fromkeys(how), alone=[name for _, _, names in orphans for name in names])
        return source.at(rows), {
            name: images.at([places[name][row] for row in rows]) for name, images in others.items()
        }

    def _partners(self, source: FileImages, other: FileImages, *, files: list[str], config: DataConfig) -> Partners:
        if config.pair_pattern:
            return by_patterns(files, _files(other), (config.pair_pattern[0], config.pair_pattern[1]))
        try:
            return find_partners(files, _files(other))
        except DataError as error:
            raise DataError(f"{source.title} and {other.title}: {error}") from None

    def _say(self, *how: str, alone: list[str]) -> None:
        """For the description of what is opened."""
        self.notes += [f"partners found {text}" for text in how if text]
        if alone:
            left = counted(len(alone), "image")
            self.notes.append(f"{left} without a partner left out ({listing([Path(name).name for name in alone])})")

    def _images(self, folder: Path) -> FileImages:
        # Titles reach the model card, where the rest of the path is nobody's business.
        return FileImages.of_folder(folder, title=(Path(self.name) / folder.relative_to(self.root)).as_posix())

    def _missing(self, split: str) -> SplitMissingError:
        return SplitMissingError(
            f"{self.root} has no images for the split {split!r}: found {self._found()}. "
            f"Type the one to use with --split, --train_split or --validation_split"
        )

    def _not_found(self, split: str, *, names: tuple[str | None, str | None], paired: bool) -> DataError:
        here = (self.root / split).is_dir()
        folders: dict[Path, str] = {}  # trainA may stand in two layouts, as A of the split "train" and as itself
        for layout in self._layouts(split):
            for name, path in layout.items():
                folders.setdefault(path, name)
        choices = list(dict.fromkeys(folders.values()))
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
                + (
                    ", --pair_pattern with two names if they lie beside each other, such as '*_A' '*_B'"
                    if paired
                    else ""
                )
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


_CURE = "rename, add or delete these files, or leave them out by --drop_unmatched"


def _subfolders(folder: Path) -> list[str]:
    """Those that may hold data: no hidden ones, no folder of a run or a model."""
    if not folder.is_dir():
        return []
    inside = (path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name) and path.name[0] != "_")
    return sorted((path.name for path in inside if not is_run(path) and not is_model(path)), key=natural_key)


def _count(folder: Path, *, deep: bool) -> int:
    return sum(deep or path.parent == folder for path in images_below(folder)[0])


def _files(images: Images) -> list[str]:
    """Paths below the folder; of several images of a row the first one's, in whose order they are."""
    files = cast(FileImages, lists_of(images)[0])  # a folder's lists are of files
    return [files.file(row) for row in range(len(files))]
