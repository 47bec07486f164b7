"""Models of the Hub that visitors name, on the page of alice, who is logged in.

    python -m pytest tests/test_demo_guests.py

The page speaks to a Hub of its own over loopback, with the real client.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from img2img_hub import ResNetGenerator, Translator, UNetGenerator
from img2img_hub.demo import compare_tab, guests
from img2img_hub.demo.app import build_demo
from img2img_hub.demo.guests import GuestError, Guests, check_id, check_revision
from img2img_hub.demo.models import find_models
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import picture, serve, write_model
from tests.hub import HubServer, client_environment, run_client
from tests.hub.fixtures import ALICE, BOB
from tests.hub.server import stopped

# Pushes folders, each as a public repo of its name; "second" again as the newer state of alice/stripes.
PUSH = """
import sys
from pathlib import Path
from huggingface_hub import HfApi
api, root = HfApi(), Path(sys.argv[1])
for folder in sorted(root.iterdir()):
    repo = api.create_repo(f"{sys.argv[2]}/{folder.name}", private=folder.name == "secret").repo_id
    api.upload_folder(repo_id=repo, folder_path=folder)
    if folder.name == "stripes":
        api.create_tag(repo, tag="v1")
        api.upload_folder(repo_id=repo, folder_path=root.parent / "second")
"""


@dataclass
class World:
    hub: HubServer
    root: Path
    client: Client
    server: Path

    def any(self, name: str, path: Path, mode: str = "fit"):
        return self.client.predict(name, handle_file(str(path)), mode, api_name="/translate_any")

    def translate(self, key: str, path: Path):
        return self.client.predict(key, handle_file(str(path)), "fit", api_name="/translate")

    def revisions(self, key: str, first: str, second: str, path: Path):
        upload = handle_file(str(path))
        return self.client.predict(key, first, second, upload, "fit", api_name="/compare_revisions")

    def weights_fetched(self, repo: str) -> int:
        """How often this repo's, or those of another with the same ones."""
        sha256 = self.hub.repo(repo).resolve("main").files["model.safetensors"].sha256
        return sum(line.startswith(f"GET /_lfs/{sha256}") for line in self.hub.requests)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root, server = tmp_path_factory.mktemp("repos"), tmp_path_factory.mktemp("server")
    write_models(root)
    with HubServer() as hub:
        for user, token in (("alice", ALICE), ("bob", BOB)):
            hub.add_user(user, token)
            environment = client_environment(hub, token, root / f"{user}_home")
            run_client(["-c", PUSH, root / user, user], environment)
        vast = hub.repo("bob/vast").resolve("main").files
        vast["model.safetensors"] = replace(vast["model.safetensors"], size=250_000_001)
        # A model in a folder that a visitor's id would name, from where the page runs.
        shutil.copytree(root / "alice/stripes", server / "bob/local")
        environment = client_environment(hub, ALICE, server / "hf")
        environment = {name: value for name, value in environment.items() if name.startswith(("HF_", "NO_PROXY"))}
        environment |= {"HF_HUB_OFFLINE": "0", "IMG2IMG_ALLOW_ANY_MODEL": "1", "TMPDIR": str(server / "tmp")}
        (server / "tmp").mkdir()
        with serve(f"{root / 'mine'}, alice/stripes, alice/secret", folder=server, env=environment) as address:
            client = Client(address, verbose=False, download_files=str(root / "downloads"), analytics_enabled=False)
            yield World(hub, root, client, server)


