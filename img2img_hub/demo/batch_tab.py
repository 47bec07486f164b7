"""The Batch tab: several files through one model, a zip of PNGs back.

Each picture keeps its size and its name; of equal names the later ones get a number. A file that is no picture is named
at the end, and the others are done. The button is the API endpoint /batch:

    client.predict(MODEL, [handle_file("a.jpg"), handle_file("b.jpg")], "fit", api_name="/batch")

returns the zip, a report as HTML, and small pictures to look at. What is written on the way is in a folder of the
call's own that goes with it; the zip goes when the visitors' other files do.
"""

from __future__ import annotations

import hashlib
import html
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from img2img_hub.demo.components import QUIET, resize_choices, resolution, thumbnails
from img2img_hub.demo.models import LOAD_ERRORS, Models
from img2img_hub.demo.requests import (
    RUN_ERRORS,
    check_mode,
    check_model,
    check_takes_one,
    enlarged,
    enlarges,
    explain,
    file_name_of,
    load,
    native_pixels,
    plain_name,
    too_large,
)
from img2img_hub.demo.speed import fastest
from img2img_hub.demo.texts import T, say
from img2img_hub.demo.uploads import (
    beyond_this_page,
    device_name,
    notice,
    received,
    refusal,
    save_png,
    size_of,
    status_line,
)
from img2img_hub.demo.zero import gpu
from img2img_hub.files import replacing
from img2img_hub.images.formats import open_file
from img2img_hub.translation.checks import check_format
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.settings import Resize
from img2img_hub.translation.translator import Translator

MAX_FILES = 50
MAX_BATCH_PIXELS: dict[Resize, int] = {"fit": 200_000_000, "native": 20_000_000}  # a minute or so of two CPU cores
MAX_BATCH_ENLARGED_PIXELS = 80_000_000  # of all results of a model that enlarges
THUMBNAIL = 240

Progress = Callable[[int, int], object]


