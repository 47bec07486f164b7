"""Crops of pictures at their own shape, crops that are no squares, and validation at the pictures' own size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import TrainConfig, Translator
from img2img_hub.cli import main
from img2img_hub.data.find.sources import DataConfig, DataError, open_data
from img2img_hub.data.samples.native import native_arrays
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.families import FAMILIES
from img2img_hub.families.options import Architecture
from img2img_hub.images.picture import to_image
from img2img_hub.images.resize import held, resized
from img2img_hub.translation.settings import TranslationSettings
from tests.runs import run

SIZES = [(90, 30), (30, 90), (47, 33), (24, 20)]


def noise(seed: int, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3)).astype(np.uint8))


def inverted(image: Image.Image) -> Image.Image:
    return image.point(lambda value: 255 - value)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pictures of several shapes, whose targets are their inverse."""
    for number, size in enumerate(SIZES):
        for folder, image in (("A", noise(number, size)), ("B", inverted(noise(number, size)))):
            (tmp_path / "train" / folder).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / f"train/{folder}/{number}.png")
    return tmp_path


def native(root: Path, image_size, *, load_size=None, paired=True, **config) -> TrainingDataset:
    data = open_data(DataConfig(dataset=str(root), **config), paired=paired, split="train")
    return TrainingDataset(data, image_size=image_size, load_size=load_size, flip=True, seed=0, native=True)


def is_in(window: np.ndarray, whole: np.ndarray) -> bool:
    """Whether the window, mirrored or not, is somewhere in a picture, pixel by pixel."""
    height, width = window.shape[:2]
    return any(
        np.array_equal(each, whole[top : top + height, left : left + width])
        for each in (window, window[:, ::-1])
        for top in range(whole.shape[0] - height + 1)
        for left in range(whole.shape[1] - width + 1)
    )


@pytest.mark.parametrize("size", [16, (20, 12)], ids=str)
def test_a_crop_is_a_piece_of_the_picture_as_it_is(pairs: Path, size) -> None:
    samples = native(pairs, size)
    width, height = (size, size) if isinstance(size, int) else size
    for number, whole in enumerate(SIZES):
        for epoch in range(4):
            sample = samples[(epoch, number)]
            assert sample["source"].shape == (3, height, width)
            assert torch.allclose(sample["source"], -sample["target"], atol=1e-6), (
                "one place, and one mirroring, for both"
            )
            window = np.asarray(to_image(sample["source"]))
            assert is_in(window, np.asarray(noise(number, whole)))


def test_crops_come_from_all_over_a_picture(pairs: Path) -> None:
    samples, whole = native(pairs, 16), np.asarray(noise(0, SIZES[0]))
    seen = np.zeros(whole.shape[:2], dtype=bool)
    for epoch in range(150):
        window = np.asarray(to_image(samples[(epoch, 0)]["source"]))
        for left in range(90 - 16 + 1):
            for top in range(30 - 16 + 1):
                piece = whole[top : top + 16, left : left + 16]
                if np.array_equal(piece, window) or np.array_equal(piece, window[:, ::-1]):
                    seen[top : top + 16, left : left + 16] = True
    assert seen.mean() > 0.95


def test_what_is_too_small_is_enlarged_in_its_shape(pairs: Path) -> None:
    assert held((24, 20), least=(40, 40)) == (48, 40)
    assert held((90, 30), least=(16, 16)) == (90, 30)
    assert held((90, 30), least=(16, 16), shorter=60) == (180, 60)
    assert held((90, 30), least=(64, 64), shorter=20) == (192, 64), "the crop has to fit"
    window = np.asarray(to_image(native(pairs, 40)[(0, 3)]["source"]))
    assert is_in(window, np.asarray(resized(noise(3, SIZES[3]), (48, 40))))


def test_load_size_is_the_shorter_side(pairs: Path) -> None:
    window = np.asarray(to_image(native(pairs, 16, load_size=20)[(0, 0)]["source"]))
    assert is_in(window, np.asarray(resized(noise(0, SIZES[0]), (60, 20))))


def test_unpaired_sides_are_cropped_each_by_itself(pairs: Path) -> None:
    sample = native(pairs, (20, 12), paired=False)[(3, 2)]
    assert is_in(np.asarray(to_image(sample["source"])), np.asarray(noise(2, SIZES[2])))
    assert any(
        is_in(np.asarray(to_image(sample["target"])), np.asarray(inverted(noise(number, size))))
        for number, size in enumerate(SIZES)
    )


def test_a_source_is_made_of_the_crop(pairs: Path) -> None:
    sample = native(pairs, 16, corrupt=("grayscale",), target_column="A")[(0, 0)]
    assert (sample["source"].shape, sample["target"].shape) == ((1, 16, 16), (3, 16, 16))
    assert is_in(np.asarray(to_image(sample["target"])), np.asarray(noise(0, SIZES[0])))