def write_models(root: Path) -> None:
    write_model(root / "mine")
    write_model(root / "alice/stripes", examples=0)
    write_model(root / "alice/secret", examples=0)
    other = root / "second"  # the same network with other weights
    ResNetGenerator(width=4, blocks=1).save_pretrained(other)
    TranslationSettings(family="cyclegan", working_size=64, resize="fit").save(other)
    write_model(
        root / "bob/guest", examples=0, card="# Guest\n\n<script>alert(1)</script>\n\n![x](https://x.example/y)"
    )
    UNetGenerator(levels=4, width=5).save_weights(root / "bob/guest")
    write_model(root / "bob/vast", examples=0)
    UNetGenerator(levels=4, width=6).save_weights(root / "bob/vast")
    wide = write_model(root / "bob/wide", examples=0)
    TranslationSettings(family="pix2pix", working_size=8000).save(wide)
    broken = write_model(root / "bob/broken", examples=0)
    (broken / "model.safetensors").write_bytes(b"no weights")
    foreign = write_model(root / "bob/foreign", examples=0)
    (foreign / "config.json").write_text(json.dumps({"model_type": "bert"}))
    pickled = write_model(root / "bob/pickled", examples=0)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    code = write_model(root / "bob/code", examples=0)
    config = json.loads((code / "config.json").read_text())
    (code / "config.json").write_text(json.dumps(config | {"architecture": "os.system"}))
    (code / "network.py").write_text("raise SystemExit")


@pytest.fixture
def x(tmp_path: Path) -> Path:
    picture((40, 30)).save(tmp_path / "x.png")
    return tmp_path / "x.png"


def test_a_public_model_is_used_as_it_stands_on_the_hub(world: World, x: Path) -> None:
    (_, after), download, line, card = world.any("bob/guest", x)
    expected = Translator.from_pretrained(world.root / "bob/guest")(x, resize="fit")
    assert np.array_equal(np.asarray(Image.open(download)), np.asarray(expected))
    assert Path(after).read_bytes() == Path(download).read_bytes()
    assert Path(download).name == "x-guest.png"
    assert "Done in" in line
    assert "<h2>Guest</h2>" in card
    assert "script" not in card
    assert "https://x.example" not in card
    revision = world.any("alice/stripes@v1", x)[1]
    first = Translator.from_pretrained(world.root / "alice/stripes")(x, resize="fit")
    assert np.array_equal(np.asarray(Image.open(revision)), np.asarray(first))
    assert world.any(" https://huggingface.co/bob/guest/ ", x, "native")[0]


def test_one_is_loaded_at_a_time_and_nothing_stays_on_the_disk(world: World, x: Path) -> None:
    world.any("bob/guest", x)
    before = world.weights_fetched("bob/guest")
    world.any("bob/guest", x)
    assert world.weights_fetched("bob/guest") == before, "kept"
    world.any("alice/stripes", x)
    world.any("bob/guest", x)
    assert world.weights_fetched("bob/guest") == before + 1, "dropped for the other, and fetched anew"
    assert not list((world.server / "tmp").glob("img2img-guest-*"))
    assert not list((world.server / "hf").rglob("models--bob--guest"))


def test_a_guest_neither_evicts_the_owners_models_nor_joins_them(world: World, x: Path) -> None:
    owners = world.translate("alice/stripes", x)[1]
    fetched = world.weights_fetched("alice/stripes")
    world.any("bob/guest", x)
    world.any("alice/stripes", x)  # the same id, on the visitor's side
    fetched += 1
    with stopped(world.hub):
        assert Path(world.translate("alice/stripes", x)[1]).read_bytes() == Path(owners).read_bytes()
    assert world.weights_fetched("alice/stripes") == fetched
    with pytest.raises(AppError, match="no model"):
        world.translate("bob/guest", x)
    with pytest.raises(AppError, match="no model"):
        world.client.predict(["bob/guest", "mine"], handle_file(str(x)), "fit", api_name="/compare")


@pytest.mark.parametrize("name", ["alice/secret", "bob/nothing", "nobody/at-all", "bob/local"])
def test_what_is_not_public_is_not_there(world: World, x: Path, name: str) -> None:
    """A private repo of the owner, whose token the page has; and a folder below the page's own."""
    with pytest.raises(AppError, match=f"There is no public model {name} on the Hub"):
        world.any(name, x)


def test_the_owner_may_offer_what_is_private(world: World, x: Path) -> None:
    assert world.translate("alice/secret", x)[1]
    with pytest.raises(AppError, match="There is no public model alice/secret on the Hub"):
        world.any("alice/secret", x)  # also when the owner's copy is in the cache
    with stopped(world.hub), pytest.raises(AppError, match="alice/secret could not be fetched"):
        world.any("alice/secret", x)


