"""A Hub data set or local folders, opened as pairs or as two unpaired sets of images, and made into training samples.

python -m img2img_hub check-data --dataset facades --side_by_side
"""
