"""Train, share and show image-to-image translators: by pairs (pix2pix, pix2pixHD, GauGAN), without
(CycleGAN, CUT), larger (SRGAN, ESRGAN) and where something is missing (inpainting).

    python -c "from img2img_hub import Translator; Translator.from_pretrained('model_cards/facades-label2photo')"

The names below are imported on first use, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Generator": "networks",
    "Discriminator": "networks",
    "Network": "networks",
    "UNetGenerator": "networks",
    "ResNetGenerator": "networks",
    "CoarseToFineGenerator": "networks",
    "SpadeGenerator": "networks",
    "CompactGenerator": "networks",
    "ContextUNetGenerator": "networks",
    "DilatedResNetGenerator": "networks",
    "ModifiedSRResNetGenerator": "networks",
    "RRDBGenerator": "networks",
    "SRResNetGenerator": "networks",
    "PatchDiscriminator": "networks",
    "PixelDiscriminator": "networks",
    "ProjectedDiscriminator": "networks",
    "MultiScaleDiscriminator": "networks",
    "SRGANDiscriminator": "networks",
    "TwoBranchDiscriminator": "networks",
    "UNetDiscriminator": "networks",
    "Pix2Pix": "families.pix2pix",
    "Pix2PixHD": "families.pix2pixhd",
    "CycleGAN": "families.cyclegan",
    "CUT": "families.cut",
    "FastCUT": "families.cut",
    "Spade": "families.spade",
    "SRGAN": "families.srgan",
    "ESRGAN": "families.esrgan",
    "Inpaint": "families.inpaint",
    "CCGAN": "families.ccgan",
    "Family": "families",
    "Architecture": "families.options",
    "DataConfig": "data.find.sources",
    "TrainConfig": "training.run.config",
    "Run": "training.results.run",
    "train": "training.loop",
    "TrainingData": "evaluation.preview",
    "open_pairs": "evaluation.preview",
    "open_unpaired": "evaluation.preview",
    "Raster": "images.raster",
    "Translator": "translation.translator",
}
__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from img2img_hub.data.find.sources import DataConfig as DataConfig
    from img2img_hub.evaluation.preview import TrainingData as TrainingData
    from img2img_hub.evaluation.preview import open_pairs as open_pairs
    from img2img_hub.evaluation.preview import open_unpaired as open_unpaired
    from img2img_hub.families import Family as Family
    from img2img_hub.families.ccgan import CCGAN as CCGAN
    from img2img_hub.families.cut import CUT as CUT
    from img2img_hub.families.cut import FastCUT as FastCUT
    from img2img_hub.families.cyclegan import CycleGAN as CycleGAN
    from img2img_hub.families.esrgan import ESRGAN as ESRGAN
    from img2img_hub.families.inpaint import Inpaint as Inpaint
    from img2img_hub.families.options import Architecture as Architecture
    from img2img_hub.families.pix2pix import Pix2Pix as Pix2Pix
    from img2img_hub.families.pix2pixhd import Pix2PixHD as Pix2PixHD
    from img2img_hub.families.spade import Spade as Spade
    from img2img_hub.families.srgan import SRGAN as SRGAN
    from img2img_hub.images.raster import Raster as Raster
    from img2img_hub.networks import CoarseToFineGenerator as CoarseToFineGenerator
    from img2img_hub.networks import CompactGenerator as CompactGenerator
    from img2img_hub.networks import ContextUNetGenerator as ContextUNetGenerator
    from img2img_hub.networks import DilatedResNetGenerator as DilatedResNetGenerator
    from img2img_hub.networks import Discriminator as Discriminator
    from img2img_hub.networks import Generator as Generator
    from img2img_hub.networks import ModifiedSRResNetGenerator as ModifiedSRResNetGenerator
    from img2img_hub.networks import MultiScaleDiscriminator as MultiScaleDiscriminator
    from img2img_hub.networks import Network as Network
    from img2img_hub.networks import PatchDiscriminator as PatchDiscriminator
    from img2img_hub.networks import PixelDiscriminator as PixelDiscriminator
    from img2img_hub.networks import ProjectedDiscriminator as ProjectedDiscriminator
    from img2img_hub.networks import ResNetGenerator as ResNetGenerator
    from img2img_hub.networks import RRDBGenerator as RRDBGenerator
    from img2img_hub.networks import SpadeGenerator as SpadeGenerator
    from img2img_hub.networks import SRGANDiscriminator as SRGANDiscriminator
    from img2img_hub.networks import SRResNetGenerator as SRResNetGenerator
    from img2img_hub.networks import TwoBranchDiscriminator as TwoBranchDiscriminator
    from img2img_hub.networks import UNetDiscriminator as UNetDiscriminator
    from img2img_hub.networks import UNetGenerator as UNetGenerator
    from img2img_hub.training.loop import train as train
    from img2img_hub.training.results.run import Run as Run
    from img2img_hub.training.run.config import TrainConfig as TrainConfig
    from img2img_hub.translation.translator import Translator as Translator


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"img2img_hub has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
