"""Inpainting and CCGAN: what their players learn by, against plain code, and runs from one folder of pictures to a
translator from the Hub.

python -m pytest tests/test_inpaint.py
"""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from img2img_hub import CCGAN, DataConfig, Inpaint, Translator
from img2img_hub.cli import main
from img2img_hub.data.find.sources import open_data
from img2img_hub.data.samples.holes import HoleMaker
from img2img_hub.demo.prepare import _examples
from img2img_hub.evaluation.measure import evaluate_paired
from img2img_hub.families.base import Outputs
from img2img_hub.families.options import Architecture
from tests.hub.client import run_client
from tests.runs import TWO, lines, run

SMALL = {
    Inpaint: Architecture(width=4, blocks=1, dilated=1, discriminator_layers=1),
    CCGAN: Architecture(width=4, levels=3, dropout=0.0, discriminator_layers=1),
}


def batch(family, side=16):
    torch.manual_seed(0)
    target = torch.rand(2, 3, side, side) * 2 - 1
    hole = torch.zeros(2, 1, side, side)
    hole[0, :, 3:9, 2:12] = 1
    hole[1, :, 5:7, 8:] = 1
    parts = [target.masked_fill(hole > 0, 0), hole] + ([target] if family is CCGAN else [])
    return {"source": torch.cat(parts, dim=1), "target": target}, hole


def built(family, **said):
    torch.manual_seed(1)
    made = family(**said)
    bands = 7 if family is CCGAN else 4
    networks = made.build(SMALL[family], in_channels=bands, out_channels=3, image_size=16)
    return made, {name: network.eval() for name, network in networks.items()}


def terms(family, networks, data):
    data, outputs = family.prepare(data), Outputs(keep_graph=True, pools={})
    return [phase.loss(networks, data, outputs) for phase in family.phases]


def test_the_two_verdicts_are_two_losses_on_the_picture_with_its_known_pixels_back():
    family, networks = built(Inpaint, lambda_hole=0.5)
    data, hole = batch(Inpaint)
    judged, learnt = terms(family, networks, data)
    made, target = networks["generator"](data["source"]), data["target"]
    filled = hole * made + (1 - hole) * target
    whole, patches = networks["discriminator"](filled)
    bce = F.binary_cross_entropy_with_logits
    wanted = {
        "global": (bce(whole, torch.ones_like(whole)), 0.0025),
        "patch": (bce(patches, torch.ones_like(patches)), 0.0025),
        "l1": ((made - target).abs().mean(), 0.995),
        "l1_hole": (((made - target).abs() * hole).sum() / hole.sum() / 3, 0.5),
    }
    assert learnt.keys() == wanted.keys()
    for name, (value, weight) in wanted.items():
        torch.testing.assert_close(learnt[name][0], value)
        assert learnt[name][1] == weight
    real = networks["discriminator"](target)
    torch.testing.assert_close(
        judged["real"][0], torch.stack([bce(logits, torch.ones_like(logits)) for logits in real]).mean()
    )
    torch.testing.assert_close(
        judged["fake"][0],
        torch.stack([bce(logits, torch.zeros_like(logits)) for logits in (whole, patches)]).mean(),
    )
    assert judged["real"][1] == judged["fake"][1] == 0.5


def test_ccgan_learns_from_the_verdict_alone_and_sees_the_picture_small():
    family, networks = built(CCGAN)
    data, hole = batch(CCGAN)
    _, learnt = terms(family, networks, data)
    filled = torch.where(hole > 0, networks["generator"](data["source"]), data["target"])
    logits = networks["discriminator"](filled)
    assert learnt.keys() == {"adversarial"}
    torch.testing.assert_close(learnt["adversarial"][0], ((logits - 1) ** 2).mean())
    assert learnt["adversarial"][1] == 1
    assert networks["generator"].config["context_channels"] == 3
    other = data["source"].clone()
    other[:, 4:] = F.interpolate(F.avg_pool2d(other[:, 4:], 4), scale_factor=4)
    torch.testing.assert_close(networks["generator"](other), networks["generator"](data["source"]))


def test_the_generator_learns_nothing_from_known_pixels_of_the_verdict():
    family, networks = built(Inpaint, lambda_l1=0, lambda_hole=0)
    data, hole = batch(Inpaint)
    captured = []
    generator = networks["generator"]

    def made(source):
        output = generator(source)
        output.retain_grad()
        captured.append(output)
        return output

    _, learnt = terms(family, networks | {"generator": made}, data)
    sum(value * weight for value, weight in learnt.values()).backward()
    gradient = captured[-1].grad
    assert (gradient[(hole == 0).expand_as(gradient)] == 0).all()
    assert (gradient[(hole == 1).expand_as(gradient)] != 0).any()


