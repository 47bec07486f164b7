"""made.json: what a run has made in its folder, written down before it is made. Nothing else there is ever touched.

    cat OUTPUT_DIR/made.json

It holds names at the top of the folder. What a run makes below them is the closed list `_places`: a user's file among
a run's, such as samples/mine.png, is a stranger as much as one beside them. Deleting goes through the folder, not
through the record, and never through a link: so a record from elsewhere cannot name anything outside.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from img2img_hub.errors import listing
from img2img_hub.families import FAMILIES, Family
from img2img_hub.files import write_text
from img2img_hub.training.run.same_settings import read_settings

RECORD = "made.json"
CARD_MARK = "<!-- img2img_hub: generated"  # in the cards of all versions

# Each place as the regular expressions of its parts: files, and what leads to them are folders.
_RESULTS: tuple[str, ...] = (
    "config.json",
    "model.safetensors",
    "translation.json",
    "training_config.json",
    "sample_sheet.png",
)
_RESULTS += ("README.md", "training")
_ON_THE_WAY = ("samples", "checkpoints", "best", ".push", "img2img_hub")
_EVENTS = r"events\.out\.tfevents\..*|hparams\.yml"
_TORN = r"\.tmp[A-Za-z0-9]{6}"  # what a kill leaves of weights, see `write_tensors`
_ALWAYS = {RECORD, ".lock"}
_BASE = {"run.json", "data.json", "finished.json", "metrics.jsonl", "samples", "checkpoints"}


def _folders() -> set[str]:
    """Of published generators, of all families known by now: one may come from outside the package."""
    return {direction.folder for family in FAMILIES.values() for direction in family.directions if direction.folder}


def _places() -> list[tuple[str, ...]]:
    return _places_of(tuple(FAMILIES.values()))


@lru_cache(maxsize=1)
def _places_of(families: tuple[type[Family], ...]) -> list[tuple[str, ...]]:
    phases = [phase for family in families for phase in family().phases]
    networks = {name for phase in phases for name in (*phase.trains, *phase.freezes)}
    networks |= {name for family in families for way in family.directions for name in (way.generator, *way.beside)}
    states = "|".join(sorted(networks | {phase.name for phase in phases}))
    of_generator: list[tuple[str, ...]] = [(re.escape(name),) for name in _RESULTS if name != "training"]
    of_generator += [("training", "|".join(sorted(networks)), r"config\.json|model\.safetensors")]
    of_generator += [(*place[:-1], _TORN) for place in (of_generator[0], of_generator[-1])]
    published = [*of_generator, *(("|".join(sorted(_folders())), *place) for place in of_generator)]
    best = [*published, (r"best\.json",)]
    checkpoint = rf"(?:{states})(?:\.ema|\.optimizer)?\.safetensors|training_state\.pt|rank-[0-9]+\.pt|{_TORN}"
    checkpoint += r"|(?:run|model)\.json"
    return [
        (r"\.lock",),
        (r"(?P<new>\.)?(?:made|run|data|finished)\.json(?(new)\.new)",),
        (r"(?P<new>\.)?metrics\.jsonl(?(new)\.new)",),
        ("samples", r"step-[0-9]+\.png"),
        ("checkpoints", r"step-[0-9]+|\.step-[0-9]+\.(?:incomplete|deleted)", checkpoint),
        *[("checkpoints", r"\.best\.(?:incomplete|next)", *place) for place in best],
        *[("best", *place) for place in best],
        *[(r"\.push", r"step-[0-9]+", *place) for place in published],
        ("img2img_hub", _EVENTS),  # TensorBoard's, by the name that its tracker gets in logs.py
        ("img2img_hub", r"[0-9.]+", _EVENTS),
        *published,
    ]


def all_names() -> frozenset[str]:
    """All names that runs make at the top of their folders."""
    return frozenset({*_BASE, "best", ".push", "img2img_hub", *_RESULTS, *_folders()})


def names_from_the_start(*, best: bool, pushes: bool, tensorboard: bool) -> set[str]:
    """What a run makes on its way."""
    extra = {"best": best, ".push": pushes, "img2img_hub": tensorboard}
    return _BASE | {name for name, wanted in extra.items() if wanted}


def names_of_results(family: Family) -> set[str]:
    """What a run makes at its end."""
    folders = [folder for folder in family.published if folder]
    return set(folders or _RESULTS)


def is_made(place: tuple[str, ...], *, folder: bool) -> bool:
    """Whether runs make a file (or a folder) at this place, given by its parts below the run's folder."""
    return any(
        (len(place) < len(known) if folder else len(place) == len(known))
        and all(re.fullmatch(pattern, part) for pattern, part in zip(known, place, strict=False))
        for known in _places()
    )


