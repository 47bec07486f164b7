"""Put the page together and say how it is served; `app.py` in the repository does both.

    python -c "from img2img_hub.demo.app import main; main()"

The page starts and works without internet: built-in theme, system fonts, no telemetry.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import gradio as gr
from PIL import Image
from starlette.middleware import Middleware

from img2img_hub.demo.about_tab import build_about_tab
from img2img_hub.demo.batch_tab import build_batch_tab
from img2img_hub.demo.compare_tab import build_compare_tab, can_compare
from img2img_hub.demo.doors import Doors
from img2img_hub.demo.enlarge_tab import build_enlarge_tab, enlargers
from img2img_hub.demo.erase_tab import build_erase_tab, fillers
from img2img_hub.demo.guests import any_model_allowed
from img2img_hub.demo.hub_tab import build_hub_tab
from img2img_hub.demo.models import Models, find_models
from img2img_hub.demo.paint_tab import build_paint_tab, find_papers
from img2img_hub.demo.shares import Shares
from img2img_hub.demo.speed import candidates
from img2img_hub.demo.texts import T
from img2img_hub.demo.theme import CSS_PATH, HEADER, page_theme
from img2img_hub.demo.translate_tab import build_translate_tab
from img2img_hub.demo.uploads import MAX_PIXELS
from img2img_hub.demo.zero import ON_ZERO_GPU

HOUR = 3600
PLACES = 40  # of requests that wait
MAX_FILE_SIZE = "50mb"
TABS_CSS = CSS_PATH.with_name("tabs.css")


def build_demo(models: Models | None = None) -> gr.Blocks:
    """The page for `models` (default: `find_models()`). Nothing is loaded and nothing asked of the network yet."""
    models = find_models() if models is None else models
    candidates()  # an owner's wrong choice is said now, not to the first visitor
    # Visitors' pictures are removed from the server's cache after a day.
    with gr.Blocks(title="img2img_hub", analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR)) as demo:
        gr.HTML(HEADER)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(T("translate_tab"), id="translate"):
                build_translate_tab(demo, models)
            if find_papers(models):
                with gr.Tab(T("paint_tab"), id="paint") as paint:
                    build_paint_tab(models, paint)
            if enlargers(models):
                with gr.Tab(T("enlarge_tab"), id="enlarge") as enlarge:
                    build_enlarge_tab(models, enlarge)
            if fillers(models):
                with gr.Tab(T("erase_tab"), id="erase") as erase:
                    build_erase_tab(models, erase)
            if models:
                with gr.Tab(T("batch_tab"), id="batch"):
                    build_batch_tab(models)
            if can_compare(models):
                with gr.Tab(T("compare_tab"), id="compare"):
                    build_compare_tab(models)
            if any_model_allowed():
                with gr.Tab(T("hub_tab"), id="any"):
                    build_hub_tab()
            if models:
                with gr.Tab(T("about_tab"), id="about") as about:
                    build_about_tab(models, about)
    # Not even off a Space may requests pass by the queue: its limits and shares are for all of them.
    demo.queue(max_size=PLACES, default_concurrency_limit=4, api_open=False)
    return demo


def launch_options(demo: gr.Blocks) -> dict[str, Any]:
    """Arguments for `demo.launch`: on this machine alone unless it is a Space; GRADIO_SERVER_NAME and _PORT are obeyed.

    Raises ValueError for a GRADIO_SERVER_PORT that is no port.
    """
    on_a_space = "SPACE_ID" in os.environ
    return {
        "server_name": os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if on_a_space else "127.0.0.1"),
        "server_port": chosen_port(),
        "max_file_size": MAX_FILE_SIZE,
        "i18n": T,
        "theme": page_theme(),
        "css_paths": [CSS_PATH, TABS_CSS],
        "footer_links": ["api", "settings"],
        "run_history": False,  # keeps visitors' pictures out of the browser's storage
        "ssr_mode": False,
        "pwa": False,
        "share": False,
        "app_kwargs": {"middleware": [Middleware(Doors), Middleware(Shares, page=demo)]},
    }


def chosen_port() -> int:
    port = os.environ.get("GRADIO_SERVER_PORT") or "7860"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"GRADIO_SERVER_PORT is {port!r}: give a number from 1 to 65535, such as 7861")
    return int(port)


def main() -> None:
    """Serve the page until it is stopped; what the owner has to mend ends it with one line."""
    try:
        port = chosen_port()
        # Pillow refuses twice as many, also in icons, whose headers do not say what is inside and are read with it.
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        models = find_models()
        if ON_ZERO_GPU:
            models.load_all()
        demo = build_demo(models)
        demo.launch(**launch_options(demo))
    except ValueError as error:
        sys.exit(str(error))
    except OSError as error:
        if "empty port" not in str(error):
            raise
        sys.exit(f"Port {port} is taken. Choose another: GRADIO_SERVER_PORT=7861 python app.py, or demo --port 7861")
