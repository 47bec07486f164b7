"""Images that do not fit into memory at once, strip by strip, layer by layer; only the translator's engine asks for it.

python -c "from img2img_hub.strips.translate import Tiles; print(Tiles)"
"""
