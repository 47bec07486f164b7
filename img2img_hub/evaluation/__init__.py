"""What a translator is worth: numbers on a data set, and sheets to look at.

python -m img2img_hub evaluate --model user/maps --dataset user/pairs
"""
