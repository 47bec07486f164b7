"""What somebody should know of data before training on them is said by check-data, at the start of training and by
translate: what is left out, and what is read as something else than it may be.

python -m pytest tests/test_findings.py
"""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from img2img_hub import ResNetGenerator, Translator
from img2img_hub.cli import main
from img2img_hub.data.find.findings import findings
from img2img_hub.data.find.search import MARK, images_below
from img2img_hub.data.find.sources import DataConfig, open_train_and_validation
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.settings import TranslationSettings
from tests.opening import message, opened, opened_unpaired, values
from tests.pictures import side_by_side, write
from tests.runs import TINY, run
from tests.scenes import write_tiff


def noise(seed: int, *, size: tuple[int, int] = (20, 16), most: int = 255) -> Image.Image:
    shape = (size[1], size[0], 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, most, shape, dtype=np.uint8, endpoint=True))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    ResNetGenerator(width=4, blocks=1).save_pretrained(tmp_path / "model")
    TranslationSettings(working_size=16).save(tmp_path / "model")
    return tmp_path / "model"


def draw(root: Path, count: int = 3) -> Path:
    """ROOT/train{A,B}/N.png."""
    for side in "AB":
        (root / f"train{side}").mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            noise(number).save(root / f"train{side}/{number}.png")
    return root


# --- what is left out -------------------------------------------------------------------------------------------------


def clutter(folder: Path, elsewhere: Path) -> str:
    """Everything that is not read, and what is said of it."""
    for name in ("a.psd", "b.PSD", "c.psd", "d.psd", "notes.txt", "README"):
        (folder / name).write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".git").mkdir()
    noise(0).save(folder / ".git/0.png")
    (folder / "__MACOSX").mkdir()
    elsewhere.mkdir()
    noise(0).save(elsewhere / "0.png")
    (folder / "old").symlink_to(elsewhere, target_is_directory=True)
    (folder / "gone.txt").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    return (
        "left out 4 .psd files (a.psd, b.PSD, c.psd, …), 1 .txt file (notes.txt), 1 file without an ending (README), "
        "3 hidden files or folders (.DS_Store, .git, __MACOSX), 1 link to nothing (gone.txt), 1 linked folder (old) "
        "and 1 pipe or device (pipe)"
    )


def test_what_a_folder_holds_besides_images_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = draw(tmp_path / "data")
    says = f"data/trainA: {clutter(root / 'trainA', tmp_path / 'elsewhere')}"
    for data in (opened(root), opened_unpaired(root), opened(root, direction="BtoA")):
        assert findings(data) == [says]
        assert len(data) == 3
    assert main(["check-data", "--dataset", str(root), "--split", "train"]) == 0
    assert f"  {says}\n" in capsys.readouterr().out
    done = run("pix2pix", "--dataset", root, "--output_dir", tmp_path / "run", *TINY, "--max_steps", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(says) == 1


def test_side_by_side_pairs_say_it_once(tmp_path: Path) -> None:
    side_by_side(100, 200).save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("x")
    assert findings(opened(tmp_path, side_by_side=True)) == [f"{tmp_path.name}: left out 1 .txt file (1.txt)"]


def test_many_kinds_stay_one_line(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"a.{number:03}").write_text("x")
    line = images_below(tmp_path)[1].describe("here")
    assert line.endswith(" and 12 files of 12 more kinds")


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path) -> None:
    root = write(tmp_path, "a/locked", [1])
    (root / "a/locked").chmod(0)
    try:
        images, left_out = images_below(root / "a")
        if os.geteuid():
            assert left_out.describe("a") == "a: left out 1 locked folder (locked)"
        else:  # who may read everything
            assert len(images) == 1
    finally:
        (root / "a/locked").chmod(0o700)


def test_rows_without_an_image_are_counted(tmp_path: Path) -> None:
    from datasets import Dataset, Features
    from datasets import Image as ImageFeature

    file = io.BytesIO()
    noise(0).save(file, "PNG")
    cell = {"bytes": file.getvalue(), "path": None}
    columns = {"A": [cell, cell, cell], "B": [cell, None, None]}
    (tmp_path / "data").mkdir()
    Dataset.from_dict(columns, features=Features({name: ImageFeature() for name in columns})).to_parquet(
        tmp_path / "data/train-00000-of-00001.parquet"
    )
    said = findings(opened_unpaired(tmp_path))
    assert said == [f"{tmp_path.name}, split train, column B: left out 2 rows without an image"]


# --- outputs are no data ----------------------------------------------------------------------------------------------


