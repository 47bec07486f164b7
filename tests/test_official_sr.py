"""Checkpoints of BasicSR, ESRGAN and Real-ESRGAN: every naming computes the same here, and goes back as it was.

python -m pytest tests/test_official_sr.py
"""

import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from img2img_hub import Network, PatchDiscriminator, Translator
from img2img_hub.networks import (
    CompactGenerator,
    ModifiedSRResNetGenerator,
    RRDBGenerator,
    SRResNetGenerator,
    UNetDiscriminator,
)
from img2img_hub.official.convert import convert_official
from img2img_hub.official.file import read_official, save_official, to_official
from img2img_hub.official.layouts import find_layout
from tests.conftest import picture
from tests.conftest import run_command as run
from tests.originals import assert_same, original_patch, original_resnet, original_unet, save, trained

pytestmark = pytest.mark.usefixtures("here")


class Names(OrderedDict):
    """A state dict of random tensors, filled convolution by convolution."""

    def __init__(self, seed=0):
        super().__init__()
        self.draw = torch.Generator().manual_seed(seed)

    def add(self, name, *shape, scale=None):
        scale = scale or (1.5 * torch.tensor(shape[1:]).prod().item() ** -0.5 if len(shape) > 1 else 0.3)
        self[name] = torch.randn(shape, generator=self.draw) * scale

    def conv(self, name, outer, inner, side=3):
        self.add(f"{name}.weight", outer, inner, side, side)
        self.add(f"{name}.bias", outer)


def rrdb(naming, *, blocks=2, width=6, growth=4, read=3, made=3, ups=2, seed=0):
    """As the code of that naming saves it, in its order."""
    state, last = Names(seed), 3 * ups + 4
    new, trunk = naming == "new", naming == "trunk"
    state.conv("model.0" if naming == "numbered" else "conv_first", width, read)
    for block in range(blocks):
        for dense in (1, 2, 3):
            for number in (1, 2, 3, 4, 5):
                name = {
                    "new": f"body.{block}.rdb{dense}.conv{number}",
                    "trunk": f"RRDB_trunk.{block}.RDB{dense}.conv{number}",
                    "numbered": f"model.1.sub.{block}.RDB{dense}.conv{number}.0",
                }[naming]
                state.conv(name, width if number == 5 else growth, width + (number - 1) * growth)
    state.conv("conv_body" if new else "trunk_conv" if trunk else f"model.1.sub.{blocks}", width, width)
    for up in range(1, ups + 1):
        state.conv(f"conv_up{up}" if new else f"upconv{up}" if trunk else f"model.{3 * up}", width, width)
    state.conv("conv_hr" if new else "HRconv" if trunk else f"model.{last - 2}", width, width)
    state.conv("conv_last" if new or trunk else f"model.{last}", made, width)
    return OrderedDict(state)  # of a class that a file may hold


def compact(*, blocks=3, width=6, bands=3, scale=4, seed=0):
    state = Names(seed)
    for number in range(blocks + 1):
        state.conv(f"body.{2 * number}", width, width if number else bands)
        state.add(f"body.{2 * number + 1}.weight", width)
    state.conv(f"body.{2 * blocks + 2}", bands * scale**2, width)
    return OrderedDict(state)


def msrresnet(*, blocks=2, width=6, factors=(2, 2), seed=0):
    state = Names(seed)
    state.conv("conv_first", width, 3)
    for block in range(blocks):
        for number in (1, 2):
            state.conv(f"body.{block}.conv{number}", width, width)
    for number, factor in enumerate(factors, 1):
        state.conv(f"upconv{number}", factor**2 * width, width)
    state.conv("conv_hr", width, width)
    state.conv("conv_last", 3, width)
    return OrderedDict(state)


def unet_judge(*, width=4, bands=3):
    """conv0 and conv9 plain, between them PyTorch's former spectral norm, whose vectors some steps have found."""
    state = Names()
    state.conv("conv0", width, bands)
    sizes = [(2, 1, 4), (4, 2, 4), (8, 4, 4), (4, 8, 3), (2, 4, 3), (1, 2, 3), (1, 1, 3), (1, 1, 3)]
    for number, (outer, inner, side) in enumerate(sizes, 1):
        state.add(f"conv{number}.weight_orig", outer * width, inner * width, side, side)
        matrix = state[f"conv{number}.weight_orig"].flatten(1)
        v = F.normalize(torch.randn(matrix.shape[1], generator=state.draw), dim=0)
        for _ in range(3):
            u = F.normalize(matrix @ v, dim=0)
            v = F.normalize(matrix.T @ u, dim=0)
        state[f"conv{number}.weight_u"], state[f"conv{number}.weight_v"] = u, v
    state.conv("conv9", 1, width)
    return OrderedDict(state)


