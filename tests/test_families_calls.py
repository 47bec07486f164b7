"""What the networks are called with: several images at once where no layer mixes them, else one by one."""

import pytest
import torch
from torch import nn

from img2img_hub import CycleGAN, Pix2Pix
from img2img_hub.families import Outputs
from img2img_hub.families.options import Architecture
from img2img_hub.objectives.calls import call_each, mixes_samples
from tests.test_families import batches


class Calls(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.sizes = []

    def forward(self, image):
        self.sizes.append(len(image))
        return self.inner(image)


@pytest.mark.parametrize(
    ("family", "norm", "expected"),
    [
        (Pix2Pix(), "batch", {"discriminator": [1, 1, 1], "generator": [1]}),
        (Pix2Pix(), "instance", {"discriminator": [2, 1], "generator": [1]}),
        (Pix2Pix(lambda_r1=1.0), "instance", {"discriminator": [1, 1, 1], "generator": [1]}),
        (CycleGAN(), "instance", {"source2target": [2, 1], "discriminator_source": [1, 2]}),
        (CycleGAN(lambda_identity=0), "none", {"target2source": [1, 1], "discriminator_target": [1, 2]}),
        (CycleGAN(), "batch", {"source2target": [1, 1, 1], "discriminator_source": [1, 1, 1]}),
    ],
)
def test_images_go_together_where_no_layer_mixes_them(family, norm, expected):
    architecture = Architecture(width=2, discriminator_layers=1, norm=norm)
    built = family.build(architecture, in_channels=3, out_channels=3, image_size=16)
    networks = {name: Calls(network.double()) for name, network in built.items()}
    made = Outputs(keep_graph=True, pools=family.make_pools(seed=0))
    for phase in family.phases:
        phase.loss(networks, batches(1)[0], made)
    assert {name: networks[name].sizes for name in expected} == expected


def test_only_batch_norm_mixes_samples_however_the_network_is_wrapped():
    batch, instance = nn.BatchNorm2d(2), nn.Sequential(nn.InstanceNorm2d(2), nn.Conv2d(2, 2, 1), nn.Dropout())
    assert mixes_samples(batch)
    assert mixes_samples(Calls(nn.Sequential(nn.SyncBatchNorm(2))))
    assert not mixes_samples(Calls(instance))


@pytest.mark.parametrize("scales", [False, True])
def test_together_is_the_same_as_one_by_one(scales):
    torch.manual_seed(0)
    kind = {"discriminator": "multiscale"} if scales else {}
    architecture = Architecture(width=4, discriminator_layers=1, norm="instance")
    network = CycleGAN(**kind).make_discriminator(architecture, in_channels=3, image_size=32).double()
    first, second = (torch.randn(count, 3, 32, 32, dtype=torch.float64) for count in (1, 2))
    together = call_each(network, first, second)
    for made, alone in zip(together, (network(first), network(second)), strict=True):
        for ours, plain in zip(made, alone, strict=True) if scales else [(made, alone)]:
            assert torch.allclose(ours, plain)
            assert ours.shape == plain.shape
