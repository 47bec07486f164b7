"""Files, PIL images and arrays, read and written: 8-bit pictures, and rasters of any bands, types and places.

python -c "from img2img_hub.images.picture import read_image; print(read_image('photo.jpg').size)"
"""