def build_batch_tab(models: Models) -> None:
    """Put the tab's components and events into the `gr.Blocks` that is being built; there is a model."""
    choices = [choice for choice in models.choices if models.models[choice[1]].takes_one] or models.choices
    with gr.Row(elem_id="batch"):
        with gr.Column(min_width=280):
            model = gr.Dropdown(
                choices,
                value=choices[0][1],
                label=T("model"),
                filterable=False,
                elem_id="batch-model",
            )
            files = gr.File(
                file_count="multiple",
                file_types=["image"],
                label=T("your_pictures"),
                height=240,
                elem_id="batch-files",
            )
            resize = resolution("batch-resize")
            button = gr.Button(T("translate_all"), variant="primary", size="lg", elem_id="batch-button")
        with gr.Column(min_width=280):
            report = gr.HTML(status_line(T("choose_pictures")), elem_id="batch-report")
            download = gr.DownloadButton(str(T("download_zip")), interactive=False, elem_id="batch-download")
            results = thumbnails(T("results"), "batch-results", visible=False)

    def batch(
        key: str,
        uploads: list[dict[str, Any]] | None,
        mode: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio puts the call's own into its place)
    ) -> tuple[Any, ...]:
        def show(done: int, total: int) -> None:
            progress((done, total), desc=say("in_work", request), unit=say("pictures_unit", request))

        show(0, len(uploads or ()) or 1)
        return translate_batch(models, key, uploads, mode, request, show)

    def offer(key: Any) -> Any:
        """The resolutions of the model: known when it is loaded, which it is for pictures that have come."""
        try:
            translator = models.translator(key)
        except LOAD_ERRORS:  # said when the button is pressed
            return gr.skip()
        choices, only = resize_choices(translator), not translator.settings.resizes
        return gr.Radio(choices=choices, value="native") if only else gr.Radio(choices=choices)

    gr.on([model.input, files.upload], offer, model, resize, concurrency_limit=4, **QUIET)
    # preprocess=False: Gradio would open the files itself.
    done = button.click(
        gpu(batch),
        [model, files, resize],
        [download, report, results],
        preprocess=False,
        api_name="batch",
        api_description="Translate several pictures: a zip of PNGs, a report as HTML, small pictures to look at.",
        concurrency_limit=1,  # many pictures of one visitor leave room for the single ones of others
        concurrency_id="batch",
        scroll_to_output=True,
        show_progress_on=report,
    )
    # A second step, so that the API's answer is a plain file.
    done.success(
        lambda: (gr.DownloadButton(interactive=True, variant="primary"), gr.Gallery(visible=True)),
        outputs=[download, results],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def translate_batch(
    models: Models,
    key: Any,
    uploads: Any,
    mode: Any,
    request: gr.Request | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[str, str, list[tuple[str, str]]]:
    """(path of the zip, report as HTML, [(small picture, its name)]).

    Everything a visitor can do wrong is a `gr.Error` with the cure, but for single bad files, which the report names.
    """
    key, mode = check_model(models, key, request), check_mode(mode, request)
    if not isinstance(uploads, list) or not uploads:
        raise refusal(say("no_pictures", request))
    if len(uploads) > MAX_FILES:
        raise refusal(say("too_many", request, count=len(uploads), limit=MAX_FILES))
    translator = load(models, key)
    check_takes_one(translator, request)
    named, failures = _sorted_out(uploads, mode, translator, request)
    with tempfile.TemporaryDirectory(prefix="img2img-batch-") as place:
        # Links under names of our own: a visitor's name chooses no path, and equal names do not meet.
        sources = {Path(place, "in", f"{stem}.png"): path for stem, (path, _) in named.items()}
        Path(place, "in").mkdir()
        for link, path in sources.items():
            link.symlink_to(os.path.abspath(path))
        try:
            translator = fastest(translator)
            _check_png(translator, request)
            start = time.perf_counter()
            # One at a time through the network: each is what the Translate tab makes of it, to the bit.
            done = translate_folder(
                translator,
                list(sources),
                output=Path(place, "out"),
                resize=mode,
                batch_size=1,
                progress=progress,
                seats=1,
            )
            seconds = time.perf_counter() - start
        except RUN_ERRORS as error:
            raise refusal(html.escape(explain(error, models, key, request))) from error
        for link, said in done.failures:
            failures.append(models.reason(key, ValueError(said.replace(str(link), named[link.stem][1]))))
        if not done.written:
            raise refusal(f"{say('none_done', request)} {html.escape(' · '.join(failures[:5]))}")
        outputs = [output for _, output in done.written]
        archive = _zip(outputs, Path(place, "all.zip"), name=f"{file_name_of(key)}.zip")
        thumbnails = [(_thumbnail(output), output.name) for output in outputs]
    line = say(
        "batch_done", request, done=len(outputs), total=len(outputs) + len(failures), seconds=seconds,
        device=device_name(translator),
    )  # fmt: skip
    line = f"{line} · {larger}" if (larger := enlarged(translator, request)) else line
    return archive, status_line(line) + (notice(say("not_done", request), failures) if failures else ""), thumbnails


def _check_png(translator: Translator, request: gr.Request | None) -> None:
    try:
        check_format(translator, "png")
    except ValueError as error:
        raise refusal(say("no_png", request)) from error


def _sorted_out(
    uploads: Any, mode: Resize, translator: Translator, request: gr.Request | None
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """({stem in the zip: (path, the visitor's name)}, what is wrong with the others); headers are read, no pictures."""
    named: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    failures: list[str] = []
    pixels = 0
    for upload in uploads:
        found = received(upload)
        if found is None:
            failures.append(say("not_arrived", request))
            continue
        path, shown = found
        width, height = size_of(path)
        if said := beyond_this_page(width, height, name=shown, request=request):
            failures.append(said)
            continue
        if said := too_large(translator, width, height, mode, f"too_large_{mode}_one", request):
            failures.append(f"{shown}: {said}")
            continue
        as_is = mode == "native" or not translator.settings.resizes
        pixels += native_pixels(translator, width, height) if as_is else width * height
        stem = _free(plain_name(shown), taken)
        named[stem] = (path, shown)
    text, most = "too_many_pixels", MAX_BATCH_PIXELS[mode]
    if not translator.settings.resizes:  # whatever was chosen, they are taken as they are
        text, most = "too_many_pixels_as_is", MAX_BATCH_PIXELS["native"]
    if enlarges(translator):
        most = MAX_BATCH_ENLARGED_PIXELS
    if pixels > (limit := most // translator.engine.scale**2):
        raise refusal(say(text, request, size=pixels / 1e6, limit=limit / 1e6))
    if not named:
        raise refusal(f"{say('none_done', request)} {html.escape(' · '.join(failures[:5]))}")
    return named, failures


def _free(stem: str, taken: set[str]) -> str:
    """`stem`, with a number where it is taken; capitals make no difference, as on many people's disks."""
    number, free = 1, stem
    while free.casefold() in taken:
        number += 1
        free = f"{stem}-{number}"
    taken.add(free.casefold())
    return free


def _zip(files: list[Path], archive: Path, *, name: str) -> str:
    """Put the files into one, and this where the page may serve it and clears it away: named by its content."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as stored:  # PNGs are packed already
        for file in files:
            stored.write(file, arcname=file.name)
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    path = Path(get_upload_folder(), digest, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:  # also on another disk
        shutil.copyfile(archive, part)
    return str(path)


def _thumbnail(path: Path) -> str:
    with open_file(path) as image:
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        return save_png(image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("RGB"), name=path.name)
