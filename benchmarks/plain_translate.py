"""One image by a plain script of the form of the original code's test.py, which `benchmarks.cold_translate` times.

    python -m benchmarks.plain_translate latest_net_G.pth photo.png out.png

It builds the network, draws its weights, loads a checkpoint over them, and resizes, normalises, translates and saves.
"""

import sys

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.originals import original_unet


def main(checkpoint: str, source: str, target: str) -> None:
    network = original_unet(8, 64, 3, 3, "batch", dropout=False)
    network.apply(draw)
    network.load_state_dict(torch.load(checkpoint, map_location="cpu"))
    image = Image.open(source).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
    values = torch.from_numpy(np.asarray(image, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        made = network(values)[0]
    pixels = ((made.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    Image.fromarray(pixels).save(target)


def draw(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, 0.0)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.constant_(layer.bias, 0.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
