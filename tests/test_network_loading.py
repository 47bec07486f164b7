"""Saving and loading networks by folder: equal in both directions, and what is no such folder is refused in words.

python -m pytest tests/test_network_loading.py
"""

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from img2img_hub import Network, PatchDiscriminator, PixelDiscriminator, ResNetGenerator, UNetGenerator

NETWORKS: list[Callable[[], Network]] = [
    lambda: UNetGenerator(levels=4, width=4, noise_channels=1, norm="instance", upsample="resize"),
    lambda: UNetGenerator(in_channels=1, out_channels=2, levels=4, width=4, dropout=0.25),
    lambda: UNetGenerator(levels=4, width=4, upsample="bilinear", refine_channels=3),
    lambda: ResNetGenerator(width=4, blocks=1, norm="batch", dropout=0.5),
    lambda: PatchDiscriminator(width=4, layers=1),
    lambda: PixelDiscriminator(in_channels=3, width=4, norm="none"),
]


def unet(**options: Any) -> UNetGenerator:
    return UNetGenerator(**{"levels": 4, "width": 4, **options})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    unet().save_pretrained(tmp_path)
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of config.json; None takes one out."""
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def refusal(folder: Path, cls: type[Network] = Network) -> str:
    """The message of the ValueError, which is one line that names the folder."""
    with pytest.raises(ValueError, match=re.escape(str(folder))) as caught:
        cls.from_pretrained(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("make", NETWORKS)
def test_what_is_saved_is_loaded(make: Callable[[], Network], tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = make().train()
    network(torch.rand(2, network.in_channels, 32, 32))  # moves running averages, where there are some
    network.save_pretrained(tmp_path)
    for cls in (Network, type(network)):
        loaded = cls.from_pretrained(tmp_path)
        assert type(loaded) is type(network)
        assert loaded.config == network.config
        assert not loaded.training
        states = network.state_dict(), loaded.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
        assert all(parameter.requires_grad for parameter in loaded.parameters())
    source = torch.rand(1, network.in_channels, 32, 32)
    assert torch.equal(network.eval()(source), loaded(source))


def test_files_are_config_and_safetensors_that_others_can_read(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "UNetGenerator"
    assert config["format_version"] == 1
    assert {key: config[key] for key in ("levels", "width", "norm", "dropout")} == {
        "levels": 4,
        "width": 4,
        "norm": "batch",
        "dropout": 0.5,
    }
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        assert weights.metadata() == {"format": "pt"}


@pytest.mark.skipif(os.name == "nt", reason="no such modes")
def test_others_can_read_the_files_as_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        unet().save_weights(tmp_path)
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {
        "config.json": "0o640",
        "model.safetensors": "0o640",
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_halved_on_disk_and_float32_again_when_loaded(dtype: str, tmp_path: Path) -> None:
    network = unet()
    network.save_weights(tmp_path, dtype=dtype)
    saved = load_file(tmp_path / "model.safetensors")
    assert {str(value.dtype) for value in saved.values() if value.is_floating_point()} == {f"torch.{dtype}"}
    loaded = Network.from_pretrained(tmp_path).state_dict()
    copy = network.copy_as_saved(dtype=dtype).state_dict()
    for name, value in network.state_dict().items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value.to(saved[name].dtype).to(value.dtype))
        assert torch.equal(copy[name], loaded[name])
    with pytest.raises(ValueError, match="float32, float16, bfloat16, got 'int8'"):
        network.save_weights(tmp_path, dtype="int8")


def test_saving_again_keeps_a_card_that_people_wrote(folder: Path) -> None:
    (folder / "README.md").write_text("# Mine\n")
    unet().save_pretrained(folder)
    assert (folder / "README.md").read_text() == "# Mine\n"


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_no_model(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"has no {name}, so it is no model folder of img2img_hub" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "config.json is not JSON"),
        ("{'a': 1}", "config.json is not JSON"),
        ("[" * 100_000, "config.json is not JSON"),
        ('{"a": 1', "config.json is not JSON"),
        ("[1]", "was not written by img2img_hub"),
        ('{"model_type": "bert", "hidden_size": 768}', "was not written by img2img_hub"),
        ('{"architecture": "UNetGenerator", "width": 4}', "was not written by img2img_hub"),
    ],
)
def test_a_config_of_something_else_is_refused(folder: Path, content: str, says: str) -> None:
    (folder / "config.json").write_text(content)
    assert says in refusal(folder)


def test_a_config_in_another_encoding_is_refused(folder: Path) -> None:
    (folder / "config.json").write_bytes('{"é": 1}'.encode("latin-1"))
    assert "config.json is not JSON" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format_version": 2}, "format_version 2, this version reads 1: update img2img_hub"),
        ({"format_version": "1"}, "format_version '1', this version reads 1"),
        ({"architecture": "StyleGAN"}, "'StyleGAN'; this version knows CoarseToFineGenerator, "),
        ({"architecture": ["UNetGenerator"]}, "names the architecture ['UNetGenerator']"),
        ({"architecture": "Network"}, "names the architecture 'Network'"),
        ({"width": None}, "lacks width of a UNetGenerator"),
        ({"width": None, "norm": None}, "lacks norm, width of a UNetGenerator"),
        ({"depth": 3}, "has depth, which a UNetGenerator of this version does not know. Update img2img_hub"),
        ({"width": 1_000_000}, "width must be a whole number from 1 to 512, got 1000000"),
        ({"width": "4"}, "width must be a whole number"),
        ({"width": 4.0}, "width must be a whole number"),
        ({"width": True}, "width must be a whole number"),
        ({"width": [4]}, "width must be a whole number"),
        ({"width": 10**300}, "width must be a whole number"),
        ({"levels": -1}, "levels"),
        ({"levels": 10**6}, "levels"),
        ({"in_channels": 10**9}, "in_channels"),
        ({"out_channels": 0}, "out_channels"),
        ({"noise_channels": 10**9}, "noise_channels"),
        ({"dropout": float("nan")}, "dropout"),
        ({"dropout": "0.5"}, "dropout"),
        ({"norm": "group"}, "'batch', 'instance' or 'none', got 'group'"),
        ({"norm": ["batch"]}, "norm"),
        ({"norm": {}}, "norm"),
        ({"encoder": ["lite0"]}, "encoder must be a number or a text, true or false, got ['lite0']"),
        ({"upsample": "cubic"}, "'transpose', 'resize' or 'bilinear'"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(folder: Path, changes: dict[str, Any], says: str) -> None:
    edit(folder, **changes)
    assert says in refusal(folder)


def test_a_network_too_large_for_memory_is_refused_before_memory_is_taken(folder: Path) -> None:
    """Every value within its limits, and together 10 billion parameters."""
    ResNetGenerator(width=4, blocks=1).save_pretrained(folder)
    edit(folder, width=512, blocks=64)
    assert "parameters; more than 2,000,000,000 are refused" in refusal(folder)


def test_a_network_of_another_class_is_refused(folder: Path) -> None:
    says = refusal(folder, ResNetGenerator)
    assert "holds a UNetGenerator, not a ResNetGenerator: load it with UNetGenerator.from_pretrained" in says


def save(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("downs.0.0.weight"), "1 tensors are missing (first: downs.0.0.weight)"),
        (lambda state: state.clear(), "tensors are missing (first: downs.0.0.weight)"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 are not of this network (first: extra)"),
        (
            lambda state: state.update({"downs.0.0.weight": torch.zeros(8, 3, 4, 4)}),
            "1 have another shape (first: downs.0.0.weight is (8, 3, 4, 4), config.json asks (4, 3, 4, 4))",
        ),
        (
            lambda state: state.update({"downs.0.0.weight": torch.zeros(4, 3, 4, 4, dtype=torch.int8)}),
            "downs.0.0.weight is of type torch.int8",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder: Path, change: Callable[..., object], says: str) -> None:
    save(folder, change)
    message = refusal(folder)
    assert "model.safetensors does not fit config.json" in message
    assert says in message


def test_weights_of_another_config_are_refused(folder: Path) -> None:
    edit(folder, width=8)
    assert "have another shape" in refusal(folder)
    edit(folder, width=4, levels=3)
    assert "are not of this network" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_weights_cut_short_are_refused(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert "model.safetensors is no readable safetensors file" in refusal(folder)
    assert "get it anew" in refusal(folder)


class _Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was opened')",)


def test_a_pickle_is_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Trap()))
    assert "is no readable safetensors file" in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap()))
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors" in refusal(folder)


@pytest.mark.parametrize("where", ["./nothing", "/no/such", "~/none", "a/b/c", "", " "])
def test_what_is_neither_a_folder_nor_an_id_is_refused_without_asking_the_hub(where: str) -> None:
    with pytest.raises(ValueError, match=r"there is no folder .*; give a model folder or a Hub id such as user/model"):
        Network.from_pretrained(where)
