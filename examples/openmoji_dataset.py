"""Make a Hub-ready data set of pairs, black line drawing and coloured emoji, from OpenMoji (CC BY-SA 4.0).

    npm pack openmoji@17.0.0        # a tar archive of 4 MB
    pip install resvg-py datasets
    python examples/openmoji_dataset.py --openmoji openmoji-17.0.0.tgz --output data/openmoji

OUTPUT holds data/{train,test}-*.parquet with the columns source (line), target (colour), name and group, and the data
set's card: `hf upload user/openmoji-pairs data/openmoji --repo-type dataset` publishes it, `--dataset data/openmoji`
trains on it where it lies.

Left out: flags, skin-tone variants, brands, pictures with nothing to paint, and near-duplicates. Variants of one emoji
(man, woman and person of a profession; drawings that resemble each other) stand on one side of the split.
"""

import argparse
import io
import json
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image

try:
    import resvg_py
except ImportError:
    raise SystemExit("openmoji_dataset.py needs resvg: pip install resvg-py") from None

DROPPED_GROUPS = {"flags", "component"}
DROPPED_SUBGROUPS = {"brand", "subdivision-flag", "flags", "regional-indicator", "skin-tone"}
# Gender signs, joiners and presentation selectors, and the people of professions: what differs between variants.
VARIANT_PARTS = {"200D", "FE0F", "2640", "2642", "1F468", "1F469", "1F9D1", "1F9D4", "27A1"}
SAME = 0.985  # correlation of two small grey pictures from which the second is dropped
ALIKE = 0.93  # … from which they stay on one side of the split
TEST_SHARE = 0.08


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One emoji, drawn."""

    hexcode: str
    name: str
    group: str
    line: Image.Image  # RGB, black on white
    colour: Image.Image  # RGB on white


def read_pairs(archive: Path, *, size: int) -> list[Pair]:
    """Draw every emoji that is kept, in the order of the archive's own list."""
    with tarfile.open(archive) as tar:
        files = {member.name: member for member in tar.getmembers() if member.isfile()}

        def read(path: str) -> bytes:
            stream = tar.extractfile(files[f"package/{path}"])
            assert stream is not None
            return stream.read()

        pairs = []
        for entry in json.loads(read("data/openmoji.json")):
            code = entry["hexcode"]
            if entry["group"] in DROPPED_GROUPS or entry["subgroups"] in DROPPED_SUBGROUPS or entry["skintone"]:
                continue
            if {f"package/{kind}/svg/{code}.svg" for kind in ("black", "color")} - files.keys():
                continue
            line, colour = (draw(read(f"{kind}/svg/{code}.svg").decode(), size=size) for kind in ("black", "color"))
            if painted(line, colour) < 1.0:
                continue  # the drawing is all there is
            pairs.append(Pair(hexcode=code, name=entry["annotation"], group=entry["group"], line=line, colour=colour))
    return pairs


def draw(svg: str, *, size: int) -> Image.Image:
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="#ffffff", skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def painted(line: Image.Image, colour: Image.Image) -> float:
    """Mean difference of the two pictures, 0 (nothing is painted) to 255."""
    first, second = (np.asarray(image, dtype=np.float32) for image in (line, colour))
    return float(np.abs(first - second).mean())


def likeness(images: list[Image.Image]) -> np.ndarray:
    """(n, n) correlations of the pictures, each blurred to 24×24 grey pixels."""
    small = [
        np.asarray(image.convert("L").resize((24, 24), Image.Resampling.BOX), dtype=np.float32) for image in images
    ]
    flat = np.stack([picture.ravel() - picture.mean() for picture in small])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return flat @ flat.T


def drop_duplicates(pairs: list[Pair]) -> list[Pair]:
    """Without those whose line drawing and colours are nearly an earlier one's."""
    same = np.minimum(likeness([pair.line for pair in pairs]), likeness([pair.colour for pair in pairs])) > SAME
    kept: list[int] = []
    for index in range(len(pairs)):
        if not same[index, kept].any():
            kept.append(index)
    return [pairs[index] for index in kept]


def clusters(pairs: list[Pair]) -> list[int]:
    """A number for every pair, equal for variants of one emoji and for drawings that resemble each other."""
    parent = list(range(len(pairs)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    by_code = defaultdict(list)
    for index, pair in enumerate(pairs):
        parts = [part for part in pair.hexcode.split("-") if part not in VARIANT_PARTS]
        by_code["-".join(parts) or "person"].append(index)
    alike = likeness([pair.line for pair in pairs]) > ALIKE
    links = [(group[0], other) for group in by_code.values() for other in group[1:]]
    links += [(int(first), int(second)) for first, second in zip(*np.nonzero(np.triu(alike, 1)), strict=True)]
    for first, second in links:
        parent[root(first)] = root(second)
    return [root(index) for index in range(len(pairs))]


def split(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """{"train", "test"}: whole clusters go to a side, by the hash of their first emoji."""
    groups = defaultdict(list)
    for pair, cluster in zip(pairs, clusters(pairs), strict=True):
        groups[cluster].append(pair)
    sides: dict[str, list[Pair]] = {"train": [], "test": []}
    for group in groups.values():
        draw = int.from_bytes(sha256(group[0].hexcode.encode()).digest()[:4], "big") / 2**32
        # A large cluster is a kind of its own (faces, clocks): it teaches, it does not examine.
        sides["test" if draw < TEST_SHARE and len(group) <= 6 else "train"].extend(group)
    return sides


def write(sides: dict[str, list[Pair]], output: Path, *, size: int) -> None:
    (output / "data").mkdir(parents=True, exist_ok=True)
    for name, pairs in sides.items():
        columns = {
            "source": [pair.line for pair in pairs],
            "target": [pair.colour for pair in pairs],
            "name": [pair.name for pair in pairs],
            "group": [pair.group for pair in pairs],
        }
        table = Dataset.from_dict(columns)
        for column in ("source", "target"):
            table = table.cast_column(column, ImageFeature())
        table.to_parquet(output / "data" / f"{name}-00000-of-00001.parquet")
    counts = ", ".join(f"{len(pairs)} {name}" for name, pairs in sides.items())
    (output / "README.md").write_text(CARD.format(size=size, counts=counts), encoding="utf-8")


CARD = """---
license: cc-by-sa-4.0
pretty_name: OpenMoji line and colour pairs
task_categories: [image-to-image]
---

# OpenMoji line and colour pairs

Black line drawings (`source`) and coloured emoji (`target`) of [OpenMoji](https://openmoji.org) 17, drawn at {size} ×
{size} pixels on white: {counts}. Flags, skin-tone variants, brands and near-duplicates are left out; variants of one
emoji stand on one side of the split.

All emojis designed by OpenMoji, the open-source emoji and icon project. License: CC BY-SA 4.0; this data set is derived
from them (rendered to pixels) and has the same license.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--openmoji", type=Path, required=True, help="the npm package's .tgz, by npm pack openmoji")
    parser.add_argument("--output", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (default 256)")
    arguments = parser.parse_args()
    if not arguments.openmoji.is_file():
        raise SystemExit(f"--openmoji {arguments.openmoji}: no such file: type npm pack openmoji@17.0.0")
    drawn = read_pairs(arguments.openmoji, size=arguments.size)
    kept = drop_duplicates(drawn)
    sides = split(kept)
    write(sides, arguments.output, size=arguments.size)
    print(
        f"{len(drawn)} drawn, {len(drawn) - len(kept)} near-duplicates dropped, "
        + ", ".join(f"{len(v)} {k}" for k, v in sides.items())
    )


if __name__ == "__main__":
    main()
