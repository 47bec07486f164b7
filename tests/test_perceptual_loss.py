"""Losses by what a classifier of photographs sees: python -m pytest tests/test_perceptual_loss.py"""

import functools
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import multiprocessing, nn
from torch.nn import functional as F

from img2img_hub import CycleGAN, PatchDiscriminator, Pix2Pix
from img2img_hub.families import Outputs
from img2img_hub.families.spade import Spade
from img2img_hub.objectives import vgg19
from img2img_hub.objectives.lite import load_lite0, load_lite1
from img2img_hub.objectives.perceptual import WEIGHTS, make_perceptual
from img2img_hub.objectives.vgg19 import PLACES, Vgg19, load_vgg19
from img2img_hub.training.state.optimizers import prepare_helpers
from tests.families import tiny_vgg19
from tests.test_families import SMALL, batches

pytest_plugins = ["tests.starting"]


@pytest.fixture
def file(tmp_path):
    return tiny_vgg19(tmp_path / "tiny.pth")


def plain_features(state, image):
    """Behind relu1_1, 2_1, 3_1, 4_1 and 5_1: convolutions and poolings as torchvision's `features` number them."""
    found = []
    for place in range(30):
        if f"features.{place}.weight" in state:
            image = F.conv2d(image, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1)
        elif place in (4, 9, 18, 27):
            image = F.max_pool2d(image, 2, 2)
        else:
            image = image.relu()
            if place in (1, 6, 11, 20, 29):
                found.append(image)
    return found


def test_it_is_the_network_of_the_paper():
    with torch.device("meta"):
        network = Vgg19()
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_944_960
    convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [64] * 2 + [128] * 2 + [256] * 4 + [512] * 5
    places = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
    assert set(network.state_dict()) == {f"features.{place}.{kind}" for place in places for kind in ("weight", "bias")}
    assert (PLACES["relu5_4"], len(PLACES)) == (34, 16)
    with pytest.raises(ValueError, match=r"VGG19 has the layers relu1_1, .*, got 'relu6_1'"):
        Vgg19(("relu6_1",))


@pytest.mark.parametrize("normalise", [False, True])
def test_features_are_those_of_the_layers_by_torchvisions_numbers(file, normalise):
    network = load_vgg19(file, normalise=normalise)
    state = torch.load(file, weights_only=True)
    image = torch.rand(2, 3, 48, 32) * 2 - 1
    shown = image
    if normalise:
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        shown = ((image + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
    expected = plain_features(state, shown)
    assert [tuple(map_.shape[2:]) for map_ in expected] == [(48, 32), (24, 16), (12, 8), (6, 4), (3, 2)]
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(network(image), expected, strict=True))
    grey = image[:, :1]
    assert torch.equal(network(grey)[0], network(grey.repeat(1, 3, 1, 1))[0])
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_loss_is_weighted_l1_in_float32_and_learns_nothing_from_the_target(file):
    loss, state = make_perceptual(str(file)), torch.load(file, weights_only=True)
    made, target = (torch.rand(2, 3, 32, 32, requires_grad=True) for _ in range(2))
    pairs = zip(plain_features(state, made), plain_features(state, target), strict=True)
    shares = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    expected = sum(share * (one - two).abs().mean() for share, (one, two) in zip(shares, pairs, strict=True))
    value = loss(made, target)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    (slope,) = torch.autograd.grad(expected, made)
    value.backward()
    assert torch.allclose(made.grad, slope, atol=1e-6)
    assert made.grad.abs().max() > 0
    assert target.grad is None
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(made, target), value)
        assert torch.allclose(loss(made.bfloat16(), target.bfloat16()), value, rtol=0.05)


