"""translation.json: what is written is what is read, and nothing doubtful passes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.translation.settings import TranslationSettings
from tests.hub import HubServer, run_client

UNUSUAL = TranslationSettings(
    family="cyclegan",
    source_channels=1,
    target_channels=3,
    norm_statistics="running",
    working_size=512,
    resize="fit",
    reverse="alice/winter2summer",
)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    UNUSUAL.save(tmp_path / "new" / "folder")
    assert TranslationSettings.load(tmp_path / "new" / "folder") == UNUSUAL
    assert json.loads((tmp_path / "new" / "folder" / "translation.json").read_text()) == {
        "format_version": 2,
        "family": "cyclegan",
        "source_channels": 1,
        "target_channels": 3,
        "inputs": [],
        "source_values": None,
        "target_values": None,
        "norm_statistics": "running",
        "working_size": 512,
        "resize": "fit",
        "reverse": "alice/winter2summer",
    }


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", 3, "format_version is 3, this version reads 2"),
        ("format_version", True, "format_version is True"),
        ("inputs", {"name": "rgb"}, "inputs must be a list of at most 100 objects"),
        ("inputs", [{"name": "rgb"}], "inputs: an object with name, kind, bands, dtype, classes was expected"),
        ("inputs", [{"name": "rgb", "bands": 0, "dtype": "uint8"}], "inputs: bands must be a whole number from 1"),
        ("inputs", [{"name": "", "bands": 3, "dtype": "uint8"}], "inputs: name must be a short text"),
        ("inputs", [{"name": "\ud800", "bands": 3, "dtype": "uint8"}], "inputs: name must be a short text"),
        ("inputs", [{"name": "a\n\x1b[2J", "bands": 3, "dtype": "uint8"}], "inputs: name must be a short text"),
        ("inputs", [{"name": "rgb", "bands": 3, "dtype": "str"}], "inputs: dtype must be one of"),
        ("inputs", [{"name": "rgb", "bands": 3, "dtype": "uint8"}], "inputs have 3 channels in all"),
        ("family", 3, "family must be a short text"),
        ("value_min", -1, "value_min and value_max must be 0 and 255"),
        ("value_max", 65535, "value_min and value_max must be 0 and 255"),
        ("value_max", [255], "value_min and value_max must be 0 and 255"),
        ("source_channels", 4, "source_channels must be a whole number, 1 or 3, got 4"),
        ("target_channels", "3", "target_channels must be a whole number, 1 or 3, got '3'"),
        ("source_channels", True, "source_channels must be a whole number, 1 or 3, got True"),
        ("norm_statistics", "batch", "norm_statistics must be 'image' or 'running', got 'batch'"),
        ("norm_statistics", ["image"], "norm_statistics must be"),
        ("working_size", 0, "working_size must be a whole number, from 1 to 8192, got 0"),
        ("working_size", 1_000_000, "working_size must be a whole number, from 1 to 8192, got 1000000"),
        ("working_size", 256.0, "working_size must be a whole number"),
        ("working_size", None, "working_size must be a whole number"),
        ("resize", "crop", "resize must be 'native' or 'fit', got 'crop'"),
        ("reverse", 7, "reverse must be null, a Hub id or a folder's name, got 7"),
        ("reverse", "", "reverse must be null"),
        ("colour", "blue", "unknown key colour; this version knows crop, family, format_version"),
    ],
)
def test_a_bad_value_is_refused_by_its_key(tmp_path: Path, key: str, value: object, message: str) -> None:
    (tmp_path / "translation.json").write_text(json.dumps({**UNUSUAL.to_dict(), key: value}))
    with pytest.raises(ValueError, match=message) as error:
        TranslationSettings.load(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: translation.json: ")


def test_several_inputs_are_kept_and_have_to_be_several(tmp_path: Path) -> None:
    rgb, depth = Slot(name="rgb", bands=3), Slot(name="depth", bands=1, dtype="uint16")
    values = BandValues(dtype="uint16", low=(0, 0, 0, 500), high=(255, 255, 255, 4000))
    settings = TranslationSettings(source_channels=4, inputs=(rgb, depth), source_values=values)
    settings.save(tmp_path)
    assert TranslationSettings.load(tmp_path) == settings
    assert json.loads((tmp_path / "translation.json").read_text())["inputs"][1] == {
        "name": "depth",
        "kind": "raster",
        "bands": 1,
        "dtype": "uint16",
        "classes": 0,
    }
    named = {"format_version": 2, "source_channels": 4, "source_values": settings.to_dict()["source_values"]}
    first = [{"name": "rgb", "bands": 3, "dtype": "uint8"}, {"name": "depth", "bands": 1, "dtype": "uint16"}]
    assert TranslationSettings.from_dict(named | {"inputs": first}) == settings, "kinds are told by bands and type"
    with pytest.raises(ValueError, match="inputs must be of different names"):
        replace(settings, inputs=(rgb, replace(depth, name="rgb")))
    with pytest.raises(ValueError, match="inputs has a target"):
        replace(settings, inputs=(rgb, replace(depth, name="target")))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": (0, 4)}, r"inputs have other classes than source_values, which are \[0, 4\]"),
        ({"dtype": "float32"}, "inputs are of other types than source_values, which are float32"),
    ],
)
def test_inputs_are_what_their_values_are(change: dict[str, Any], says: str) -> None:
    slots = (Slot(name="map", kind="labels", bands=1, classes=4), Slot(name="holes", kind="mask", bands=1))
    values = BandValues(dtype="uint8", low=(0, -255), high=(255, 255), classes=(4, 0))
    settings = TranslationSettings(source_channels=5, inputs=slots, source_values=values)
    assert TranslationSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(ValueError, match=says):
        replace(settings, source_values=replace(values, **change))
    with pytest.raises(ValueError, match="inputs have other classes"):
        replace(settings, inputs=())


def test_the_first_format_is_read_for_ever(tmp_path: Path) -> None:
    first = {key: value for key, value in UNUSUAL.to_dict().items() if key != "inputs"} | {"format_version": 1}
    (tmp_path / "translation.json").write_text(json.dumps(first))
    assert TranslationSettings.load(tmp_path) == UNUSUAL


@pytest.mark.parametrize("content", [b"{", b"[1]", b"null", b"\xff\xfe"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "translation.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"translation\.json: ") as error:
        TranslationSettings.load(tmp_path)
    assert type(error.value) is ValueError


def test_a_key_left_out_takes_its_default(tmp_path: Path) -> None:
    (tmp_path / "translation.json").write_text('{"working_size": 64}')
    assert TranslationSettings.load(tmp_path) == TranslationSettings(working_size=64)


def test_a_folder_without_the_file_warns_and_takes_the_defaults(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"has no translation.json: taking the defaults \('image'.*256\)"):
        assert TranslationSettings.load(tmp_path) == TranslationSettings()
    with pytest.warns(UserWarning, match="working size 512"):
        assert TranslationSettings.load(tmp_path, defaults=UNUSUAL) == UNUSUAL


# --- on the Hub -------------------------------------------------------------------------------------------------------

PUSH = """
    from pathlib import Path
    from huggingface_hub import HfApi
    api = HfApi()
    api.create_repo("alice/bare", exist_ok=True)
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="alice/bare")
"""
LOAD = """
    import warnings
    from img2img_hub.translation.settings import TranslationSettings
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(TranslationSettings.load("alice/bare"), [str(warning.message) for warning in caught])
    except Exception as error:
        print(type(error).__name__)
"""


def test_a_repo_without_the_file_warns_but_a_hub_that_fails_does_not_pass_for_one(
    alice: dict[str, str], hub_server: HubServer
) -> None:
    run_client(PUSH, alice)
    hub_server.fail_next(r"HEAD .*translation\.json", 403, times=1000)  # 5xx too, after 25 s of retries
    assert run_client(LOAD, alice).stdout.split() == ["LocalEntryNotFoundError"]
    hub_server.faults.clear()
    assert "alice/bare has no translation.json: taking the defaults" in run_client(LOAD, alice).stdout
    # and the next time without the Hub: the cache knows that there is none
    assert "alice/bare has no translation.json" in run_client(LOAD, {**alice, "HF_HUB_OFFLINE": "1"}).stdout
