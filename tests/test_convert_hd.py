"""convert: pix2pixHD's and SPADE's checkpoints become translators of label maps, once it is said what no file shows.

python -m pytest tests/test_convert_hd.py
"""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import Network, Translator
from img2img_hub.networks.style_encoder import STYLE_ENCODER
from tests.conftest import picture
from tests.conftest import run_command as run
from tests.originals import assert_same, save
from tests.originals_hd import (
    OriginalHD,
    OriginalHDScales,
    OriginalSpadeGenerator,
    OriginalStyleEncoder,
    original_hd_encoder,
)
from tests.test_official_hd import trained

pytestmark = pytest.mark.usefixtures("here")

SPADE = partial(OriginalSpadeGenerator, 2, made=3, norm="batch", depth="normal")


def label_map(numbers: np.ndarray, name: str) -> str:
    Image.fromarray(numbers).save(name)
    return name


def test_spade_of_classes_alone_reads_them_as_they_are(capsys):
    """As ADE20K's released model: 0 is channel 0, and what it calls 150 is the last channel."""
    original = trained(SPADE(bands=151))
    path = save(original.state_dict())
    assert run(f"convert {path} --output ade --depth normal --edges False --unknown False") == 0
    translator = Translator.from_pretrained("ade", device="cpu")
    assert translator.settings.family == "spade"
    assert translator.settings.norm_statistics == "running"
    assert (translator.settings.working_size, translator.settings.resize) == (256, "fit")
    (slot,) = translator.settings.inputs
    assert (slot.kind, slot.classes, slot.unknown_channel) == ("labels", 151, False)
    numbers = np.random.default_rng(0).choice([0, 1, 77, 150], (8, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    made = translator(label_map(numbers, "map.png"), resize="native")
    with torch.no_grad():
        map = torch.nn.functional.one_hot(torch.from_numpy(numbers.astype(np.int64)), 151).permute(2, 0, 1)[None]
        expected = original(map.float())[0]
    assert np.abs(np.asarray(made).astype(int) - ((expected + 1) * 127.5).permute(1, 2, 0).numpy()).max() <= 1
    said = capsys.readouterr().out
    assert "SpadeGenerator(in_channels=151, out_channels=3, width=2, hidden=8, depth=normal" in said
    card = Path("ade/README.md").read_text()
    assert "for non-commercial use alone" in card
    assert "\nlicense: cc-by-nc-sa-4.0\n" in card
    assert "https://github.com/NVlabs/SPADE" in card
    assert "running averages of training" in card
    assert run("convert ade --to_official back.pth") == 0
    assert_same(torch.load("back.pth", weights_only=True), original.state_dict())


def test_unknown_pixels_and_borders_of_instances_have_their_channels():
    """As COCO-Stuff's released model: 255 is of no class, and borders are behind it."""
    original = trained(SPADE(bands=5))
    says = {"depth": "normal", "edges": True, "unknown": True}
    translator = Translator.from_official(save(original.state_dict()), device="cpu", **says)
    assert [slot.describe() for slot in translator.settings.inputs] == [
        "label (3 classes and unknown)",
        "instance (instances)",
    ]
    numbers = np.zeros((64, 64), np.uint8)
    numbers[:32, :20], numbers[32:, :20], numbers[:, 50:] = 1, 2, 255
    things = (numbers.astype(np.uint16) + 33000) * (numbers > 0)
    seen = torch.zeros(1, 5, 64, 64)
    for channel, number in enumerate((0, 1, 2, 255)):
        seen[0, channel] = torch.from_numpy(numbers == number)
    edge = np.zeros((64, 64), bool)
    for axis in (0, 1):
        differs = np.diff(things.astype(int), axis=axis) != 0
        edge |= np.insert(differs, 63, False, axis=axis) | np.insert(differs, 0, False, axis=axis)
    seen[0, 4] = torch.from_numpy(edge)
    images = {"label": label_map(numbers, "label.png"), "instance": label_map(things, "instance.png")}
    with torch.no_grad():
        expected = ((original(seen)[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    made = np.asarray(translator(images, resize="native")).astype(int)
    assert np.abs(made - expected).max() <= 1


def test_a_style_encoder_beside_it_reads_photos():
    path = save(trained(SPADE(bands=3, latent=4, side=8)).state_dict(), "G.pth")
    assert run(f"convert {path} --output model --depth normal --edges False --unknown False") == 0
    assert "converted into training/" in Path("model/README.md").read_text()
    encoder = save(trained(OriginalStyleEncoder(2, 3, 4)).state_dict(), "E.pth")
    assert run(f"convert {encoder} --output model/training/{STYLE_ENCODER}") == 0
    translator = Translator.from_pretrained("model", device="cpu")
    numbers = np.zeros((64, 64), np.uint8)
    numbers[:, 30:] = 2
    plain, styled = (
        translator(label_map(numbers, "map.png"), style=style) for style in (None, picture(seed=4, size=(64, 64)))
    )
    assert np.asarray(plain).std() > 1
    assert (np.asarray(plain) != np.asarray(styled)).any()


def test_pix2pixhd_reads_pictures_or_classes(capsys):
    original = trained(OriginalHD(2, 3, 3, "instance", 0, 1, 3))
    assert run(f"convert {save(original.state_dict())} --output pictures") == 0
    translator = Translator.from_pretrained("pictures", device="cpu")
    settings = translator.settings
    assert (settings.family, settings.inputs, settings.working_size) == ("pix2pixhd", (), 512)
    photo = picture(seed=1, size=(64, 32))
    with torch.no_grad():
        seen = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 127.5 - 1
        expected = ((original(seen)[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(translator(photo)).astype(int) - expected).max() <= 1
    card = Path("pictures/README.md").read_text()
    assert "https://github.com/NVIDIA/pix2pixHD" in card
    assert "non-commercial" not in card
    path = save(trained(OriginalHD(2, 36, 3, "instance", 1, 1, 3)).state_dict())
    assert run(f"convert {path} --output streets --edges True") == 0
    settings = Translator.from_pretrained("streets", device="cpu").settings
    assert [slot.describe() for slot in settings.inputs] == ["label (35 classes)", "instance (instances)"]
    assert (settings.working_size, settings.norm_statistics) == (1024, "image")
    assert run(f"convert {path} --output seen --edges True --features 3") == 0
    assert Network.from_pretrained("seen").config["feature_channels"] == 3
    assert Translator.from_pretrained("seen", device="cpu").settings.inputs[0].classes == 32


def test_what_no_file_shows_is_asked(capsys):
    def refused(line):
        assert run(line) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    hd = save(trained(OriginalHD(2, 36, 3, "instance", 0, 1, 3)).state_dict(), "hd.pth")
    spade = save(trained(SPADE(bands=36)).state_dict(), "spade.pth")
    judge = save(trained(OriginalHDScales(2, 3, 4, 6, "instance")).state_dict(), "D.pth")
    encoder = save(trained(original_hd_encoder(2, 3, 3, "instance")).state_dict(), "E.pth")
    said = refused(f"convert {hd} --output out")
    assert "hd.pth: its source has 36 channels, and the file does not show what they are: say --edges True or" in said
    assert "--unknown" not in said
    assert "--depth normal (5 times" in refused(f"convert {spade} --output out --edges True --unknown False")
    assert "say --edges True or False" in refused(f"convert {spade} --output out --depth more")
    assert "and --unknown True or False" in refused(f"convert {spade} --output out --depth more --edges True")
    assert "pix2pixHD has no channel of pixels" in refused(f"convert {hd} --output out --edges True --unknown True")
    assert "edges True says nothing" in refused(f"convert {judge} --output out --edges True").replace("to which ", "")
    unet = trained(OriginalHD(2, 2, 3, "instance", 0, 1, 3)).state_dict()
    assert "say --edges" in refused(f"convert {save(unet, 'two.pth')} --output out")
    one = trained(SPADE(bands=2)).state_dict()
    assert "leave no class" in refused(
        f"convert {save(one, 'one.pth')} --output out --depth more --edges True --unknown True"
    )
    assert not os.path.exists("out")
    for path in (judge, encoder):
        assert run(f"convert {path} --output {path.stem}") == 0
        assert sorted(os.listdir(path.stem)) == ["config.json", "model.safetensors"]
    assert "an InstanceEncoder translates nothing: it stands in training/" in capsys.readouterr().out
