"""One answer of many: a network with its dropout and noise drawn from a seed.

    python -c "import torch; from img2img_hub import UNetGenerator as U; from img2img_hub.translation.variation import \
    vary; print(vary(U(width=8).eval(), torch.zeros(1, 3, 256, 256), seed=7).shape)"
"""

import threading

import torch
from torch import Tensor

from img2img_hub.networks import Network
from img2img_hub.networks.blocks import set_variation

_DRAWING = threading.Lock()  # the generators that variations are drawn from are the whole process's


def vary(network: Network, source: Tensor, *, seed: int) -> Tensor:
    """What the network makes of one padded image (1, C, H, W), on its device, with dropout and noise drawn from `seed`;
    the global generators are left as they were."""
    device = source.device
    on_cpu = device.type == "cpu"
    devices = [] if on_cpu else list(range(torch.get_device_module(device).device_count()))
    set_variation(network, True)
    try:
        with _DRAWING, torch.random.fork_rng(devices=devices, device_type="cuda" if on_cpu else device.type):
            if on_cpu:
                torch.default_generator.manual_seed(seed)
            else:
                torch.manual_seed(seed)  # of all devices; all of them are forked
            bands = int(getattr(network, "noise_channels", 0))
            if not bands:
                return network(source)
            noise = torch.randn(1, bands, *source.shape[-2:])  # on the CPU: the same on every device
            return network(source, noise=noise.to(device))
    finally:
        set_variation(network, False)
