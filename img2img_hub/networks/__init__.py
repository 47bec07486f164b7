"""The networks of the papers, one architecture a file; each one is a Hub model by itself.

python -c "from img2img_hub import UNetGenerator; print(UNetGenerator(width=16).config)"
"""

from img2img_hub.networks.base import Discriminator, Generator, Network
from img2img_hub.networks.coarse_to_fine import CoarseToFineGenerator
from img2img_hub.networks.heads import PatchHeads
from img2img_hub.networks.instance_encoder import InstanceEncoder
from img2img_hub.networks.multiscale import MultiScaleDiscriminator
from img2img_hub.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from img2img_hub.networks.projected import ProjectedDiscriminator
from img2img_hub.networks.resnet import ResNetGenerator
from img2img_hub.networks.spade import SpadeGenerator
from img2img_hub.networks.style_encoder import StyleEncoder
from img2img_hub.networks.unet import UNetGenerator

# The short names of the command line (--generator unet, --discriminator patch).
GENERATORS: dict[str, type[Generator]] = {
    "unet": UNetGenerator,
    "resnet": ResNetGenerator,
    "coarse_to_fine": CoarseToFineGenerator,
    "spade": SpadeGenerator,
}
DISCRIMINATORS: dict[str, type[Discriminator]] = {
    "patch": PatchDiscriminator,
    "pixel": PixelDiscriminator,
    "multiscale": MultiScaleDiscriminator,
}

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "CoarseToFineGenerator",
    "Discriminator",
    "Generator",
    "InstanceEncoder",
    "MultiScaleDiscriminator",
    "Network",
    "PatchDiscriminator",
    "PatchHeads",
    "PixelDiscriminator",
    "ProjectedDiscriminator",
    "ResNetGenerator",
    "SpadeGenerator",
    "StyleEncoder",
    "UNetGenerator",
]
