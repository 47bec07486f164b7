"""Opened data: images read when asked for, and made into training samples.

python -c "from img2img_hub.data.samples.reading import FileImages; print(len(FileImages.of_folder('facades/train')))"
"""
