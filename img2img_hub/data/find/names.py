"""Which pairs of names, of columns, folders, splits or labels, are understood without being told.

python -c "from img2img_hub.data.find.names import find_pairs; print(find_pairs(['imageA', 'imageB', 'mask']))"
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SPLIT_WORDS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
"""Names of folders, archives and lists that hold one split each."""

# Source first. Compared after `_plain`, so that input_image, imageA, source_img, labels and Image-B are understood.
_PAIRS = (
    ("a", "b"),
    ("x", "y"),
    ("source", "target"),
    ("input", "target"),
    ("input", "output"),
    ("input", "edited"),
    ("input", "label"),
    ("original", "edited"),
    ("before", "after"),
    ("conditioning", "image"),
    ("condition", "image"),
    ("control", "image"),
    ("image", "target"),
    ("image", "label"),
    ("image", "mask"),
    ("image", "annotation"),
    ("image", "segmentation"),
)


def _plain(name: str) -> str:
    """ "input_image" -> "input", "imageA" -> "a", "labels" -> "label", "image" -> "image"."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    letters = letters[:-1] if len(letters) > 1 and letters.endswith("s") else letters
    core = re.sub(r"^(image|img|picture|pixel)s?|(image|img|picture|pixel)s?$", "", letters)
    return core or "image"


def find_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """All (source, target) among ``names`` (of columns, folders, splits, labels) that belong together."""
    by_plain: dict[str, list[str]] = {}
    for name in names:
        by_plain.setdefault(_plain(name), []).append(name)
    return [
        (first, second)
        for source, target in _PAIRS
        for first in by_plain.get(source, [])
        for second in by_plain.get(target, [])
    ]


def without_prefix(names: Iterable[str], prefix: str) -> dict[str, str]:
    """{"A": "trainA", "B": "trainB"} for the names that are ``prefix`` and a word more (so not "training")."""
    matches = {name: re.fullmatch(re.escape(prefix) + r"(?:[_\-. ]+|(?=[A-Z]))(.+)", name) for name in names}
    return {match[1]: name for name, match in matches.items() if match}