# --- what they compute, in [0, 1] -------------------------------------------------------------------------------------


def conv(state, name, x, **options):
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **({"padding": 1} | options))


def lrelu(x, slope=0.2):
    return F.leaky_relu(x, slope)


def run_rrdb(state, x, *, blocks=2, ups=2, factor=1):
    """Of the new naming."""
    x = start = conv(state, "conv_first", F.pixel_unshuffle(x, factor))
    for block in range(blocks):
        y = x
        for dense in (1, 2, 3):
            seen = [y]
            for number in (1, 2, 3, 4):
                seen.append(lrelu(conv(state, f"body.{block}.rdb{dense}.conv{number}", torch.cat(seen, 1))))
            y = y + 0.2 * conv(state, f"body.{block}.rdb{dense}.conv5", torch.cat(seen, 1))
        x = x + 0.2 * y
    x = start + conv(state, "conv_body", x)
    for up in range(1, ups + 1):
        x = lrelu(conv(state, f"conv_up{up}", F.interpolate(x, scale_factor=2, mode="nearest")))
    return conv(state, "conv_last", lrelu(conv(state, "conv_hr", x)))


def run_compact(state, x, *, blocks=3, scale=4):
    y = x
    for number in range(blocks + 1):
        y = F.prelu(conv(state, f"body.{2 * number}", y), state[f"body.{2 * number + 1}.weight"])
    y = F.pixel_shuffle(conv(state, f"body.{2 * blocks + 2}", y), scale)
    return y + F.interpolate(x, scale_factor=scale, mode="nearest")


def run_msrresnet(state, x, *, blocks=2, factors=(2, 2)):
    y = lrelu(conv(state, "conv_first", x), 0.1)
    scale = 1
    for block in range(blocks):
        y = y + conv(state, f"body.{block}.conv2", F.relu(conv(state, f"body.{block}.conv1", y)))
    for number, factor in enumerate(factors, 1):
        y, scale = lrelu(F.pixel_shuffle(conv(state, f"upconv{number}", y), factor), 0.1), scale * factor
    y = conv(state, "conv_last", lrelu(conv(state, "conv_hr", y), 0.1))
    return y + F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def run_judge(state, x):
    weights = {"conv0.weight": state["conv0.weight"], "conv9.weight": state["conv9.weight"]}
    for number in range(1, 9):
        weight, u, v = (state[f"conv{number}.weight_{end}"] for end in ("orig", "u", "v"))
        weights[f"conv{number}.weight"] = weight / (u @ weight.flatten(1) @ v)
    weights |= {name: value for name, value in state.items() if name.endswith("bias")}

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    skips = [lrelu(conv(weights, "conv0", x))]
    for number in (1, 2, 3):
        skips.append(lrelu(conv(weights, f"conv{number}", skips[-1], stride=2)))
    x = skips.pop()
    for number in (4, 5, 6):
        x = lrelu(conv(weights, f"conv{number}", up(x))) + skips.pop()
    for number in (7, 8):
        x = lrelu(conv(weights, f"conv{number}", x))
    return conv(weights, "conv9", x)


def renamed(state, like):
    """The same tensors by the names of another naming."""
    assert len(state) == len(like)
    return OrderedDict(zip(like, state.values(), strict=True))


# --- there and back ---------------------------------------------------------------------------------------------------