# --- the record -------------------------------------------------------------------------------------------------------


class Record:
    """Which of the names in a run's folder are the run's; only the main process uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> frozenset[str] | None:
        """The names in made.json, or those that a run of a former version, which kept no record, has made; None where
        there is no run.

        Raises:
            ValueError: made.json cannot be read.
        """
        try:
            names = json.loads((self.root / RECORD).read_text(encoding="utf-8"))["made"]
            if not isinstance(names, list):
                raise TypeError("it holds no list")
            return frozenset(map(str, names))
        except (FileNotFoundError, NotADirectoryError):
            return self._names_of_a_former_version()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{self.root / RECORD}, which says what in the folder is a run's, cannot be read ({error}): name "
                "another folder, or delete that file if everything in the folder is a run's"
            ) from None

    def _names_of_a_former_version(self) -> frozenset[str] | None:
        learnt = any(self.root.glob("checkpoints/step-*/training_state.pt"))
        if not learnt and read_settings(self.root / "run.json") is None:
            return None
        there = {name for name in all_names() if os.path.lexists(self.root / name)}
        card = self.root / "README.md"
        if card.is_file() and CARD_MARK not in card.read_text(encoding="utf-8", errors="replace"):
            there.discard("README.md")
        return frozenset(there)

    def claim(self, names: Iterable[str]) -> None:
        """Write down that these are the run's, before they are made.

        Raises:
            ValueError: one of them is there already, and not the run's.
        """
        before = self.names() or frozenset()
        self._refuse([name for name in sorted(set(names) - before) if os.path.lexists(self.root / name)])
        # made.json itself is written even where nothing is new: from here on what a user adds is a stranger.
        write_text(self.root / RECORD, json.dumps({"made": sorted(before | set(names))}, indent=2) + "\n")

    def refuse_occupied(self, wish: Literal["resume", "overwrite"] | None, *, will_make: set[str]) -> bool:
        """Whether there is a run, which `wish` continues or deletes.

        Args:
            will_make: the names that the new run will make.

        Raises:
            ValueError: there is one and no wish; there is something in the way.
        """
        names = self.names()
        if names is None:
            if self.root.is_dir():
                found = strangers(self.root, names=())
                # A run goes in beside loose files, such as a log, but not among folders: a checkout, or data.
                self._refuse(
                    [
                        name
                        for name in found
                        if wish == "overwrite" or _when_whole(name.rstrip("/")) in all_names() or "/" in name
                    ]
                )
            return False
        if wish is None:
            run = sorted(name for name in names if os.path.lexists(self.root / name))
            raise ValueError(
                f"--output_dir {self.root} already holds {listing(run or [RECORD], limit=3)}: add --resume to continue "
                "that run, --overwrite to delete it, or name another folder"
            )
        if wish == "overwrite":
            self._refuse(strangers(self.root, names=names))
        else:
            self._refuse_links()
            self._refuse([name for name in sorted(will_make - names) if os.path.lexists(self.root / name)])
        return True

    def take_away_links(self, names: Iterable[str]) -> None:
        """Of these, where files are written anew: a symbolic link leads to a file that no run made, a hard link may be
        the same file in somebody's backup. The run's own go into their place, and what they led to stays as it is."""
        for path in _made_below(self.root, frozenset(names)):
            if path.is_symlink() or path.stat().st_nlink > 1:
                path.unlink()

    def _refuse_links(self) -> None:
        """Of a run that goes on: the folders in which it writes and deletes on its way are to be its own."""
        for name in _ON_THE_WAY:
            for path in (self.root / name, *(self.root / name).glob("*")):
                inner = path.relative_to(self.root).parts
                if path.is_symlink() and is_made(inner, folder=True) and not is_made(inner, folder=False):
                    raise ValueError(
                        f"--output_dir {self.root}: {path.relative_to(self.root)} is a link, to {os.readlink(path)}, "
                        "and a run replaces and deletes only what is in its own folders: put the folder itself there"
                    )

    def _refuse(self, found: list[str]) -> None:
        if found:
            raise ValueError(
                f"--output_dir {self.root} holds {listing(found, limit=3)}, which no run made and none may replace or "
                "delete: name another folder, or move that elsewhere"
            )

    def remove(self) -> None:
        """Delete the run, but for its record."""
        self.claim(())  # of a former version's run, too: after a kill half-way the rest is still the run's
        remove_made(self.root, names=self.names() or ())
        write_text(self.root / RECORD, json.dumps({"made": []}) + "\n")


# --- what is in the folder --------------------------------------------------------------------------------------------


def strangers(path: Path, place: tuple[str, ...] = (), *, names: Iterable[str] | None = None) -> list[str]:
    """What is in a folder and not a run's, sorted, as paths below it; folders with a slash at their end.

    Args:
        path: a folder, which may be a link.
        place: which of a run's folders it is, by its parts; () for the run's own.
        names: those of the record, at the top of a run's folder; None: all that runs make.
    """
    return sorted(_strangers(path, place, all_names() if names is None else frozenset(names)))


def _strangers(path: Path, place: tuple[str, ...], names: frozenset[str]) -> Iterator[str]:
    for entry in os.scandir(path):
        inner = (*place, entry.name)
        link, folder = entry.is_symlink(), entry.is_dir(follow_symlinks=False)
        regular = entry.is_file(follow_symlinks=False)
        own = bool(place) or entry.name in _ALWAYS or _when_whole(entry.name) in names
        if own and link and (is_made(inner, folder=False) or is_made(inner, folder=True)):
            continue  # it is taken away as a link; what it points to is not looked at
        if own and folder and is_made(inner, folder=True):
            yield from (f"{entry.name}/{name}" for name in _strangers(Path(entry.path), inner, names))
        elif not (own and regular and is_made(inner, folder=False)):
            yield entry.name + "/" * folder


def _made_below(path: Path, names: frozenset[str], place: tuple[str, ...] = ()) -> Iterator[Path]:
    """Files of these names and in folders of these names that are a run's, and links in the place of either."""
    for entry in list(os.scandir(path)):
        inner = (*place, entry.name)
        if not place and entry.name not in names:
            continue
        if entry.is_dir(follow_symlinks=False):
            if is_made(inner, folder=True):
                yield from _made_below(Path(entry.path), names, inner)
        elif is_made(inner, folder=False) or (entry.is_symlink() and is_made(inner, folder=True)):
            yield Path(entry.path)


