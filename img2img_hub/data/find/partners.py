"""Which files are partners: those of one name or, where each side has a word of its own in its names, of what is left.

    from img2img_hub.data.find.partners import Pattern

    print(Pattern("label_*").key("aachen/label_001.png"))   # aachen/001

`label_001.png` and `photo_001.jpg`, `0001_A` and `0001_B`, `Röm.png` and `RÖM.jpg`, spelled in either Unicode form, are
found by themselves where all files of both sides find exactly one partner in one way; `--pair_pattern` says it else.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.names import find_pairs
from img2img_hub.errors import listing
from img2img_hub.images.formats import IMAGE_EXTENSIONS


@dataclass(frozen=True)
class Pattern:
    """File names of one side, a * for what partners share: "label_*", or with an ending "*.png"."""

    text: str

    def __post_init__(self) -> None:
        if self.text.count("*") != 1 or "/" in self.text:
            raise DataError(
                f"--pair_pattern {self.text}: a pattern is a file name with one * for what partners share, such as "
                "label_* or *_A or *.png"
            )

    def key(self, path: str) -> str | None:
        """What a file (its path below its folder) shares with its partner; None where it is not of this side. Case and
        form of Unicode make no difference; the ending does where the pattern has one."""
        folder, name = os.path.split(_plain(path))
        start, end = (_plain(part) for part in self.text.split("*"))
        name = name if f".{end.rpartition('.')[2]}" in IMAGE_EXTENSIONS else PurePosixPath(name).stem
        if not (name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end)):
            return None
        return _join(folder, name[len(start) : len(name) - len(end)])


class Partners(NamedTuple):
    """Places in both lists, partner beside partner, and what else there is to say."""

    rows: list[tuple[int, int]]
    how: str
    """In words how they were found, "" where they have the same names."""
    alone: tuple[list[int], list[int]]
    """Places in either list without a partner."""


_Key = Callable[[str], str]


def find_partners(source: Sequence[str], target: Sequence[str]) -> Partners:
    """Partners among two lists of files, each by its path below its folder, without asking.

    Names that are the same come first; then those that differ by upper and lower case or by how Unicode is spelled;
    then those that differ by what is the same in all names of a side: whichever finds the most.

    Raises:
        DataError: two files of one side have one name.
    """
    best = _by(source, target, _stem, _stem, how="")
    if best is None:
        raise DataError(_twice(source, target))
    affixes = [_affixes([PurePosixPath(path).stem for path in side]) for side in (source, target)]
    ways: list[tuple[_Key, _Key, str]] = [(_folded, _folded, "by name, whatever its case and form of Unicode")]
    if affixes[0] != affixes[1]:
        words = " and ".join(f"{start}*{end}" for start, end in affixes)
        keys = [_without(start, end) for start, end in affixes]
        ways.append((keys[0], keys[1], f"by {words}"))
    for first, second, how in ways:
        found = _by(source, target, first, second, how=how) if any(best.alone) else None
        if found is not None and len(found.rows) > len(best.rows):
            best = found
    return best


def by_patterns(source: Sequence[str], target: Sequence[str], patterns: tuple[str, str]) -> Partners:
    """Partners by --pair_pattern; files of neither pattern are alone. Raises DataError."""
    first, second = (Pattern(text) for text in patterns)
    keys = [[pattern.key(path) for path in side] for pattern, side in ((first, source), (second, target))]
    places: list[dict[str, int]] = []
    for side, found in zip((source, target), keys, strict=True):
        places.append({})
        for place, key in enumerate(found):
            if key is not None and places[-1].setdefault(key, place) != place:
                other = side[places[-1][key]]
                raise DataError(
                    f"{other} and {side[place]} are both {key} to --pair_pattern {' '.join(patterns)}, so that the "
                    "partner is not clear: delete one, or type another pattern"
                )
    rows = [(place, places[1][key]) for key, place in places[0].items() if key in places[1]]
    found_rows = [{row[side] for row in rows} for side in (0, 1)]
    alone = [
        [place for place in range(len(side)) if place not in found_rows[n]] for n, side in enumerate((source, target))
    ]
    return Partners(rows=rows, how=f"by {' and '.join(patterns)}", alone=(alone[0], alone[1]))


def two_in_one(names: Sequence[str]) -> tuple[tuple[str, str], bool] | None:
    """The patterns of sources and targets that lie in one folder, and whether it is clear which are which; None where
    there is no way, or more than one, in which every file has exactly one partner."""
    ways: dict[tuple[str, str], None] = {}
    for parts in (_endings, _last_words, _first_words):
        kinds: dict[str, set[str]] = {}
        for path in names:
            pattern, key = parts(path)
            if not pattern or key in kinds.setdefault(pattern, set()):
                break
            kinds[pattern].add(key)
        else:
            if len(kinds) == 2 and len({frozenset(keys) for keys in kinds.values()}) == 1:
                first, second = sorted(kinds)
                ways[first, second] = None
    if len(ways) != 1:
        return None
    (pair,) = ways
    words = {pattern.strip("*_-. "): pattern for pattern in pair}
    if (found := find_pairs(words)) and len(found) == 1:
        return (words[found[0][0]], words[found[0][1]]), True
    return pair, False


# --- keys -------------------------------------------------------------------------------------------------------------


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _stem(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _folded(path: str) -> str:
    return _plain(_stem(path))


def _without(start: str, end: str) -> _Key:
    def key(path: str) -> str:
        folder, name = os.path.split(_folded(path))
        first, last = _plain(start), _plain(end)
        return _join(folder, name[len(first) : len(name) - len(last)])

    return key


def _affixes(stems: Iterable[str]) -> tuple[str, str]:
    """What all names begin and end with, but for digits, which count: ("label_", "") of label_001 and label_002."""
    stems = list(stems)
    start = re.sub(r"[0-9]+$", "", _beginning(stems))
    end = re.sub(r"[0-9]+$", "", _beginning([stem[len(start) :][::-1] for stem in stems]))[::-1]
    return (start, end) if all(len(stem) > len(start) + len(end) for stem in stems) else ("", "")


def _beginning(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(texts), max(texts)
    same = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(same, min(len(first), len(last)))]


def _by(source: Sequence[str], target: Sequence[str], first: _Key, second: _Key, *, how: str) -> Partners | None:
    """None where two files of a side have one key."""
    places = [
        {key(path): place for place, path in enumerate(side)} for side, key in ((source, first), (target, second))
    ]
    if [len(each) for each in places] != [len(source), len(target)]:
        return None
    rows = [(place, places[1][key]) for key, place in places[0].items() if key in places[1]]
    alone = tuple([place for key, place in own.items() if key not in other] for own, other in (places, places[::-1]))
    return Partners(rows=rows, how=how, alone=(alone[0], alone[1]))


def _twice(source: Sequence[str], target: Sequence[str]) -> str:
    for side in (source, target):
        seen: dict[str, str] = {}
        for path in side:
            if (other := seen.setdefault(_stem(path), path)) != path:
                return f"{other} and {path} have one name, so that the partner is not clear: delete one"
    raise AssertionError("no two files have one name")


def _endings(path: str) -> tuple[str, str]:
    return f"*{PurePosixPath(path).suffix.lower()}", _stem(path)


def _last_words(path: str) -> tuple[str, str]:
    folder, stem = os.path.split(_stem(path))
    found = re.fullmatch(r"(.+?)([_\-. ]?[A-Za-z]+)", stem)
    return (f"*{found[2]}", _join(folder, found[1])) if found else ("", "")


def _first_words(path: str) -> tuple[str, str]:
    folder, stem = os.path.split(_stem(path))
    found = re.fullmatch(r"([A-Za-z]+[_\-. ]?)(.+)", stem)
    return (f"{found[1]}*", _join(folder, found[2])) if found else ("", "")


def orphans_in_words(alone: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """Of (title, the other's title, names): "2 in A without a partner in B: x.png, y.png; …"."""
    return "; ".join(
        f"{len(names)} in {here} without a partner in {there}: {listing([os.path.basename(name) for name in names])}"
        for here, there, names in alone
        if names
    )