TINY = {"blocks": 2, "width": 6}
DENSE = {**TINY, "growth": 4}
X2PLUS, X1 = {"read": 12}, {"read": 48}
# name: (state dict of the file, the network it must become, what it computes)
FILES = {
    **{
        f"RRDB x4, {naming}": (rrdb(naming), RRDBGenerator(**DENSE), run_rrdb)
        for naming in ("new", "trunk", "numbered")
    },
    **{
        f"RRDB x2plus, {naming}": (
            rrdb(naming, **X2PLUS),
            RRDBGenerator(**DENSE, scale=2),
            lambda state, x: run_rrdb(state, x, factor=2),
        )
        for naming in ("new", "trunk", "numbered")
    },
    "RRDB x1 of 48": (rrdb("new", **X1), RRDBGenerator(**DENSE, scale=1), lambda s, x: run_rrdb(s, x, factor=4)),
    **{
        f"RRDB x{2**ups}, {ups} doublings, {naming}": (
            rrdb(naming, ups=ups),
            RRDBGenerator(**DENSE, scale=2**ups, unshuffle=ups == 3),
            lambda state, x, ups=ups: run_rrdb(state, x, ups=ups),
        )
        for ups in (0, 1, 3)
        for naming in ("new", "numbered")
    },
    "RRDB of one block, grey": (
        rrdb("new", blocks=1, width=5, growth=3, read=1, made=1),
        RRDBGenerator(in_channels=1, out_channels=1, blocks=1, width=5, growth=3),
        lambda state, x: run_rrdb(state, x, blocks=1),
    ),
    "RRDB of 11 blocks": (
        rrdb("new", blocks=11, width=2, growth=2),
        RRDBGenerator(blocks=11, width=2, growth=2),
        lambda state, x: run_rrdb(state, x, blocks=11),
    ),
    **{
        f"compact x{scale}": (
            compact(scale=scale),
            CompactGenerator(blocks=3, width=6, scale=scale),
            lambda state, x, scale=scale: run_compact(state, x, scale=scale),
        )
        for scale in (1, 2, 3, 4)
    },
    **{
        f"MSRResNet {factors}": (
            msrresnet(factors=factors),
            ModifiedSRResNetGenerator(**TINY, scale=scale),
            lambda state, x, factors=factors: run_msrresnet(state, x, factors=factors),
        )
        for factors, scale in (((2, 2), 4), ((2,), 2), ((3,), 3))
    },
    "U-Net D": (unet_judge(), UNetDiscriminator(width=4), run_judge),
}


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_computes_what_the_original_computed_and_goes_back_as_it_was(name):
    state, ours, plain = FILES[name]
    read = read_official(save(state, "net.pth"))
    assert type(read.network) is type(ours)
    assert read.network.config == ours.config
    assert not read.network.training
    assert read.notes == ()
    image = torch.rand(2, read.network.in_channels, 16, 8)
    known = state
    if isinstance(ours, RRDBGenerator):
        settings = ours.config
        shape = {"blocks": settings["blocks"], "width": settings["width"], "growth": settings["growth"]}
        ups = sum(name.startswith(("conv_up", "upconv")) for name in state) // 2
        if "numbered" in name:
            ups = (max(int(key.split(".")[1]) for key in state) - 4) // 3
        known = renamed(state, rrdb("new", **shape, ups=ups))
    with torch.inference_mode():
        found, expected = read.network(image * 2 - 1), plain(known, image)
    if not isinstance(ours, UNetDiscriminator):  # which gives logits
        found = found * 0.5 + 0.5
    assert expected.std() > 0.01
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))

    # The way back: as BasicSR has it, or, of what that cannot build, as ESRGAN's first code.
    save_official(read.network, "back.pth")
    content = torch.load("back.pth", weights_only=True)
    plain_scale = isinstance(ours, RRDBGenerator) and ours.scale * ours.multiple != 4
    assert list(content) == (list(to_official(read.network)) if plain_scale else ["params"])
    back = content if plain_scale else content["params"]
    naming = "numbered" if plain_scale else "new"
    if isinstance(ours, RRDBGenerator):
        assert_same(back, renamed(state, rrdb(naming, **shape, ups=ups)))
    else:
        assert_same(back, state)
    again = read_official("back.pth").network
    assert again.config == ours.config
    assert_same(again.state_dict(), read.network.state_dict())


