"""What pix2pixHD makes styles of: features of a photo, one value for each thing in it (arXiv 1711.11585, section 3.4).

python -c "from img2img_hub.networks import InstanceEncoder; print(InstanceEncoder().parameter_count)"
"""

import torch
from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Network
from img2img_hub.networks.blocks import Norm, initialise
from img2img_hub.networks.resnet import decoder, encoder, to_image


class InstanceEncoder(Network):
    """A photo (N, in_channels, H, W) and its instances (N, 1, H, W) -> features (N, out_channels, H, W), both float in
    [-1, 1]; each channel has one value in all pixels of an instance, its mean over them. H and W: multiples of
    2**halvings.

    Args:
        in_channels: bands of the photo.
        out_channels: of features (paper: 3).
        width: channels at full resolution (authors' code: 16).
        halvings: and as many doublings (authors' code: 4).
        norm: "instance" (paper), "batch" or "none".
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 16,
        halvings: int = 4,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 64),
            width=(width, 1, 512),
            halvings=(halvings, 1, 6),
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.layers = nn.Sequential(
            *encoder(in_channels, width=width, halvings=halvings, norm=norm, bias=True),
            *decoder(width=width, doublings=halvings, norm=norm, upsample="transpose", bias=True),
            *to_image(width, out_channels),
        )
        initialise(self.modules(), biases=False)

    def forward(self, image: Tensor, instances: Tensor) -> Tensor:
        return means_by_instance(self.layers(image), instances)


def means_by_instance(features: Tensor, instances: Tensor) -> Tensor:
    """(N, C, H, W) and whole numbers (N, 1, H, W) -> (N, C, H, W): in the place of each value the mean over all pixels
    of its image that have the same number. In float32 at least; gradients go to all of them alike."""
    numbers = instances.long().flatten(1)
    first = numbers.amin()
    apart = numbers.amax() - first + 1  # so that one image's instances are not another's
    own = numbers - first + apart * torch.arange(len(numbers), device=numbers.device)[:, None]
    _, places = own.flatten().unique(return_inverse=True)
    values = features.movedim(1, -1).flatten(0, -2)
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    counts = places.bincount()
    sums = values.new_zeros(len(counts), values.shape[-1]).index_add(0, places, values)
    means = (sums / counts[:, None])[places]
    shape = (len(features), *features.shape[2:], features.shape[1])
    return means.view(shape).movedim(-1, 1)
