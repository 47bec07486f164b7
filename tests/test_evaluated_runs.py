"""Runs with --eval_every and --best_metric: what they measure, what they keep, and that both survive a kill."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from torch import nn

from img2img_hub import CycleGAN, DataConfig, Pix2Pix, Translator
from img2img_hub.data.find.sources import open_data
from img2img_hub.evaluation import perceptual
from img2img_hub.evaluation.measure import evaluate_paired, evaluate_unpaired
from img2img_hub.evaluation.metrics import METRICS, metric_names
from img2img_hub.training.results.results import Results
from img2img_hub.training.results.validation import MEASURED_ON_THE_WAY
from img2img_hub.training.state.best import Best
from tests.families import each_family, of_pairs, smallest_size, tiny
from tests.runs import TINY, TWO, checkpoints, lines, run, same_tensors

pytest_plugins = ["tests.starting"]

BEST = {"pix2pix": "ssim", "cyclegan": "swd_target", "cut": "swd_target", "fastcut": "swd_target"}
BEST |= {"pix2pixhd": "ssim", "spade": "ssim", "srgan": "psnr_y", "esrgan": "ssim_y"}
BEST |= {"inpaint": "psnr_hole", "ccgan": "l1_hole"}


def measured(folder: Path, prefix: str) -> dict[int, dict[str, float]]:
    """{step: {name: number}} of the lines of metrics.jsonl that have numbers of this kind; one line a step."""
    found: dict[int, dict[str, float]] = {}
    for line in lines(folder):
        values = {key.removeprefix(f"{prefix}/"): value for key, value in line.items() if key.startswith(f"{prefix}/")}
        if values:
            assert line["step"] not in found, "twice the same step"
            found[line["step"]] = values
    return found


def evaluated(folder: Path, family, paired_folder: Path, unpaired_folder: Path) -> dict[str, float]:
    """What a new evaluation finds of finished generators."""
    if family.paired:
        config = DataConfig(dataset=str(paired_folder), **of_pairs(family))
        data = open_data(config, paired=True, split="test", slots=family.slots)
        translator = Translator.from_pretrained(folder)
        size = None if translator.settings.crop == "native" else smallest_size(family)
        return evaluate_paired(translator, data, image_size=size)
    data = open_data(DataConfig(dataset=str(unpaired_folder)), paired=False, split="test")
    there, *back = (Translator.from_pretrained(folder / part) for part in family.published)
    return evaluate_unpaired(there, back[0] if back else None, data, image_size=smallest_size(family))


def seen_from(part: str, name: str) -> str:
    """What the generator in target2source/ makes are sources, and its card calls them targets, as evaluate does."""
    if part != "target2source":
        return name
    return name.replace("source", "?").replace("target", "source").replace("?", "target")


def told(card: str) -> dict[str, tuple[str, float]]:
    """{metric: (its name, its value)} of a card's model-index."""
    (model,) = yaml.safe_load(card.split("---\n")[1])["model-index"]
    metrics = [metric for result in model["results"] for metric in result["metrics"]]
    return {metric["type"]: (metric["name"], metric["value"]) for metric in metrics}


# --- what is measured -------------------------------------------------------------------------------------------------