@pytest.mark.parametrize(
    ("state", "config", "parameters"),
    [
        (lambda: rrdb("new", blocks=23, width=64, growth=32), {"blocks": 23, "width": 64, "scale": 4}, 16_697_987),
        (lambda: rrdb("trunk", blocks=23, width=64, growth=32), {"blocks": 23, "growth": 32}, 16_697_987),
        (lambda: rrdb("numbered", blocks=23, width=64, growth=32), {"blocks": 23, "scale": 4}, 16_697_987),
        (lambda: rrdb("new", blocks=23, width=64, growth=32, read=12), {"scale": 2, "unshuffle": True}, 16_703_171),
        (lambda: rrdb("new", blocks=6, width=64, growth=32), {"blocks": 6}, 4_467_779),
        (lambda: compact(blocks=32, width=64), {"blocks": 32, "scale": 4}, 1_213_296),
        (lambda: compact(blocks=16, width=64), {"blocks": 16}, 621_424),
        (lambda: msrresnet(blocks=16, width=64), {"blocks": 16, "scale": 4}, 1_517_571),
        (lambda: unet_judge(width=64), {"width": 64, "in_channels": 3}, 4_376_897),
    ],
)
def test_the_published_ones_are_found_by_their_shapes(state, config, parameters):
    state = state()
    vectors = sum(value.numel() for name, value in state.items() if name.endswith(("_u", "_v")))
    assert sum(value.numel() for value in state.values()) - vectors == parameters
    layout = find_layout(state)
    found, notes = layout.arguments(state, dropout=None, norm=None, depth=None, features=None)
    assert config.items() <= found.items()
    assert notes == []


def test_the_running_average_is_taken_before_the_last_step_and_prefixes_are_none_of_the_names():
    average, last = compact(seed=1), compact(seed=2)
    torch.save({"params": last, "params_ema": {f"module.{name}": each for name, each in average.items()}}, "both.pth")
    read = read_official("both.pth")
    assert_same(to_official(read.network), average)
    assert read.notes == ("its params_ema, the running averages of the weights, were taken, and its params left out",)
    torch.save({"params": last, "iter": 3}, "one.pth")
    read = read_official("one.pth")
    assert_same(to_official(read.network), last)
    assert read.notes == ()


# --- the command ------------------------------------------------------------------------------------------------------


