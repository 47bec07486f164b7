"""How long a whole process takes to translate one image, against a plain script of the original's form.

    python -m benchmarks.cold_translate
    python -m benchmarks.cold_translate --data photo.png

From the start of Python to its end, with unet_256 at the published width and a warm disk: `python -m img2img_hub
translate` and three lines of Python, each in turns with `benchmarks.plain_translate`, which loads the same weights from
a checkpoint of the original. Their outputs are compared before anything is timed.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.harness import Case, compare, report
from benchmarks.page import ROOT, first_model
from img2img_hub.networks.blocks import initialise
from img2img_hub.official.convert import convert_official
from tests.originals import original_unet

TARGET = 0.6
SCRIPT = """
import sys
from img2img_hub import Translator
Translator.from_pretrained(sys.argv[1])(sys.argv[2], resize="fit").save(sys.argv[3])
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="picture to translate (default: the shipped model's first example)")
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = measure(arguments.data or first_model()[1], Path(folder), turns=arguments.turns)
    return report("cold_translate", cases)


def measure(picture: Path, folder: Path, *, turns: int) -> list[Case]:
    source, made = folder / "picture.png", folder / "made"
    with Image.open(picture) as opened:
        opened.convert("RGB").resize((256, 256)).save(source)
    checkpoint, model = folder / "latest_net_G.pth", folder / "model"
    torch.manual_seed(0)
    original = original_unet(8, 64, 3, 3, "batch", dropout=False)
    initialise(original.modules())
    torch.save(original.state_dict(), checkpoint)
    converted = convert_official(checkpoint)
    assert converted.settings is not None, "it is a generator"
    converted.network.save_weights(model)
    converted.settings.save(model)
    made.mkdir()

    plain = python("-m", "benchmarks.plain_translate", checkpoint, source, made / "plain.png")
    command = ["-m", "img2img_hub", "translate", source, "--model", model, "--output", made, "--resize", "fit"]
    ours = {
        "python -m img2img_hub translate": (python(*command, "--overwrite"), made / "picture.png"),
        "Translator in a script": (python("-c", SCRIPT, model, source, made / "script.png"), made / "script.png"),
    }
    cases = []
    for name, (run, output) in ours.items():
        plain()
        run()
        expected, found = (np.asarray(Image.open(path), dtype=int) for path in (made / "plain.png", output))
        difference = int(np.abs(expected - found).max())
        assert difference <= 1, f"{name} differs by {difference} levels from the plain script"
        case = f"seconds of a whole process that translates one image, {name}"
        cases.append(compare(case, plain=plain, ours=run, target=TARGET, at_most=True, turns=turns, warm_up=0))
    return cases


def python(*line: object) -> Callable[[], None]:
    def run() -> None:
        subprocess.run([sys.executable, *map(str, line)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)

    return run


if __name__ == "__main__":
    sys.exit(main())
