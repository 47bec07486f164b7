"""The command that serves the web page.

python -m img2img_hub demo runs/facades user/summer2winter
"""

import os
from typing import Annotated

import tyro


def demo(
    models: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="MODEL…", help_behavior_hint="(default: see below)"),
    ] = (),
    *,
    port: int | None = None,
    host: str | None = None,
) -> int:
    """Serve the web page for models of your choice, until it is stopped; then open http://127.0.0.1:7860.

    Args:
        models: Folders of models (or that hold several) and Hub ids (user/model); default: the environment variable
            IMG2IMG_MODELS, else the models of a checkout.
        port: Port to listen at; default: GRADIO_SERVER_PORT, else 7860.
        host: Address to listen at, such as 0.0.0.0 for all of this machine's; default: GRADIO_SERVER_NAME, else
            127.0.0.1, this machine alone.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before Gradio is imported: it asks nothing outside
    if any("," in model for model in models):
        raise ValueError(f"{' '.join(models)} has a comma: name models one by one, with spaces between them")
    if models:
        os.environ["IMG2IMG_MODELS"] = ",".join(models) + ","  # at which names with spaces are not taken apart
    if port is not None:
        os.environ["GRADIO_SERVER_PORT"] = str(port)
    if host is not None:
        os.environ["GRADIO_SERVER_NAME"] = host
    from img2img_hub.demo.app import main

    main()
    return 0