def test_convert_makes_a_translator_that_enlarges(capsys):
    state = rrdb("new", read=12)
    torch.save({"params_ema": state}, "RealESRGAN_x2plus.pth")
    assert run("convert RealESRGAN_x2plus.pth --output x2") == 0
    translator = Translator.from_pretrained("x2", device="cpu")
    settings = translator.settings
    assert (settings.family, settings.resize, settings.working_size) == ("esrgan", "native", 128)
    photo = picture(seed=1, size=(40, 26))
    with torch.no_grad():
        seen = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255
        expected = run_rrdb(state, seen, factor=2)[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
    made = translator(photo)
    assert made.size == (80, 52)
    assert np.abs(np.asarray(made).astype(int) - expected).max() <= 1
    assert translator(picture(seed=1, size=(39, 25))).size == (78, 50)
    said = capsys.readouterr().out
    assert "RRDBGenerator(in_channels=3, out_channels=3, scale=2, blocks=2, width=6, growth=4, unshuffle=True)" in said
    assert "taken for esrgan" in said
    assert "128 × 128 assumed" in said
    card = Path("x2/README.md").read_text()
    assert "XPixelGroup/BasicSR" in card
    assert "arXiv:1809.00219" in card
    assert run("convert x2 --to_official back.pth") == 0
    assert_same(torch.load("back.pth", weights_only=True)["params"], state)
    assert Translator.from_official("back.pth", device="cpu")(photo).tobytes() == made.tobytes()


@pytest.mark.parametrize(
    ("state", "family"), [(compact(), "esrgan"), (msrresnet(), "srgan"), (rrdb("numbered", ups=1), "esrgan")]
)
def test_each_becomes_a_model_of_its_family(state, family):
    assert run(f"convert {save(state, 'net.pth')} --output out") == 0
    assert Translator.from_pretrained("out", device="cpu").settings.family == family
    assert run(f"convert {save(state, 'net.pth')} --output out --family srgan --overwrite") == 0
    assert Translator.from_pretrained("out", device="cpu").settings.family == "srgan"
    assert run("convert out --to_official back.pth") == 0
    back = torch.load("back.pth", weights_only=True)
    assert_same(back.get("params", back), state)


def test_a_discriminator_becomes_weights_to_train_on(capsys):
    state = unet_judge()
    torch.save({"params": state}, "netD.pth")
    assert run("convert netD.pth --output model/training/discriminator") == 0
    assert "a UNetDiscriminator translates nothing" in capsys.readouterr().out
    read = UNetDiscriminator.from_pretrained("model/training/discriminator")
    assert_same(to_official(read), state)
    assert run("convert netD.pth --output out --interpolate netD.pth 0.5") == 2
    assert "a UNetDiscriminator, to which interpolate netD.pth 0.5 says nothing" in capsys.readouterr().err


@pytest.mark.parametrize("share", [0, 0.3, 0.5, 1])
def test_weights_are_interpolated(share, capsys):
    one, two = compact(seed=1), compact(seed=2)
    torch.save({"params": one}, "general.pth")
    torch.save({"params": two, "params_ema": two}, "wdn.pth")
    assert run(f"convert general.pth --interpolate wdn.pth {share} --output mixed") == 0
    found = to_official(Network.from_pretrained("mixed"))
    assert list(found) == list(one)
    for name, value in found.items():
        assert torch.allclose(value, (1 - share) * one[name] + share * two[name], atol=1e-6), name
        if share in (0, 1):
            assert torch.equal(value, (one, two)[share][name]), name
    card = Path("mixed/README.md").read_text()
    for path in ("general.pth", "wdn.pth"):
        assert f"`{path}` (SHA-256 `{hashlib.sha256(Path(path).read_bytes()).hexdigest()}`)" in card
    assert f"Each weight is {1 - share:g} of the first one's and {share:g} of the second one's" in card
    assert "are the file's own" not in card
    assert "of wdn.pth: its params_ema" in capsys.readouterr().out
    translator = Translator.from_official("general.pth", interpolate=("wdn.pth", share), device="cpu")
    photo = picture(seed=3, size=(12, 10))
    assert translator(photo).tobytes() == Translator.from_pretrained("mixed", device="cpu")(photo).tobytes()
    assert_same(torch.load("general.pth", weights_only=True)["params"], one)


def test_counters_of_batch_norms_are_the_first_ones():
    states = [trained(original_unet(5, 2, 3, 3, "batch", True)).state_dict() for _ in range(2)]
    for name, value in states[1].items():
        value.fill_(9) if name.endswith("num_batches_tracked") else value.mul_(0.5)
    files = [save(state, f"{number}.pth") for number, state in enumerate(states)]
    mixed = to_official(convert_official(files[0], interpolate=(files[1], 0.5)).network)
    for name, value in mixed.items():
        expected = states[0][name] if value.dtype == torch.int64 else 0.75 * states[0][name]
        assert torch.allclose(value, expected), name


def test_what_cannot_be_interpolated_is_refused_in_one_line(capsys):
    def refused(first, second, share="0.5", more=""):
        assert run(f"convert {first} --interpolate {second} {share} --output out {more}") == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert not Path("out").exists()
        return message

    a = save(compact(), "a.pth")
    b = save(compact(blocks=4), "b.pth")
    c = save(rrdb("new"), "c.pth")
    assert "a.pth has blocks 3, and b.pth has blocks 4: weights are interpolated between networks of the" in refused(
        a, b
    )
    assert "c.pth has architecture RRDBGenerator, and a.pth has architecture CompactGenerator" in refused(c, a)
    assert "none.pth does not exist" in refused(a, "none.pth")
    assert "interpolate must be a number from 0.0 to 1.0, got 1.5" in refused(a, a, "1.5")
    assert "interpolate must be a number from 0.0 to 1.0, got -0.5" in refused(a, a, "-0.5")
    assert "interpolate must be a number from 0.0 to 1.0, got nan" in refused(a, a, "nan")
    refused(a, a, "much")
    assert run(f"convert {a} --output model") == 0
    assert run(f"convert model --to_official back.pth --interpolate {a} 0.5") == 2
    assert "--interpolate is for reading a .pth" in capsys.readouterr().err


def test_weights_under_spectral_norm_are_not_interpolated(capsys):
    from img2img_hub import SpadeGenerator

    save_official(SpadeGenerator(width=2, hidden=4, in_channels=4), "spade.pth")
    says = "--depth normal --edges False --unknown False"
    assert run(f"convert spade.pth --interpolate spade.pth 0.5 --output out {says}") == 2
    assert "divided by spectral norm" in capsys.readouterr().err


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "change", "says"),
    [
        (
            rrdb("new"),
            lambda s: s.pop("body.1.rdb2.conv3.bias"),
            r"1 tensors are missing \(first: body\.1\.rdb2\.conv3",
        ),
        (rrdb("new"), lambda s: s.pop("conv_first.weight"), "RRDBGenerator, but there is no convolution conv_first"),
        (rrdb("trunk"), lambda s: s.pop("HRconv.weight"), r"missing \(first: HRconv\.weight"),
        (rrdb("numbered"), lambda s: s.pop("model.8.bias"), r"missing \(first: model\.8\.bias"),
        (rrdb("numbered"), lambda s: s.pop("model.0.weight"), "there is no convolution model.0.weight"),
        (rrdb("new"), lambda s: s.update({"conv_hr.weight": torch.zeros(1)}), "1 do not fit .first: conv_hr"),
        (rrdb("new", read=12, ups=1), lambda s: None, "puts 2×2 pixels into one and doubles 1 times: those here"),
        (rrdb("new", ups=4), lambda s: None, "scale must be 1, 2, 4 or 8, got 16"),
        (rrdb("new"), lambda s: s.update({"conv_last.weight": torch.zeros(0, 6, 3, 3)}), "out_channels must be"),
        (compact(), lambda s: s.pop("body.1.weight"), r"missing \(first: body\.1\.weight"),
        (compact(), lambda s: s.update({"body.8.weight": torch.zeros(40, 6, 3, 3)}), "body.8.weight is .*40, 6, 3, 3"),
        (compact(), lambda s: s.update({"body.0.weight": torch.zeros(6, 0, 3, 3)}), "but "),
        (
            msrresnet(),
            lambda s: s.update({"upconv3.weight": torch.zeros(24, 6, 3, 3)}),
            "scale must be 2, 3 or 4, got 8",
        ),
        (msrresnet(), lambda s: s.update({"upconv1.weight": torch.zeros(25, 6, 3, 3)}), "upconv1.weight is"),
        (unet_judge(), lambda s: s.pop("conv3.weight_v"), r"missing \(first: conv3\.weight_v"),
        (unet_judge(), lambda s: s.pop("conv0.weight"), "there is no convolution conv0.weight"),
    ],
)
def test_what_does_not_fit_is_refused(state, change, says):
    state = OrderedDict(state)
    change(state)
    with pytest.raises(ValueError, match=says) as refusal:
        read_official(save(state, "net.pth"))
    assert str(refusal.value).startswith("net.pth: it looks like")
    assert "\n" not in str(refusal.value)


