"""Many images: batches of one size, read and saved beside the computing, each bad file reported and the others done.

    from img2img_hub.translation.folders import translate_folder
    report = translate_folder(Translator.from_pretrained("user/model"), "photos", output="translated", recursive=True)

A few threads each take a batch through all of it: read, translate, save. Of small images on a CPU each has a network of
its own and its share of the processor; of others the engine lets one thread at a time into the network, so that the
others read and save meanwhile.
"""

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from img2img_hub.errors import one_line
from img2img_hub.images.formats import open_file
from img2img_hub.images.raster import AnyImage
from img2img_hub.images.read import Decoded
from img2img_hub.images.remarks import Note, noted, told
from img2img_hub.translation.checks import check_format, check_mask, check_names, check_options
from img2img_hub.translation.holes import is_colour
from img2img_hub.translation.outputs import (
    check_writable,
    find_masks,
    find_partners,
    make_folder,
    mark_as_output,
    plan_outputs,
    save_output,
)
from img2img_hub.translation.seats import number_of_seats, use_threads
from img2img_hub.translation.settings import Resize
from img2img_hub.translation.stop import Stop
from img2img_hub.translation.translator import Input, Translator

MOST_BATCH_PIXELS = 2**20
"""Of the images that go through the network at once: larger batches take memory and no less time."""
MOST_PIXELS = 2**26
"""Of the images that are in memory at a time, beside one, or of what is made of them where that is larger."""
MOST_WAITING = 256
"""Images that wait for others of their size."""
MOST_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class FolderReport:
    """What became of many images, in their order."""

    written: list[tuple[Path, Path]]
    """(input, output)."""
    failures: list[tuple[Path, str]]
    """(input, one line that names it, why it failed and what to do)."""
    notes: list[str]
    """One line for each thing that somebody should know: what was left out, what may be meant as something else."""


@dataclass(frozen=True, kw_only=True)
class _Batch:
    jobs: list[tuple[Path, Path]]
    pixels: int
    """Of all its images, or of what is made of them where that is larger, roughly."""
    size: tuple[int, int] | None
    """(width, height) that each has in the network; None: not known yet."""


