"""What is no checkpoint of the original code, or cannot become one, is refused in words; no code in it is run."""

import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch

from img2img_hub import (
    CoarseToFineGenerator,
    MultiScaleDiscriminator,
    PatchDiscriminator,
    ResNetGenerator,
    Translator,
    UNetGenerator,
)
from img2img_hub.cli import main
from img2img_hub.official.file import read_official, save_official, to_official
from tests.conftest import picture
from tests.originals import original_patch, original_pixel, original_resnet, original_unet, save, trained


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Malicious:
    """Unpickled by a careless program, makes a file."""

    def __reduce__(self):
        return os.mkdir, ("the-code-ran",)


@pytest.mark.parametrize("kind", ["zip", "old", "bare pickle", "in a checkpoint"])
def test_code_in_a_pickle_is_refused_and_not_run(kind, capsys):
    state = trained(original_pixel(4, 3, "instance")).state_dict()
    content = {"zip": {**state, "extra": Malicious()}, "old": Malicious(), "in a checkpoint": [state, Malicious()]}
    if kind == "bare pickle":
        Path("evil.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    else:
        torch.save(content[kind], "evil.pth", _use_new_zipfile_serialization=kind != "old")
    for read in (read_official, Translator.from_official):
        with pytest.raises(ValueError, match=r"^evil\.pth (holds more than tensors .*code|cannot be read)") as refusal:
            read("evil.pth")
        assert "weights_only" not in str(refusal.value), "how to run the code all the same is no advice"
    assert main(["convert", "evil.pth", "--output", "out"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("the-code-ran").exists()
    assert not Path("out").exists()
    if kind != "bare pickle":  # the file works: it would have run
        torch.load("evil.pth", weights_only=False)
        assert Path("the-code-ran").exists()


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(share, old_format):
    path = save(trained(original_pixel(64, 3, "batch")).state_dict(), _use_new_zipfile_serialization=not old_format)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"^latest_net_G\.pth cannot be read as tensors .*damaged, cut short"):
        read_official(path)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_other_files_are_refused_with_what_they_are():
    def refused(path, **options):
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}") as refusal:
            read_official(path, **options)
        return str(refusal.value)

    Path("text.pth").write_text("no checkpoint")
    assert "no PyTorch checkpoint" in refused("text.pth")
    picture(seed=0, size=(8, 8)).save("image.png")
    assert "no PyTorch checkpoint" in refused("image.png")
    assert "does not exist" in refused("missing.pth")
    Path("folder").mkdir()
    assert "is a folder" in refused("folder")
    torch.save(torch.zeros(3), "tensor.pth")
    assert "a Tensor" in refused("tensor.pth")
    torch.save({}, "empty.pth")
    assert "no named tensors" in refused("empty.pth")
    torch.save({"epoch": 3, "state_dict": {}}, "lightning.pth")
    assert "'epoch', a int, so it is no checkpoint as the original code saves it" in refused("lightning.pth")
    torch.save({1: torch.zeros(2)}, "number.pth")
    assert "holds 1, a Tensor" in refused("number.pth")
    torch.save({"encoder.0.weight": torch.zeros(4, 3, 3, 3)}, "other.pth")
    torch.save({"model.1.weight": torch.zeros(4, 3, 7, 7, device="meta")}, "meta.pth")
    assert "holds 'model.1.weight' without its values" in refused("meta.pth")
    torch.save({"model.1.weight": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])}, "nested.pth")
    assert "no checkpoint as the original code saves it" in refused("nested.pth")
    torch.save({"module.model.1.weight": torch.zeros(4, 3, 7, 7), "model.1.weight": torch.ones(4, 3, 7, 7)}, "two.pth")
    assert "two tensors have one name without their prefixes ('model.1.weight')" in refused("two.pth")
    message = refused("other.pth")
    assert "found 1 tensors (encoder.0.weight (4, 3, 3, 3)" in message
    assert "model.1.weight of 7×7 (ResNetGenerator)" in message


