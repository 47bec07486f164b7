"""The web page, here or as a Gradio Space: `python app.py`, then open http://127.0.0.1:7860.

IMG2IMG_MODELS names the models to offer (folders or Hub repo ids); by default those in model_cards/.
"""

import gc
import os

# Before Gradio is imported: the page asks nothing of the outside world.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

# What is imported stays: searching it for garbage, again and again as it grows, takes a fifth of the start.
gc.disable()
from img2img_hub.demo.app import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    main()
