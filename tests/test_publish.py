"""Publishing a generator to the local Hub: python -m pytest tests/test_publish.py"""

import json
from pathlib import Path

import pytest

from img2img_hub.hub.card import BEGIN, CardFacts, render_model_card
from img2img_hub.hub.publish import push_folder, shown_pictures
from tests.hub import HubServer, run_client

PUSH = """
    from img2img_hub.hub.publish import push_folder
    print(push_folder({folder!r}, {repo_id!r}{more}))
"""
PUSHED = {
    ".gitattributes",
    "README.md",
    "config.json",
    "examples/1-house.png",
    "examples/2-palace.jpg",
    "model.safetensors",
    "sample_sheet.png",
    "training/discriminator/config.json",
    "training/discriminator/model.safetensors",
    "training_config.json",
    "translation.json",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run's OUTPUT_DIR, with what must go up and what must not."""
    folder = tmp_path / "runs" / "maps"
    for name in PUSHED - {".gitattributes", "README.md"}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() + b"\0" * 100)
    (folder / "translation.json").write_text('{"reverse":null}')
    (folder / "README.md").write_text(render_model_card(CardFacts(model_name="maps", license="mit")))
    for name in ("checkpoints/step-2/model.safetensors", "checkpoints/step-2/a.png", "samples/step-2.png", ".env",
                 "metrics.jsonl", "notes.txt", "examples/notes.txt", ".push/step-2/model.safetensors",
                 "family.png", "input.png"):  # the second is in the card's example of how it is used  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"not for the Hub")
    return folder


def push(folder: Path, repo_id: str, more: str = "") -> str:
    return PUSH.format(folder=str(folder), repo_id=repo_id, more=more)


def test_the_pictures_that_a_card_shows_are_those_that_go_with_it(tmp_path: Path) -> None:
    for name in ("sample_sheet.png", "a.png", "b c.png", "d.png", "input.png", "a.png.png", "aa.png", "e.png"):
        (tmp_path / name).write_bytes(b"")
    card = '![A](a.png "title") ![B](./b%20c.png) <img width="9" src="d.png"> `open("input.png")`, e.png ![E](x/e.png)'
    (tmp_path / "README.md").write_text(card)
    assert {path.name for path in shown_pictures(tmp_path)} == {"sample_sheet.png", "a.png", "b c.png", "d.png"}


def test_a_generator_goes_up_in_one_commit_and_nothing_else_does(
    folder: Path, alice: dict[str, str], hub_server: HubServer
) -> None:
    done = run_client(push(folder, "alice/maps", ", commit_message='Step 2'") + push(folder, "alice/maps"), alice)
    assert done.stdout.split() == [f"{hub_server.url}/alice/maps"] * 2
    repo = hub_server.repo("alice/maps")
    assert set(repo.resolve("main").files) == PUSHED
    assert [c.title for c in repo.history(repo.resolve("main"))] == ["Step 2", "initial commit"]  # the 2nd push: none
    assert not repo.private
    for name in PUSHED - {".gitattributes", "README.md"}:
        assert hub_server.read("alice/maps", name) == (folder / name).read_bytes(), name
    card = hub_server.read("alice/maps", "README.md").decode()
    assert card == (folder / "README.md").read_text().replace("path/to/this/folder", "alice/maps")


@pytest.mark.parametrize(
    ("repo_id", "more", "reverse"),
    [
        ("alice/maps-source2target", "", "alice/maps-target2source"),
        ("source2target", "", "alice/target2source"),
        ("alice/maps", "", None),
        ("alice/mapsource2target", "", None),
        ("alice/maps2photos", ", reverse='bob/photos2maps'", "bob/photos2maps"),
    ],
)
def test_the_opposite_direction_is_named_by_its_repo(
    folder: Path, alice: dict[str, str], hub_server: HubServer, repo_id: str, more: str, reverse: str | None
) -> None:
    here = folder.rename(folder.parent / "source2target")
    (here / "translation.json").write_text('{"working_size": 64, "reverse": "target2source"}')
    done = run_client(push(here, repo_id, more), alice)
    full = repo_id if "/" in repo_id else f"alice/{repo_id}"
    pushed = json.loads(hub_server.read(full, "translation.json"))
    assert pushed == {"working_size": 64, "reverse": reverse}
    line = f'The opposite direction: `Translator.from_pretrained("{reverse}")`.'
    assert (line in hub_server.read(full, "README.md").decode()) == (reverse is not None)
    assert ("will not name its opposite direction, target2source" in done.stderr) == (reverse is None)
    assert '"target2source"' in (here / "translation.json").read_text()  # the folder is only read


@pytest.mark.parametrize("content", ["[]", "{"])
def test_settings_that_cannot_be_read_are_not_pushed(folder: Path, content: str) -> None:
    (folder / "translation.json").write_text(content)
    with pytest.raises(ValueError, match=r"translation\.json .*: correct it, or train again"):
        push_folder(folder, "alice/maps")


