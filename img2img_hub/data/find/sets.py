"""Where the images of a data set are: a folder, lists of files, archives, or a table, here or on the Hub.

from img2img_hub.data.find.sets import open_set

open_set("pairs.zip", config=DataConfig(dataset="pairs.zip"), paired=True).two("train", …)
"""

from __future__ import annotations

from pathlib import Path

from img2img_hub.data.find.archives import ARCHIVES, archives_in, is_archive, unpacked
from img2img_hub.data.find.config import DataConfig, DataError
from img2img_hub.data.find.folders import FolderSet
from img2img_hub.data.find.lists import LISTS, ListSet
from img2img_hub.data.find.names import SPLIT_WORDS
from img2img_hub.data.find.on_hub import cached_plain, downloaded, files_on_hub, is_plain
from img2img_hub.data.find.tables import TableSet
from img2img_hub.errors import listing

DataSet = FolderSet | ListSet | TableSet
"""Has `one`, `two` and `beside` for a split, a `name`, a `hub_id` and `notes`."""


def open_set(name: str, *, config: DataConfig, paired: bool) -> DataSet:
    """What `name` says, no split chosen yet. Raises DataError, or the Hub client's own errors."""
    path = Path(name).expanduser()
    opened = _here(path, name, config=config) if path.exists() else _on_hub(name, config=config, paired=paired)
    if config.pair_pattern and not isinstance(opened, FolderSet):
        raise DataError(
            f"--pair_pattern is for files in folders, and {name} says itself what belongs together: drop it"
        )
    return opened


def _on_hub(name: str, *, config: DataConfig, paired: bool) -> DataSet:
    if (
        name.startswith((".", "/", "~"))
        or name.count("/") > 1
        or "\\" in name
        or name.lower().endswith(ARCHIVES + LISTS)
    ):
        what = "file" if name.lower().endswith(ARCHIVES + LISTS) else "folder"
        raise DataError(f"there is no {what} {name}: check the spelling, or type the id of a Hub data set (user/name)")
    files = files_on_hub(name, config=config)
    as_files = paired and not (config.streaming or config.side_by_side or config.corrupt or config.dataset_config)
    if as_files and files is not None and is_plain(files, columns_named=config.target_column is not None):
        return _folder(downloaded(name, config=config), config=config, name=name, hub_id=name, foreign=True)
    if as_files and files is None and (folder := cached_plain(name, config=config)):
        return _folder(folder, config=config, name=name, hub_id=name, foreign=True)
    return TableSet.from_hub(name, config=config)


def _here(path: Path, name: str, *, config: DataConfig) -> DataSet:
    if path.is_dir() and TableSet.is_table(path):
        return TableSet.from_folder(path, config=config)
    if config.dataset_revision or config.dataset_config:
        raise DataError(f"{name} is here, without configurations or revisions: leave those options out")
    if config.streaming:
        raise DataError(f"{name} is here, and its images are read as they are needed: leave out --streaming")
    if path.is_dir():
        return _folder(path, config=config, name=path.resolve().name)
    if is_archive(path):
        return _folder(unpacked([path], root=path.parent), config=config, name=path.name, foreign=True)
    if path.suffix.lower() in LISTS:
        return ListSet({path: ""}, train_split=config.train_split)
    raise DataError(
        f"{path} is a file, not a folder of images, an archive ({' '.join(ARCHIVES)}) or a list of files "
        f"({' '.join(LISTS)}): type the folder that it is in"
    )


def _folder(
    folder: Path, *, config: DataConfig, name: str, hub_id: str | None = None, foreign: bool = False
) -> FolderSet | ListSet:
    """A folder of images; or, of one that holds them packed, what is in the archives, and of one with lists that name
    two columns of images what they say.

    foreign: it is from elsewhere, so that its lists name nothing outside of it.
    """
    if archives := archives_in(folder):
        folder, foreign = unpacked(archives, root=folder), True
    where = {"train_split": config.train_split, "name": name, "hub_id": hub_id}
    found: list[ListSet] = []
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in LISTS and file.is_file():
            try:
                found.append(ListSet({file: ""}, **where, inside=foreign))  # type: ignore[arg-type]
            except DataError:  # a list of something else
                continue
    lists = [each for each in found if len(each.columns) > 1]
    if not lists:
        return FolderSet(folder, **where)  # type: ignore[arg-type]
    of_splits = {each.file: each.file.stem.lower() for each in lists}
    if set(of_splits.values()) <= SPLIT_WORDS:
        return ListSet(of_splits, **where, inside=foreign)  # type: ignore[arg-type]
    if len(lists) > 1:
        names = listing([each.file.name for each in lists])
        raise DataError(f"{folder} has several lists of images ({names}): type --dataset with the one to use")
    return lists[0]
