"""How long until the page shows its first translated picture, and what importing the package costs.

    python -m benchmarks.demo_start
    python -m benchmarks.demo_start --turns 5 --data photo.png

From the start of `python app.py` to the answer over HTTP, with the shipped models and a warm disk. The import is timed
in new processes, which take turns: torch alone, torch with `import img2img_hub`, which reads no module before its name
is used, and torch with all that loading a model needs, its weights included (and of others: of huggingface_hub, whose
mixin a network inherits, and of torch what it imports late).
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

START, IMPORT = 5.3, 0.3  # seconds
LOAD = "from img2img_hub import Translator; Translator.from_pretrained({model!r})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="picture to translate (default: the model's first example)")
    parser.add_argument("--turns", type=int, default=5, help="how often each is timed")
    arguments = parser.parse_args()
    model, example = first_model()
    cases = [
        starting(model, arguments.data or example, turns=arguments.turns),
        *importing(model, turns=arguments.turns),
    ]
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


def importing(model: str, *, turns: int) -> list[Case]:
    load = LOAD.format(model=f"model_cards/{model}")

    def run(code: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT))

    added: dict[str, list[float]] = {"import img2img_hub": [], load: []}
    for _ in range(turns + 1):
        alone = run("import torch")
        for statement, differences in added.items():
            differences.append(run(f"import torch; {statement}") - alone)
            print(f"{statement}: {differences[-1]:.3f} s beyond torch's own", file=sys.stderr)
    return [
        summary(f"seconds that `{statement}` adds to torch's import", differences[1:], target=IMPORT, at_most=True)
        for statement, differences in added.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
