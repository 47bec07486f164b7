"""The web page, here or as a Gradio Space: `python app.py`, then open http://127.0.0.1:7860.

IMG2IMG_MODELS names the models to offer (folders or Hub repo ids); by default those in model_cards/.
"""

import os

# Before Gradio is imported: the page asks nothing of the outside world.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from img2img_hub.demo.app import main

if __name__ == "__main__":
    main()
