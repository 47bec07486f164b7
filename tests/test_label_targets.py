"""Models that make label maps, and models that read instances: python -m pytest tests/test_label_targets.py"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import CUT, Architecture, CycleGAN, DataConfig, Pix2Pix, Translator, UNetGenerator
from img2img_hub.cli import main
from img2img_hub.data.find.config import DataError
from img2img_hub.data.find.sources import open_data
from img2img_hub.demo.paint_tab import check_paper
from img2img_hub.evaluation.metrics import confusion, of_classes
from img2img_hub.images.formats import ImageError
from img2img_hub.images.palettes import rgb, usual_palette
from img2img_hub.images.picture import to_tensor
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.translation.painting import paper_of
from img2img_hub.translation.settings import TranslationSettings
from tests.conftest import picture
from tests.runs import assert_same_end, interrupt_at, lines
from tests.test_label_maps import PALETTE, SIZE, first_batch, ids_of, numbers_of, one_hot, street  # noqa: F401
from tests.test_label_maps import edges as edges_by_hand

pytest_plugins = ["tests.starting"]
SMALL = Architecture(width=4, levels=4, discriminator_layers=1)


def config(folder, column="map", **more):
    settings = {"target_labels": 4, **more}
    return DataConfig(dataset=str(folder), source_column="photo", target_column=column, **settings)


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "said"), [("map", {}), ("colours", {"target_palette": "auto", "target_labels": None})]
)
def test_targets_are_learnt_in_the_colours_of_their_classes(street, tmp_path, column, said):  # noqa: F811
    data = open_data(config(street, column, **said), paired=True, split="train")
    palette = PALETTE if said else usual_palette(4)
    assert data.about.output == Slot(name="target", kind="labels", bands=1, classes=4, palette=palette)
    assert (data.in_channels, data.out_channels) == (3, 3)
    batch = first_batch(data, tmp_path)
    seen = {target.tobytes() for target in batch["target"].mul(127.5).add(127.5).round().byte().numpy()}
    wanted = {rgb(palette)[numbers_of(index + 40)].transpose(2, 0, 1).tobytes() for index in range(4)}
    assert seen == wanted
    smaller = first_batch(data, tmp_path, image_size=20, load_size=20)["target"]
    colours = smaller.mul(127.5).add(127.5).round().byte().permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0)
    assert {tuple(colour) for colour in colours.tolist()} <= {tuple(c) for c in rgb(palette).tolist()}, "by nearest"


def test_pixels_of_no_class_are_without_data(street, tmp_path):  # noqa: F811
    whole = numbers_of(40)
    whole[:8] = 11
    whole[8:10] = 255
    Image.fromarray(whole).save(street / "train/map/0.png")
    batch = first_batch(open_data(config(street, unknown=11), paired=True, split="train"), tmp_path)
    (place,) = [index for index in range(4) if not batch["target_valid"][index].all()]
    assert torch.equal(batch["target_valid"][place, 0], torch.from_numpy(whole < 4).float())
    assert (batch["target"][place, :, :10] == 0).all()
    Image.new("L", (SIZE, SIZE), 255).save(street / "train/map/1.png")
    with pytest.raises(ImageError, match=r"map/1.png has no pixel of a class"):
        open_data(config(street), paired=True, split="train").target(1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target_labels": 256}, "--target_labels is 256: type a number from 1 to 255"),
        ({"out_channels": 3}, "--out_channels is for values"),
        ({"target_range": (0, 1)}, "--target_range is for values"),
        ({"target_labels": 3, "target_palette": "auto"}, "map/0.png holds numbers"),
    ],
)
def test_what_targets_cannot_be_is_refused(street, options, says):  # noqa: F811
    with pytest.raises(DataError, match=says):
        open_data(config(street, **options), paired=True, split="train")
    with pytest.raises(DataError, match="--target_labels is for pairs"):
        open_data(config(street), paired=False, split="train")


# --- from training to numbers -----------------------------------------------------------------------------------------


@pytest.fixture
def run(start, street):  # noqa: F811
    return start(Pix2Pix(), "run", data=config(street), architecture=SMALL, eval_every=6, best_metric="mean_iou")


def test_it_makes_label_maps_measures_and_evaluates_them(run, street, tmp_path, capsys):  # noqa: F811
    said = json.loads((run / "translation.json").read_text())
    assert said["output"]["palette"] == list(usual_palette(4))
    assert "target_values" in said
    last = lines(run)[-1]
    assert {"final/pixel_accuracy", "final/class_accuracy", "final/mean_iou", "final/l1"} <= set(last)
    card = (run / "README.md").read_text()
    assert "Output: target (4 classes)." in card
    assert "target: 0 (#000000); 1 (#800000)" in card
    translator = Translator.from_pretrained(run)
    made = translator(street / "test/photo/0.png")
    assert (made.mode, made.size) == ("P", (SIZE, SIZE))
    assert set(np.unique(np.asarray(made))) <= set(range(4))
    source = translator.pixels.tensor(translator.pixels.read(street / "test/photo/0.png"), size=(SIZE, SIZE))
    colours = translator.translate_tensor(source[None])[0].mul(127.5).add(127.5).permute(1, 2, 0).numpy()
    distances = np.linalg.norm(colours[:, :, None] - rgb(usual_palette(4)), axis=-1)
    assert (np.asarray(made) == distances.argmin(-1)).mean() > 0.99
    line = ["translate", str(street / "test/photo"), "--model", str(run), "--output", str(tmp_path / "out")]
    assert main([*line, "--format", "jpg"]) == 2
    assert "whose borders jpg would blur: add --format png" in capsys.readouterr().err
    assert main(line) == 0
    saved = Image.open(tmp_path / "out/0.png")
    assert np.array_equal(np.asarray(saved), np.asarray(made)), "its numbers are the classes"
    assert np.array_equal(np.asarray(saved.convert("RGB")), rgb(usual_palette(4))[np.asarray(made)])
    data = ["--dataset", str(street), "--source_column", "photo", "--target_column", "map", "--split", "test"]
    line = ["evaluate", "--model", str(run), *data, "--image_size", str(SIZE), "--sheet", str(tmp_path / "sheet.png")]
    capsys.readouterr()
    assert main(line) == 0
    printed = capsys.readouterr().out
    report = json.loads(printed.splitlines()[-1])
    outputs = [np.asarray(translator(street / f"test/photo/{index}.png", resize="fit")) for index in range(2)]
    real = [numbers_of(index + 20) for index in range(2)]
    assert report["pixel_accuracy"] == pytest.approx(
        np.mean([np.mean(a == b) for a, b in zip(outputs, real, strict=True)])
    )
    assert "mean IoU" in printed

    known = np.ones((SIZE, SIZE), dtype=bool)
    known[4:20, 6:30] = False  # their colour is nearest to that of some class, which does not count
    for index, numbers in enumerate(real):
        Image.fromarray(np.where(known, numbers, 255).astype(np.uint8)).save(street / f"test/map/{index}.png")
    assert main(line[:-2]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    right = [np.mean((a == b)[known]) for a, b in zip(outputs, real, strict=True)]
    assert report["pixel_accuracy"] == pytest.approx(np.mean(right))
    made, wanted = (np.concatenate([each[known] for each in images]) for images in (outputs, real))
    unions = [((made == c) & (wanted == c)).sum() / ((made == c) | (wanted == c)).sum() for c in np.unique(wanted)]
    assert report["mean_iou"] == pytest.approx(np.mean(unions))
    assert main([*line[:-2], "--target_labels", "5"]) == 2
    assert "the data's targets are target (5 classes)" in capsys.readouterr().err


def test_it_resumes_bit_for_bit(start, street, monkeypatch):  # noqa: F811
    data = config(street, "colours", target_palette="auto", target_labels=None)
    whole = start(Pix2Pix(), "whole", data=data, architecture=SMALL)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        start(Pix2Pix(), "cut", data=data, architecture=SMALL)
    assert_same_end(whole, start(Pix2Pix(), "cut", data=data, architecture=SMALL, resume=True), step=6)


def test_class_numbers_are_counted_over_the_whole_set():
    random = np.random.default_rng(0)
    made, real = random.integers(0, 4, (2, 3, 8, 8))  # class 4 is never there
    real[real == 3] = 2  # class 3 is made, and never real
    known = random.random((3, 8, 8)) > 0.3
    counts = [
        confusion(torch.from_numpy(a), torch.from_numpy(b), classes=5, known=torch.from_numpy(k))
        for a, b, k in zip(made, real, known, strict=True)
    ]
    found = of_classes(counts)
    a, b = made[known], real[known]
    assert found["pixel_accuracy"] == pytest.approx((a == b).mean())
    assert found["class_accuracy"] == pytest.approx(np.mean([(a[b == c] == c).mean() for c in range(3)]))
    union = [((a == c) & (b == c)).sum() / ((a == c) | (b == c)).sum() for c in range(4)]
    assert found["mean_iou"] == pytest.approx(np.mean(union))
    with pytest.raises(ValueError, match="no pixel"):
        of_classes([torch.zeros(2, 2, dtype=torch.int64)])


# --- outputs ----------------------------------------------------------------------------------------------------------


def label_maker(**settings):
    torch.manual_seed(0)
    target = Slot(name="target", kind="labels", bands=1, classes=4, palette=PALETTE)
    values = BandValues(dtype="uint8", low=(0,) * 3, high=(255,) * 3)
    settings = {"working_size": SIZE, "output": target, "target_values": values, **settings}
    return Translator(UNetGenerator(levels=3, width=4, dropout=0), TranslationSettings(**settings))


@pytest.mark.parametrize("resize", ["fit", "native"])
def test_an_output_has_the_size_of_its_source_and_no_class_where_that_is_clear(resize):
    image = picture(seed=1, size=(50, 37))
    made = label_maker()(image, resize=resize)
    assert (made.mode, made.size) == ("P", (50, 37))
    assert set(np.unique(np.asarray(made))) <= set(range(4)), "between two classes there is no third"
    alpha = np.full((37, 50), 255, np.uint8)
    alpha[5:9, 7:20] = 0
    image.putalpha(Image.fromarray(alpha))
    clear = np.asarray(label_maker()(image, resize=resize))
    assert (clear[alpha == 0] == 255).all()
    assert (clear[alpha > 0] < 4).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"output": Slot(name="made", kind="labels", bands=1, classes=4)}, "output must be called target"),
        ({"output": Slot(name="target", kind="mask", bands=1)}, "output must be called target"),
        (
            {"output": Slot(name="target", kind="labels", bands=1, classes=256, dtype="uint16")},
            "output has 256 classes",
        ),
        ({"target_values": BandValues(dtype="uint16", low=(0,) * 3, high=(9,) * 3)}, "made as a picture of 3 bands"),
    ],
)
def test_an_output_that_cannot_be_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        label_maker(**change)


# --- instances --------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd():
    """A model of classes and instances."""
    torch.manual_seed(0)
    slots = (
        Slot(name="map", kind="labels", bands=1, classes=4, palette=PALETTE),
        Slot(name="ids", kind="instances", bands=1, dtype="int32"),
    )
    values = BandValues(dtype="int32", low=(0, 0), high=(255, 255), classes=(4, 0), edges=(1,))
    settings = TranslationSettings(source_channels=5, source_values=values, inputs=slots, working_size=SIZE)
    return Translator(UNetGenerator(in_channels=5, levels=3, width=4, dropout=0, norm="none"), settings)


def test_a_translator_sees_edges_of_the_whole_image_and_so_do_strips(crowd, tmp_path):
    numbers, ids = np.tile(numbers_of(1), (8, 2)), np.tile(ids_of(1), (8, 2)) + 100_000
    read = crowd.pixels.read(crowd.pixels.joined({"map": numbers, "ids": ids}))
    seen = crowd.pixels.tensor(read, size=read.size)
    assert np.array_equal(seen[:4].numpy(), one_hot(numbers, 4))
    assert np.array_equal(seen[4].numpy(), edges_by_hand(ids))
    for first, last in ((0, 8), (8, 16), (7, 9), (200, 256), (0, 256)):
        assert torch.equal(crowd.pixels.rows(read, first, last), seen[:, first:last])
    colours = Image.fromarray(rgb(PALETTE)[numbers])
    colours.save(tmp_path / "map.png")
    np.save(tmp_path / "ids.npy", ids)
    made = [
        np.asarray(crowd({"map": labels, "ids": instances}))
        for labels, instances in ((numbers, ids), (colours, ids), (tmp_path / "map.png", tmp_path / "ids.npy"))
    ]
    made.append(np.asarray(crowd({"map": torch.from_numpy(numbers).long(), "ids": torch.from_numpy(ids)[None]})))
    assert all(np.array_equal(made[0], each) for each in made[1:])
    assert not np.array_equal(made[0], np.asarray(crowd({"map": numbers, "ids": ids // 2})))


def test_instances_stay_in_translation_json(crowd):
    known = json.loads(json.dumps(crowd.settings.to_dict()))
    assert known["source_values"]["edges"] == [1]
    assert TranslationSettings.from_dict(known) == crowd.settings
    with pytest.raises(ValueError, match="inputs have other instances than edges"):
        TranslationSettings.from_dict(known | {"source_values": known["source_values"] | {"edges": []}})


@pytest.mark.parametrize(
    ("family", "says"),
    [
        (CycleGAN(lambda_identity=0), "CycleGAN makes sources, too"),
        (CUT(), "CUT compares outputs with sources .*pictures"),
    ],
)
def test_who_makes_sources_or_reads_them_beside_outputs_takes_pictures(start, street, family, says):  # noqa: F811
    data = DataConfig(dataset=str(street), source_column="colours", target_column="photo", palette="auto")
    with pytest.raises(ValueError, match=says) as error:
        start(family, "run", data=data)
    assert "--in_channels" not in str(error.value)


# --- from colours to a painter ----------------------------------------------------------------------------------------


def test_a_model_of_colour_maps_takes_numbers_too_and_has_a_painter(start, street, tmp_path, capsys):  # noqa: F811
    path = tmp_path / "palette.json"
    path.write_text(json.dumps(dict(zip(("sky", "wall", "window", "door"), PALETTE, strict=True))))
    data = DataConfig(dataset=str(street), source_column="colours", target_column="photo", palette=str(path))
    folder = start(Pix2Pix(), "run", data=data, architecture=SMALL)
    translator = Translator.from_pretrained(folder)
    numbers = numbers_of(1)
    made = np.asarray(translator(numbers))
    colours = Image.fromarray(rgb(PALETTE)[numbers])
    numbers_of_16_bits, tensor = Image.fromarray(numbers.astype(np.uint16)), torch.from_numpy(numbers).long()
    for given in (colours, numbers_of_16_bits, colours.convert("P", palette=1, colors=4), tensor, to_tensor(colours)):
        assert np.array_equal(np.asarray(translator(given)), made)
    colours.putpixel((9, 4), (1, 2, 200))
    with pytest.raises(ImageError, match=r"the colour #0102c8 at \(9, 4\), .*nearest is #0000de, class 0 \(sky\)"):
        translator(colours)
    assert "source: 0 sky (#0000de); 1 wall (#0030ff)" in (folder / "README.md").read_text()
    paper = check_paper(paper_of(translator.settings))
    assert paper["palette"][1] == {"name": "wall", "color": "#0030ff"}
    assert paper["width"] == 16
    assert paper_of(TranslationSettings()) is None
    moved = tmp_path / "moved.json"
    path.rename(moved)
    again = DataConfig(dataset=str(street), source_column="colours", target_column="photo", palette=str(moved))
    start(Pix2Pix(), "run", data=again, architecture=SMALL, resume=True, max_steps=7)
    moved.write_text(json.dumps(dict(zip(("sky", "wall", "window", "door"), PALETTE[::-1], strict=True))))
    with pytest.raises(ValueError, match="another palette"):
        start(Pix2Pix(), "run", data=again, architecture=SMALL, resume=True, max_steps=8)


def test_alpha_that_an_output_of_several_images_loses_is_named():
    values = BandValues(dtype="uint8", low=(0,) * 4, high=(255,) * 4, classes=(0, 0, 0, 4))
    slots = (Slot(name="rgb", bands=3), Slot(name="map", kind="labels", bands=1, classes=4))
    settings = TranslationSettings(source_channels=7, source_values=values, inputs=slots, working_size=SIZE)
    translator = Translator(UNetGenerator(in_channels=7, levels=3, width=4), settings)
    image = picture(seed=1, size=(SIZE, SIZE))
    image.putalpha(Image.linear_gradient("L").resize((SIZE, SIZE)))
    with pytest.warns(UserWarning, match="transparent in places, which count as white, and the output"):
        translator({"rgb": image, "map": numbers_of(1)})
