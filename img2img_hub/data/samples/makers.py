"""What makes sources of targets, where one set of images is all there is: by covering, by making smaller, by a hole.

python -m img2img_hub check-data --dataset photos --corrupt box --sheet preview.png
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from img2img_hub.data.find.config import DataConfig, DataError, Hole
from img2img_hub.data.samples.degradation import Degradation
from img2img_hub.data.samples.holes import HoleMaker
from img2img_hub.data.samples.kinds import KindError
from img2img_hub.data.samples.masks import Corrupter
from img2img_hub.data.samples.smaller import Shrinker
from img2img_hub.images.raster import RasterKind
from img2img_hub.images.slots import Slot

SourceMaker = Corrupter | Shrinker | HoleMaker


def maker_of(config: DataConfig, *, scale: int, holes: Sequence[Slot], asked: int | None) -> SourceMaker | None:
    """What the user or the method wants sources to be made by; None where they are in the data.

    Args:
        scale: the target's pixels for one of the source, a side.
        holes: what a method that fills holes reads; () for others.
        asked: bands of the targets that somebody wants.
    """
    if holes:
        return HoleMaker(tuple(config.holes) or get_args(Hole), tuple(holes))
    if (how := config.shrinks(scale)) is not None:
        return Shrinker(Degradation(how, scale))
    if not config.corrupt:
        return None
    if asked == 1 and "grayscale" in config.corrupt:
        raise DataError("--corrupt grayscale, but grey pictures have no colour to drop: type --out_channels 3")
    return Corrupter(tuple(config.corrupt))


def check_that_it_takes(
    maker: SourceMaker, title: str, kind: RasterKind | None, *, config: DataConfig, asked: int | None
) -> None:
    """Refuse rasters where sources are made of pictures alone. Raises KindError."""
    if kind is None or isinstance(maker, HoleMaker):
        return
    cure = ", or type --out_channels 3" if asked is None and kind.bands != 3 else ""
    other = "leave it out" if config.corrupt else "bring pairs of two sizes, by --source_column"
    raise KindError(f"{title} holds {kind.describe()}, and {maker.flag} takes 8-bit pictures: {other}{cure}")