def test_the_sizes_of_a_run() -> None:
    def of(**options) -> TrainConfig:
        return TrainConfig(output_dir="x", **options).of(FAMILIES["pix2pix"]())

    assert (of().image_size, of().crop, of().jitter_size) == (256, "resize", 286)
    assert of(image_size=[256, 256]).image_size == 256, "as runs have always said it"
    assert of(image_size=[896, 256]).crop == "native", "a model's working size is a square"
    assert of(image_size=(896, 256), load_size=256).jitter_size == 256
    assert of(crop="native").jitter_size is None
    assert of(crop="native", load_size=300).jitter_size == 300
    assert [of(image_size=size).measures_natively for size in (64, (64, 32))] == [False, True]
    for wrong, said in (
        ({"image_size": (16, 16, 16)}, "takes one number, or WIDTH HEIGHT, got 16 16 16"),
        ({"image_size": (64, 8)}, "must be 16 or more, got 64 8"),
        ({"image_size": (64, 9000)}, "more than 8192 is refused"),
        ({"image_size": (64, 32), "load_size": 31}, "--load_size 31 is smaller than --image_size 64 32"),
        ({"image_size": (64, 32), "crop": "resize"}, "--image_size 64 32 is no square, and --crop resize squeezes"),
        ({"crop": "squeeze"}, "--crop must be one of resize, native, got 'squeeze'"),
    ):
        with pytest.raises(ValueError, match=said):
            of(**wrong)


@pytest.mark.parametrize(
    ("family", "size", "said"),
    [
        ("pix2pix", (900, 300), "--image_size 900 300 can be halved only 2 times.* such as 896 304"),
        ("spade", (512, 256), "--image_size 512 256 is no square, and the noise of --latent"),
        ("cyclegan", (50, 64), "--image_size 50 64 does not fit the generator, which needs a multiple of 4"),
    ],
)
def test_sizes_that_networks_cannot_make_are_refused(family, size, said) -> None:
    known = {"latent": 8} if family == "spade" else {}
    with pytest.raises(ValueError, match=said):
        FAMILIES[family](**known).build(Architecture(width=4), in_channels=3, out_channels=3, image_size=size)


def test_what_was_trained_on_stands_in_the_settings() -> None:
    assert "crop" not in TranslationSettings().to_dict(), "former versions refuse what they do not know"
    settings = TranslationSettings(crop="native")
    assert settings.to_dict()["crop"] == "native"
    assert TranslationSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ValueError, match="crop must be 'resize' or 'native'"):
        TranslationSettings(crop="none")  # type: ignore[arg-type]


PANORAMAS = ["--width", "4", "--discriminator_layers", "1", "--cpu", "--cpu_threads", "1", "--num_workers", "0"]
PANORAMAS += ["--generator", "resnet", "--blocks", "1", "--sample_steps", "2", "--crop", "native"]


def test_panoramas_are_trained_on_and_measured_at_their_own_shape(tmp_path: Path, capsys) -> None:
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            for folder, image in (("A", noise(number, (90, 30))), ("B", inverted(noise(number, (90, 30))))):
                (tmp_path / split / folder).mkdir(parents=True, exist_ok=True)
                image.save(tmp_path / f"{split}/{folder}/{number}.png")
    out = tmp_path / "run"
    words = ["pix2pix", "--dataset", tmp_path, "--output_dir", out, *PANORAMAS]
    done = run(*words, "--image_size", "48", "24", "--max_steps", "2")
    assert done.returncode == 0, done.stderr
    assert "Images are cropped at their own size." in done.stderr
    assert json.loads((out / "training_config.json").read_text())["training"]["image_size"] == [48, 24]
    assert "48 × 24 pixels" in (out / "README.md").read_text()
    with Image.open(out / "sample_sheet.png") as sheet:
        assert sheet.width == 2 * 8 + 3 * 90 + 2 * 4

    done = run(*words, "--image_size", "48", "24", "--max_steps", "3", "--resume")
    assert done.returncode == 0, done.stderr
    done = run(*words, "--image_size", "48", "32", "--max_steps", "4", "--resume")
    assert done.returncode == 2
    assert "image_size" in done.stderr, "another size is another run"

    assert main(["evaluate", "--model", str(out), "--dataset", str(tmp_path), "--split", "val", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["image_size"], report["num_images"]) == ("native", 2)
    assert Translator.from_pretrained(out, device="cpu")(tmp_path / "val/A/0.png").size == (90, 30)
    numbers = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert report["l1"] == pytest.approx(next(line["final/l1"] for line in numbers[::-1] if "final/l1" in line))


def test_a_picture_without_breadth_is_refused_before_it_fills_the_memory():
    image = Image.new("RGB", (20_000, 1))
    with pytest.raises(DataError, match="a picture of 20000x1 would have to become 5120000x256 for a crop of 256x256"):
        native_arrays([image], [None], [1], least=(256, 256), shorter=None)
    (made,) = native_arrays([image], [None], [1], least=(16, 16), shorter=None)
    assert made.shape == (3, 16, 320_000)


def test_what_is_too_thin_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    Image.new("RGB", (3000, 1)).save(tmp_path / "train/thin.png")
    data = open_data(DataConfig(dataset=str(tmp_path), corrupt=("box",)), paired=True, split="train")
    samples = TrainingDataset(data, image_size=256, load_size=None, flip=False, seed=0, native=True)
    with pytest.raises(DataError, match=r"thin\.png: a picture of 3000x1 would have to become 768000x256"):
        samples[(0, 0)]
