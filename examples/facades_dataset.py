"""Make pairs of exact label maps and photographs of the CMP Facades that pix2pix brought into use.

    python -m examples.facades_dataset --facades facades --labels facades_labels --output data/facades

FACADES is pix2pix's data set: train, val and test, each image a photograph on the left and its map on the right, as
JPEG. LABELS holds CMP's own maps under the same names, as far as there are any: PNGs of the numbers 0 to 11, in
train, val and test as well. Where there is none, the JPEG's colours are snapped to the twelve that CMP uses.

OUTPUT holds {train,val,test}/{label,photo}/NAME.png and palette.json: train with `--dataset OUTPUT --source_column
label --target_column photo --palette OUTPUT/palette.json`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from img2img_hub.images.palettes import rgb, snapped

PALETTE = {
    "background": "#0000de",
    "facade": "#0030ff",
    "window": "#0080ff",
    "door": "#00cfff",
    "cornice": "#20ffdf",
    "sill": "#70ff8f",
    "balcony": "#c0ff3f",
    "blind": "#fff000",
    "deco": "#ff9f00",
    "molding": "#ff5000",
    "pillar": "#ff0000",
    "shop": "#ae0000",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the three splits and say how many maps are exact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facades", type=Path, required=True, help="pix2pix's folder, with train, val and test")
    parser.add_argument("--labels", type=Path, help="folder of exact maps (default: all maps are snapped)")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args(argv)

    colours = rgb(tuple(PALETTE.values()))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "palette.json").write_text(json.dumps(PALETTE, indent=2) + "\n", encoding="utf-8")
    for split in ("train", "val", "test"):
        files = sorted((arguments.facades / split).glob("*.jpg"))
        if not files:
            raise SystemExit(f"There are no JPEGs in {arguments.facades / split}: give pix2pix's folder as --facades.")
        folders = {kind: arguments.output / split / kind for kind in ("label", "photo")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        exact = 0
        for file in files:
            pair = np.asarray(Image.open(file).convert("RGB"))
            width = pair.shape[1] // 2
            given = arguments.labels / split / f"{file.stem}.png" if arguments.labels else None
            if given is not None and given.exists():
                numbers = np.asarray(Image.open(given))
                exact += 1
            else:
                numbers = snapped(pair[:, width:], colours, blurred=True).numbers
            if numbers.shape != (len(pair), width) or numbers.max() >= len(PALETTE):
                raise SystemExit(f"{given}: {numbers.shape}, up to {numbers.max()}, is no map of {file} in 12 classes.")
            label = Image.fromarray(numbers.astype(np.uint8))
            label.putpalette(colours.astype(np.uint8).tobytes())
            label.save(folders["label"] / f"{file.stem}.png")
            Image.fromarray(pair[:, :width]).save(folders["photo"] / f"{file.stem}.png")
        print(f"{split}: {len(files)} pairs, {exact} of the maps exact, {len(files) - exact} snapped")


if __name__ == "__main__":
    main()
