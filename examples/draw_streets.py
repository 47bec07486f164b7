"""Draw label maps of streets for the page's examples: six made-up views in the classes and colours of CamVid.

    python examples/draw_streets.py --output model_cards/camvid-label2photo/examples

Every picture is 256 x 256, hard-edged, and the same on every machine: the one random generator is seeded per street.
The pictures are drawings made by this script, so they carry no licence but the project's own.
"""

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 256
PALETTE: dict[str, str] = json.loads(Path(__file__).with_name("camvid_palette.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, kw_only=True)
class Street:
    """One view along a street. Places are shares of the picture, from its upper left corner.

    `left` and `right` are what stands there, from the viewer to the vanishing point: b building, t trees, f a fence
    before trees. `things` are (kind, place on the ground, distance: 0 near, 1 at the vanishing point).
    """

    name: str
    seed: int
    horizon: float = 0.46
    vanishing: float = 0.5
    left: str
    right: str
    things: tuple[tuple[str, float, float], ...] = ()


STREETS = (
    Street(name="1-high-street", seed=1, left="bbb", right="bbt", things=(("car", 0.72, 0.35), ("car", 0.6, 0.7),
           ("pole", 0.2, 0.3), ("pedestrian", 0.14, 0.35), ("pedestrian", 0.86, 0.45))),
    Street(name="2-avenue", seed=2, vanishing=0.55, left="ttt", right="ftt", things=(("car", 0.68, 0.45),
           ("bicyclist", 0.33, 0.3), ("pole", 0.86, 0.25), ("pole", 0.7, 0.7))),
    Street(name="3-crossing", seed=3, horizon=0.5, left="btb", right="tbb", things=(("car", 0.3, 0.5),
           ("car", 0.62, 0.3), ("sign", 0.88, 0.3), ("sign", 0.2, 0.5), ("pedestrian", 0.1, 0.2))),
    Street(name="4-suburb", seed=4, vanishing=0.45, left="fft", right="btt", things=(("car", 0.82, 0.15),
           ("car", 0.6, 0.6), ("car", 0.28, 0.6))),
    Street(name="5-bicycles", seed=5, left="tbb", right="bbb", things=(("bicyclist", 0.4, 0.25),
           ("bicyclist", 0.62, 0.45), ("bicyclist", 0.55, 0.6), ("pole", 0.84, 0.3), ("sign", 0.16, 0.45))),
    Street(name="6-open-road", seed=6, horizon=0.42, vanishing=0.52, left="ttf", right="tt", things=(
           ("car", 0.56, 0.65), ("pole", 0.12, 0.3), ("pole", 0.3, 0.6))),
)  # fmt: skip


def draw_street(street: Street) -> Image.Image:
    """One label map: a 256 x 256 RGB image that holds the palette's colours and no other."""
    image = Image.new("RGB", (SIZE, SIZE), PALETTE["sky"])
    canvas, generator = ImageDraw.Draw(image), random.Random(street.seed)
    middle, horizon = street.vanishing * SIZE, street.horizon * SIZE
    canvas.rectangle((0, horizon, SIZE, SIZE), fill=PALETTE["pavement"])
    for side, kinds in ((-1, street.left), (1, street.right)):
        _rows(canvas, generator, kinds, side=side, middle=middle, horizon=horizon)
    canvas.polygon(
        [(middle - 6, horizon), (middle + 6, horizon), (1.15 * SIZE, SIZE), (-0.1 * SIZE, SIZE)], fill=PALETTE["road"]
    )
    for kind, place, distance in sorted(street.things, key=lambda thing: -thing[2]):
        foot = SIZE - distance * (SIZE - horizon) * 0.9 - 12
        _thing(canvas, kind, x=place * SIZE, foot=foot, scale=(foot - horizon) / (SIZE - horizon))
    return image


def _rows(
    canvas: ImageDraw.ImageDraw, generator: random.Random, kinds: str, *, side: int, middle: float, horizon: float
) -> None:
    """What stands along one side, the farthest first, each lower and nearer to the middle."""
    edge = 0.0 if side < 0 else float(SIZE)
    for number, kind in reversed(list(enumerate(kinds))):
        near, far = number / len(kinds), (number + 1) / len(kinds)
        x0, x1 = (edge + (middle - edge) * share**0.8 for share in (near, far))
        high, low = ((1 - share) * horizon * generator.uniform(0.95, 1.3) + 8 for share in (near, far))
        foot = horizon + 0.5 * (SIZE - horizon) * (1 - near)
        foot_far = horizon + 0.5 * (SIZE - horizon) * (1 - far)
        if kind == "b":
            outline = [(x0, horizon - high), (x1, horizon - low), (x1, foot_far), (x0, foot)]
            canvas.polygon(outline, fill=PALETTE["building"])
            continue
        for _ in range(40):
            share = generator.random()
            x, top = x0 + (x1 - x0) * share, high + (low - high) * share
            y = horizon - generator.random() * top
            radius = 6 + 14 * (1 - near) * generator.random()
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=PALETTE["tree"])
        canvas.polygon(
            [(x0, horizon - 0.3 * high), (x1, horizon - 0.3 * low), (x1, foot_far), (x0, foot)], fill=PALETTE["tree"]
        )
        if kind == "f":
            canvas.polygon(
                [(x0, foot - 0.3 * high), (x1, foot_far - 0.3 * low), (x1, foot_far), (x0, foot)], fill=PALETTE["fence"]
            )


def _thing(canvas: ImageDraw.ImageDraw, kind: str, *, x: float, foot: float, scale: float) -> None:
    """One thing that stands at (x, foot); scale: 1 at the lower edge of the picture."""
    if kind == "car":
        width, height = 100 * scale, 74 * scale
        canvas.rounded_rectangle(
            (x - width / 2, foot - 0.6 * height, x + width / 2, foot), 0.12 * height, PALETTE["car"]
        )
        canvas.rounded_rectangle(
            (x - 0.4 * width, foot - height, x + 0.4 * width, foot - 0.4 * height), 0.2 * height, PALETTE["car"]
        )
    elif kind in ("pedestrian", "bicyclist"):
        width, height = 26 * scale, 120 * scale
        colour = PALETTE[kind]
        canvas.ellipse((x - 0.3 * width, foot - height, x + 0.3 * width, foot - 0.82 * height), fill=colour)
        canvas.ellipse((x - 0.5 * width, foot - 0.85 * height, x + 0.5 * width, foot - 0.3 * height), fill=colour)
        canvas.rectangle((x - 0.25 * width, foot - 0.5 * height, x + 0.25 * width, foot), fill=colour)
    else:
        height = 240 * scale
        canvas.rectangle((x - 1.5, foot - height, x + 1.5, foot), fill=PALETTE["pole"])
        if kind == "sign":
            canvas.rectangle(
                (x - 18 * scale, foot - height, x + 18 * scale, foot - 0.75 * height), fill=PALETTE["sign"]
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("model_cards/camvid-label2photo/examples"), help="folder to write into"
    )
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    for street in STREETS:
        path = output / f"{street.name}.png"
        draw_street(street).save(path, optimize=True)
        print(path)


if __name__ == "__main__":
    main()
