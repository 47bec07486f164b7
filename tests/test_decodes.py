"""Each file's pixels are decoded once, by whomever they are wanted and for however much: python -m pytest
tests/test_decodes.py

The decoders themselves are counted, while they do their work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile, TiffImagePlugin

from img2img_hub import Translator, UNetGenerator
from img2img_hub.data.find.sources import DataConfig, open_data
from img2img_hub.demo.batch_tab import translate_batch
from img2img_hub.demo.compare_tab import compare_models
from img2img_hub.demo.cycle import cycle_upload
from img2img_hub.demo.models import Models, find_models
from img2img_hub.demo.translate_tab import translate_upload
from img2img_hub.demo.variations import vary_upload
from img2img_hub.evaluation.measure import evaluate_paired
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import as_upload, picture, write_model, write_noisy, write_pair
from tests.scenes import write_tiff
from tests.test_read_rightly import HOW, MASK, png, tiff, values

Decodes = Counter[tuple[str, str]]
"""{(decoder, file's name, an output's with "out/" before it): how often}. A TIFF's mask is decoded by itself."""

PILLOW, TIFF, MASK_OF, PNG = "Pillow", "tifffile", "tifffile's mask", "imagecodecs"


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Decodes:
    found: Decodes = Counter()
    load, by_libtiff = ImageFile.ImageFile.load, TiffImagePlugin.TiffImageFile._load_libtiff
    image, page, deep = tifffile.TiffPageSeries.asarray, tifffile.TiffPage.asarray, imagecodecs.png_decode
    inside: list[str] = []

    def by_pillow(real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(self: ImageFile.ImageFile) -> Any:
            if self.tile:
                path = Path(self.filename)
                found[PILLOW, f"out/{path.name}" if path.parent.name == "out" else path.name] += 1
            return real(self)

        return counted

    def whole(self: tifffile.TiffPageSeries, **options: Any) -> np.ndarray:
        found[TIFF, self.parent.filename] += 1
        inside.append("series")
        try:
            return image(self, **options)
        finally:
            inside.pop()

    def alone(self: tifffile.TiffPage, **options: Any) -> np.ndarray:
        if not inside:
            found[MASK_OF, self.parent.filename] += 1
        return page(self, **options)

    def by_libpng(data: bytes, **options: Any) -> np.ndarray:
        found[PNG, f"{len(data)} bytes"] += 1
        return deep(data, **options)

    monkeypatch.setattr(ImageFile.ImageFile, "load", by_pillow(load))
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "_load_libtiff", by_pillow(by_libtiff))
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", whole)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", alone)
    monkeypatch.setattr(imagecodecs, "png_decode", by_libpng)
    return found


def rgba(folder: Path) -> Path:
    image = picture((40, 32)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(folder / "alpha.png")
    return folder / "alpha.png"


def turned(folder: Path) -> Path:
    exif = Image.Exif()
    exif[274] = 6
    picture((40, 32)).save(folder / "turned.jpg", exif=exif)
    return folder / "turned.jpg"


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


DEEP = values("uint16", 32, 40, 4)
DEEP_PNG = png(DEEP)
PICTURES: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "alpha": (rgba, [PILLOW]),
    "EXIF": (turned, [PILLOW]),
    "PNG of 16 bits": (written("deep.png", DEEP_PNG), [PILLOW]),
    "grey PNG of 16 bits": (written("grey.png", png(DEEP[:, :, :1])), [PILLOW]),
    "TIFF with a mask": (written("mask.tif", tiff((values("uint8", 32, 40, 3), {}), (MASK, HOW))), [PILLOW, MASK_OF]),
    "compressed TIFF": (
        written("small.tif", tiff((values("uint8", 32, 40, 3), {"compression": "deflate"}))), [PILLOW]
    ),
    "TIFF of 16 bits": (lambda folder: write_tiff(folder / "deep.tif", DEEP[:, :, :3]), [TIFF]),
}  # fmt: skip
RASTERS: dict[str, tuple[Callable[[Path], Path], list[str], list[str]]] = {  # the last: what the page's picture takes
    "TIFF": (lambda folder: write_tiff(folder / "scene.tif", DEEP[:, :, :3], no_data="0"), [TIFF], []),
    "TIFF with a mask": (
        written("mask.tif", tiff((DEEP[:, :, :3], {}), (MASK, HOW))), [TIFF, MASK_OF], [PILLOW]
    ),
    "PNG of 16 bits": (written("deep.png", DEEP_PNG), [PNG], [PILLOW]),
    "8 bits": (rgba, [PILLOW], []),
}  # fmt: skip


def translator(*, rasters: bool = False) -> Translator:
    units = BandValues(dtype="uint16", low=(0.0,) * 3, high=(65535.0,) * 3) if rasters else None
    return Translator(
        UNetGenerator(levels=4, width=4), TranslationSettings(source_values=units, target_values=units, working_size=32)
    )


def once(path: Path, decoders: list[str]) -> Decodes:
    size = f"{path.stat().st_size} bytes"
    return Counter((decoder, size if decoder == PNG else path.name) for decoder in decoders)


