"""python -m img2img_hub convert: an original checkpoint becomes a finished generator, and a generator a checkpoint."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2img_hub import Network, PatchDiscriminator, Translator, UNetGenerator
from img2img_hub.official.file import to_official
from tests.conftest import picture
from tests.conftest import run_command as run
from tests.hub import HubServer, run_client
from tests.originals import assert_same, original_patch, original_resnet, original_unet, save, trained

pytestmark = pytest.mark.usefixtures("here")


def test_convert_writes_a_finished_generator_that_translates_and_goes_back(capsys):
    original = trained(original_unet(6, 4, 3, 3, "batch", True))
    path = save(original.state_dict(), "facades_label2photo.pth")
    assert run(f"convert {path} --output models/facades") == 0
    said = capsys.readouterr().out
    assert "UNetGenerator(in_channels=3, out_channels=3, levels=6, width=4, norm=batch" in said
    assert "recorded as 0.5" in said
    assert sorted(os.listdir("models/facades")) == ["README.md", "config.json", "model.safetensors", "translation.json"]
    card = Path("models/facades/README.md").read_text()
    assert card.startswith("---\n")
    for text in ("# facades", "facades_label2photo.pth", "SHA-256", "pytorch-CycleGAN-and-pix2pix", "recorded as 0.5"):
        assert text in card
    assert "How it was trained" not in card.split("recorded")[0]
    assert "\nTrained with Pix2Pix, as its network suggests (the file does not tell).\n" in card
    assert "64 × 64 pixels and knows" not in card, "an assumption is no fact about the training"
    photo = picture(seed=3, size=(50, 40))
    expected = Translator.from_official(path, device="cpu")(photo)
    assert Translator.from_pretrained("models/facades", device="cpu")(photo).tobytes() == expected.tobytes()
    # and back, by both spellings of the flag
    for number, flag in enumerate(("--to_official", "--to-official")):
        assert run(f"convert models/facades {flag} checkpoints/{number}.pth") == 0
        assert_same(torch.load(f"checkpoints/{number}.pth", weights_only=True), original.state_dict())


def test_convert_overwrites_only_when_asked(capsys):
    first, second = (
        save(trained(original_resnet(blocks, 4, 3, 3, "instance", False)).state_dict(), f"{blocks}.pth")
        for blocks in (1, 2)
    )
    assert run(f"convert {first} --output out") == 0
    before = Path("out/model.safetensors").read_bytes()
    assert run(f"convert {second} --output out") == 2
    assert "out/config.json is there already: add --overwrite" in capsys.readouterr().err
    assert Path("out/model.safetensors").read_bytes() == before
    assert run(f"convert {second} --output out --overwrite --family cyclegan") == 0
    assert "\nTrained with CycleGAN.\n" in Path("out/README.md").read_text(), "said by who converts it"
    assert Network.from_pretrained("out").config["blocks"] == 2
    assert run(f"convert out --to_official {first}") == 2
    assert "1.pth is there already" in capsys.readouterr().err
    assert len(torch.load(first, weights_only=True)) == 16
    assert run(f"convert out --to_official {first} --overwrite") == 0
    assert len(torch.load(first, weights_only=True)) == 20
    assert run(f"convert {second} --output {first}") == 2
    assert "is a file: name a folder" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "content"), [("README.md", "# Mine"), ("config.json", '{"mine": 1}')])
def test_convert_replaces_no_file_of_somebody_elses(capsys, name, content):
    path = save(trained(original_resnet(1, 4, 3, 3, "instance", False)).state_dict(), "net.pth")
    Path("out").mkdir()
    Path("out", name).write_text(content)
    assert run(f"convert {path} --output out --overwrite") == 2
    assert f"out/{name} is no model's of img2img_hub, so that it is not replaced" in capsys.readouterr().err
    assert [(file.name, file.read_text()) for file in Path("out").iterdir()] == [(name, content)]


def test_convert_says_what_it_needs(capsys):
    path = save(trained(original_patch(2, 4, 6, "batch")).state_dict(), "latest_net_D.pth")

    def refused(line):
        assert run(line) == 2
        message = capsys.readouterr().err
        assert message.startswith("img2img_hub: error: ")
        assert message.count("\n") == 1
        return message

    assert "name what to write" in refused(f"convert {path}")
    assert "name what to write" in refused(f"convert {path} --output a --to_official b")
    assert "--push_to_hub is for reading" in refused("convert model --to_official b.pth --push_to_hub a/b")
    assert "not a repo id" in refused(f"convert {path} --output a --push_to_hub a/b/c")
    assert "leave out --push_to_hub" in refused(f"convert {path} --output a --push_to_hub alice/d")
    assert "leave it out" in refused(f"convert {path} --output a --working_size 64")
    with pytest.raises(ValueError, match="name a generator"):
        Translator.from_official(path)
    UNetGenerator(levels=4, width=2).save_pretrained("small")
    assert "small: this U-Net has 4 levels" in refused("convert small --to_official new/small.pth")
    assert "latest_net_D.pth is a file" in refused(f"convert {path} --to_official new/back.pth")
    assert sorted(os.listdir()) == ["latest_net_D.pth", "small"]


def test_a_discriminator_becomes_weights_to_train_on():
    original = trained(original_patch(2, 4, 6, "batch"))
    assert run(f"convert {save(original.state_dict())} --output model/training/discriminator") == 0
    assert sorted(os.listdir("model/training/discriminator")) == ["config.json", "model.safetensors"]
    read = PatchDiscriminator.from_pretrained("model/training/discriminator")
    assert_same(to_official(read), original.state_dict())


def test_a_converted_model_is_pushed_and_found_by_its_id(alice: dict[str, str], hub_server: HubServer, here: Path):
    path = save(trained(original_resnet(1, 4, 3, 3, "instance", False)).state_dict(), "horse2zebra.pth")
    picture(seed=2, size=(24, 20)).save("photo.png")
    code = """
        from img2img_hub.cli import main
        assert main("convert horse2zebra.pth --output zebra --push_to_hub alice/zebra".split()) == 0
        assert main("translate photo.png --model alice/zebra --output out".split()) == 0
        assert main("convert alice/zebra --to_official back.pth".split()) == 0
    """
    done = run_client(code, alice, cwd=here)
    assert f"pushed to {hub_server.url}/alice/zebra" in done.stdout
    card = hub_server.read("alice/zebra", "README.md").decode()
    assert 'from_pretrained("alice/zebra")' in card
    assert "horse2zebra.pth" in card
    assert hub_server.read("alice/zebra", "model.safetensors") == Path("zebra/model.safetensors").read_bytes()
    with Image.open("out/photo.png") as output:
        assert output.tobytes() == Translator.from_official(path, device="cpu")("photo.png").tobytes()
    assert_same(torch.load("back.pth", weights_only=True), torch.load(path, weights_only=True))
    assert set(load_file("zebra/model.safetensors")) == set(Network.from_pretrained("zebra").state_dict())
