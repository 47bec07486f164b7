"""How long a checkpoint halts the training, against the plain write of the same bytes.

    python -m benchmarks.resume_cost
    python -m benchmarks.resume_cost --data /mnt/scratch

Both bring their bytes to the disk (fsync) and delete what is older than the last two. The state is that of a Pix2Pix
with its default networks at half their width: all networks and both optimizers, some 170 MB.
"""

import argparse
import os
import sys
import tempfile
from itertools import count
from pathlib import Path

import torch
from accelerate import Accelerator

from benchmarks.harness import compare, report
from img2img_hub import Architecture, Pix2Pix
from img2img_hub.training.state.checkpoints import RunState, save_checkpoint

TARGET = 1.5
KEEP = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder to write to, on the disk to be measured (default: a new one)")
    parser.add_argument("--turns", type=int, default=15, help="how often both take turns")
    parser.add_argument("--width", type=int, default=32, help="of the networks (64: the default ones, 700 MB)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.data) as name:
        folder = Path(name)
        accelerator = Accelerator(cpu=True)
        state = make_state(width=arguments.width, accelerator=accelerator)

        def ours() -> None:
            state.step += 1
            save_checkpoint(folder / "ours", state, accelerator, keep=KEEP)

        ours()
        content = b"".join(path.read_bytes() for path in sorted((folder / "ours/step-1").iterdir()))
        print(f"{len(content) / 1e6:.0f} MB a checkpoint", file=sys.stderr)
        plain = PlainWrite(folder / "plain", content)
        case = compare("pause", plain=plain, ours=ours, target=TARGET, at_most=True, turns=arguments.turns)
    return report("resume_cost", [case])


def make_state(*, width: int, accelerator: Accelerator) -> RunState:
    """As after a step: the optimizers have their averages."""
    architecture = Architecture(width=width, discriminator_width=width)
    networks = Pix2Pix().build(architecture, in_channels=3, out_channels=3, image_size=256)
    optimizers = {}
    for name, network in networks.items():
        for parameter in network.parameters():
            parameter.grad = torch.rand_like(parameter)
        optimizers[name] = accelerator.prepare(torch.optim.Adam(network.parameters(), fused=True))
        optimizers[name].step()
    return RunState(networks=networks, optimizers=optimizers, averages={}, settings={"family": "pix2pix"})


class PlainWrite:
    """Writes the bytes to a file, to the disk, and deletes the file before the last."""

    def __init__(self, folder: Path, content: bytes) -> None:
        folder.mkdir()
        self.folder = folder
        self.content = content
        self.numbers = count()

    def __call__(self) -> None:
        number = next(self.numbers)
        with (self.folder / str(number)).open("wb") as file:
            file.write(self.content)
            file.flush()
            os.fsync(file.fileno())
        (self.folder / str(number - KEEP)).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