def test_wishes_that_say_nothing_are_refused():
    path = save(compact(), "net.pth")
    for wish, says in (
        ({"norm": "none"}, "has no norm"),
        ({"dropout": 0.5}, "has no dropout"),
        ({"depth": "more"}, "depth"),
    ):
        with pytest.raises(ValueError, match=f"CompactGenerator, .*{says}"):
            read_official(path, **wish)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"params": {}}, "holds no named tensors"),
        ({"params": {"conv_first.weight": 3}}, "holds 'conv_first.weight', a int"),
        ({"params": [torch.zeros(1)]}, "holds 'params', a list"),
        ({"params_ema": {"conv_first.weight": torch.zeros(2, 3, 3, 3)}}, "no layout of the original code"),
    ],
)
def test_other_content_is_refused(content, says):
    torch.save(content, "net.pth")
    with pytest.raises(ValueError, match=says):
        read_official("net.pth")


def test_what_has_no_published_layout_is_not_written_and_others_are_as_ever():
    with pytest.raises(ValueError, match="a SRResNetGenerator has no place in the original code"):
        to_official(SRResNetGenerator(width=2, blocks=1))
    network = PatchDiscriminator(in_channels=3, width=2, norm="instance")
    save_official(network, "D.pth")
    assert list(torch.load("D.pth", weights_only=True)) == list(original_patch(3, 2, 3, "instance").state_dict())
    resnet = trained(original_resnet(1, 4, 3, 3, "instance", False)).state_dict()
    assert type(read_official(save(resnet)).network).__name__ == "ResNetGenerator"
