"""Images that cannot be used: refused at the start, left out on request, and never at the cost of what was learnt."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from img2img_hub import DataConfig, Pix2Pix
from img2img_hub.cli import main
from img2img_hub.data.find.damage import _wrong, refuse_damaged, without_bad
from img2img_hub.data.find.sources import open_train_and_validation
from tests.conftest import write_domains, write_pairs
from tests.families import each_family, mask_for, of_pairs, small
from tests.opening import message
from tests.runs import PLAIN, TWO, checkpoints, files, lines, run

pytest_plugins = ["tests.starting"]


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "no image":
        path.write_text("<html>404</html>")
    elif how == "cut short":
        path.write_bytes(content[: len(content) * 3 // 5])
    else:  # what only reading it all tells
        middle = len(content) // 2
        path.write_bytes(content[: middle - 20] + b"\xff" * 40 + content[middle + 20 :])  # a block of no kind


def begun_with(config: DataConfig) -> Any:
    """The data that a training of pairs begins with."""
    train, validation = open_train_and_validation(config, paired=True, seed=1)
    train = without_bad(train) if config.skip_bad else train
    refuse_damaged(train, validation)
    return train


@pytest.mark.parametrize("how", ["empty", "no image", "cut short"])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_damaged_file_ends_a_training_before_it_begins(how: str, ending: str, paired_folder: Path) -> None:
    for path in sorted((paired_folder / "train").iterdir()):
        with Image.open(path) as image:
            image.save(path.with_suffix(ending))
        if ending != path.suffix:
            path.unlink()
    bad = paired_folder / f"train/3{ending}"
    damage(bad, how)
    config = DataConfig(dataset=str(paired_folder), side_by_side=True)
    told = message(lambda: begun_with(config))
    assert "1 image cannot be used" in told
    assert str(bad) in told
    assert "leave them out by --skip_bad" in told


def test_a_file_without_a_proper_end_that_can_be_read_is_no_damage(paired_folder: Path) -> None:
    path = paired_folder / "train/3.png"
    with Image.open(path) as image:
        image.load()
    path.write_bytes(path.read_bytes() + bytes(100_000))  # as careless programs do
    image.save(paired_folder / "train/3.bmp")
    path.unlink()
    (paired_folder / "train/3.bmp").rename(path)  # of another format than its name says
    config = DataConfig(dataset=str(paired_folder), side_by_side=True)
    assert len(begun_with(config)) == 5


@pytest.mark.parametrize("how", ["empty", "no image", "cut short", "inside"])
def test_what_cannot_be_used_is_left_out_on_request(how: str, paired_folder: Path) -> None:
    whole = open_train_and_validation(
        DataConfig(dataset=str(paired_folder), side_by_side=True, validation_split="none"), paired=True, seed=1
    )[0]
    damage(paired_folder / "train/3.png", how)
    config = DataConfig(dataset=str(paired_folder), side_by_side=True, skip_bad=True, validation_split="none")
    left = begun_with(config)
    assert len(left) == len(whole) - 1
    assert left.description.count("1 pair that cannot be used left out") == 1
    assert left.description.endswith("left out (3)")
    for path in (paired_folder / "train").iterdir():
        damage(path, "empty")
    assert "no image of pairs can be used" in message(lambda: begun_with(config))


def test_check_data_names_what_a_training_refuses(paired_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(paired_folder / "train/3.png", "empty")
    damage(paired_folder / "train/1.png", "no image")
    assert main(["check-data", "--dataset", str(paired_folder), "--side_by_side"]) == 1
    said = capsys.readouterr()
    assert all(name in said.out + said.err for name in ("3.png", "1.png"))


def test_a_picture_that_is_too_large_is_not_called_damaged(
    paired_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 32 // 2 - 1)
    path = paired_folder / "train/3.png"
    assert "million pixels" in _wrong(str(path))
    assert "damaged" not in _wrong(str(path))


@each_family
def test_a_run_without_the_bad_ones_counts_them_in_its_card(start, family, tmp_path) -> None:
    root = tmp_path / "Alice Smith's pictures" / "data"  # of a place with spaces no part is told either
    (write_pairs if family.paired else write_domains)(root)
    bad = sorted((root / ("train" if family.paired else "trainA")).iterdir())[1]
    damage(bad, "inside")
    data = DataConfig(dataset=str(root), **of_pairs(family), skip_bad=True)
    folder = start(family, "run", data=data, max_steps=1)
    card = next(folder.rglob("README.md")).read_text()
    assert f"1 {'pair' if family.paired else 'image'} that cannot be used left out" in card
    assert f"left out ({bad.stem})" in card
    assert "Alice" not in card


@pytest.mark.parametrize("more", [{}, {"gradient_accumulation_steps": 3}], ids=["plain", "accumulated"])
def test_an_error_of_the_data_costs_nothing_that_was_learnt(start, more, paired_folder: Path, tmp_path: Path) -> None:
    """What only reading shows ends a run after the step before it, with a checkpoint there: the resumed one is the
    same as a run that never met it."""
    good = (paired_folder / "train/3.png").read_bytes()
    flags = {"max_steps": 12, "checkpoint_steps": 100, "cache": False, **more}
    whole = start(Pix2Pix(), "whole", **flags)
    damage(paired_folder / "train/3.png", "inside")
    with pytest.raises(ValueError, match=r"3\.png is damaged .*; the last good checkpoint is .*step-[0-9]+: mend that"):
        start(Pix2Pix(), "run", **flags)
    (kept,) = checkpoints(tmp_path / "run")
    assert 0 < int(kept.removeprefix("step-")) < 12
    with pytest.raises(ValueError, match=r"3\.png is damaged .*; the last good checkpoint is .*: mend that"):
        start(Pix2Pix(), "run", resume=True, **flags)  # as it is, again
    (paired_folder / "train/3.png").write_bytes(good)
    other = paired_folder / "train/1.png"
    kept = other.read_bytes()
    other.write_bytes((paired_folder / "train/0.png").read_bytes())
    with pytest.raises(ValueError, match=r"the images are not those .*: 1\.png\)"):
        start(Pix2Pix(), "run", resume=True, **flags)
    other.write_bytes(kept)
    start(Pix2Pix(), "run", resume=True, **flags)
    assert files(whole)["model.safetensors"] == files(tmp_path / "run")["model.safetensors"]


def test_an_error_of_one_processs_data_saves_all_of_them(paired_folder: Path, tmp_path: Path) -> None:
    damage(paired_folder / "train/3.png", "inside")
    words = ["pix2pix", "--dataset", paired_folder, "--side_by_side", *PLAIN, "--max_steps", "40", "--no_cache"]
    done = run(*words, "--output_dir", tmp_path / "run", launcher=TWO)
    assert done.returncode != 0
    (kept,) = checkpoints(tmp_path / "run")
    assert {path.name for path in (tmp_path / "run/checkpoints" / kept).glob("rank-*.pt")} == {"rank-0.pt", "rank-1.pt"}
    assert "3.png" in done.stderr
    assert done.stderr.count("Traceback") == done.stderr.count("ChildFailedError(") == 1, "the launcher's own"


# --- a checkpoint as a model ------------------------------------------------------------------------------------------


@each_family
def test_a_checkpoint_translates_as_the_finished_generator_does(start, family, tmp_path, capsys) -> None:
    from img2img_hub import Translator

    folder = start(family, "run", max_steps=2, architecture=small(family))
    step = folder / "checkpoints/step-2"
    for way in family.directions:
        place = step / way.folder if way.folder else step
        made, finished = (Translator.from_pretrained(path, device="cpu") for path in (place, folder / way.folder))
        assert made.settings == finished.settings or made.settings.reverse != finished.settings.reverse
        picture = Image.effect_noise((40, 30), 50).convert("RGB")
        mask = mask_for(family, picture)
        assert made(picture, mask=mask).tobytes() == finished(picture, mask=mask).tobytes()
    if len(family.directions) > 1:
        with pytest.raises(
            ValueError, match=r"holds source2target and target2source: name one, .*step-2/source2target"
        ):
            Translator.from_pretrained(step)


def test_a_checkpoint_of_averages_translates_by_them(start, capsys) -> None:
    from img2img_hub import Translator

    folder = start(Pix2Pix(), "run", max_steps=4, ema_decay=0.5)
    picture = Image.effect_noise((16, 16), 50).convert("RGB")
    made, finished = (Translator.from_pretrained(path) for path in (folder / "checkpoints/step-4", folder))
    assert made(picture).tobytes() == finished(picture).tobytes()
    picture.save(folder.parent / "a.png")
    words = ["translate", str(folder.parent / "a.png"), "--model", str(folder / "checkpoints/step-4")]
    assert main([*words, "--output", str(folder.parent / "out")]) == 0
    assert (folder.parent / "out/a.png").is_file()


def test_a_checkpoint_that_cannot_translate_says_why(start, tmp_path) -> None:
    from img2img_hub import Translator

    folder = start(Pix2Pix(), "run", max_steps=2)
    step = folder / "checkpoints/step-2"
    with pytest.raises(ValueError, match="holds generator: name one"):
        Translator.from_pretrained(step / "backwards")
    said = json.loads((step / "model.json").read_text())
    (step / "model.json").write_text(json.dumps(said | {"networks": {}}))
    with pytest.raises(ValueError, match="is damaged"):
        Translator.from_pretrained(step)
    (step / "model.json").unlink()
    with pytest.raises(ValueError, match=r"lacks model\.json, as checkpoints of former versions do"):
        Translator.from_pretrained(step)


def test_a_run_of_before_goes_on_without_that_file(start, monkeypatch) -> None:
    folder = start(Pix2Pix(), "run", max_steps=2)
    (folder / "checkpoints/step-2/model.json").unlink()
    start(Pix2Pix(), "run", max_steps=4, resume=True)
    assert (folder / "checkpoints/step-4/model.json").is_file()
    assert lines(folder)