@each_family
def test_the_best_generators_stand_beside_the_last_with_true_cards(start, family, paired_folder, unpaired_folder):
    metric = BEST[family.name]
    folder = start(family, "run", eval_every=2, best_metric=metric, save_dtype="float16")
    validation = measured(folder, "validation")
    assert list(validation) == [2, 4, 6]
    luma = family.name in ("srgan", "esrgan")
    names = metric_names(paired=family.paired, cycles=family.has_cycles, luma=luma, own=family.metrics)
    assert all(tuple(numbers) == names for numbers in validation.values())
    assert {line["images"] for line in lines(folder) if "images" in line} == {3 if family.paired else 2}
    assert {line["split"] for line in lines(folder) if "split" in line} == {"test"}
    # The best of them, and which it was.
    better = max if METRICS[metric].higher_is_better else min
    step = better(validation, key=lambda step: validation[step][metric])
    record = json.loads((folder / "best/best.json").read_text())
    assert record == {"metric": metric, "value": validation[step][metric], "step": step}
    so_far = [better(validation[s][metric] for s in validation if s <= now) for now in validation]
    assert [numbers[metric] for numbers in measured(folder, "best").values()] == so_far
    # Loaded back from their folders, both give their numbers again.
    last = measured(folder, "final")[6]
    assert last == validation[6]
    for place, numbers, which in ((folder, last, "last"), (folder / "best", validation[step], "best")):
        assert evaluated(place, family, paired_folder, unpaired_folder) == pytest.approx(numbers, rel=1e-9)
        for part in family.published:
            assert {p.name for p in (folder / part).iterdir() if p.is_file()} >= {"README.md", "sample_sheet.png"}
            card = (place / part / "README.md").read_text()
            own = {seen_from(part, name): value for name, value in numbers.items() if not name.endswith("_bicubic")}
            assert all(f"(bicubic {value:.4g})" in card for name, value in numbers.items() if name not in own)
            expected = {name: (f"{name} ({which} step)", round(value, 6)) for name, value in own.items()}
            assert told(card) == expected
    for part in family.published:
        title = METRICS[seen_from(part, metric)].title
        best, card = ((place / part / "README.md").read_text() for place in (folder / "best", folder))
        assert f"These are the weights of step {step} of 6, the best of the run by {title}." in best
        number = f"{validation[step][metric]:.5g} at step {step}"
        assert f"of the last step, 6. The best of the run by {title}, {number}, are kept beside them, under" in card
        beside = {path.parent.name for path in (folder / "best" / part).glob("training/*/model.safetensors")}
        assert [set(way.beside) for way in family.directions if way.folder == part] == [beside]


def test_without_eval_every_the_first_images_are_measured_with_each_sheet(start, monkeypatch):
    monkeypatch.setattr("img2img_hub.training.results.results.MEASURED_ON_THE_WAY", 2)
    assert MEASURED_ON_THE_WAY == 32
    folder = start(Pix2Pix(), "run")
    assert list(measured(folder, "validation")) == [3]
    assert [line["images"] for line in lines(folder) if "images" in line] == [2, 3]  # on the way, and in the end
    assert list(measured(folder, "final")) == [6]
    assert not (folder / "best").exists()
    assert "beside them" not in (folder / "README.md").read_text()


@each_family
def test_measuring_changes_nothing_that_is_learnt(start, family):
    plain = start(family, "plain")
    measuring = start(family, "measuring", eval_every=1, sample_steps=1, best_metric=BEST[family.name])
    for file in (plain / "checkpoints/step-6").glob("*.safetensors"):
        assert same_tensors(file, measuring / "checkpoints/step-6" / file.name), file.name


