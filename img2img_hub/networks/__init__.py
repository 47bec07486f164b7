"""The networks of the papers, one architecture a file; each one is a Hub model by itself.

python -c "from img2img_hub import UNetGenerator; print(UNetGenerator(width=16).config)"
"""

from img2img_hub.networks.base import Discriminator, Generator, Network
from img2img_hub.networks.coarse_to_fine import CoarseToFineGenerator
from img2img_hub.networks.compact import CompactGenerator
from img2img_hub.networks.context_unet import ContextUNetGenerator
from img2img_hub.networks.dilated_resnet import DilatedResNetGenerator
from img2img_hub.networks.heads import PatchHeads
from img2img_hub.networks.instance_encoder import InstanceEncoder
from img2img_hub.networks.modified_srresnet import ModifiedSRResNetGenerator
from img2img_hub.networks.multiscale import MultiScaleDiscriminator
from img2img_hub.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from img2img_hub.networks.projected import ProjectedDiscriminator
from img2img_hub.networks.resnet import ResNetGenerator
from img2img_hub.networks.rrdb import RRDBGenerator
from img2img_hub.networks.spade import SpadeGenerator
from img2img_hub.networks.srgan_discriminator import SRGANDiscriminator
from img2img_hub.networks.srresnet import SRResNetGenerator
from img2img_hub.networks.style_encoder import StyleEncoder
from img2img_hub.networks.two_branch import TwoBranchDiscriminator
from img2img_hub.networks.unet import UNetGenerator
from img2img_hub.networks.unet_discriminator import UNetDiscriminator

# The short names of the command line (--generator unet, --discriminator patch).
GENERATORS: dict[str, type[Generator]] = {
    "unet": UNetGenerator,
    "resnet": ResNetGenerator,
    "coarse_to_fine": CoarseToFineGenerator,
    "spade": SpadeGenerator,
    "srresnet": SRResNetGenerator,
    "msrresnet": ModifiedSRResNetGenerator,
    "rrdb": RRDBGenerator,
    "compact": CompactGenerator,
    "dilated": DilatedResNetGenerator,
    "context_unet": ContextUNetGenerator,
}
DISCRIMINATORS: dict[str, type[Discriminator]] = {
    "patch": PatchDiscriminator,
    "pixel": PixelDiscriminator,
    "multiscale": MultiScaleDiscriminator,
    "srgan": SRGANDiscriminator,
    "unet": UNetDiscriminator,
    "two_branch": TwoBranchDiscriminator,
}

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "CoarseToFineGenerator",
    "CompactGenerator",
    "ContextUNetGenerator",
    "DilatedResNetGenerator",
    "Discriminator",
    "Generator",
    "InstanceEncoder",
    "ModifiedSRResNetGenerator",
    "MultiScaleDiscriminator",
    "Network",
    "PatchDiscriminator",
    "PatchHeads",
    "PixelDiscriminator",
    "ProjectedDiscriminator",
    "RRDBGenerator",
    "ResNetGenerator",
    "SRGANDiscriminator",
    "SRResNetGenerator",
    "SpadeGenerator",
    "StyleEncoder",
    "TwoBranchDiscriminator",
    "UNetDiscriminator",
    "UNetGenerator",
]