def translate_folder(
    translator: Translator,
    inputs: str | Path | Sequence[str | Path] | Mapping[str, str | Path],
    *,
    output: str | Path,
    format: str = "png",
    resize: Resize | None = None,
    seed: int | None = None,
    mask: str | Path | None = None,
    batch_size: int = 4,
    recursive: bool = False,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], object] = False,
    seats: int | None = None,
) -> FolderReport:
    """Translate images and all images of folders; each becomes output/STEM.format, in the subfolder it came from.

    Args:
        inputs: image files and folders of images, one or several. Hidden files are left out. For a model of several
            images a folder, or a file, of each by name: partners have the same name, whatever its ending.
        output: folder to write to; made if need be.
        format: "png", "jpg", "webp" or "tif".
        resize, seed: as the translator takes them.
        mask: for a model that fills holes, a file for all images, a folder of one for each, of the same name, or a
            colour, "#ff00ff"; None: what is transparent in an image.
        batch_size: how many images of one size go through the network at once. In a batch an image may differ by a
            rounding (one grey level) from what it gives alone.
        recursive: whether the folders' subfolders count, too.
        overwrite: whether outputs may be there already. An input is never overwritten.
        progress: whether to draw a bar on stderr; or what to call with (images done, images in all) in its place.
        seats: how many networks compute side by side on a CPU, each with its share of PyTorch's threads, where so many
            batches fit into the memory; they share their weights. 1: one with all threads, such as where others compute
            beside it. None: as many as gain time. What PyTorch computes with fewer threads may differ by a rounding.

    Ctrl-C ends it after the layer or strip that is just being computed, and the images that are just being read or
    saved; no half image stays.

    Raises:
        ValueError: before any image is read: a bad option, an input that is missing, two that would become one output,
            an output that is there, a folder that cannot be written to. What is wrong with one image is in the report.
    """
    named = inputs if isinstance(inputs, Mapping) else {}
    check_names(translator, named)
    check_mask(translator, mask, named)
    mask = str(mask) if is_colour(str(mask)) else mask
    given = [inputs] if isinstance(inputs, str | Path) else list(named.values())[:1] or inputs
    paths, beside = [Path(path) for path in given], [Path(path) for path in named.values()][1:]
    beside += [] if mask is None or is_colour(mask) else [Path(mask)]
    check_options(format=format, batch_size=batch_size, seed=seed)
    check_format(translator, format)
    folder = Path(output)
    plan = plan_outputs(
        paths, folder=folder, suffix=f".{format}", overwrite=overwrite, recursive=recursive, beside=beside
    )
    for place in dict.fromkeys([folder, *(destination.parent for _, destination in plan.jobs)]):
        make_folder(place)
    check_writable(folder)
    if plan.among_inputs:
        mark_as_output(folder)
    sources = [source for source, _ in plan.jobs]
    partners: Mapping[Path, Mapping[str, Any]] = find_partners(sources, named, recursive=recursive)
    if mask is not None:
        first, hole = translator.settings.inputs[:2]
        masks = find_masks(sources, roots=paths, mask=mask, recursive=recursive)
        partners = {source: {first.name: source, hole.name: masks[source]} for source in sources}
    if seats is None:
        seats = number_of_seats(translator, images=len(plan.jobs), batch_size=batch_size)
    crew = _Crew(translator, partners=partners, resize=resize, seed=seed, seats=seats if seed is None else 1)
    resize = resize or translator.settings.resize
    fit = translator.settings.working_size if resize == "fit" and translator.settings.resizes else None
    failures = dict(plan.problems)
    with tqdm(total=len(plan.jobs), desc="translating", unit="image", disable=progress is not True) as bar:
        done = 0
        for found in crew.run(_batches(plan.jobs, batch_size=batch_size, fit=fit, scale=translator.network.scale)):
            failures.update((source, message) for source, message in found if message)
            bar.update(len(found))
            done += len(found)
            if callable(progress):
                progress(done, len(plan.jobs))
    places = [*(source for source, _ in plan.jobs), *(place for place, _ in plan.problems)]
    return FolderReport(
        written=[job for job in plan.jobs if job[0] not in failures],
        failures=[(place, failures[place]) for place in places if place in failures],
        notes=[*plan.left_out, *told(sorted(crew.notes))],
    )


# --- batches ----------------------------------------------------------------------------------------------------------


