"""Draw facade label maps for the page's examples: six made-up buildings in the colours of the CMP Facades data set.

    python examples/draw_facades.py --output model_cards/facades-label2photo/examples

Every picture is 256 x 256, hard-edged, and the same on every machine: the one random generator is seeded per building.
The pictures are drawings made by this script, so they carry no licence but the project's own.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 256
# The data set's twelve classes in its own order; the colours are MATLAB's "jet" from dark blue to dark red.
PALETTE = {
    "background": (0, 0, 222),
    "facade": (0, 48, 255),
    "window": (0, 128, 255),
    "door": (0, 207, 255),
    "cornice": (32, 255, 223),  # the hood over a window
    "sill": (112, 255, 143),
    "balcony": (192, 255, 63),
    "blind": (255, 240, 0),
    "deco": (255, 159, 0),
    "molding": (255, 80, 0),  # the horizontal bands between floors
    "pillar": (255, 0, 0),
    "shop": (174, 0, 0),
}


@dataclass(frozen=True, kw_only=True)
class Building:
    """One facade; lengths in pixels, `columns` holds one letter a window axis.

    Letters: w window, W double window, t triple window, b window with blinds beside it, B window with a balcony,
    d window under a deco.
    """

    name: str
    seed: int
    left: int
    right: int
    top: int
    bottom: int
    floors: tuple[str, ...]
    ground: str  # s shop, d door, w window, D door between pillars
    ground_height: int
    molding: int = 5
    roof_molding: int = 10
    hoods: bool = True
    pillars: tuple[int, ...] = ()
    attic: int = 0  # number of dormer windows above the roof molding
    pediments: bool = False


BUILDINGS = (
    Building(name="1-town-house", seed=1, left=12, right=243, top=8, bottom=250, floors=("wwBww", "bbBbb", "bbBbb"),
             ground="wwDww", ground_height=58, roof_molding=12, attic=5),
    Building(name="2-corner-shop", seed=2, left=0, right=255, top=0, bottom=246, floors=("WwWwW", "WwWwW", "WwWwW"),
             ground="sdss", ground_height=62, molding=9, roof_molding=16, pillars=(0, 100, 154, 254)),
    Building(name="3-palace", seed=3, left=4, right=251, top=26, bottom=250, floors=("dddddddd", "wwwBBwww"),
             ground="wwwDwww", ground_height=66, molding=10, roof_molding=20, pediments=True),
    Building(name="4-balconies", seed=4, left=30, right=226, top=0, bottom=252, floors=("BwB", "BtB", "BtB", "BtB"),
             ground="sds", ground_height=46, molding=4, roof_molding=9),
    Building(name="5-shutters", seed=5, left=20, right=255, top=18, bottom=250, floors=("bbbb", "bbbb", "bbbb"),
             ground="wdww", ground_height=60, molding=3, roof_molding=7, hoods=False),
    Building(name="6-apartments", seed=6, left=44, right=214, top=34, bottom=248, floors=("wwwwww",) * 4,
             ground="wwdsw", ground_height=40, molding=3, roof_molding=12, attic=3),
)  # fmt: skip


def draw_building(building: Building) -> Image.Image:
    """One label map: a 256 x 256 RGB image that holds the palette's colours and no other."""
    image = Image.new("RGB", (SIZE, SIZE), PALETTE["background"])
    canvas = Canvas(image, random.Random(building.seed))
    canvas.box("facade", building.left, building.top, building.right, building.bottom)
    roof = building.top + (26 if building.attic else 6)
    if building.attic:
        for x0, x1 in axes(building.left + 8, building.right - 8, building.attic):
            canvas.centred("window", (x0 + x1) // 2, building.top + 8, width=11, height=13)
    canvas.box("molding", building.left, roof, building.right, roof + building.roof_molding)
    if building.pediments:
        for x in range(building.left + 6, building.right - 8, 22):
            canvas.box("deco", x, roof + 4, x + 9, roof + building.roof_molding - 5)

    street = building.bottom - building.ground_height
    first = roof + building.roof_molding
    height = (street - first) // len(building.floors)
    for x in building.pillars:
        canvas.box("pillar", x - 4, first, x + 4, street)
    for number, floor in enumerate(building.floors):
        y0 = first + number * height
        y1 = street if number == len(building.floors) - 1 else y0 + height
        for letter, (x0, x1) in zip(floor, axes(building.left + 6, building.right - 6, len(floor)), strict=True):
            canvas.window(letter, x0, y0 + 4, x1, y1 - building.molding - 2, hood=building.hoods)
        canvas.box("molding", building.left, y1 - building.molding, building.right, y1)

    for letter, (x0, x1) in zip(
        building.ground, axes(building.left + 5, building.right - 5, len(building.ground)), strict=True
    ):
        canvas.ground(letter, x0, street + 3, x1, building.bottom)
    return image


def axes(left: int, right: int, count: int) -> list[tuple[int, int]]:
    """`count` equal bays between two x positions."""
    width = (right - left) / count
    return [(round(left + i * width), round(left + (i + 1) * width)) for i in range(count)]


class Canvas:
    """Rectangles of the palette on an image, with the small irregularities that hand-made annotations have."""

    def __init__(self, image: Image.Image, generator: random.Random) -> None:
        self.draw = ImageDraw.Draw(image)
        self.generator = generator

    def box(self, label: str, x0: int, y0: int, x1: int, y1: int) -> None:
        if x1 > x0 and y1 > y0:
            self.draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=PALETTE[label])

    def centred(self, label: str, x: int, y0: int, *, width: int, height: int) -> None:
        self.box(label, x - width // 2, y0, x - width // 2 + width, y0 + height)

    def window(self, letter: str, x0: int, y0: int, x1: int, y1: int, *, hood: bool) -> None:
        """One window bay: hood, panes, blinds, sill or balcony inside the given rectangle."""
        middle, bay, height = (x0 + x1) // 2, x1 - x0, y1 - y0
        shift = self.generator.randint(-1, 1)
        panes = {"W": 2, "t": 3}.get(letter, 1)
        width = min(round(bay * (0.62 if panes > 1 else 0.44)), round(height * 0.62) if panes == 1 else bay)
        top, bottom = y0 + round(height * 0.18) + shift, y1 - round(height * 0.16)
        left = middle - width // 2
        pane = (width - 2 * (panes - 1)) // panes
        for i in range(panes):
            self.box("window", left + i * (pane + 2), top, left + i * (pane + 2) + pane, bottom)
        right = left + panes * pane + 2 * (panes - 1)
        if letter == "b":
            shutter = max(4, round(bay * 0.15))
            self.box("blind", left - shutter, top + 1, left, bottom - 1)
            self.box("blind", right, top + 1, right + shutter, bottom - 1)
        if letter == "w" and self.generator.random() < 0.2:  # a roller blind, half down
            self.box("blind", left, top, right, top + (bottom - top) // 2)
        if letter == "d":
            self.box("deco", middle - 5, y0 - 1, middle + 5, top - height // 9)
        if hood:
            self.box("cornice", left - 3, top - max(4, height // 9), right + 3, top)
        if letter in "B":
            self.box("balcony", left - round(bay * 0.2), bottom - round(height * 0.22), right + round(bay * 0.2), y1)
        else:
            self.box("sill", left - 3, bottom, right + 3, bottom + max(4, height // 11))

    def ground(self, letter: str, x0: int, y0: int, x1: int, y1: int) -> None:
        """One bay of the ground floor."""
        bay, height = x1 - x0, y1 - y0
        middle = (x0 + x1) // 2
        if letter == "s":
            self.box("shop", x0 + 3, y0 + height // 6, x1 - 3, y1 - 3)
        elif letter == "w":
            width, top = min(round(bay * 0.5), round(height * 0.7)), y0 + round(height * 0.22)
            self.centred("window", middle, top, width=width, height=round(height * 0.45))
            self.centred("sill", middle, top + round(height * 0.45), width=width + 6, height=3)
        else:
            width, top = min(round(bay * 0.55), 30), y0 + round(height * 0.28)
            if letter == "D":
                for x in (middle - width // 2 - 6, middle + width // 2 + 2):
                    self.box("pillar", x, y0, x + 5, y1)
                self.centred("deco", middle, y0, width=width + 16, height=round(height * 0.16))
            self.centred("door", middle, top, width=width, height=y1 - top)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("model_cards/facades-label2photo/examples"), help="folder to write into"
    )
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for building in BUILDINGS:
        path = output / f"{building.name}.png"
        draw_building(building).save(path, optimize=True)
        print(path)


if __name__ == "__main__":
    main()