def test_what_people_wrote_on_the_hub_survives_the_next_push(
    folder: Path, alice: dict[str, str], hub_server: HubServer
) -> None:
    edit = """
    from huggingface_hub import ModelCard
    card = ModelCard.load("alice/maps")
    card.data.license, card.data.language = "cc-by-4.0", "de"
    card.text += "\\n## Thanks to\\n\\nMy cat.\\n"
    card.push_to_hub("alice/maps")
    """
    (folder / "config.json").write_text(json.dumps({"width": 8}))
    change = f"""
    from pathlib import Path
    card = Path({str(folder / "README.md")!r})
    card.write_text(card.read_text().replace("# maps", "# better maps"))
    """
    run_client(push(folder, "alice/maps") + edit + change + push(folder, "alice/maps"), alice)
    card = hub_server.read("alice/maps", "README.md").decode()
    assert "# better maps" in card
    assert "# maps" not in card
    assert card.endswith("## Thanks to\n\nMy cat.\n")
    assert "license: cc-by-4.0" in card
    assert "language: de" in card
    assert card.count(BEGIN) == 1
    assert "My cat" not in (folder / "README.md").read_text()  # the folder is only read


def test_a_card_that_cannot_be_read_now_is_not_overwritten(
    folder: Path, alice: dict[str, str], hub_server: HubServer
) -> None:
    run_client(push(folder, "alice/maps"), alice)
    before = hub_server.repo("alice/maps").resolve("main").id
    (folder / "config.json").write_text("{}")
    hub_server.fail_next("(HEAD|GET) .*/README.md", 520, times=100)  # a status without retries
    done = run_client(push(folder, "alice/maps"), {**alice, "HF_HOME": str(folder / "fresh_cache")}, check=False)
    assert done.returncode == 1
    assert "520" in done.stderr
    assert hub_server.repo("alice/maps").resolve("main").id == before


def test_a_change_during_the_push_stops_it(folder: Path, alice: dict[str, str], hub_server: HubServer) -> None:
    run_client(push(folder, "alice/maps"), alice)
    (folder / "config.json").write_text("{}")
    meanwhile = """
    from huggingface_hub import HfApi
    download = HfApi.hf_hub_download

    def edited_meanwhile(api, *arguments, **options):
        path = download(api, *arguments, **options)
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="alice/maps")
        return path

    HfApi.hf_hub_download = edited_meanwhile
    """
    done = run_client(meanwhile + push(folder, "alice/maps"), alice, check=False)
    assert done.returncode == 1
    assert "412" in done.stderr
    assert hub_server.read("alice/maps", "config.json") != b"{}"


def test_private_repos_branches_and_the_own_namespace(
    folder: Path, alice: dict[str, str], hub_server: HubServer
) -> None:
    run_client(push(folder, "maps", ", private=True, revision='try/this'"), alice)
    repo = hub_server.repo("alice/maps")
    assert repo.private
    assert set(repo.resolve("try/this").files) == PUSHED
    assert set(repo.resolve("main").files) == {".gitattributes"}
    assert b'from_pretrained("alice/maps")' in hub_server.read("alice/maps", "README.md", revision="try/this")


def test_the_hubs_own_refusals_come_through(
    folder: Path, alice: dict[str, str], bob: dict[str, str], anonymous: dict[str, str]
) -> None:
    expect = """
    import pytest
    from huggingface_hub.errors import HfHubHTTPError
    from img2img_hub.hub.publish import push_folder
    with pytest.raises(HfHubHTTPError, match={match!r}) as caught:
        push_folder({folder!r}, "alice/maps", token={token!r})
    assert caught.value.response.status_code == {status}
    """
    cases: list[tuple[str | None, int, str]] = [
        ("hf_wrong", 401, "Invalid credentials"),
        ("hf_alice_read_token", 403, "write role"),
    ]
    cases += [("hf_bob_token", 403, "rights to write"), (None, 401, "401")]
    run_client("".join(expect.format(folder=str(folder), token=t, status=s, match=m) for t, s, m in cases), anonymous)


@pytest.mark.parametrize("repo_id", ["a/b/c", "", "has space", "alice/double--dash", "/maps", "https://hub/alice/maps"])
def test_an_invalid_id_is_refused_before_anything_is_sent(repo_id: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a repo id: write USER/NAME, such as alice/facades-label2photo"):
        push_folder(folder, repo_id)


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors", "translation.json"])
def test_an_unfinished_folder_is_refused_by_naming_what_lacks(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"is not a finished generator, it lacks {name}: train to the end first"):
        push_folder(folder, "alice/maps")


def test_a_folder_of_two_directions_is_refused_by_naming_both(folder: Path) -> None:
    both = folder.parent
    folder.rename(both / "source2target")
    (both / "target2source").mkdir()
    (both / "target2source" / "config.json").touch()
    with pytest.raises(ValueError, match=r"one by one: .*source2target, .*target2source"):
        push_folder(both, "alice/maps")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no folder"):
        push_folder(tmp_path / "nothing", "alice/maps")
