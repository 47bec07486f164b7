"""The web page, here or as a Gradio Space: `python app.py`, then open http://127.0.0.1:7860.

IMG2IMG_MODELS names the models to offer (folders or Hub repo ids); by default those in model_cards/.
"""

import os
import sys

# Before Gradio is imported: the page asks nothing of the outside world.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from img2img_hub.demo.app import build_demo, launch_options


def main() -> None:
    try:
        options = launch_options()
        build_demo().launch(**options)
    except ValueError as error:
        sys.exit(str(error))
    except OSError as error:
        if "empty port" not in str(error):
            raise
        sys.exit(f"Port {options['server_port']} is taken. Choose another: GRADIO_SERVER_PORT=7861 python app.py")


if __name__ == "__main__":
    main()