def test_numbers_of_holes_are_of_these_alone():
    target = torch.zeros(1, 3, 10, 10)
    hole = torch.zeros(1, 1, 10, 10)
    hole[..., :2, :5] = 1
    made = target.clone()
    made[..., :2, :5] = 0.2  # a tenth of the range
    made[..., 5:, :] = 1
    found = Inpaint.measure(made, {"mask": hole}, target)
    assert found["share_hole"] == pytest.approx(0.1)
    assert found["l1_hole"] == pytest.approx(0.1)
    assert found["psnr_hole"] == pytest.approx(20)
    assert Inpaint.measure(target, {"mask": hole}, target)["psnr_hole"] == pytest.approx(100)
    empty = Inpaint.measure(target, {"mask": hole * 0}, target)
    assert np.isnan(empty["l1_hole"]), "of an image without a hole there is nothing to say"
    assert np.isnan(empty["psnr_hole"])


def test_images_without_a_hole_count_in_no_mean(trained, pictures, monkeypatch):
    data = open_data(DataConfig(dataset=str(pictures)), paired=True, split="test", slots=Inpaint.slots)
    translator = Translator.from_pretrained(trained["inpaint"])
    both = evaluate_paired(translator, data, image_size=None)
    first, real = evaluate_paired(translator, data, image_size=None, limit=1), HoleMaker.of_image
    monkeypatch.setattr(
        HoleMaker,
        "of_image",
        lambda maker, target, row: real(maker, target, row) if row == 0 else _without_hole(real(maker, target, row)),
    )
    again = evaluate_paired(translator, data, image_size=None)
    assert again["l1_hole"] == first["l1_hole"] != both["l1_hole"]


def _without_hole(raster):
    raster.array[:, :, 3] = 0
    return raster


def test_the_share_of_holes_is_no_way_to_be_best(pictures, tmp_path):
    words = ["inpaint", "--dataset", pictures, "--output_dir", tmp_path / "run", *FLAGS["inpaint"], *TINY]
    done = run(*words, "--max_steps", "2", "--eval_every", "1", "--best_metric", "share_hole")
    assert done.returncode == 2
    assert "--best_metric share_hole tells what was measured, and no value of it is better" in done.stderr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 4), ("test", 2)):
        (root / split).mkdir()
        for number in range(count):
            random = np.random.default_rng([count, number])
            Image.fromarray(random.integers(0, 256, (40, 52, 3), np.uint8)).save(root / f"{split}/{number}.png")
    return root


FLAGS = {
    "inpaint": ["--blocks", "1", "--dilated", "1", "--image_size", "32"],
    "ccgan": ["--levels", "3", "--image_size", "32", "--load_size", "36"],
}
TINY = ["--width", "4", "--discriminator_layers", "1", "--cpu", "--cpu_threads", "1", "--num_workers", "0"]


def train(method, pictures, output, *more, launcher=None):
    words = [method, "--dataset", pictures, "--output_dir", output, *FLAGS[method], *TINY, *more]
    done = run(*words, launcher=launcher)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    made = {}
    for method in FLAGS:
        folder = made[method] = tmp_path_factory.mktemp("runs") / method
        train(method, pictures, folder, "--max_steps", "4", "--checkpoint_steps", "2")
    return made


