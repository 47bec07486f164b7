"""What pix2pixHD makes styles of: features of a photo, one value for each thing in it (arXiv 1711.11585, section 3.4).

python -c "from img2img_hub.networks import InstanceEncoder; print(InstanceEncoder().parameter_count)"

A translation has no photo to take them from: there each thing has one of the styles that were usual for its class. The
authors' code encodes the training images once more at the end; here the encoder remembers what it last made of things
while it learnt, as batch norm does its averages, so that every checkpoint has its styles and streams need no second
reading.
"""

from typing import Any

import torch
from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Network
from img2img_hub.networks.blocks import Norm, initialise
from img2img_hub.networks.clusters import clusters
from img2img_hub.networks.resnet import decoder, encoder, to_image

REMEMBERED = 256
"""Things of each class that an encoder remembers in a training."""
MEMORY = frozenset({"remembered", "shares", "when", "seen", "images"})
"""The tensors that are no weights."""
_SMALL = 1 / 64  # of the image: up to this a thing makes no style (authors' code)


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
        classes: that things may be of; 0: none are remembered.
    """

    later_arguments = frozenset({"classes"})
    remembered: Tensor
    shares: Tensor
    when: Tensor
    seen: Tensor
    images: Tensor

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 16,
        halvings: int = 4,
        norm: Norm = "instance",
        classes: int = 0,
    ) -> None:
        super().__init__()
        check_range(
            in_channels=(in_channels, 1, 4096),
            out_channels=(out_channels, 1, 64),
            width=(width, 1, 512),
            halvings=(halvings, 1, 6),
            classes=(classes, 0, 4096),
        )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.layers = nn.Sequential(
            *encoder(in_channels, width=width, halvings=halvings, norm=norm, bias=True),
            *decoder(width=width, doublings=halvings, norm=norm, upsample="transpose", bias=True),
            *to_image(width, out_channels),
        )
        initialise(self.modules(), biases=False)
        if classes:
            self.register_buffer("remembered", torch.zeros(classes, REMEMBERED, out_channels))
            self.register_buffer("shares", torch.zeros(classes, REMEMBERED))  # of its image that it covered
            self.register_buffer("when", torch.zeros(classes, REMEMBERED, dtype=torch.long))  # in which image
            self.register_buffer("seen", torch.zeros(classes, dtype=torch.long))  # things of each class so far
            self.register_buffer("images", torch.zeros((), dtype=torch.long))

    def forward(self, image: Tensor, instances: Tensor, classes: Tensor | None = None) -> Tensor:
        """`classes`: (N, 1, H, W) whole numbers, -1 for none; with them the things are remembered while it trains."""
        features = means_by_instance(self.layers(image), instances)
        if classes is not None and self.training:
            self._remember(features, instances, classes)
        return features

    @torch.no_grad()
    def _remember(self, features: Tensor, instances: Tensor, classes: Tensor) -> None:
        """Put what each thing is, for every class in it, in the place of the oldest of that class. Small ones count
        only for classes that have no large one yet."""
        known = len(self.seen)
        for image, numbers, kinds in zip(features.flatten(2), instances.flatten(1), classes.flatten(1), strict=True):
            self.images += 1
            pairs = numbers.long() * (known + 1) + kinds + 1
            _, places, sizes = pairs.unique(return_inverse=True, return_counts=True)
            pixels = torch.arange(len(places), device=places.device)
            first = torch.empty_like(sizes).scatter_reduce(0, places, pixels, "amin", include_self=False)
            own, shares, rows = kinds[first], sizes / len(places), image[:, first].T
            large = (self.shares > _SMALL).any(dim=1)
            large[own[(own >= 0) & (shares > _SMALL)]] = True
            kept = (own >= 0) & rows.isfinite().all(dim=1) & ((shares > _SMALL) | ~large[own])
            for place in kept.nonzero().flatten().tolist():
                kind = int(own[place])
                oldest = int(self.seen[kind]) % REMEMBERED
                self.remembered[kind, oldest] = rows[place].to(self.remembered)
                self.shares[kind, oldest] = shares[place]
                self.when[kind, oldest] = self.images
                self.seen[kind] += 1

    @torch.no_grad()
    def forget(self) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            if name in MEMORY:
                buffer.zero_()

    def styles(self, count: int) -> Tensor:
        """The usual styles of each class, (count, out_channels, classes): the centres of the clusters of the things
        that are remembered, the most usual one first, over again where there are fewer; 0 of a class without any.

        Of the last quarter of the training, for what the encoder makes of a thing changes as it learns; of a class that
        did not come in that, as it came last.
        """
        styles = self.remembered.new_zeros(count, self.out_channels, len(self.seen))
        for kind, seen in enumerate(self.seen.tolist()):
            if not seen:
                continue
            rows, shares, when = self.remembered[kind, :seen], self.shares[kind, :seen], self.when[kind, :seen]
            large = shares > _SMALL
            if large.any():
                rows, when = rows[large], when[large]
            late = when > 0.75 * self.images
            found = clusters(rows[late if late.any() else when == when.max()], count)
            styles[:, :, kind] = found[torch.arange(count) % len(found)].to(styles)
        return styles

    @torch.no_grad()
    def take_over(self, smaller: Network) -> str | None:
        """The weights of one that remembers things of other classes, or none."""
        own, other = (
            {key: value for key, value in each.config.items() if key != "classes"} for each in (self, smaller)
        )
        if own != other:
            return None
        self.load_state_dict({key: value for key, value in smaller.state_dict().items() if key not in MEMORY})
        return "all its weights"

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Where a checkpoint is of before it remembered anything, its memory is as it is now."""
        for name, buffer in self.named_buffers(recurse=False):
            state_dict.setdefault(prefix + name, buffer)
        super()._load_from_state_dict(state_dict, prefix, *args)


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
