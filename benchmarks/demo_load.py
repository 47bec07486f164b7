"""The page under load: 8 visitors at once with 40 pictures each, every one of them another.

    python -m benchmarks.demo_load
    python -m benchmarks.demo_load --visitors 8 --requests 40 --data photo.png

Each visitor sends pictures that nobody else sends and knows what must come back, so that a lost request and somebody
else's picture are both seen. The server's time on the processor is compared with that of the same translations without
a page, and its memory after all requests with that after the first ones. The first request comes when the fastest
backend is ready: what is measured is a page that has been up for a while.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from gradio_client import Client, handle_file
from PIL import Image

from benchmarks.harness import Case, report
from benchmarks.page import first_model, page, settle
from img2img_hub import Translator
from img2img_hub.demo.models import find_models
from img2img_hub.demo.speed import candidates
from img2img_hub.runtimes.backends import Backend

CPU = 0.1  # seconds a request beyond the translation's own
MEMORY = 1.1  # times what it was after the first requests
FIRST = 40


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="picture to make the others from (default: the model's first example)"
    )
    parser.add_argument("--visitors", type=int, default=8, help="how many at once")
    parser.add_argument("--requests", type=int, default=40, help="pictures of each")
    arguments = parser.parse_args()
    key, example = first_model()
    backend: Backend = next(iter(candidates()), "torch")
    translator = Translator.from_pretrained(find_models("").models[key].location, backend=backend)
    marker = Image.open(arguments.data or example).convert("RGB").resize((256, 256))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = [marked(marker, number, folder) for number in range(arguments.visitors * arguments.requests)]
        began = time.process_time()
        wanted = [np.asarray(translator(path, resize="fit")) for path in pictures]
        own = (time.process_time() - began) / len(pictures)
        with page(folder) as (address, server):
            cases = load(address, server, key, pictures, wanted, visitors=arguments.visitors, own=own, folder=folder)
    return report("demo_load", cases)


def marked(picture: Image.Image, number: int, folder: Path) -> Path:
    """The picture with a bar of its own in it: its number in 16 bits, 16 pixels each."""
    copy = picture.copy()
    for bit in range(16):
        copy.paste((255, 240, 0) if number >> bit & 1 else (0, 0, 222), (16 * bit, 0, 16 * bit + 16, 24))
    path = folder / f"{number}.png"
    copy.save(path)
    return path


def load(
    address: str,
    server: psutil.Process,
    key: str,
    pictures: list[Path],
    wanted: list[np.ndarray],
    *,
    visitors: int,
    own: float,
    folder: Path,
) -> list[Case]:
    clients = [
        Client(address, verbose=False, download_files=str(folder / "downloads" / str(visitor)), analytics_enabled=False)
        for visitor in range(visitors)
    ]
    settle(clients[0], key, pictures[0])
    failed = foreign = 0

    def visit(visitor: int, numbers: range) -> tuple[int, int]:
        lost = others = 0
        for number in numbers:
            try:
                upload = handle_file(str(pictures[number]))
                _, download, _ = clients[visitor].predict(key, upload, "fit", api_name="/translate")
            except Exception as error:
                print(f"visitor {visitor}, picture {number}: {error}", file=sys.stderr)
                lost += 1
                continue
            others += not np.array_equal(np.asarray(Image.open(download)), wanted[number])
        return lost, others

    def requests(numbers: range) -> None:
        nonlocal failed, foreign
        with ThreadPoolExecutor(visitors) as pool:
            shares = [numbers[visitor::visitors] for visitor in range(visitors)]
            for lost, others in pool.map(visit, range(visitors), shares):
                failed, foreign = failed + lost, foreign + others

    first = min(FIRST, len(pictures) // 2)
    requests(range(first))
    memory = server.memory_info().rss
    before, began = _cpu(server), time.perf_counter()
    requests(range(first, len(pictures)))
    seconds, cpu = time.perf_counter() - began, (_cpu(server) - before) / (len(pictures) - first)
    grown = server.memory_info().rss / memory
    print(
        f"{(len(pictures) - first) / seconds:.2f} requests a second; {cpu:.3f} s of processor a request, {own:.3f} s "
        f"of it the translation's own; {memory / 2**20:.0f} MiB after {first} requests",
        file=sys.stderr,
    )
    return [
        _exactly("failed requests", failed, 0),
        _exactly("pictures of somebody else", foreign, 0),
        _exactly("processor seconds a request beyond the translation's own", cpu - own, CPU),
        _exactly(f"memory after {len(pictures)} requests, against after {first}", grown, MEMORY),
    ]


def _cpu(server: psutil.Process) -> float:
    times = server.cpu_times()
    return times.user + times.system


def _exactly(case: str, value: float, target: float) -> Case:
    """Of one measurement: there is no spread."""
    value = round(value, 4)
    return Case(case=case, ratio=value, target=target, at_most=True, spread=(value, value))


if __name__ == "__main__":
    sys.exit(main())