def test_a_run_in_the_folder_of_the_data_is_left_out_and_named(tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    root.mkdir()
    for number in range(1, 5):
        side_by_side(100 + number, 200 + number, size=(16, 16)).save(root / f"{number}.png")
    words = ["pix2pix", "--dataset", root, "--side_by_side", *TINY, "--max_steps", "2", "--sample_steps", "1"]
    done = run(*words, "--output_dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    shutil.move(tmp_path / "run", root / "run")  # a training refuses to make one there
    assert list((root / "run").rglob("*.png")), "there is something that could be read"
    before = [(100 + number, 200 + number) for number in range(1, 5)]
    data = opened(root, side_by_side=True)
    assert values(data) == before
    assert findings(data) == ["pairs: left out 1 folder of outputs (of a run, a model or a translation) (run)"]
    assert "is that of a run (it holds run.json)" in message(lambda: opened(root / "run", side_by_side=True))
    again = run(*words, "--output_dir", tmp_path / "another")
    assert again.returncode == 0, again.stderr
    assert "4 pairs" in again.stderr
    assert "left out 1 folder of outputs" in again.stderr


def test_a_run_beside_the_two_folders_is_no_third_one(tmp_path: Path) -> None:
    root = write(write(tmp_path, "horses", [1, 2]), "zebras", [3, 4])
    write(root, "B", [5, 6])
    (root / "B/run.json").write_text(json.dumps({"family": "cyclegan", "objective": {}}))
    assert "horses + zebras" not in message(lambda: opened_unpaired(root))
    assert "folders horses, zebras, and which" in message(lambda: opened_unpaired(root))
    (root / "B/run.json").write_text(json.dumps({"camera": "of another program"}))
    assert "B, horses, zebras" in message(lambda: opened_unpaired(root))


@pytest.mark.parametrize("inputs", ["folder", "file"])
def test_translations_among_their_inputs_are_no_data_and_no_inputs(tmp_path: Path, model: Path, inputs: str) -> None:
    root = draw(tmp_path / "data")
    place = root / "trainA/translated/now"
    source = root / "trainA" if inputs == "folder" else root / "trainA/1.png"
    report = translate_folder(Translator.from_pretrained(model), source, output=place)
    assert report.written
    assert (place / MARK).exists()
    assert len(opened(root)) == 3
    assert findings(opened(root)) == [
        "data/trainA: left out 1 folder of outputs (of a run, a model or a translation) (translated/now)"
    ]
    again = translate_folder(
        Translator.from_pretrained(model), root / "trainA", output=tmp_path / "out", recursive=True
    )
    assert len(again.written) == 3
    assert "outputs (of a run, a model or a translation) (translated/now)" in again.notes[0]
    translate_folder(Translator.from_pretrained(model), root / "trainA", output=tmp_path / "far")
    assert not (tmp_path / "far" / MARK).exists(), "elsewhere outputs may become data"
    with pytest.raises(ValueError, match="is the folder of the inputs"):
        translate_folder(Translator.from_pretrained(model), root / "trainA", output=root / "trainA", format="jpg")


def test_a_model_in_the_folder_of_the_data_is_left_out(tmp_path: Path, model: Path) -> None:
    root = draw(tmp_path / "data")
    (model / "examples").mkdir()
    noise(0).save(model / "examples/1.png")
    model.rename(root / "trainA/model")
    assert len(opened(root)) == 3
    assert "(model)" in findings(opened(root))[0]


def test_translate_says_what_it_left_out(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = draw(tmp_path / "data") / "trainA"
    (root / "sub").mkdir()
    noise(1).save(root / "sub/9.png")
    (root / "a.heic").write_bytes(b"x")
    assert main(["translate", str(root), "--model", str(model), "--output", str(tmp_path / "out")]) == 0
    expected = f"{root}: left out 1 .heic file (a.heic) and 1 folder that --recursive would take (sub)"
    assert f"img2img_hub: warning: {expected}\n" in capsys.readouterr().err


# --- what is read as something else -----------------------------------------------------------------------------------


def masks(root: Path, *, ending: str = ".png") -> Path:
    """Photos and masks of 0 and 1, some of which are empty."""
    for number in range(1, 5):
        for folder in ("images", "masks"):
            (root / "train" / folder).mkdir(parents=True, exist_ok=True)
        noise(number, size=(16, 16)).save(root / f"train/images/{number}.png")
        mask = np.zeros((16, 16), np.uint8)
        mask[: 4 * (number - 1)] = 1
        Image.fromarray(mask).save(root / f"train/masks/{number}{ending}")
    return root


def said_everywhere(root: Path, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, **options: str) -> None:
    """By check-data and at the start of training, once each."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert main(["check-data", "--dataset", str(root), "--split", "train", *words]) == 0
    assert capsys.readouterr().out.count(says) == 1
    done = run("pix2pix", "--dataset", root, "--output_dir", tmp_path / "run", *words, *TINY, "--max_steps", "1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(says) == 1


def test_masks_of_0_and_1_are_named_everywhere(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = masks(tmp_path / "data")
    said_everywhere(root, "3 images (", capsys, tmp_path)
    (line,) = findings(opened(root))
    assert "masks/2.png" in line
    assert "nearly black as a picture (values 0…1 of 255)" in line
    turned = findings(opened(root, direction="BtoA"))
    assert turned == [line]
    folder = root / "train/masks"
    assert main(["translate", str(folder), "--model", str(model), "--output", str(tmp_path / "out")]) == 0
    assert "warning: 3 images (" in (err := capsys.readouterr().err)
    assert "values 0…1 of 255" in err
    with pytest.warns(UserWarning, match=r"2\.png: nearly black as a picture \(values 0…1 of 255\)"):
        Translator.from_pretrained(model)(folder / "2.png")


@pytest.mark.parametrize("form", ["classes and 255", "palette of greys", "rgb", "half", "tiff with no data"])
def test_class_ids_in_other_forms_are_named(tmp_path: Path, form: str) -> None:
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16) // 8
    if form == "classes and 255":
        ids[2:4] = 255
    image = Image.fromarray(np.stack([ids] * 3, axis=2) if form == "rgb" else ids)
    for folder in ("source", "target"):
        (tmp_path / "train" / folder).mkdir(parents=True)
        noise(0, size=(16, 16)).save(tmp_path / f"train/{folder}/1.png")
    path = tmp_path / "train/target/1.png"
    if form == "palette of greys":
        image = Image.fromarray(ids, "P")
        image.putpalette([value for value in range(256) for _ in range(3)])
    if form == "half":
        both = noise(0, size=(32, 16))
        both.paste(image, (16, 0))
        (tmp_path / "halves").mkdir()
        both.save(tmp_path / "halves/1.png")
        (line,) = findings(opened(tmp_path / "halves", side_by_side=True))
    elif form == "tiff with no data":
        path.unlink()
        write_tiff(path.with_suffix(".tif"), ids, no_data="9")
        (line,) = findings(opened(tmp_path))
    else:
        image.save(path)
        (line,) = findings(opened(tmp_path))
    assert "nearly black as a picture (values 0…31" in line
    assert (" and 255 of 255" in line) == (form == "classes and 255")


@pytest.mark.parametrize("array", [[0, 255], [0, 0], [255, 255], [10, 200]])
def test_pictures_that_are_not_nearly_black_are_not_named(tmp_path: Path, array: list[int]) -> None:
    for folder in ("source", "target"):
        (tmp_path / "train" / folder).mkdir(parents=True)
        Image.fromarray(np.array([array] * 2, np.uint8)).save(tmp_path / f"train/{folder}/1.png")
    assert findings(opened(tmp_path)) == []


def test_deep_files_read_as_pictures_are_named_everywhere(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("source", "target"):
        (tmp_path / "data/train" / folder).mkdir(parents=True)
        for number in range(3):
            array = np.random.default_rng(number).integers(0, 4096, (16, 16), dtype=np.uint16)
            array[0, 0] = 4095
            Image.fromarray(array).save(tmp_path / f"data/train/{folder}/{number}.png")
    root = tmp_path / "data"
    assert findings(opened(root)) == [], "in their own units all is well"
    said_everywhere(
        root,
        "nearly black in the 8 bits of a picture (values of at most 4095 of 65535)",
        capsys,
        tmp_path,
        in_channels="3",
        out_channels="3",
    )
    with pytest.warns(UserWarning, match="at most 4095 of 65535"):
        Translator.from_pretrained(model)(root / "train/source/0.png")


def test_pages_and_alpha_that_is_none_are_named_everywhere(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = draw(tmp_path / "data")
    for side in "AB":
        path = root / f"train{side}/1.png"
        path.unlink()
        infrared = np.random.default_rng(0).integers(0, 256, (16, 20, 4)).astype(np.uint8)
        with tifffile.TiffWriter(path.with_suffix(".tif")) as writer:
            for _ in range(2):
                writer.write(infrared, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    said = findings(opened(root))
    assert len(said) == 2
    for says in ("the first alone is read (2 pages)", "a band flagged as alpha holds values as data do"):
        said_everywhere(root, says, capsys, tmp_path)
        (tmp_path / "run").rename(tmp_path / says.replace("/", "-"))
    with pytest.warns(UserWarning, match="flagged as alpha"):
        Translator.from_pretrained(model)(root / "trainA/1.tif")


def test_a_table_and_a_stream_are_looked_at_too(tmp_path: Path) -> None:
    from datasets import Dataset, Features
    from datasets import Image as ImageFeature

    root = masks(tmp_path / "data")
    columns = {
        name: [{"bytes": (root / f"train/{name}/{n}.png").read_bytes(), "path": None} for n in range(1, 5)]
        for name in ("images", "masks")
    }
    (tmp_path / "table/data").mkdir(parents=True)
    table = Dataset.from_dict(columns, features=Features({name: ImageFeature() for name in columns}))
    table.to_parquet(tmp_path / "table/data/train-00000-of-00001.parquet")
    for streaming in (False, True):
        config = DataConfig(dataset=str(tmp_path / "table"), streaming=streaming, validation_split="none")
        data, _ = open_train_and_validation(config, paired=True, seed=0)
        (line,) = findings(data)
        assert "3 images (row 1 of " in line
        assert "values 0…1 of 255" in line


def test_an_image_that_cannot_be_read_keeps_nothing_from_being_found(tmp_path: Path) -> None:
    root = masks(tmp_path / "data")
    (root / "train/images/1.png").write_bytes(b"no image")
    assert "3 images" in findings(opened(root))[0]