def test_a_checkpoint_stands_before_the_minutes_of_a_measurement(start, monkeypatch, tmp_path):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("img2img_hub.training.results.validation.Evaluation.measure", killed)
    with pytest.raises(KeyboardInterrupt):
        start(Pix2Pix(), "run", eval_every=3, checkpoint_steps=100)
    assert checkpoints(tmp_path / "run") == ["step-3"]


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        (
            Pix2Pix(),
            {"best_metric": "sim"},
            "--best_metric sim is none of the numbers of Pix2Pix: l1, psnr, ssim, ms_ssim, swd_target$",
        ),
        (
            CycleGAN(),
            {"best_metric": "ssim"},
            "none of the numbers of CycleGAN: cycle_l1_source, cycle_l1_target, swd_target, swd_source",
        ),
        (Pix2Pix(), {"best_metric": "fid_target"}, "swd_target; others need --extra_metrics"),
        (CycleGAN(), {"extra_metrics": ("lpips",)}, "lpips compares outputs with their targets"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(start, tmp_path, family, settings, message):
    with pytest.raises(ValueError, match=message):
        start(family, "run", eval_every=2, **settings)
    assert not (tmp_path / "run").exists()


def test_a_side_too_small_for_fid_is_refused_before_the_training(start, tmp_path, unpaired_folder, monkeypatch):
    monkeypatch.setattr(perceptual, "_load_inception", lambda: nn.Identity())
    (unpaired_folder / "testB/1.png").unlink()
    with pytest.raises(ValueError, match="FID and KID compare sets of two images or more a side, got 1"):
        start(CycleGAN(), "run", eval_every=2, extra_metrics=("fid",))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("settings", [{"eval_every": 2}, {"extra_metrics": ("kid",)}])
def test_validation_images_are_needed(start, tmp_path, paired_folder, settings):
    data = DataConfig(dataset=str(paired_folder), side_by_side=True, validation_split="none")
    with pytest.raises(ValueError, match="measures validation images, and this run has none: name a split by"):
        start(Pix2Pix(), "run", data=data, **settings)
    assert not (tmp_path / "run").exists()


def test_without_validation_images_sheets_show_training_images(start, paired_folder, capsys):
    data = DataConfig(dataset=str(paired_folder), side_by_side=True, validation_split="none")
    folder = start(Pix2Pix(), "run", data=data)
    assert "sample sheets show training images, and nothing is measured" in capsys.readouterr().err
    assert (folder / "samples/step-3.png").is_file()
    assert (folder / "sample_sheet.png").is_file()
    assert "validation" not in (folder / "metrics.jsonl").read_text()
    assert "model-index" not in (folder / "README.md").read_text()


# --- kills ------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As a SIGKILL: nothing of the program handles it."""


def outcome(folder: Path, family) -> dict[str, object]:
    """What must not depend on where a run was killed."""
    record = json.loads((folder / "best/best.json").read_text())
    weights = {part: (folder / "best" / part / "model.safetensors").read_bytes() for part in family.published}
    sheets = sorted(path.name for path in (folder / "samples").iterdir())
    return {
        "record": record,
        "weights": weights,
        "validation": measured(folder, "validation"),
        "best": measured(folder, "best"),
        "final": measured(folder, "final"),
        "sheets": sheets,
    }


PAIRS, CYCLES = Pix2Pix(), tiny(CycleGAN)


@pytest.mark.parametrize(
    ("family", "where", "step"),
    [
        (PAIRS, "before the look", 4),
        (PAIRS, "in the best", 2),  # nothing stands there yet, so that these are the best
        (PAIRS, "after the look", 4),
        (PAIRS, "after the look, whose checkpoint is lost", 4),  # so that best/ may be newer than what is resumed
        (CYCLES, "in the best", 2),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_killed_and_resumed_run_keeps_the_same_best_as_an_uninterrupted_one(start, monkeypatch, family, where, step):
    settings = {"eval_every": 2, "checkpoint_steps": 3, "best_metric": BEST[family.name], "sample_steps": 2}
    whole = start(family, "whole", **settings)
    look, replace = Results.look, Best.replace

    def looking(self, logs):
        if self.state.step == step and where == "before the look":
            raise Killed
        look(self, logs)
        if self.state.step == step and where.startswith("after the look"):
            raise Killed

    def replacing(self, write, **values):
        replace(self, write, **values)
        if values["step"] == step and where == "in the best":
            raise Killed  # before it was noted in metrics.jsonl, and in any checkpoint

    with monkeypatch.context() as patch:
        patch.setattr(Results, "look", looking)
        patch.setattr(Best, "replace", replacing)
        with pytest.raises(Killed):
            start(family, "cut", **settings)
    cut = whole.parent / "cut"
    if where.endswith("is lost"):
        shutil.rmtree(cut / "checkpoints/step-4")
    start(family, "cut", **settings, resume=True)
    assert outcome(cut, family) == outcome(whole, family)


def test_a_finished_run_keeps_its_lines_when_it_is_resumed(start):
    folder = start(Pix2Pix(), "run", eval_every=2, best_metric="l1")
    before = (folder / "metrics.jsonl").read_text()
    start(Pix2Pix(), "run", eval_every=2, best_metric="l1", resume=True)
    assert (folder / "metrics.jsonl").read_text() == before


def test_a_best_folder_that_was_deleted_begins_anew(start, capsys):
    settings = {"eval_every": 2, "best_metric": "l1"}
    folder = start(Pix2Pix(), "run", **settings, max_steps=4)
    shutil.rmtree(folder / "best")
    start(Pix2Pix(), "run", **settings, max_steps=8, resume=True)
    assert "so that the best begins anew" in capsys.readouterr().err
    values = measured(folder, "validation")
    assert json.loads((folder / "best/best.json").read_text())["value"] == min(values[step]["l1"] for step in (4, 6, 8))


# --- the folder by itself ---------------------------------------------------------------------------------------------


@pytest.fixture
def best(tmp_path: Path) -> Best:
    (tmp_path / "checkpoints").mkdir()
    return Best(tmp_path, metric="ssim")


def writing(text: str):
    def write(folder: Path) -> None:
        (folder / "source2target").mkdir()
        (folder / "source2target" / "model.safetensors").write_text(text)

    return write


def killing(patch: pytest.MonkeyPatch, *, instant: int) -> None:
    """The call of this number, of those that change the disk, kills."""
    count = iter(range(1000))

    def counted(original):
        def call(*arguments, **options):
            if next(count) == instant:
                raise Killed
            return original(*arguments, **options)

        return call

    for owner, name in ((Path, "mkdir"), (Path, "rename"), (Path, "write_text"), (Path, "unlink"), (Path, "rmdir")):
        patch.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("instant", range(11))
def test_the_folder_and_its_record_agree_after_a_kill_at_any_instant(best, monkeypatch, instant):
    """A folder, one in it, weights, the record, a new name, the old away (four calls), the new in its place."""
    best.replace(writing("old"), value=0.1, step=1)
    with monkeypatch.context() as patch:
        killing(patch, instant=instant)
        if instant < 10:
            with pytest.raises(Killed):
                best.replace(writing("new"), value=0.2, step=2)
        else:
            best.replace(writing("new"), value=0.2, step=2)
    found, weights = best.take_up(), (best.folder / "source2target" / "model.safetensors").read_text()
    whole = instant > 4  # it has its name
    assert (weights, found) == (("new", {"value": 0.2, "step": 2}) if whole else ("old", {"value": 0.1, "step": 1}))
    assert not list((best.folder.parent / "checkpoints").iterdir()), "nothing is left lying about"
    best.replace(writing("newer"), value=0.3, step=3)
    assert best.take_up() == {"value": 0.3, "step": 3}


def test_a_full_disk_leaves_what_was_best(best):
    def full(folder: Path) -> None:
        (folder / "model.safetensors").write_text("half")
        raise OSError(28, "No space left on device")

    best.replace(writing("old"), value=0.1, step=1)
    with pytest.raises(ValueError, match=r"the best generators, of step 7, cannot be written to .*No space.*--resume"):
        best.replace(full, value=0.2, step=7)
    assert best.take_up() == {"value": 0.1, "step": 1}
    assert (best.folder / "source2target" / "model.safetensors").read_text() == "old"
    assert not list((best.folder.parent / "checkpoints").iterdir())


def test_better_is_the_metrics_own_way_and_no_number_is_never_better(best, tmp_path):
    assert best.is_beaten_by(0.2, best={"value": 0.1, "step": 1})
    assert not best.is_beaten_by(0.1, best={"value": 0.1, "step": 1}), "the earlier one stays"
    assert not best.is_beaten_by(float("nan"), best={})
    assert best.is_beaten_by(-1.0, best={})
    assert Best(tmp_path, metric="l1").is_beaten_by(0.1, best={"value": 0.2, "step": 1})
    assert best.take_up() == {}
    best.replace(writing("old"), value=0.1, step=1)
    assert Best(tmp_path, metric="l1").take_up() == {}, "another metric's record"


# --- several processes ------------------------------------------------------------------------------------------------


def test_two_processes_measure_what_one_does(paired_folder, tmp_path):
    """With batch norm of running averages, which differ between the processes: those that are published count."""
    settings = [word for word in TINY if word not in ("--validation_split", "none")]
    settings += ["--dataset", paired_folder, "--side_by_side", "--num_workers", "0", "--batch_size", "2"]
    settings += ["--max_steps", "4", "--eval_every", "2", "--best_metric", "l1", "--sample_steps", "2"]
    done = run("pix2pix", *settings, "--output_dir", tmp_path / "run", launcher=TWO)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    assert json.loads((folder / "translation.json").read_text())["norm_statistics"] == "running"
    again = evaluated(folder, Pix2Pix(), paired_folder, Path())
    assert measured(folder, "final")[4] == measured(folder, "validation")[4] == pytest.approx(again, rel=1e-9)
    record = json.loads((folder / "best/best.json").read_text())
    again = evaluated(folder / "best", Pix2Pix(), paired_folder, Path())
    assert measured(folder, "validation")[record["step"]] == pytest.approx(again, rel=1e-9)
    assert checkpoints(folder) == ["step-2", "step-4"]
