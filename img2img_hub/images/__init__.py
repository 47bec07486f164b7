"""Files, PIL images and arrays, read and written: 8-bit pictures, and rasters of any bands, types and places.

    python -c "from img2img_hub.images.read import read_image; print(read_image('photo.jpg').size)"

| module | what is in it |
|---|---|
| slots | several images as one |
| read | the door for images: `Decoded`, decoded once; `read_image`, `read_alpha`, `read_raster` |
| headers | `kind_of`: what a file holds, by its header |
| numbers, palettes | class numbers, instances and masks, of what a file stores; the colours of classes |
| resize, values | images of other sizes; what a raster's values are to a network |
| raster | `Raster`, and how it is saved |
| by_pillow, deep_png, tiff, tiff_pages, tiff_writing | the decoders and encoders that read and raster call |
| picture | arrays, tensors and modes as 8-bit pictures; pictures as tensors |
| remarks | what readers notice of an image, for whoever wants to know |
| formats | what is opened at all, and how it is refused |

Each imports from those below it.
"""
