"""Reading any image right, and the way to a tensor and back."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub.images import resize
from img2img_hub.images.formats import ImageError
from img2img_hub.images.picture import to_image, to_tensor
from img2img_hub.images.raster import Raster
from img2img_hub.images.read import Decoded, read_alpha, read_image, read_raster
from img2img_hub.images.remarks import noted, told
from img2img_hub.images.resize import crop, pad_to_multiple, resized


def gradient(width: int = 16, height: int = 12) -> Image.Image:
    """Every pixel tells where it is."""
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([columns * 15, rows * 20, columns * 0 + 90], axis=2).astype(np.uint8))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def close(image: Image.Image, expected: Image.Image, *, within: int) -> bool:
    difference = np.asarray(image, dtype=int) - np.asarray(expected, dtype=int)
    return image.size == expected.size and image.mode == expected.mode and int(np.abs(difference).max()) <= within


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that the camera's rotation undoes
    stored = gradient() if orientation == 1 else gradient().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(stored, exif=exif)
    assert close(read_image(data), gradient(), within=0)
    assert close(read_image(Image.open(io.BytesIO(data))), gradient(), within=0)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr", "HSV", "LA", "PA", "La", "RGBa"]
)
def test_every_mode_is_converted(mode: str) -> None:
    grey = mode in ("1", "L", "LA", "La", "PA")
    picture = Image.new("L", (8, 8), 255) if mode == "1" else gradient().convert("L") if grey else gradient()
    by_way_of = {"La": "LA", "RGBa": "RGBA", "PA": "P"}
    image = picture.convert(by_way_of[mode]).convert(mode) if mode in by_way_of else picture.convert(mode)
    near = 60 if mode == "P" else 6  # a palette has few colours
    assert close(read_image(image), picture.convert("RGB"), within=near)
    assert close(read_image(image, channels=1), picture.convert("L"), within=near)


def test_a_cmyk_jpeg_keeps_its_colours() -> None:
    image = Image.new("RGB", (16, 16), (200, 60, 20))
    assert close(read_image(encoded(image.convert("CMYK"), "JPEG", quality=95)), image, within=6)


def sixteen_bits() -> np.ndarray:
    return np.array([[0, 257, 128 * 257], [65535, 64, 200 * 257]], dtype=np.uint16)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "pil", "array", "pgm"])
def test_sixteen_bit_grey_is_scaled_not_clipped(format: str) -> None:
    values = sixteen_bits()
    image: object = Image.fromarray(values)
    if format == "array":
        image = values
    elif format == "pgm":  # Pillow reads these as 32-bit "I"
        image = b"P5 3 2 65535\n" + values.astype(">u2").tobytes()
    elif format != "pil":
        image = encoded(Image.fromarray(values), format)
    expected = np.array([[0, 1, 128], [255, 0, 200]], dtype=np.uint8)
    assert (np.asarray(read_image(image, channels=1)) == expected).all()  # type: ignore[arg-type]
    assert (np.asarray(read_image(image)) == expected[:, :, None]).all()  # type: ignore[arg-type]


def test_float_images_run_from_0_to_1() -> None:
    values = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    for image in (values, Image.fromarray(values), encoded(Image.fromarray(values), "TIFF")):
        assert np.asarray(read_image(image, channels=1)).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "RGB", "L"])
def test_what_is_transparent_shows_white(kind: str) -> None:
    dark = Image.new("L", (4, 2), 51)
    mask = Image.new("L", (4, 2), 0)
    mask.paste(255, (2, 0, 4, 2))
    if kind in ("RGBA", "LA"):
        image = dark.convert(kind)
        image.putalpha(mask)
        data = encoded(image)
    else:  # one colour or palette entry is transparent
        image = Image.merge("RGB", [Image.composite(dark, mask, mask)] * 3).convert(kind)
        data = encoded(image, transparency={"P": image.getpixel((0, 0)), "RGB": (0, 0, 0), "L": 0}[kind])
    read = read_image(data, channels=1)
    assert (read.getpixel((0, 0)), read.getpixel((3, 1))) == (255, 51)
    assert read_image(data).getpixel((0, 1)) == (255, 255, 255)
    alpha = read_alpha(data)
    assert alpha is not None
    assert (alpha.mode, np.asarray(alpha).tolist()) == ("L", [[0, 0, 255, 255]] * 2)


def test_half_transparent_is_half_white() -> None:
    assert read_image(Image.new("RGBA", (1, 1), (0, 100, 200, 128))).getpixel((0, 0)) == (127, 177, 227)


def test_alpha_is_upright_and_none_where_opaque() -> None:
    image = Image.new("RGBA", (3, 2), (9, 9, 9, 0))
    image.putpixel((0, 0), (9, 9, 9, 255))
    exif = Image.Exif()
    exif[274] = 6  # stored lying on its side
    alpha = read_alpha(encoded(image, exif=exif))
    assert alpha is not None
    assert alpha.size == (2, 3)
    assert alpha.getpixel((1, 0)) == 255
    assert read_alpha(Image.new("RGBA", (3, 2), (9, 9, 9, 255))) is None
    assert read_alpha(gradient()) is None
    assert read_alpha(sixteen_bits()) is None
    assert read_alpha(np.full((2, 2, 4), 7, np.uint8)).getpixel((0, 0)) == 7  # type: ignore[union-attr]


def test_an_icc_profile_is_kept_only_where_it_fits() -> None:
    rgb = encoded(gradient(), icc_profile=b"profile")
    assert read_image(rgb).info == {"icc_profile": b"profile"}
    assert read_image(rgb, channels=1).info == {}
    assert read_image(encoded(gradient().convert("L"), icc_profile=b"profile")).info == {}
    assert read_image(encoded(gradient().convert("CMYK"), "JPEG", icc_profile=b"profile")).info == {}


def test_the_image_given_is_left_as_it_is() -> None:
    image = Image.new("RGBA", (2, 2), (1, 2, 3, 0))
    read_image(image).putpixel((0, 0), (9, 9, 9))
    assert image.getpixel((0, 0)) == (1, 2, 3, 0)


def test_a_decoded_image_gives_what_each_reader_gives(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(gradient().convert("RGBA"), icc_profile=b"profile"))
    np.save(tmp_path / "a.npy", sixteen_bits())
    deep = encoded(Image.fromarray(sixteen_bits()), "TIFF", transparency=0)
    for content in (
        tmp_path / "a.png",
        deep,
        encoded(gradient(), "JPEG"),
        np.asarray(gradient()),
        to_tensor(gradient()),
    ):
        image = Decoded(content, name="it")
        for channels in (3, 1):  # in any order
            picture, expected = image.picture(channels=channels), read_image(content, channels=channels)
            assert close(picture, expected, within=0)
            assert picture.info == expected.info
            assert image.picture(channels=channels) is picture
        assert (image.alpha is None) == (read_alpha(content) is None)
        if not isinstance(content, torch.Tensor):
            raster = read_raster(content)
            assert np.array_equal(image.raster().array, raster.array)
            assert image.size == raster.size
        assert Decoded.of(image) is image
        assert image.name == "it"
    assert Decoded(tmp_path / "a.png").format == "PNG"
    assert Decoded(tmp_path / "a.npy").raster().bands == 1


def test_what_is_noted_of_a_decoded_image_is_noted_to_everybody() -> None:
    file = io.BytesIO()
    gradient().save(file, "TIFF", save_all=True, append_images=[gradient(), gradient()])
    image = Decoded(file.getvalue(), name="it")
    heard = []
    for _ in range(2):
        with noted() as notes:
            image.picture()
        heard.append(told(notes))
    assert heard[0] == heard[1]
    assert "(3 pages)" in heard[0][0]


def test_an_array_that_is_changed_later_changes_no_picture() -> None:
    array = np.zeros((4, 4), np.uint8)
    image = Decoded(array)
    picture = image.picture(channels=1)
    array[:] = 200
    assert picture.getextrema() == (0, 0)


def test_arrays_and_tensors_are_images_too(tmp_path: Path) -> None:
    expected = gradient()
    array = np.asarray(expected)
    path = tmp_path / "a.png"
    expected.save(path)
    for image in (path, str(path), array, array / 255, to_tensor(expected), to_tensor(expected)[None]):
        assert close(read_image(image), expected, within=0)
    assert close(read_image(array[:, :, :1], channels=1), expected.getchannel("R"), within=0)
    assert np.asarray(read_image(np.array([[True, False]]), channels=1)).tolist() == [[255, 0]]


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims to be that large and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty (0 bytes): copy or download it again"),
        (b"hello, I am a text", "is not an image that can be read: save it as PNG"),
        (encoded(Image.effect_noise((99, 99), 50))[:3000], "is damaged or cut short"),
        (encoded(gradient(200, 200), "JPEG")[:2000], "is damaged or cut short"),
        (png_of_size(60000, 60000), "as a decompression bomb would: make it smaller first"),
        (None, "does not exist: check the spelling"),
    ],
    ids=["empty", "text", "short PNG", "short JPEG", "bomb", "missing"],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, data: bytes | None, message: str) -> None:
    path = tmp_path / "bad one.png"
    if data is not None:
        path.write_bytes(data)
    for read in (read_image, read_alpha):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    if data is not None:
        with pytest.raises(ImageError, match=r"^row 7 "):
            read_image(data, name="row 7")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2, 5), np.uint8), r"shape \(2, 2, 5\): give \(H, W\)"),
        (np.zeros((0, 2), np.uint8), r"shape \(0, 2\)"),
        (np.zeros((2, 2), np.int64), "array of int64: give uint8"),
        (np.full((2, 2), 255.0), r"values from 255 to 255: scale them to 0\.\.1 first"),
        (np.full((2, 2), np.nan), "pixels that are NaN: fill them"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), r"torch.uint8.*give float in \[-1, 1\]"),
        (torch.full((3, 2, 2), 200.0), r"200 to 200: scale them to \[-1, 1\]"),
        (torch.zeros(2, 3, 2, 2), r"shape \(2, 3, 2, 2\): give one image"),
        (42, "is a int, not an image"),
        (Path("/"), "is a folder, not an image"),
    ],
)
def test_what_is_no_image_is_refused(image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(image)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give 1"):
        read_image(gradient(), channels=4)


def test_tensor_and_image_are_inverse() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for image in (
        Image.fromarray(values),
        Image.merge("RGB", [Image.fromarray(v) for v in (values, values.T, values)]),
    ):
        tensor = to_tensor(image)
        assert tensor.dtype == torch.float32
        assert tensor.shape == (len(image.getbands()), 16, 16)
        assert tensor.is_contiguous()
        assert (float(tensor.min()), float(tensor.max())) == (-1.0, 1.0)
        assert close(to_image(tensor), image, within=0)
        assert close(to_image(tensor[None]), image, within=0)
    assert to_tensor(Image.new("L", (1, 1), 51)).item() == pytest.approx((51 / 255 - 0.5) / 0.5)


def test_to_image_rounds_and_clamps() -> None:
    half_step = 1 / 255
    tensor = torch.tensor([[[-3.0, -1 + 0.9 * half_step, -1 + 1.1 * half_step, 3.0]]])
    assert np.asarray(to_image(tensor)).tolist() == [[0, 0, 1, 255]]
    with pytest.raises(ImageError, match="NaN"):
        to_image(torch.full((1, 2, 2), float("nan")))
    with pytest.raises(ImageError, match="mode RGBA"):
        to_tensor(Image.new("RGBA", (1, 1)))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7), (8, 8), (9, 16), (17, 250), (1, 33)])
@pytest.mark.parametrize("multiple", [1, 4, 8, 256])
def test_padding_reflects_evenly_and_crops_back(size: tuple[int, int], multiple: int) -> None:
    batch = torch.rand(2, 3, *size)
    padded, (top, left) = pad_to_multiple(batch, multiple=multiple)
    height, width = padded.shape[-2:]
    assert height % multiple == width % multiple == 0
    assert height - size[0] < multiple
    assert width - size[1] < multiple
    assert abs(height - size[0] - 2 * top) <= 1
    assert abs(width - size[1] - 2 * left) <= 1
    assert torch.equal(crop(padded, top=top, left=left, height=size[0], width=size[1]), batch)
    margins = ((0, 0), (0, 0), (top, height - size[0] - top), (left, width - size[1] - left))
    expected = np.pad(batch.numpy(), margins, mode="reflect")  # NumPy reflects back and forth where torch refuses to
    assert np.array_equal(padded.numpy(), expected)


@pytest.mark.parametrize("kind", ["picture", "raster"])
def test_a_long_flat_image_is_never_an_enormous_one_in_between(monkeypatch, kind):
    """Of 256 rows as long as it is: rows first, Pillow would make 400 MB of them on the way to 2 rows."""
    sizes = []
    original = Image.Image.resize

    def noting(self, size, *args, **kwargs):
        sizes.append((self.size, size))
        return original(self, size, *args, **kwargs)

    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 255, (256, 256, 3), dtype=np.uint8))
    if kind == "raster":
        image = Raster(array=random.normal(size=(256, 256, 1)).astype(np.float32))
    monkeypatch.setattr(Image.Image, "resize", noting)
    assert resized(image, (400_000, 2)).size == (400_000, 2)
    assert sizes == [((256, 256), (256, 2)), ((256, 2), (400_000, 2))]
    sizes.clear()
    usual = resized(image, (90, 50))
    assert sizes == [((256, 256), (90, 50))]
    monkeypatch.setattr(resize, "_MOST_BETWEEN", 100)
    other = resized(image, (90, 50))
    assert len(sizes) == 3
    made = [np.asarray(each.array if kind == "raster" else each).astype(float) for each in (usual, other)]
    assert np.abs(made[0] - made[1]).max() <= (1e-5 if kind == "raster" else 1)
