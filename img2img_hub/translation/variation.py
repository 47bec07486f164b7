"""One answer of many: a network with its dropout, noise and style drawn from a seed, or in a style that is given.

    python -c "import torch; from img2img_hub import UNetGenerator as U; from img2img_hub.translation.variation import \
    vary; print(vary(U(width=8).eval(), torch.zeros(1, 3, 256, 256), seed=7).shape)"
"""

import threading
from typing import NamedTuple

import torch
from torch import Tensor

from img2img_hub.networks import Generator, Network
from img2img_hub.networks.blocks import set_variation

_DRAWING = threading.Lock()  # the generators that variations are drawn from are the whole process's


class Style(NamedTuple):
    """Where a generator's style vector z is: N(mean, deviation²), (1, latent) each (GauGAN, arXiv 1903.07291)."""

    mean: Tensor
    deviation: Tensor


def vary(
    network: Network,
    source: Tensor,
    *,
    seed: int | None = None,
    style: Style | None = None,
    things: Tensor | None = None,
) -> Tensor:
    """What the network makes of one padded image (1, C, H, W), on its device, with dropout, noise and style drawn from
    `seed`, the style from around `style` where there is one; without a seed in that style, and nothing is drawn. The
    global generators are left as they were.

    Args:
        things: the instances in the image, whole numbers (1, 1, H, W), each of which gets a style of its own where the
            network has some of each class (pix2pixHD, arXiv 1711.11585).
    """
    device = source.device
    if seed is None:
        return network(source) if style is None else network(source, latent=style.mean.to(device))
    on_cpu = device.type == "cpu"
    devices = [] if on_cpu else list(range(torch.get_device_module(device).device_count()))
    set_variation(network, True)
    try:
        with _DRAWING, torch.random.fork_rng(devices=devices, device_type="cuda" if on_cpu else device.type):
            if on_cpu:
                torch.default_generator.manual_seed(seed)
            else:
                torch.manual_seed(seed)  # of all devices; all of them are forked
            drawn = {}  # on the CPU: the same on every device
            if bands := int(getattr(network, "noise_channels", 0)):
                drawn["noise"] = torch.randn(1, bands, *source.shape[-2:])
            if length := int(getattr(network, "latent", 0)):
                z = torch.randn(1, length)
                drawn["latent"] = z if style is None else style.mean + style.deviation * z
            if isinstance(network, Generator) and network.styles:
                drawn["features"] = network.draw_features(source, things)
            return network(source, **{name: values.to(device) for name, values in drawn.items()})
    finally:
        set_variation(network, False)
