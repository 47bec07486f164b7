"""Holes in images: what a network sees of them, what comes back to the bit, and masks in all the forms people have.

python -m pytest tests/test_holes.py
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import CycleGAN, DilatedResNetGenerator, Inpaint, Translator, UNetGenerator, open_pairs
from img2img_hub.data.find.config import DataConfig, DataError
from img2img_hub.data.find.sources import open_data
from img2img_hub.data.samples.holes import HoleMaker
from img2img_hub.data.samples.kinds import values_of
from img2img_hub.data.samples.masks import mask_of
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.families import FAMILIES
from img2img_hub.images.formats import ImageError
from img2img_hub.images.raster import Raster
from img2img_hub.images.read import read_raster
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.translation import windows as window_search
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.windows import windows

INPUTS = FAMILIES["inpaint"].slots[:2]


def settings(*, bands=3, target=None, size=32, resize="native", crop="native", context=False, dtype="uint8"):
    slots = [Slot(name="source", bands=bands, dtype=dtype), Slot(name="mask", kind="hole", bands=1)]
    slots += [Slot(name="context", bands=bands, dtype=dtype)] if context else []
    values = values_of(slots, lambda slot: target)
    return TranslationSettings(
        family="inpaint",
        source_channels=values.channels,
        target_channels=bands,
        inputs=tuple(slots),
        source_values=values,
        target_values=target,
        working_size=size,
        resize=resize,
        crop=crop,
    )


def translator(network=None, **said):
    torch.manual_seed(0)
    made = settings(**said)
    network = network or DilatedResNetGenerator(
        in_channels=made.source_channels, out_channels=made.target_channels, width=4, blocks=1, dilated=1, norm="none"
    )
    return Translator(network, made)


def photo(width=60, height=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def hole(width=60, height=50, box=(20, 15, 32, 27)):
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 255
    return mask


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize", ["native", "fit"])
def test_known_pixels_come_back_to_the_bit_and_the_hole_is_filled(resize):
    image, mask = photo(), hole()
    made = np.asarray(translator(crop="resize")(image, mask=mask, resize=resize))
    assert np.array_equal(made[mask == 0], image[mask == 0])
    assert (made[mask > 0] != image[mask > 0]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("resize", ["native", "fit"])
def test_what_lies_under_a_hole_makes_no_difference(resize):
    image, mask = photo(), hole()
    other = image.copy()
    other[mask > 0] = 255 - other[mask > 0]
    model = translator(crop="resize")
    made = [np.asarray(model(each, mask=mask, resize=resize)) for each in (image, other)]
    assert np.array_equal(*made)


@pytest.mark.parametrize("size", [(4, 1), (3, 2), (20, 20), (30, 30), (60, 50), (40, 900), (300, 200)])
def test_nothing_under_a_hole_is_seen_at_another_size(size):
    width, height = size
    image = photo(width, height)
    mask = hole(width, height, box=(width // 3, height // 3, width // 2 + 2, height // 2 + 2))
    other = image.copy()
    other[mask > 0] = 255 - other[mask > 0]
    pixels = translator(crop="resize", size=64).pixels
    seen = [pixels.tensor(pixels.read(pixels.joined(each, mask)), size=(64, 64)) for each in (image, other)]
    assert torch.equal(*seen)


def test_an_image_with_alpha_comes_back_in_colours_and_alpha():
    image, mask = photo(), hole()
    alpha = np.random.default_rng(1).integers(1, 256, mask.shape, dtype=np.uint8)
    rgba = np.dstack([image, alpha])
    made = np.asarray(translator()(Image.fromarray(rgba), mask=mask))
    assert np.array_equal(made[mask == 0], rgba[mask == 0])
    assert np.array_equal(made[..., 3], alpha), "a mask says where the hole is, so that alpha stays"


def test_what_is_transparent_is_the_hole_without_a_mask_and_opaque_afterwards():
    image, mask = photo(), hole()
    alpha = np.where(mask > 0, 0, 200).astype(np.uint8)
    made = np.asarray(translator()(Image.fromarray(np.dstack([image, alpha]))))
    assert np.array_equal(made[..., 3], np.where(mask > 0, 255, 200))
    assert np.array_equal(made[mask == 0][:, :3], image[mask == 0])
    assert np.array_equal(made[..., :3], np.asarray(translator()(image, mask=mask)))


def test_a_raster_of_16_bits_comes_back_to_the_bit_with_its_place(tmp_path):
    array = np.random.default_rng(0).integers(0, 65536, (50, 60, 2), dtype=np.uint16)
    mask = hole()
    place = {33550: (12, 3, (10.0, 10.0, 0.0)), 33922: (12, 6, (0.0, 0.0, 0.0, 500000.0, 4000000.0, 0.0))}
    Raster(array=array, georeference=place).save(tmp_path / "scene.tif")
    # The range of training is a part of what the file holds: beyond it a network sees its ends.
    model = translator(
        bands=2, dtype="uint16", target=BandValues(dtype="uint16", low=(1000.0, 0.0), high=(40000.0, 50000.0))
    )
    with pytest.warns(UserWarning, match="beyond the range"):
        made = model(tmp_path / "scene.tif", mask=mask)
    assert np.array_equal(made.array[mask == 0], array[mask == 0])
    assert (made.array[mask > 0] != array[mask > 0]).any()
    assert made.georeference == read_raster(tmp_path / "scene.tif").georeference != {}


def test_values_of_bands_beside_a_gap_come_back_too():
    array = np.random.default_rng(0).integers(0, 4000, (50, 60, 2)).astype(np.int16)
    array[40, 50, 0] = -9999
    values = BandValues(dtype="int16", low=(0.0, 0.0), high=(4000.0, 4000.0), no_data=-9999)
    made = translator(bands=2, dtype="int16", target=values)(array, mask=hole())
    assert np.array_equal(made.array[hole() == 0], array[hole() == 0])
    assert not made.valid[40, 50]
    assert made.no_data == -9999, "the model's value, which the file does not name"


def test_a_raster_that_brings_its_hole_takes_no_other():
    array = np.dstack([photo(), hole()])
    model = translator()
    assert np.array_equal(model(Raster(array=array)), model(photo(), mask=hole()))
    with pytest.raises(ImageError, match="4 bands"):
        model(Raster(array=array), mask=hole())


@pytest.mark.parametrize("dtype", [np.float64, np.uint16, np.float32])
def test_rasters_of_another_type_are_taken_where_nothing_is_lost(dtype):
    array = np.random.default_rng(0).integers(0, 3, (50, 60, 1)).astype(dtype)
    model = translator(bands=1, dtype="float32", target=BandValues(dtype="float32", low=(0.0,), high=(3.0,)))
    made = model(array, mask=hole())
    assert np.array_equal(made.array[hole() == 0], array[hole() == 0])
    seen = torch.from_numpy((array / 1.5 - 1).transpose(2, 0, 1).astype(np.float32))
    assert np.allclose(model(seen, mask=hole()).array, made.array, atol=1e-5), "a tensor holds what a network sees"


def test_gaps_of_a_raster_are_its_holes_without_a_mask():
    array = np.random.default_rng(0).normal(0, 1, (50, 60, 1)).astype(np.float32)
    mask = hole()
    array[mask > 0] = np.nan
    model = translator(bands=1, dtype="float32", target=BandValues(dtype="float32", low=(-3.0,), high=(3.0,)))
    made = model(array)
    assert np.isfinite(made.array).all()
    assert made.valid is None
    assert np.array_equal(made.array[mask == 0], array[mask == 0])
    other = hole(box=(2, 2, 8, 8))
    made = model(array, mask=other)
    assert np.array_equal(np.isnan(made.array[..., 0]), mask > 0), "the mask says where, and gaps stay gaps"


def test_several_holes_far_apart_are_filled_each_and_nothing_else_is_computed():
    image, mask = photo(640, 480), np.zeros((480, 640), dtype=np.uint8)
    mask[10:20, 10:20] = mask[400:420, 600:630] = 255
    model, seen = translator(), []
    forward = model.network.forward
    model.network.forward = lambda x: (seen.append(tuple(x.shape[-2:])), forward(x))[1]
    made = np.asarray(model(image, mask=mask))
    assert np.array_equal(made[mask == 0], image[mask == 0])
    assert (made[mask > 0] != image[mask > 0]).any(axis=1).mean() > 0.9
    assert sum(height * width for height, width in seen) < 640 * 480 / 20


def test_windows_hold_all_holes_and_do_not_overlap():
    random = np.random.default_rng(3)
    for _ in range(40):
        mask = np.zeros((300, 400), dtype=bool)
        for _ in range(random.integers(1, 12)):
            x, y = random.integers(0, 400), random.integers(0, 300)
            mask[y : y + random.integers(1, 40), x : x + random.integers(1, 40)] = True
        found = windows(mask, least=32)
        count = np.zeros(mask.shape, dtype=int)
        for left, top, right, bottom in found:
            assert 0 <= left < right <= 400
            assert 0 <= top < bottom <= 300
            assert min(right - left, bottom - top) >= 32
            count[top:bottom, left:right] += 1
        assert count.max() == 1
        assert (count[mask] == 1).all()
    assert windows(np.zeros((9, 9), dtype=bool), least=32) == []
    assert windows(np.eye(5, dtype=bool), least=32) == [(0, 0, 5, 5)], "an image smaller than a window"


@pytest.mark.parametrize("step", [5, 9, 16])
@pytest.mark.parametrize("least", [1, 32, 64])
def test_a_mask_of_many_dots_costs_no_more_than_its_cells(step, least, monkeypatch):
    """Thousands of them made thousands squared of comparisons."""
    calls = []
    monkeypatch.setattr(
        window_search, "_around", lambda *a, f=window_search._around, **k: calls.append(1) or f(*a, **k)
    )
    mask = np.zeros((1500, 2000), dtype=bool)
    mask[::step, ::step] = True
    found = windows(mask, least=least)
    assert len(calls) <= 256 * 256 / 4
    count = np.zeros(mask.shape, dtype=int)
    for left, top, right, bottom in found:
        count[top:bottom, left:right] += 1
    assert count.max() == 1
    assert count[mask].all()


# --- masks as people have them ----------------------------------------------------------------------------------------


def masks(mask):
    grey = np.where(mask > 0, 180, 60).astype(np.uint8)
    grey[0, 0] = 100  # three values
    yield "uint8", mask
    yield "bool", mask > 0
    yield "0 and 1", (mask > 0).astype(np.uint8)
    yield "three greys", grey
    yield "RGB", np.dstack([mask] * 3)
    yield "1 bit", Image.fromarray(mask).convert("1")
    yield "palette", Image.fromarray(mask).convert("P")
    yield "tensor", torch.from_numpy(mask > 0)
    yield "tensor with a band", torch.from_numpy(mask > 0)[None]
    yield "array with a band in front", (mask > 0)[None]
    yield "floats 0 and 1", (mask > 0).astype(np.float32)
    yield "tensor of floats 0 and 1", torch.from_numpy(mask > 0)[None].float()
    yield "tensor of floats -1 and 1", torch.from_numpy(mask > 0)[None].float() * 2 - 1
    yield "int64", mask.astype(np.int64)
    yield "raster", Raster(array=mask)


@pytest.mark.parametrize("form", [name for name, _ in masks(hole())])
def test_masks_of_any_form_are_the_same_hole(form):
    image, model = photo(), translator()
    wanted = model(image, mask=hole())
    assert np.array_equal(wanted, model(image, mask=dict(masks(hole()))[form]))


def test_a_mask_file_a_mapping_and_a_colour_say_the_same(tmp_path):
    image, mask, model = photo(), hole(), translator()
    Image.fromarray(mask).save(tmp_path / "mask.png")
    wanted = np.asarray(model(image, mask=mask))
    assert np.array_equal(wanted, model(image, mask=tmp_path / "mask.png"))
    assert np.array_equal(wanted, model({"source": image, "mask": mask}))
    painted = image.copy()
    painted[mask > 0] = (255, 0, 255)
    assert np.array_equal(wanted, model(painted, mask="#FF00ff"))


def test_a_mask_of_half_the_size_and_the_same_shape_is_resized():
    image, mask, model = photo(), hole(box=(20, 14, 32, 28)), translator()
    assert np.array_equal(model(image, mask=mask), model(image, mask=mask[::2, ::2]))


def test_without_a_hole_an_image_comes_back_as_it_is_and_that_is_said():
    image, model = photo(), translator()
    with pytest.warns(UserWarning, match="nothing is filled in where there is no hole"):
        assert np.array_equal(model(image, mask=np.zeros((50, 60), np.uint8)), image)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (np.full((50, 60), 255, np.uint8), "the hole is the whole image.*wrong way round"),
        (np.zeros((60, 50), np.uint8), "has 50×60 pixels, and .* has 60×50, another shape"),
        (None, "no pixel that is fully transparent, and no mask came: say what is to be filled in by mask="),
        ("nope.png", "mask 'nope.png' is no file that is there, nor a colour such as #ff00ff"),
        ("#fff", "mask '#fff' is no file"),
        ("", "mask '' is no file"),
        ("#010203", "no pixel of exactly #010203"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(mask, says):
    with pytest.raises(ImageError, match=says):
        translator()(np.zeros((50, 60, 3), np.uint8), mask=mask)


def test_a_mask_with_transparent_pixels_is_refused():
    mask = np.dstack([hole(), hole()])
    with pytest.raises(ImageError, match="black or its white"):
        translator()(photo(), mask=Image.fromarray(mask, "LA"))


def test_it_says_what_it_is():
    parts = translator().describe().split(" · ")
    assert parts[0] == "inpaint DilatedResNetGenerator"
    assert parts[1:] == ["4 → 3 bands (uint8 → 8 bits)", "no norm", "trained on crops of 32×32", "on cpu"]


def test_names_that_are_none_are_refused():
    with pytest.raises(ImageError, match=r'picture came: give .*"source": …, "mask": …'):
        translator()({"picture": photo()})
    with pytest.raises(ImageError, match="both say where the hole is"):
        translator()({"source": photo(), "mask": hole()}, mask=hole())
    plain = Translator(UNetGenerator(width=4, levels=4))
    with pytest.raises(ImageError, match="fills no holes, and a mask came"):
        plain(photo(), mask=hole())


def test_a_list_takes_one_mask_for_all_or_as_many():
    images, model = [photo(seed=1), photo(seed=2)], translator()
    other = hole(box=(3, 3, 20, 9))
    made = model(images, mask=hole())
    assert all(np.array_equal(one, model(image, mask=hole())) for one, image in zip(made, images, strict=True))
    made = model(images, mask=[hole(), other], batch_size=2)
    assert np.array_equal(made[1], model(images[1], mask=other))
    with pytest.raises(ValueError, match="2 images and 1 masks came"):
        model(images, mask=[hole()])


def test_what_is_behind_the_hole_is_seen_whole():
    image, mask = photo(), hole()
    model = translator(context=True)
    assert np.array_equal(model(image, mask=mask), model({"source": image, "mask": mask, "context": image})), (
        "it is the image itself by default"
    )
    other = image.copy()
    other[mask > 0] = 0
    assert not np.array_equal(model(image, mask=mask), model({"source": image, "mask": mask, "context": other}))


# --- folders ----------------------------------------------------------------------------------------------------------


def test_folders_take_a_mask_for_all_a_folder_of_masks_or_a_colour(tmp_path):
    model, photos, holes = translator(), tmp_path / "photos", tmp_path / "masks"
    for folder in (photos / "sub", holes / "sub"):
        folder.mkdir(parents=True)
    for name, seed, box in (("a", 1, (5, 5, 20, 20)), ("sub/b", 2, (30, 30, 50, 40))):
        Image.fromarray(photo(seed=seed)).save(photos / f"{name}.png")
        Image.fromarray(hole(box=box)).save(holes / f"{name}.bmp")
    report = translate_folder(model, photos, output=tmp_path / "each", mask=holes, recursive=True)
    assert not report.failures
    for name, seed, box in (("a", 1, (5, 5, 20, 20)), ("sub/b", 2, (30, 30, 50, 40))):
        with Image.open(tmp_path / f"each/{name}.png") as made:
            assert np.array_equal(made, model(photo(seed=seed), mask=hole(box=box)))
    translate_folder(model, photos, output=tmp_path / "one", mask=holes / "a.bmp")
    with Image.open(tmp_path / "one/a.png") as made:
        assert np.array_equal(made, model(photo(seed=1), mask=hole(box=(5, 5, 20, 20))))
    report = translate_folder(model, photos / "a.png", output=tmp_path / "file", mask=holes)
    assert not report.failures
    for number, colour in enumerate(("#010203", Path("#010203"))):
        report = translate_folder(model, photos, output=tmp_path / f"colour-{number}", mask=colour)
        assert "no pixel of exactly #010203" in report.failures[0][1]
    report = translate_folder(model, {"source": photos, "mask": holes}, output=tmp_path / "named", recursive=True)
    assert not report.failures


def test_masks_among_the_photos_are_no_photos_and_each_folder_has_its_own(tmp_path):
    for place in ("photos/masks", "photos/more", "masks"):
        (tmp_path / place).mkdir(parents=True)
    Image.fromarray(photo(seed=1)).save(tmp_path / "photos/a.png")
    Image.fromarray(hole()).save(tmp_path / "photos/masks/a.png")
    report = translate_folder(
        translator(), tmp_path / "photos", output=tmp_path / "one", mask=tmp_path / "photos/masks", recursive=True
    )
    assert [source.name for source, _ in report.written] == ["a.png"]
    assert not report.failures
    Image.fromarray(photo(seed=2)).save(tmp_path / "photos/more/c.png")
    for name in "ac":
        Image.fromarray(hole()).save(tmp_path / f"masks/{name}.png")
    both = [tmp_path / "photos", tmp_path / "photos/more"]
    report = translate_folder(translator(), both, output=tmp_path / "two", mask=tmp_path / "masks")
    assert len(report.written) == 2


def test_masks_that_are_missing_or_of_no_use_are_refused_before_any_work(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"a\.png has no mask in .*masks: a mask has its image's name"):
        translate_folder(translator(), tmp_path / "a.png", output=tmp_path / "out", mask=tmp_path / "masks")
    for nothing in ("", "."):
        with pytest.raises(ValueError, match="no file or folder that is there, nor a colour"):
            translate_folder(translator(), tmp_path / "a.png", output=tmp_path / "out", mask=nothing)
    with pytest.raises(ValueError, match="no file or folder that is there, nor a colour"):
        translate_folder(translator(), tmp_path / "a.png", output=tmp_path / "out", mask=tmp_path / "mask.png")
    plain = Translator(UNetGenerator(width=4, levels=4))
    with pytest.raises(ValueError, match="--mask is for models that fill holes"):
        translate_folder(plain, tmp_path / "a.png", output=tmp_path / "out", mask="#ff00ff")


# --- holes of training ------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "train").mkdir()
    for number in range(4):
        Image.fromarray(photo(seed=number)).save(tmp_path / f"train/{number}.png")
    return tmp_path


def opened(folder, **said):
    slots = FAMILIES["inpaint"].slots
    return open_data(DataConfig(dataset=str(folder), **said), paired=True, split="train", slots=slots)


def samples(data, **said):
    options = {"image_size": 32, "load_size": None, "flip": True, "seed": 0, "native": True}
    return TrainingDataset(data, **(options | said))


def test_a_sample_is_the_covered_target_and_its_hole_drawn_anew_every_epoch(pictures):
    data = opened(pictures)
    drawn = samples(data)
    first, again, later = drawn[(0, 1)], drawn[(0, 1)], drawn[(1, 1)]
    assert torch.equal(first["source"], again["source"])
    assert not torch.equal(first["source"][3], later["source"][3])
    mask = first["source"][3:] > 0.5
    assert set(first["source"][3].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(first["source"][:3], first["target"].masked_fill(mask, 0))
    assert [slot.kind for slot in data.about.inputs] == ["picture", "hole"]


def test_a_translator_sees_what_training_showed(pictures):
    data = opened(pictures)
    source, _ = data.pair(2)
    values = data.values[0]
    seen = values.to_network(source.array.transpose(2, 0, 1))
    assert (seen[:3, seen[3] > 0.5] == 0).all()
    assert torch.equal(seen, HoleMaker(("box",), INPUTS).of_sample(seen[:3], np.random.default_rng(0)) * 0 + seen)
    assert np.array_equal(data.pair(2)[0].array, source.array), "always the same for validation"


@pytest.mark.parametrize(("kind", "share"), [("box", (0.06, 0.25, 0.14)), ("free_form", (0.03, 0.42, 0.20))])
def test_holes_are_as_large_as_is_said(kind, share):
    shares = [np.mean(mask_of([kind], 256, 256, np.random.default_rng(seed))) for seed in range(400)]
    assert np.percentile(shares, 1) > share[0] * 0.95
    assert np.percentile(shares, 99) < share[1]
    assert np.mean(shares) == pytest.approx(share[2], abs=0.02)


def test_of_two_kinds_each_picture_has_one():
    both = HoleMaker(("box", "free_form"), INPUTS)
    boxes = 0
    for seed in range(60):
        mask = both.of_sample(torch.ones(1, 64, 64), np.random.default_rng(seed))[1].bool()
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        boxes += bool(mask[rows][:, columns].all())
    assert 15 < boxes < 45


def test_rasters_are_filled_in_their_units(tmp_path):
    (tmp_path / "train").mkdir()
    for number in range(3):
        array = np.random.default_rng(number).normal(5, 2, (40, 40, 2)).astype(np.float32)
        array[:3] = np.nan
        Raster(array=array).save(tmp_path / f"train/{number}.tif")
    data = opened(tmp_path)
    assert (data.in_channels, data.out_channels) == (3, 2)
    assert data.values[0].low[:2] == data.values[1].low
    sample = samples(data)[(0, 0)]
    assert sample["source"].shape == (3, 32, 32)
    source, target = data.pair(0)
    assert np.array_equal(source.array[..., :2], target.array, equal_nan=True)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"corrupt": ("box",)}, "--corrupt makes sources of targets, which this method does not take"),
        ({"source_column": "a"}, "draws holes into pictures, makes the sources .* so --source_column has no use"),
        ({"side_by_side": True}, "so --side_by_side has no use"),
        ({"labels": ("12",)}, "fills pictures or rasters, so --labels"),
        ({"holes": ("ring",)}, "holes is .*: give some of box, free_form"),
    ],
)
def test_what_says_nothing_of_holes_is_refused(pictures, said, says):
    with pytest.raises(DataError, match=says):
        opened(pictures, **said)


def test_data_are_opened_for_a_method_that_learns_from_them(pictures):
    assert open_pairs(pictures, family=Inpaint()).train.in_channels == 4
    for family in ("inpaint", CycleGAN()):
        with pytest.raises(ValueError, match="give a method that learns from pairs or pictures, such as Inpaint"):
            open_pairs(pictures, family=family)


def test_holes_are_refused_by_methods_that_fill_none(pictures):
    with pytest.raises(DataError, match="--holes is of methods that fill holes, such as inpaint"):
        open_data(DataConfig(dataset=str(pictures), holes=("box",)), paired=True, split="train")


# --- translation.json -------------------------------------------------------------------------------------------------


def test_settings_keep_the_hole_and_refuse_one_that_is_out_of_place():
    made = settings()
    assert TranslationSettings.from_dict(made.to_dict()) == made
    assert made.hole == 3
    broken = made.to_dict()
    broken["source_values"]["hole"] = 2
    with pytest.raises(ValueError, match="hole must be of a mask"):
        TranslationSettings.from_dict(broken)
    broken = made.to_dict()
    del broken["source_values"]["hole"]
    with pytest.raises(ValueError, match="other masks of what is to be filled"):
        TranslationSettings.from_dict(broken)
    ranged = BandValues(dtype="float32", low=(0.0,) * 3, high=(1.0,) * 3).to_dict()
    with pytest.raises(ValueError, match="source is filled, and target_values say another type or range"):
        TranslationSettings.from_dict(made.to_dict() | {"target_values": ranged})
    broken = made.to_dict() | {"target_channels": 1}
    with pytest.raises(ValueError, match=r"3 bands stand before the mask .* and 1 are made"):
        TranslationSettings.from_dict(broken)