NO_IDS = [
    "../mine",
    "/etc/passwd",
    "..",
    "../..",
    "mine",
    "./bob/guest",
    "bob/..",
    "bob/../guest",
    "bob//guest",
    "~/x/y",
]
NO_IDS += ["bob\\guest", "bob/guest/../../x", "https://example.com/bob/guest", "file:///etc/passwd", "datasets/bob/x"]
NO_IDS += ["bob/%2e%2e", "bob/guest?x=1", "bob/guest#x", "bob/guest@main/..", "-bob/guest", "bob/guest.git", "b\0/x"]
NO_IDS += ["bob/guest\nX-Header: 1", "bob/--x", "ｂｏｂ/guest", "a" * 150 + "/x", "<b>bob</b>/x", "{key}/x"]


@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_id_never_reaches_hub_or_disk(world: World, x: Path, name: str) -> None:
    before = len(world.hub.requests)
    with pytest.raises(AppError, match=r"is no id of a model on the Hub|is no revision") as error:
        world.any(name, x)
    assert len(world.hub.requests) == before
    assert "<b>" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bob/vast", r"too large for this page: its model\.safetensors has 250\.0 MB, and 250 MB is the most"),
        ("bob/pickled", r"lacks config\.json or model\.safetensors"),
        ("bob/wide", "works at 8000 × 8000 pixels, which is too large"),
        ("bob/broken", r"cannot be used here: model\.safetensors is no readable safetensors file"),
        ("bob/foreign", r"cannot be used here: config\.json names no .*architecture"),
        ("bob/code", r"config\.json names the architecture .*os\.system"),
    ],
)
def test_what_cannot_be_used_says_why_in_one_line(world: World, x: Path, name: str, says: str) -> None:
    with pytest.raises(AppError, match=says) as error:
        world.any(name, x)
    assert str(error.value).count("\n") == 0
    assert "img2img-guest" not in str(error.value)
    assert "/tmp" not in str(error.value)
    assert world.weights_fetched("bob/vast") == 0, "refused before it is downloaded"
    assert not any("network.py" in line or "pytorch_model" in line for line in world.hub.requests if "GET" in line)


def test_a_hub_that_is_down_or_ill_is_one_line(world: World, x: Path) -> None:
    world.any("alice/stripes", x)
    with stopped(world.hub), pytest.raises(AppError, match=r"bob/guest could not be fetched: the Hub does not answer"):
        world.any("bob/guest", x)
    world.hub.fail_next("HEAD /bob/guest/", 500, times=20)
    with pytest.raises(AppError, match="bob/guest could not be fetched"):
        world.any("bob/guest", x)
    world.hub.faults.clear()
    assert world.any("alice/stripes", x)[1], "the one before is still there"
    assert world.any("bob/guest", x)[1]


def test_native_resolution_has_the_limit_of_the_page(world: World, tmp_path: Path) -> None:
    Image.new("1", (2001, 2000)).save(tmp_path / "large.png")
    with pytest.raises(AppError, match="native resolution takes up to 4"):
        world.any("bob/guest", tmp_path / "large.png", "native")


def test_without_a_picture_or_an_id_it_says_what_to_do(world: World, x: Path) -> None:
    with pytest.raises(AppError, match="Type the id of a model"):
        world.any("  ", x)
    with pytest.raises(AppError, match="Upload, paste or take a picture first"):
        world.client.predict("bob/guest", None, "fit", api_name="/translate_any")


# --- two revisions of a model on offer --------------------------------------------------------------------------------


def test_two_revisions_stand_side_by_side(world: World, x: Path) -> None:
    pictures, line = world.revisions("alice/stripes", "v1", "main", x)
    assert [each["caption"].split(" · ")[0] for each in pictures] == ["Your picture", "v1", "main"]
    for each, folder in zip(pictures[1:], ("alice/stripes", "second"), strict=True):
        expected = Translator.from_pretrained(world.root / folder)(x, resize="fit")
        assert np.array_equal(np.asarray(Image.open(each["image"])), np.asarray(expected))
    assert "2 results side by side · 40 × 30 px" in line
    commit = world.hub.repo("alice/stripes").resolve("v1").id
    assert len(world.revisions("alice/stripes", "main", commit, x)[0]) == 3