def _when_whole(name: str) -> str:
    """run.json of .run.json.new, in which it is written before it takes the other's place; so with weights."""
    if re.fullmatch(_TORN, name):
        return "model.safetensors"
    return name[1:-4] if name.startswith(".") and name.endswith(".new") else name


def remove_made(path: Path, place: tuple[str, ...] = (), *, names: Iterable[str] | None = None) -> None:
    """Delete what is a run's at `path`, arguments as of `strangers`. Strangers stay, and folders that hold them.

    The record and the lock of the run's own folder stay, too, and so does that folder: after a kill in between the
    record still says whose the rest is.
    """
    left = all_names() if names is None else frozenset(names)
    if place and path.is_symlink():
        path.unlink()
        return
    if not path.is_dir():
        return
    for entry in sorted(os.scandir(path), key=lambda entry: (entry.name != "finished.json", entry.name)):
        inner, inside = (*place, entry.name), Path(entry.path)
        if not place and (entry.name in _ALWAYS or _when_whole(entry.name) not in left):
            continue
        if entry.is_dir(follow_symlinks=False):
            if is_made(inner, folder=True):
                remove_made(inside, inner, names=left)
        elif is_made(inner, folder=False) or (entry.is_symlink() and is_made(inner, folder=True)):
            inside.unlink()
    if place and not any(os.scandir(path)):
        path.rmdir()