@pytest.mark.parametrize("method", list(FLAGS))
def test_a_trained_model_fills_by_the_command_the_same_by_every_backend(method, trained, pictures, tmp_path, capsys):
    photo = pictures / "test/0.png"
    mask = np.zeros((40, 52), np.uint8)
    mask[10:20, 12:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    made = {}
    for backend in ("torch", "onnx", "openvino"):
        words = ["translate", str(photo), "--model", str(trained[method]), "--mask", str(tmp_path / "mask.png")]
        assert main([*words, "--output", str(tmp_path / backend), "--backend", backend]) == 0, capsys.readouterr().err
        made[backend] = np.asarray(Image.open(tmp_path / backend / "0.png")).astype(int)
        assert np.array_equal(made[backend][mask == 0], np.asarray(Image.open(photo))[mask == 0])
    for backend in ("onnx", "openvino"):
        assert np.abs(made[backend] - made["torch"]).max() <= 1
    assert np.array_equal(made["torch"], Translator.from_pretrained(trained[method])(photo, mask=mask))


@pytest.mark.parametrize("method", list(FLAGS))
def test_evaluate_reprints_the_cards_numbers(method, trained, pictures, capsys):
    words = ["evaluate", "--model", str(trained[method]), "--dataset", str(pictures), "--split", "test"]
    assert main([*words, "--perceptual_features", "none"]) == 0
    said = capsys.readouterr().out
    report = json.loads(said.splitlines()[-1])
    final = {key: value for line in lines(trained[method]) for key, value in line.items() if key.startswith("final/")}
    for name in ("l1_hole", "psnr_hole", "share_hole", "l1", "psnr"):
        assert report[name] == pytest.approx(final[f"final/{name}"], rel=1e-6), name
    assert "share of holes" in said
    assert "larger ones are harder)" in said
    card = (trained[method] / "README.md").read_text()
    assert "PSNR in holes" in card
    assert "mask, white where something is to be filled in" in card
    assert 'translator("input.png", mask="mask.png")' in card
    assert "comes back as it was, to the bit" in card.replace("\n", " ")


@pytest.mark.parametrize("method", list(FLAGS))
def test_exports_take_image_and_hole(method, trained, tmp_path, capsys):
    assert main(["export", "--model", str(trained[method]), "--output", str(tmp_path / "model.onnx")]) == 0
    facts = json.loads((tmp_path / "model.json").read_text())
    shapes = {each["name"]: each["shape"][1] for each in facts["inputs"]}
    assert shapes == {"source": 3, "mask": 1} | ({"context": 3} if method == "ccgan" else {})


def test_int8_is_calibrated_with_holes(trained, pictures, tmp_path, capsys):
    words = ["export", "--model", str(trained["inpaint"]), "--output", str(tmp_path / "int8.onnx"), "--int8"]
    assert main([*words, "--calibration", str(pictures / "train")]) == 0, capsys.readouterr().err
    assert (tmp_path / "int8.onnx").stat().st_size > 1000


def test_the_page_measures_bfloat16_with_holes_in_its_examples(trained, pictures, tmp_path):
    shutil.copytree(trained["inpaint"], tmp_path / "model")
    shutil.copytree(pictures / "test", tmp_path / "model/examples")
    found = _examples(Translator.from_pretrained(tmp_path / "model"))
    assert [each.shape for each in found] == [(1, 4, 32, 32)] * 2
    assert all(0 < float(each[:, 3].mean()) < 0.5 for each in found)


def test_two_processes_learn_holes_of_their_own(pictures, tmp_path):
    train("inpaint", pictures, tmp_path / "run", "--max_steps", "2", launcher=TWO)
    states = {path.name for path in (tmp_path / "run/checkpoints/step-2").iterdir()}
    assert {"rank-0.pt", "rank-1.pt"} <= states


@pytest.mark.parametrize("method", list(FLAGS))
def test_it_is_the_same_from_the_hub(method, trained, pictures, alice, tmp_path):
    photo = pictures / "test/1.png"
    here = Translator.from_pretrained(trained[method])
    mask = np.zeros((40, 52), bool)
    mask[3:9, 4:40] = True
    here(photo, mask=mask).save(tmp_path / "here.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    done = run_client(
        f"""
        import numpy as np
        from PIL import Image
        from img2img_hub import Translator
        from img2img_hub.hub.publish import push_folder

        push_folder({str(trained[method])!r}, "alice/{method}")
        made = Translator.from_pretrained("alice/{method}")({str(photo)!r}, mask={str(tmp_path / "mask.png")!r})
        print(np.array_equal(made, Image.open({str(tmp_path / "here.png")!r})))
        """,
        alice,
    )
    assert done.stdout.split()[-1] == "True", done.stderr


def test_rasters_of_16_bits_are_learnt_and_filled(tmp_path):
    from img2img_hub.images.raster import Raster
    from tests.starting import train_tiny

    (tmp_path / "scenes/train").mkdir(parents=True)
    for number in range(3):
        array = np.random.default_rng(number).integers(0, 4000, (40, 40, 2), dtype=np.uint16)
        Raster(array=array).save(tmp_path / f"scenes/train/{number}.tif")
    data = DataConfig(dataset=str(tmp_path / "scenes"), validation_fraction=0.34)
    trained = train_tiny(Inpaint(), tmp_path, "run", data=data, architecture=SMALL[Inpaint], max_steps=2)
    assert trained.metrics["share_hole"] > 0
    mask = np.zeros((40, 40), bool)
    mask[5:12, 9:20] = True
    made = Translator.from_pretrained(trained.path)(array, mask=mask)
    assert made.array.dtype == np.uint16
    assert np.array_equal(made.array[~mask], array[~mask])
    assert not np.array_equal(made.array[mask], array[mask])