@pytest.mark.parametrize(
    "revision", ["../../../x", "/etc/passwd", "..", "v1/../..", "a//b", "", "-x", "v1\nx", "x" * 101]
)
def test_a_revision_is_no_path(world: World, x: Path, revision: str) -> None:
    before = len(world.hub.requests)
    with pytest.raises(AppError, match="is no revision"):
        world.revisions("alice/stripes", "main", revision, x)
    assert len(world.hub.requests) == before


def test_what_is_wrong_with_revisions_is_said(world: World, x: Path) -> None:
    pictures, report = world.revisions("alice/stripes", "main", "v9", x)
    assert len(pictures) == 2
    assert "alice/stripes has no revision v9" in report
    for key, first, second, says in (
        ("alice/stripes", "v1", "v1", "Both revisions are the same"),
        ("mine", "v1", "main", "is no model of the Hub"),
        ("bob/guest", "v1", "main", "no model"),
        ("alice/secret", "v1", "main", "There is no public model alice/secret"),
    ):
        with pytest.raises(AppError, match=says):
            world.revisions(key, first, second, x)


# --- the owner's models of the Hub ------------------------------------------------------------------------------------

ABOUT = """
from img2img_hub.demo.about_tab import describe_model
from img2img_hub.demo.models import find_models
print("\\n".join(describe_model(find_models("alice/secret"), "alice/secret")))
"""


def test_about_fetches_the_card_of_a_model_on_the_hub_and_no_weights(world: World, tmp_path: Path) -> None:
    environment = client_environment(world.hub, ALICE, tmp_path / "home")
    world.hub.faults.clear()
    told = run_client(ABOUT, environment).stdout
    assert "Turns <em>stripes</em> into" in told
    assert 'Translator.from_pretrained("alice/secret")' in told
    assert '"architecture": "UNetGenerator"' in told
    assert f'<a href="{world.hub.url}/alice/secret"' in told
    assert not any("model.safetensors" in line for line in world.hub.requests)
    with stopped(world.hub):
        assert run_client(ABOUT, environment).stdout == told, "from the cache"
        environment = client_environment(world.hub, ALICE, tmp_path / "another")
        assert "The card of Secret cannot be had" in run_client(ABOUT, environment).stdout


# --- without a page ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "0", "true", "yes"])
def test_with_the_switch_off_neither_page_nor_api_offers_it(tmp_path, monkeypatch, value):
    monkeypatch.delenv("IMG2IMG_ALLOW_ANY_MODEL", raising=False)
    if value is not None:
        monkeypatch.setenv("IMG2IMG_ALLOW_ANY_MODEL", value)
    models = find_models(str(write_model(tmp_path / "mine")))
    demo = build_demo(models)
    assert "/translate_any" not in demo.get_api_info()["named_endpoints"]
    assert "any-name" not in str(demo.get_config_file())
    monkeypatch.setenv("IMG2IMG_ALLOW_ANY_MODEL", "1")
    assert "/translate_any" in build_demo(models).get_api_info()["named_endpoints"]


def test_on_zero_gpu_visitors_name_no_models(tmp_path, monkeypatch):
    """There, weights that are not loaded at the start reach no GPU."""
    monkeypatch.setenv("IMG2IMG_ALLOW_ANY_MODEL", "1")
    models = find_models(f"{write_model(tmp_path / 'mine')}, owner/name")
    for module in (guests, compare_tab):
        monkeypatch.setattr(module, "ON_ZERO_GPU", True)
    assert {"/translate_any", "/compare_revisions"}.isdisjoint(build_demo(models).get_api_info()["named_endpoints"])


def test_ids_and_revisions_are_checked_before_all_else() -> None:
    assert check_id(" https://huggingface.co/bob/guest ") == "bob/guest"
    assert check_revision("refs/pr/1") == "refs/pr/1"
    for name in NO_IDS:
        with pytest.raises(GuestError):
            Guests().guest(name)