@pytest.mark.parametrize(("name", "load"), [("lite0", load_lite0), ("lite1", load_lite1)])
def test_the_small_ones_compare_by_their_first_five_stages(name, load):
    made, target = torch.rand(1, 3, 64, 64) * 2 - 1, torch.rand(1, 3, 64, 64) * 2 - 1
    seen = [load()(image)[:5] for image in (made, target)]
    expected = sum(w / 8 * (one - two).abs().mean() for w, one, two in zip(WEIGHTS, *seen, strict=True))
    assert make_perceptual(name)(made, target).item() == pytest.approx(expected.item(), rel=1e-5)
    assert make_perceptual(name)(made[..., :16, :16], target[..., :16, :16]).isfinite()


# --- weights ----------------------------------------------------------------------------------------------------------


@contextmanager
def serving(folder):
    """(address, the paths that were asked for) of a server of a folder's files on this machine."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/img2img_hub/weights"


def test_weights_are_downloaded_once_and_known_by_their_hash(file, cache, monkeypatch):
    monkeypatch.setattr(vgg19, "HASH", hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    with serving(file.parent) as (address, asked):
        monkeypatch.setattr(vgg19, "URL", f"{address}/{file.name}")
        for _ in range(2):
            loss = make_perceptual("vgg19", normalise=True)
        assert asked == [f"/{file.name}"]
        assert [path.name for path in cache.iterdir()] == [file.name]
        assert loss.extractor.normalise
        (cache / file.name).unlink()
        monkeypatch.setattr(vgg19, "HASH", "00000000")
        with pytest.raises(ValueError, match=r"invalid hash value.*--perceptual PATH.*--perceptual none"):
            make_perceptual("vgg19")
        assert not list(cache.iterdir()), "another file is not kept"


def fetch_together(rank, address, file, digest, port_file):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{port_file}", rank=rank, world_size=2)
    vgg19.URL, vgg19.HASH = f"{address}/{file}", digest
    helpers = prepare_helpers(Pix2Pix(lambda_perceptual=1.0), Accelerator(cpu=True))
    assert helpers["perceptual"].extractor.features["0"].weight.isfinite().all()
    torch.distributed.destroy_process_group()


def test_of_several_processes_the_first_downloads_for_all(file, cache, tmp_path):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    with serving(file.parent) as (address, asked):
        multiprocessing.spawn(fetch_together, args=(address, file.name, digest, tmp_path / "port"), nprocs=2)
        assert len(asked) == 1


def test_without_weights_a_run_stops_before_it_begins_and_names_the_ways_out(start, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(vgg19, "URL", "http://127.0.0.1:9/vgg19-dcbb9e9d.pth")  # nobody listens
    with pytest.raises(ValueError, match="cannot be downloaded") as refused:
        start(Pix2Pix(lambda_perceptual=10.0), "run")
    said = str(refused.value)
    assert "--perceptual none" in said
    assert "--perceptual PATH" in said
    assert "--perceptual lite0" in said
    assert "\n" not in said
    assert not (tmp_path / "run/run.json").exists()


def test_what_is_no_weights_of_vgg19_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1), "features.0.bias": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth holds no weights of VGG19 .*vgg19-dcbb9e9d\.pth"):
        make_perceptual(str(tmp_path / "other.pth"))
    with pytest.raises(
        ValueError, match=r"--perceptual takes vgg19, lite0, lite1, none or the path .*'vgg16' is none of them"
    ):
        make_perceptual("vgg16")


# --- families ---------------------------------------------------------------------------------------------------------


def test_pix2pix_with_both_losses_as_written_plainly(file):
    family = Pix2Pix(
        lambda_l1=0.0,
        lambda_feature_matching=3.0,
        lambda_perceptual=2.0,
        perceptual=str(file),
        discriminator="multiscale",
        adversarial_loss="lsgan",
    )
    architecture = replace(SMALL, discriminator_scales=2)
    networks = family.build(architecture, in_channels=3, out_channels=3, image_size=16)
    helpers = family.make_helpers()
    (batch,) = batches(1)
    batch = {name: image.float() for name, image in batch.items()}
    for network in networks.values():
        network.train()
    networks["discriminator"].requires_grad_(False)
    terms = family.generator_loss(networks | helpers, batch, Outputs(keep_graph=False, pools={}))
    assert {name: weight for name, (_, weight) in terms.items()} == {
        "adversarial": 1.0, "feature_matching": 3.0, "l1": 0.0, "perceptual": 2.0,
    }  # fmt: skip

    fake = networks["generator"](batch["source"])
    own, wanted = [], []
    for image, kept in ((fake, own), (batch["target"], wanted)):
        x = torch.cat([batch["source"], image], 1)
        for judge in networks["discriminator"].judges:
            y = x
            for layer in judge.layers:
                y = layer(y)
                if isinstance(layer, nn.LeakyReLU):
                    kept.append(y)
            x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
    assert len(own) == 2 * 2
    matching = sum((one - two.detach()).abs().mean() for one, two in zip(own, wanted, strict=True)) / 2
    assert torch.allclose(terms["feature_matching"][0], matching)
    assert torch.allclose(terms["perceptual"][0], helpers["perceptual"](fake, batch["target"]))
    for name, plain in (("feature_matching", matching), ("perceptual", helpers["perceptual"](fake, batch["target"]))):
        weights = list(networks["generator"].parameters())
        ours = torch.autograd.grad(terms[name][0], weights, retain_graph=True)
        theirs = torch.autograd.grad(plain, weights, retain_graph=True)
        assert all(torch.allclose(one, two, atol=1e-6) for one, two in zip(ours, theirs, strict=True)), name


@pytest.mark.parametrize("family", [Pix2Pix, Spade])
def test_features_are_matched_place_by_place_whatever_diff_augment_draws(family):
    family = family(lambda_feature_matching=1.0, diff_augment="color,translation,cutout", discriminator="patch")
    critic, (batch,) = PatchDiscriminator(width=4, layers=1).eval(), batches(1)
    condition, real = batch["source"].float(), batch["target"].float()
    terms = family.judged_terms(critic, real=real, fake=real.clone(), condition=condition)
    assert terms["feature_matching"][0] == 0, "output and target are changed by the same draws"
    assert family.judged_terms(critic, real=real, fake=-real, condition=condition)["feature_matching"][0] > 0


def test_a_run_looks_through_the_file_it_was_given_and_says_so(start, file, capsys):
    family = Pix2Pix(lambda_perceptual=2.0, lambda_feature_matching=1.0, perceptual=str(file))
    folder = start(family, "run", max_steps=2)
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert any(line.get("generator/perceptual", 0) > 0 for line in losses)
    assert any(line.get("generator/feature_matching", 0) > 0 for line in losses)
    assert json.loads((folder / "run.json").read_text())["objective"]["perceptual"] == str(file)
    card = (folder / "README.md").read_text()
    assert "perceptual, weight 2, by VGG19 from tiny.pth" in card
    assert str(file.parent) not in card
    assert json.loads((folder / "training_config.json").read_text())["objective"]["perceptual"] == file.name
    names = {key.split(".")[0] for path in folder.rglob("*.safetensors") for key in load_file(path)}
    assert "extractor" not in names
    assert "features" not in names
    plain = start(Pix2Pix(), "plain", max_steps=1)
    assert "perceptual" not in (plain / "README.md").read_text().split("## How it was trained")[1].split("```")[0]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Pix2Pix(perceptual="lite0"), "--perceptual lite0 does nothing without --lambda_perceptual"),
        (lambda: Pix2Pix(lambda_perceptual=-1.0), "--lambda_perceptual"),
        (
            lambda: Pix2Pix(lambda_perceptual=1.0).build(None, in_channels=3, out_channels=4, image_size=16),
            "pictures of 1 or 3 channels, and these targets have 4",
        ),
    ],
)
def test_what_cannot_work_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_none_leaves_it_out():
    assert Pix2Pix(lambda_perceptual=10.0, perceptual="none").make_helpers() == {}
    assert not Pix2Pix().make_helpers()
    assert not hasattr(CycleGAN(), "perceptual")
