"""From a source image to a target image: the Translator, what its repo says about it, its evaluation, its sheets.

python -c "from img2img_hub import Translator; Translator.from_pretrained('model_cards/facades-label2photo')"
"""