def _batches(jobs: list[tuple[Path, Path]], *, batch_size: int, fit: int | None, scale: int = 1) -> Iterator[_Batch]:
    """Images of one size together, those that can be told apart by their headers; the order changes a little.

    `fit`: height and width that each will have in the network, None: those of the file. `scale`: the output's.
    """
    waiting: dict[tuple[int, int], list[tuple[Path, Path]]] = {}
    pixels: dict[tuple[int, int], int] = {}

    def ready(key: tuple[int, int]) -> _Batch:
        return _Batch(jobs=waiting.pop(key), pixels=pixels.pop(key), size=key)

    for job in jobs:
        size = _size_in_header(job[0])
        area = (size[0] * size[1] if size else _bytes(job[0])) * scale**2
        if size is None:
            yield _Batch(jobs=[job], pixels=area, size=None)
            continue
        key = (fit, fit) if fit else size
        group = waiting.setdefault(key, [])
        group.append(job)
        pixels[key] = pixels.get(key, 0) + area
        room = min(batch_size, max(1, MOST_BATCH_PIXELS // (key[0] * key[1] or 1)))
        if len(group) >= room or pixels[key] > MOST_PIXELS:
            yield ready(key)
        elif sum(map(len, waiting.values())) > MOST_WAITING:
            yield ready(next(iter(waiting)))
    for key in [*waiting]:
        yield ready(key)


def _size_in_header(path: Path) -> tuple[int, int] | None:
    """None: Pillow does not know it, or it is damaged; whoever reads it says what is wrong."""
    try:
        with open_file(path) as image:
            return image.size
    except Exception:  # Pillow raises nearly anything on damaged files
        return None


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


# --- the threads ------------------------------------------------------------------------------------------------------


class _Crew:
    """A few threads, each with a batch from file to file. When the work is given up, all end: a large image takes
    minutes."""

    def __init__(
        self,
        translator: Translator,
        *,
        partners: Mapping[Path, Mapping[str, Any]],
        resize: Resize | None,
        seed: int | None,
        seats: int,
    ) -> None:
        self.stop = Stop()
        self.translator = copy.copy(translator)
        self.translator.engine = translator.engine.heeding(self.stop)
        self.seats = seats
        self.engines = [self.translator.engine.beside() for _ in range(seats)] if seats > 1 else []
        self.threads = torch.get_num_threads()
        self.own = threading.local()  # .translator: of a thread with a seat
        self.partners = partners
        self.resize = resize
        self.seed = seed
        self.notes: list[Note] = []

    def run(self, batches: Iterable[_Batch]) -> Iterator[list[tuple[Path, str | None]]]:
        """[(input, None or why it failed)] of each batch, as they come. What is no image's fault is raised."""
        threads = 1 + min(os.cpu_count() or 1, MOST_THREADS)
        running: dict[Future[list[tuple[Path, str | None]]], int] = {}
        with (
            ThreadPoolExecutor(threads, thread_name_prefix="translate") as turns,
            ThreadPoolExecutor(self.seats, thread_name_prefix="translate-seat", initializer=self._sit) as seats,
        ):
            try:
                for batch in batches:
                    while running and (len(running) >= threads or sum(running.values()) + batch.pixels > MOST_PIXELS):
                        yield from self._finished(running)
                    pool = seats if self._fits_all_seats(batch) else turns
                    running[pool.submit(self._work, batch)] = batch.pixels
                while running:
                    yield from self._finished(running)
            finally:
                self.stop.set()

    def _fits_all_seats(self, batch: _Batch) -> bool:
        """Whether every seat may hold such a batch at once."""
        if self.seats == 1 or batch.size is None:
            return False
        width, height = batch.size
        return self.translator.engine.fits(height, width, images=self.seats * len(batch.jobs))

    def _sit(self) -> None:
        use_threads(max(1, self.threads // self.seats))
        self.own.translator = copy.copy(self.translator)
        self.own.translator.engine = self.engines.pop()

    @staticmethod
    def _finished(
        running: dict[Future[list[tuple[Path, str | None]]], int],
    ) -> Iterator[list[tuple[Path, str | None]]]:
        done: set[Future[list[tuple[Path, str | None]]]] = set()
        while not done:  # by the second: a Ctrl-C just before the waiting begins is noticed only after it
            done = wait(running, timeout=1, return_when=FIRST_COMPLETED).done
        for future in done:
            del running[future]
            yield future.result()

    def _work(self, batch: _Batch) -> list[tuple[Path, str | None]]:
        sources: dict[Path, Input] = {source: self._input(source) for source, _ in batch.jobs}
        found: dict[Path, AnyImage] = {}
        if len(sources) > 1:
            try:
                found = dict(zip(sources, self._translated([*sources.values()]), strict=True))
                sources.clear()  # for the memory's sake
            except (ValueError, OSError, MemoryError):
                found = {}  # one of them is bad, or there are too many: each alone tells
        results: list[tuple[Path, str | None]] = []
        for source, destination in batch.jobs:
            try:
                output = found.pop(source) if found else self._translated([sources.pop(source)])[0]
                self.stop.check()
                with noted() as notes:
                    save_output(output, destination)
                self.notes += notes
                results.append((source, None))
            except (ValueError, OSError, MemoryError) as error:
                results.append((source, _in_words(error, source)))
        return results

    def _input(self, source: Path) -> Input:
        partners = self.partners.get(source)
        if partners is None:
            return Decoded(source)
        return {name: place if is_colour(place) else Decoded(place) for name, place in partners.items()}

    def _translated(self, sources: list[Input]) -> list[AnyImage]:
        self.stop.check()
        with noted() as notes:
            translator = getattr(self.own, "translator", self.translator)
            made = translator(sources, resize=self.resize, seed=self.seed, batch_size=len(sources))
        self.notes += notes
        return made


def _in_words(error: Exception, source: Path) -> str:
    """One line that names the image."""
    text = one_line(error)
    if isinstance(error, MemoryError):
        text = "there is not enough memory for it: make it smaller, or use --resize fit"
    return text if str(source) in text else f"{source}: {text}"
