"""Small pictures for tests of data: one colour each, so that a pixel tells which picture it came from."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image


def plain(value: int, *, size: tuple[int, int] = (8, 6)) -> Image.Image:
    return Image.new("RGB", size, (value, value, value))


def side_by_side(left: int, right: int, *, size: tuple[int, int] = (8, 6)) -> Image.Image:
    image = plain(right, size=(2 * size[0], size[1]))
    image.paste(plain(left, size=size))
    return image


def write(root: Path, folder: str, values: Iterable[int], *, ending: str = ".png", first: int = 1) -> Path:
    """ROOT/FOLDER/1.png, 2.png … of these values; returns ROOT."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number, value in enumerate(values, start=first):
        plain(value).save(root / folder / f"{number}{ending}")
    return root


def value_of(image: Image.Image) -> int:
    """The one value of a plain picture."""
    colours = image.convert("L").getcolors()
    assert colours is not None
    assert len(colours) == 1, "the picture is not plain"
    return int(colours[0][1])  # type: ignore[arg-type]