@pytest.mark.filterwarnings("ignore::UserWarning")  # random values are no alpha, and 8 bits are not those of training
@pytest.mark.parametrize("resize", ["fit", "native"])
@pytest.mark.parametrize(
    ("rasters", "kind"), [(False, kind) for kind in PICTURES] + [(True, kind) for kind in RASTERS], ids=str
)
def test_a_translation_decodes_its_file_once(
    decodes: Decodes, tmp_path: Path, kind: str, rasters: bool, resize: Any
) -> None:
    write, decoders = RASTERS[kind][:2] if rasters else PICTURES[kind]
    path = write(tmp_path)
    decodes.clear()
    assert translator(rasters=rasters)(path, resize=resize).size == ((32, 40) if kind == "EXIF" else (40, 32))
    assert decodes == once(path, decoders)


def test_images_that_make_one_input_are_decoded_once_each(decodes: Decodes, tmp_path: Path) -> None:
    slots = (Slot(name="rgb", bands=3), Slot(name="depth", bands=1, dtype="uint16"))
    units = BandValues(dtype="uint16", low=(0.0,) * 4, high=(255.0,) * 3 + (65535.0,))
    network = UNetGenerator(in_channels=4, levels=4, width=4)
    settings = TranslationSettings(source_channels=4, source_values=units, inputs=slots, working_size=32)
    depth = write_tiff(tmp_path / "depth.tif", DEEP[:, :, :1])
    images = {"rgb": rgba(tmp_path), "depth": depth}
    decodes.clear()
    assert Translator(network, settings)(images).size == (40, 32)
    assert decodes == once(images["rgb"], [PILLOW]) + once(depth, [TIFF])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_translation_of_a_folder_decodes_each_file_once(decodes: Decodes, tmp_path: Path, batch_size: int) -> None:
    """Also those that shared their batch with a bad one."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        rgba(tmp_path).rename(tmp_path / f"in/{number}.png")
    torn = picture((40, 32)).convert("RGBA")
    torn.save(tmp_path / "in/torn.png")
    whole = (tmp_path / "in/torn.png").read_bytes()
    (tmp_path / "in/torn.png").write_bytes(whole[: len(whole) // 2])
    decodes.clear()
    report = translate_folder(translator(), tmp_path / "in", output=tmp_path / "out", batch_size=batch_size)
    assert [path.name for path, _ in report.failures] == ["torn.png"]
    del decodes[PILLOW, "torn.png"]
    assert decodes == Counter({(PILLOW, f"{number}.png"): 1 for number in range(3)})


def test_an_evaluation_decodes_each_file_once(decodes: Decodes, tmp_path: Path) -> None:
    for side in ("source", "target"):
        (tmp_path / "test" / side).mkdir(parents=True)
        for number in range(2):
            picture((40, 32), stripe=4 + number).save(tmp_path / "test" / side / f"{number}.png")
    data = open_data(DataConfig(dataset=str(tmp_path)), paired=True, split="test")
    decodes.clear()
    evaluate_paired(translator(), data, image_size=32)
    assert decodes == Counter({(PILLOW, f"{number}.png"): 2 for number in range(2)}), "one of each side"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    write_noisy(folder / "noisy")
    write_pair(folder)
    units = BandValues(dtype="uint16", low=(0.0,) * 3, high=(65535.0,) * 3)
    write_model(folder / "heights", examples=0)
    TranslationSettings(working_size=64, source_values=units, target_values=units).save(folder / "heights")
    return find_models(str(folder))


CALLS: dict[str, Callable[[Models, dict[str, str]], Any]] = {
    "translate": lambda models, upload: translate_upload(models, "noisy", upload, "native"),
    "compare": lambda models, upload: compare_models(
        models, ["noisy", "summer2winter", "winter2summer"], upload, "fit"
    ),
    "cycle": lambda models, upload: cycle_upload(models, "summer2winter", upload, "fit"),
    "variations": lambda models, upload: vary_upload(models, "noisy", upload, "fit", 7, 3),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("name", CALLS)
def test_an_endpoint_decodes_an_upload_once(
    decodes: Decodes, models: Models, tmp_path: Path, name: str, kind: str
) -> None:
    write, decoders = PICTURES[kind]
    path = write(tmp_path)
    upload = as_upload(path)
    decodes.clear()
    CALLS[name](models, upload)
    assert decodes == once(path, decoders)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_batch_decodes_each_upload_once_and_each_result_for_its_small_picture(
    decodes: Decodes, models: Models, tmp_path: Path
) -> None:
    paths = [(write(tmp_path), decoders) for write, decoders in PICTURES.values()]
    uploads = [as_upload(path) for path, _ in paths]
    decodes.clear()
    translate_batch(models, "noisy", uploads, "fit")
    names = [*(path.stem for path, _ in paths[:-1]), "deep-2"]  # which Pillow is given with another ending
    expected = Counter((PILLOW, f"out/{name}.png") for name in names)
    for (path, decoders), name in zip(paths, names, strict=True):
        expected += Counter((decoder, f"{name}.png" if decoder == PILLOW else path.name) for decoder in decoders)
    assert decodes == expected
    assert set(decodes.values()) == {1}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", RASTERS)
def test_of_an_upload_for_a_model_of_rasters_the_raster_is_decoded_once_and_the_picture_at_most(
    decodes: Decodes, models: Models, tmp_path: Path, kind: str
) -> None:
    write, decoders, for_the_page = RASTERS[kind]
    path = write(tmp_path)
    upload = as_upload(path)
    decodes.clear()
    translate_upload(models, "heights", upload, "native")
    assert decodes == once(path, [*decoders, *for_the_page])
