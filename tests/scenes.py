"""Small rasters for tests: five bands of 16 bits whose missing pixels are 0, and two of floats made of them."""

from pathlib import Path

import numpy as np
import tifffile

PIXEL_SCALE, TIEPOINT, GEO_KEYS, GEO_TEXT, NO_DATA = 33550, 33922, 34735, 34737, 42113
PLACE = {
    PIXEL_SCALE: (10.0, 10.0, 0.0),
    TIEPOINT: (0.0, 0.0, 0.0, 399960.0, 5300040.0, 0.0),
    GEO_KEYS: (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633),
    GEO_TEXT: "WGS 84 / UTM zone 33N|",
}
_TYPES = {PIXEL_SCALE: "d", TIEPOINT: "d", GEO_KEYS: "H", GEO_TEXT: "s", NO_DATA: "s"}


def scene(seed: int, *, size: tuple[int, int] = (20, 24)) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 5) uint16 in 500 to 10,500, 0 in its upper left corner; (H, W, 2) float32, metres in 300 to 900 and an
    index in -1 to 1, NaN in its last rows."""
    width, height = size
    random = np.random.default_rng(seed)
    base = random.random((height, width, 1))
    source = (500 + 9000 * base + 1000 * random.random((height, width, 5))).astype(np.uint16)
    target = np.concatenate([300 + 600 * base, 1 - 2 * base], axis=2).astype(np.float32)
    source[:3, :4] = 0
    target[-2:] = np.nan
    return source, target


def write_tiff(path: Path, array: np.ndarray, *, no_data: str | None = None, place: bool = True) -> Path:
    """Bands as samples, with tags as GDAL writes them."""
    tags: dict[int, object] = dict(PLACE) if place else {}
    tags |= {} if no_data is None else {NO_DATA: no_data}
    extra = [
        (code, _TYPES[code], 0 if _TYPES[code] == "s" else len(value), value, True)  # type: ignore[arg-type]
        for code, value in tags.items()
    ]
    many = array.ndim == 3 and array.shape[2] > 1
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path,
        array if many else array.reshape(array.shape[:2]),
        photometric="minisblack",
        planarconfig="contig" if many else None,
        metadata=None,
        extratags=extra,
    )
    return path


def write_pairs(root: Path, count: int, *, split: str = "train", first: int = 0) -> Path:
    """ROOT/SPLIT/{source,target}/N.tif; returns ROOT."""
    for seed in range(first, first + count):
        source, target = scene(seed)
        write_tiff(root / split / "source" / f"{seed}.tif", source, no_data="0")
        write_tiff(root / split / "target" / f"{seed}.tif", target)
    return root


def tags_of(path: Path) -> dict[int, object]:
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        return {code: tags[code].value for code in (*PLACE, NO_DATA) if code in tags}
