"""Other data on --resume are noticed, the same ones elsewhere are not other ones: pytest tests/test_same_data.py"""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from img2img_hub import CycleGAN, DataConfig, Pix2Pix
from img2img_hub.data.find.identity import difference, identity_of
from img2img_hub.data.find.sources import open_data, open_train_and_validation
from tests.conftest import picture
from tests.runs import files

pytest_plugins = ["tests.starting"]


def of(folder, *, paired=True, **options):
    options = {"side_by_side": paired} | options
    return identity_of(open_data(DataConfig(dataset=str(folder), **options), paired=paired, split="train"))


def rename(folder, old, new):
    (folder / old).rename(folder / new)


def save_bytes(folder, name, values):
    """An image without compression: other contents, the same size."""
    Image.fromarray(np.full((32, 64, 3), values, dtype=np.uint8)).save(folder / name)


CHANGES = {
    "missing": (lambda f: (f / "train/3.png").unlink(), "4 training targets where there were 5, missing: 3.png"),
    "new": (
        lambda f: picture(seed=9, size=(64, 32)).save(f / "train/9.png"),
        "6 training targets where there were 5, new: 9.png",
    ),
    "renamed": (lambda f: rename(f, "train/3.png", "train/x.png"), "other training .*, missing: 3.png, new: x.png"),
    "two gone": (lambda f: [(f / f"train/{n}.png").unlink() for n in (0, 4)], r"missing: 0\.png \(and 1 more\)"),
    "replaced": (
        lambda f: Image.new("RGB", (64, 32)).save(f / "train/2.png"),
        "other training .*, of another size: 2.png",
    ),
    "swapped": (
        lambda f: (
            rename(f, "train/0.png", "x.png"),
            rename(f, "train/1.png", "train/0.png"),
            rename(f, "x.png", "train/1.png"),
        ),
        "of another size: 0.png",
    ),
    "of validation": (lambda f: (f / "test/1.png").unlink(), "2 validation .* where there were 3, missing: 1.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_at_resume_are_refused_by_name(start, finished, paired_folder, change):
    folder = finished(Pix2Pix(), "run", max_steps=2)
    before = files(folder)
    act, says = CHANGES[change]
    act(paired_folder)
    says = says.replace("targets", "(sources|targets)")
    with pytest.raises(
        ValueError,
        match=rf"--resume: the images are not those that the run in .* began with \(.*{says}.*--init_from .*step-2",
    ):
        start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert files(folder) == before
    (folder / "data.json").unlink()  # as it says: on purpose
    start(Pix2Pix(), "run", max_steps=4, resume=True)


def test_another_data_set_is_refused_and_its_copy_on_another_mount_is_none(start, finished, paired_folder, tmp_path):
    finished(Pix2Pix(), "run", max_steps=2)
    shutil.copytree(paired_folder, tmp_path / "elsewhere/copy")  # with other times, too
    for path in (tmp_path / "elsewhere").rglob("*.png"):
        os.utime(path, (0, 0))
    moved = DataConfig(dataset=str(tmp_path / "elsewhere/copy"), side_by_side=True)
    start(Pix2Pix(), "run", max_steps=4, resume=True, data=moved)
    for split in ("train", "test"):
        (tmp_path / "other" / split).mkdir(parents=True)
        for index in range(7):
            picture(seed=index, size=(64, 32)).save(tmp_path / "other" / split / f"{index}.png")
    other = DataConfig(dataset=str(tmp_path / "other"), side_by_side=True)
    with pytest.raises(ValueError, match=r"7 training .* where there were 5, new: 5\.png \(and 1 more\)"):
        start(Pix2Pix(), "run", max_steps=6, resume=True, data=other)


def test_both_sets_of_unpaired_images_may_move_and_may_not_change(start, unpaired_folder, tmp_path):
    def data(place):
        return DataConfig(dataset=str(place / "trainA"), target_dataset=str(place / "trainB"), validation_split="none")

    start(CycleGAN(), "run", max_steps=2, data=data(unpaired_folder))
    shutil.copytree(unpaired_folder, tmp_path / "moved")
    start(CycleGAN(), "run", max_steps=4, resume=True, data=data(tmp_path / "moved"))
    (tmp_path / "moved/trainB/1.png").unlink()
    with pytest.raises(ValueError, match=r"2 training targets where there were 3, missing: 1\.png"):
        start(CycleGAN(), "run", max_steps=6, resume=True, data=data(tmp_path / "moved"))


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"training": 3, "validation": {}}'])
def test_a_run_without_a_record_goes_on_with_a_line(start, finished, capsys, content):
    folder = finished(Pix2Pix(), "run", max_steps=2)
    whole = (folder / "data.json").read_text()
    (folder / "data.json").unlink() if content is None else (folder / "data.json").write_text(content)
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert "holds no record of the images that the run began with" in capsys.readouterr().err
    assert (folder / "data.json").read_text() == whole


def test_before_the_first_checkpoint_the_data_may_still_be_mended(start, paired_folder):
    (paired_folder / "train/2.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"2\.png"):
        start(Pix2Pix(), "run", max_steps=9, checkpoint_steps=100)
    (paired_folder / "train/2.png").unlink()
    folder = start(Pix2Pix(), "run", max_steps=2, resume=True)
    assert len(json.loads((folder / "data.json").read_text())["training"]["source"]["images"]) == 4


def test_other_contents_of_the_same_names_and_sizes(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name / "train").mkdir(parents=True)
        for index in range(3):
            save_bytes(tmp_path / name / "train", f"{index}.bmp", index + (name == "second"))
    said = difference(of(tmp_path / "first"), of(tmp_path / "second"), of="training")
    assert said == "other training sources, of the same size with other contents: 0.bmp (and 2 more)"
    assert difference(of(tmp_path / "first"), of(tmp_path / "first"), of="training") is None


def test_accents_are_spelled_in_two_ways_and_names_may_be_no_text(tmp_path):
    for name, spelled in (("first", "caf\u00e9"), ("second", "cafe\u0301")):
        (tmp_path / name / "train").mkdir(parents=True)
        picture(seed=1, size=(64, 32)).save(tmp_path / name / "train" / f"{spelled}.png")
        shutil.copy(tmp_path / name / "train" / f"{spelled}.png", os.fsencode(tmp_path / name / "train") + b"/\xff.png")
    first, second = of(tmp_path / "first"), of(tmp_path / "second")
    assert difference(first, second, of="training") is None
    assert json.loads(json.dumps(first)) == first


def test_nothing_hangs_on_a_pipe_among_the_images(paired_folder):
    data = open_data(DataConfig(dataset=str(paired_folder), side_by_side=True), paired=True, split="train")
    (paired_folder / "train/4.png").unlink()
    os.mkfifo(paired_folder / "train/4.png")
    assert "4.png 0" in identity_of(data)["source"]["images"]


def write_table(folder, seeds, *, parts=1):
    """Parquet files of pairs."""
    from datasets import Dataset, Features
    from datasets import Image as ImageFeature

    images = [picture(seed=seed, size=(40, 32)) for seed in seeds]
    columns = {"source": images, "target": images[::-1]}
    data = Dataset.from_dict(columns, features=Features({name: ImageFeature() for name in columns}))
    folder.mkdir(parents=True)
    for part in range(parts):
        data.shard(parts, part).to_parquet(str(folder / f"train-{part}.parquet"))


def test_of_a_stream_what_is_known_is_compared(start, tmp_path):
    def stream(place):
        return DataConfig(dataset=str(tmp_path / place), streaming=True, validation_split="none")

    write_table(tmp_path / "first", range(6), parts=2)
    shutil.copytree(tmp_path / "first", tmp_path / "moved")
    write_table(tmp_path / "parts", range(6), parts=3)
    write_table(tmp_path / "other", [0, 1, 9, 3, 4, 5], parts=2)
    start(Pix2Pix(), "run", max_steps=2, data=stream("first"))
    start(Pix2Pix(), "run", max_steps=4, resume=True, data=stream("moved"))
    for place, says in (("parts", "in 3 parts where it read .* in 2 parts"), ("other", "of another size: row 2")):
        with pytest.raises(ValueError, match=rf"the images are not those .*{says}"):
            start(Pix2Pix(), "run", max_steps=6, resume=True, data=stream(place))
    with pytest.raises(ValueError, match="--streaming: True -> False"):
        start(Pix2Pix(), "run", max_steps=6, resume=True, data=DataConfig(dataset=str(tmp_path / "first")))


def test_what_of_a_stream_cannot_be_read_now_is_not_compared(tmp_path):
    write_table(tmp_path / "first", range(6))
    config = DataConfig(dataset=str(tmp_path / "first"), streaming=True, validation_split="none")
    train_data, _ = open_train_and_validation(config, paired=True, seed=0)
    whole = identity_of(train_data)
    assert len(whole["source"]["images"]) == 4
    train_data.first = train_data.first.select([0])
    assert difference(whole, identity_of(train_data), of="training") is None
    train_data.first = None
    assert difference(whole, identity_of(train_data), of="training") is None


def test_tables_are_told_apart_by_their_rows(tmp_path):
    def table(place, seeds):
        write_table(tmp_path / place, seeds)
        return of(tmp_path / place, side_by_side=False)

    first, same = table("first", [1, 2, 3]), table("same", [1, 2, 3])
    assert difference(first, same, of="training") is None
    assert set(first) == {"source", "target"}
    assert difference(first, table("longer", [1, 2, 3, 4]), of="training").startswith(
        "4 training sources where there were 3, new: row 3"
    )
    assert "of another size: row 1" in difference(first, table("other", [1, 7, 3]), of="training")
