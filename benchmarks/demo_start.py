"""How long until the page shows its first translated picture, and what importing the package costs.

    python -m benchmarks.demo_start
    python -m benchmarks.demo_start --turns 5 --data photo.png

From the start of `python app.py` to the answer over HTTP, with the shipped models and a warm disk. The import is timed
in new processes, which take turns: torch alone, and torch with all that a translation needs of this package.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gradio_client import Client, handle_file

from benchmarks.harness import Case, report, seconds, summary
from benchmarks.page import ROOT, first_model, page

START, IMPORT = 15.0, 0.3  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="picture to translate (default: the model's first example)")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed")
    arguments = parser.parse_args()
    model, example = first_model()
    cases = [starting(model, arguments.data or example, turns=arguments.turns), importing(turns=arguments.turns)]
    return report("demo_start", cases)


def starting(model: str, picture: Path, *, turns: int) -> Case:
    times = []
    for turn in range(turns + 1):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            with page(Path(folder)) as (address, _):
                client = Client(address, verbose=False, download_files=folder, analytics_enabled=False)
                client.predict(model, handle_file(str(picture)), "fit", api_name="/translate")
                times.append(time.perf_counter() - began)
        print(f"start to first picture: {times[-1]:.2f} s" + ("" if turn else " (warms the disk)"), file=sys.stderr)
    return summary("seconds from start to the first picture", times[1:], target=START, at_most=True)


def importing(*, turns: int) -> Case:
    def run(code: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT))

    differences = []
    for _ in range(turns + 1):
        alone = run("import torch")
        differences.append(run("import torch; from img2img_hub import Translator") - alone)
        print(f"import: {differences[-1]:.3f} s beyond torch's own", file=sys.stderr)
    return summary("seconds that the import adds to torch's", differences[1:], target=IMPORT, at_most=True)


if __name__ == "__main__":
    sys.exit(main())