def test_a_compressed_checkpoint_is_refused():
    path = save(trained(original_pixel(4, 3, "batch")).state_dict())
    with zipfile.ZipFile(path) as old, zipfile.ZipFile("bomb.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match=r"^bomb\.pth is compressed"):
        read_official("bomb.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("model.11.conv_block.1.bias"),
            r"1 tensors are missing \(first: model\.11\.conv_block\.1\.bias",
        ),
        (lambda state: state.update({"model.99.weight": torch.zeros(1, 1, 1, 1)}), r"not its own .*model\.99\.weight"),
        (
            lambda state: state.update({"model.4.bias": torch.zeros(9)}),
            r"model\.4\.bias is torch\.float32 \(9,\), expe",
        ),
        (
            lambda state: state.update({"model.4.bias": torch.zeros(8, dtype=torch.int64)}),
            r"is torch\.int64 \(8,\), exp",
        ),
        (lambda state: state.update({"model.4.bias": torch.zeros(8, dtype=torch.complex64)}), r"is torch\.complex64"),
        (lambda state: state.update({"model.4.weight": torch.zeros(())}), r"model\.4\.weight is torch\.float32 \(\)"),
        (lambda state: state.pop("model.19.weight"), r"ResNetGenerator, but there is no convolution model\.19\.weight"),
        (
            lambda state: state.update({"model.1.weight": torch.zeros(1, 1, 1, 1).expand(9999, 3, 7, 7)}),
            r"width must be a whole number from 1 to 512, got 9999",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(change, message):
    state = trained(original_resnet(2, 4, 3, 3, "instance", False)).state_dict()
    change(state)
    with pytest.raises(ValueError, match=message) as refusal:
        read_official(save(state))
    assert str(refusal.value).startswith("latest_net_G.pth: it looks like")


@pytest.mark.parametrize(
    ("original", "options", "message"),
    [
        (lambda: original_unet(5, 4, 3, 3, "batch", True), {"norm": "instance"}, "weights of batch norms"),
        (lambda: original_unet(5, 4, 3, 3, "instance", True), {"norm": "batch"}, "no weights of norms"),
        (lambda: original_unet(5, 4, 3, 3, "instance", True), {"norm": "group"}, "norm must be"),
        (lambda: original_unet(5, 4, 3, 3, "instance", True), {"dropout": 2.0}, "dropout must be"),
        (lambda: original_resnet(1, 4, 3, 3, "batch", True), {"dropout": 0.0}, "has dropout"),
        (lambda: original_resnet(1, 4, 3, 3, "batch", False), {"dropout": 0.5}, "has no dropout"),
        (lambda: original_patch(1, 4, 3, "batch"), {"dropout": 0.5}, "PatchDiscriminator, which has no dropout"),
    ],
)
def test_a_wish_that_contradicts_the_file_is_refused(original, options, message):
    with pytest.raises(ValueError, match=message):
        read_official(save(original().state_dict()), **options)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: UNetGenerator(levels=5, width=2, upsample="resize"), "upsample 'resize', .* knows 'transpose' only"),
        (lambda: UNetGenerator(levels=5, width=2, noise_channels=1), "noise_channels 1"),
        (lambda: UNetGenerator(levels=5, width=2, refine_channels=2), "refine_channels 2"),
        (lambda: UNetGenerator(levels=4, width=2), "4 levels"),
        (lambda: ResNetGenerator(blocks=1, width=8, self_attention=True), "self_attention True"),
        (lambda: PatchDiscriminator(width=2, spectral_norm=True), "spectral_norm True"),
        (lambda: CoarseToFineGenerator(width=2, upsample="resize"), "upsample 'resize', .* knows 'transpose' only"),
        (lambda: MultiScaleDiscriminator(width=2), "a MultiScaleDiscriminator has no place"),
    ],
)
def test_what_the_original_cannot_build_is_not_written(network, message):
    with pytest.raises(ValueError, match=message):
        save_official(network(), "out.pth")
    assert os.listdir() == []


def test_biases_without_a_norm_are_not_written():
    network = ResNetGenerator(blocks=1, width=2, norm="none")
    to_official(network)  # they are 0 as yet
    network.layers[1].bias.data.fill_(0.1)
    with pytest.raises(ValueError, match="no biases without a norm"):
        to_official(network)
