"""Typical images for quantisation, as the network gets them.

python -m img2img_hub export --model user/model --output model_int8.onnx --int8 --calibration photos/
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from huggingface_hub import snapshot_download
from torch import Tensor

from img2img_hub.data.find.sources import DataConfig, UnpairedData, open_data
from img2img_hub.families import FAMILIES
from img2img_hub.images.formats import IMAGE_EXTENSIONS
from img2img_hub.translation.holes import in_the_middle
from img2img_hub.translation.outputs import find_partners
from img2img_hub.translation.translator import Input, Translator

MOST = 64
"""Images taken; the ranges of activations change little after some dozens."""
MOST_SIDE = 512
"""Pixels; of larger images the middle is taken."""


def calibration_batches(
    translator: Translator, calibration: str | None = None, *, revision: str | None = None
) -> list[Tensor]:
    """(1, C, H, W) float32 in [-1, 1], resized to the working size and padded, of at most 64 images; to a model of
    crops of images as they are the middle of each, of at most MOST_SIDE pixels a side.

    Args:
        translator: as loaded from its folder or Hub repo.
        calibration: a folder of source images, of a model of several with a subfolder of each, or a data set (folder
            or Hub id) whose sources of the training split are taken. None: the examples that come with the model.
        revision: of the model's repo.

    Raises:
        ValueError: there are no images; says what to type.
        ImageError: one cannot be read.
    """
    batches: list[Tensor] = []

    network = translator.network

    def record(batch: Tensor) -> Tensor:
        height, width = batch.shape[-2:]
        side = (
            max(height, width) if translator.settings.resizes else -(-MOST_SIDE // network.multiple) * network.multiple
        )
        top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
        batches.append(batch[..., top : top + side, left : left + side].clone())
        size = height * network.scale, width * network.scale
        return batch.new_zeros(len(batch), network.out_channels, *size)  # at which nobody looks

    recorder = Translator(  # whose images never go by strips: the network itself would run these
        translator.network, translator.settings, name=translator.name, device="cpu", forward=record, memory=2**20
    )
    for image in islice(_images(translator, calibration, revision=revision), MOST):
        if translator.settings.hole is not None and isinstance(image, Path):
            image = in_the_middle(image, translator.settings.inputs)
        recorder(image, resize="fit")
    return batches


def _images(translator: Translator, calibration: str | None, *, revision: str | None) -> Iterable[Input]:
    if calibration is None:
        if found := _in_folder(_examples(translator.name, revision=revision)):
            return found
        raise ValueError(
            f"{translator.name} has no examples/ to quantise by: name a folder of source images, some dozens if you "
            "have them, by --calibration photos/"
        )
    if found := _in_folder(Path(calibration)):
        return found
    folders = {slot.name: Path(calibration, slot.name) for slot in translator.settings.inputs}
    if len(folders) > 1 and all(folder.is_dir() for folder in folders.values()):  # whatever the targets are called
        first = _in_folder(next(iter(folders.values())))
        return [*find_partners(first, folders, recursive=False).values()]
    family, settings = FAMILIES.get(translator.settings.family), translator.settings
    data = open_data(
        DataConfig(dataset=calibration),
        paired=family is None or family.paired,
        split="train",
        slots=translator.slots,
        in_channels=settings.source_channels,
        out_channels=settings.target_channels,
    )
    count = data.num_source if isinstance(data, UnpairedData) else len(data)
    return (data.source(index * count // min(count, MOST)) for index in range(min(count, MOST)))


def _examples(where: str, *, revision: str | None) -> Path:
    if Path(where).is_dir():
        return Path(where, "examples")
    return Path(snapshot_download(where, allow_patterns=["examples/*"], revision=revision), "examples")


def _in_folder(folder: Path) -> list[Path]:
    """Its image files, evenly chosen of them where there are more than enough; none where there is no such folder."""
    if not folder.is_dir():
        return []
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".")
    )
    count = min(len(files), MOST)
    return [files[index * len(files) // count] for index in range(count)]
