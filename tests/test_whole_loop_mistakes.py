"""What goes wrong between a user and the Hub, and networks pushed by hand: refused in words, and nothing is lost.

python -m pytest tests/test_whole_loop_mistakes.py
"""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from img2img_hub import PatchDiscriminator, UNetGenerator
from img2img_hub.translation.settings import TranslationSettings
from tests.hub import HubServer, client_environment, run_client
from tests.hub.client import ROOT
from tests.hub.fixtures import ALICE, ALICE_READS

# --- networks pushed by hand ------------------------------------------------------------------------------------------

PUSH_BY_HAND = """
    import sys
    import pytest
    import torch
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from img2img_hub import Network, UNetGenerator

    def network(seed):
        torch.manual_seed(seed)
        return UNetGenerator(levels=4, width=4)

    # A first push writes a card, a second one leaves it as people made it; a bare name means the own repo.
    network(0).push_to_hub("net")
    HfApi().upload_file(path_or_fileobj=b"# Mine", path_in_repo="README.md", repo_id="alice/net")
    network(1).push_to_hub("net")
    network(2).push_to_hub("alice/net", commit_message="Third", branch="main")
    network(2).save_pretrained(sys.argv[1])
    network(2).push_to_hub("alice/secret", private=True)

    # A card that cannot be asked for now may be there all the same.
    HfApi().create_repo("alice/guarded")
    HfApi().upload_file(path_or_fileobj=b"# Mine too", path_in_repo="README.md", repo_id="alice/guarded")
    with pytest.raises(HfHubHTTPError, match="520"):
        network(3).push_to_hub("alice/guarded")
"""
PULL_AS_ANOTHER = """
    import sys
    import pytest
    import torch
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from safetensors.torch import save_file
    from img2img_hub import Network, Translator

    network = Network.from_pretrained("alice/net")
    assert type(network).__name__ == "UNetGenerator" and not network.training
    save_file(network.state_dict(), sys.argv[1])
    for cls in (Network, Translator):
        with pytest.raises(RepositoryNotFoundError, match="404"):
            cls.from_pretrained("alice/secret")
        with pytest.raises(RepositoryNotFoundError):
            cls.from_pretrained("alice/nothing")
        with pytest.raises(RevisionNotFoundError):
            cls.from_pretrained("alice/net", revision="nowhere")
        cls.from_pretrained("alice/secret", token=sys.argv[2])
"""


def script(code: str) -> str:
    """Of a constant above, for `-c` with arguments."""
    return "\n".join(line[4:] for line in code.splitlines())


def test_a_network_pushed_by_hand_keeps_its_card_and_is_loaded_by_another_user(
    alice: dict[str, str], bob: dict[str, str], hub_server: HubServer, tmp_path: Path
) -> None:
    hub_server.fail_next("(HEAD|GET) /alice/guarded/resolve/.*README", 520, times=100)  # a status without retries
    run_client(["-c", script(PUSH_BY_HAND), tmp_path / "local"], alice)
    assert hub_server.read("alice/net", "README.md") == b"# Mine"
    assert hub_server.read("alice/guarded", "README.md") == b"# Mine too"
    repo = hub_server.repo("alice/net")
    assert set(repo.resolve("main").files) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    assert next(repo.history(repo.resolve("main"))).title == "Third"
    assert b"UNetGenerator" in hub_server.read("alice/secret", "README.md")
    run_client(["-c", script(PULL_AS_ANOTHER), tmp_path / "pulled.safetensors", alice["HF_TOKEN"]], bob)
    local, pulled = load_file(tmp_path / "local/model.safetensors"), load_file(tmp_path / "pulled.safetensors")
    assert local.keys() == pulled.keys()
    assert all(local[name].numpy().tobytes() == value.numpy().tobytes() for name, value in pulled.items())


# --- repos that are no good -------------------------------------------------------------------------------------------

LOAD = """
import json, sys, warnings
from img2img_hub import Translator

warnings.simplefilter("ignore")
said = {}
for repo_id in sys.argv[1:]:
    try:
        said[repo_id] = ["fine", Translator.from_pretrained(repo_id, device="cpu").describe()]
    except Exception as error:
        said[repo_id] = [type(error).__name__, str(error)]
print(json.dumps(said))
"""


def files_of(folder: Path, **config: Any) -> dict[str, bytes]:
    """A working model's files, with keys of config.json changed; None takes one out."""
    UNetGenerator(levels=4, width=4).save_pretrained(folder)
    TranslationSettings(family="pix2pix", working_size=16).save(folder)
    values = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_repos_that_are_no_translators_are_refused_in_words(
    hub_server: HubServer, anonymous: dict[str, str], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    good = files_of(models)
    weights = good["model.safetensors"]
    PatchDiscriminator(width=4, layers=1).save_pretrained(tmp_path / "judge")
    judge = {path.name: path.read_bytes() for path in (tmp_path / "judge").iterdir()}
    no_config = {name: content for name, content in good.items() if name != "config.json"}
    no_weights = {name: content for name, content in good.items() if name != "model.safetensors"}
    no_settings = {name: content for name, content in good.items() if name != "translation.json"}
    other = json.dumps({"model_type": "bert", "hidden_size": 768}).encode()
    cases: dict[str, tuple[dict[str, bytes], str, str]] = {
        "good": (good, "fine", "pix2pix UNetGenerator"),
        "no-settings": (no_settings, "fine", "UNetGenerator"),
        "hiccup": (good, "fine", "UNetGenerator"),
        "no-config": (no_config, "ValueError", "the Hub repo alice/no-config has no config.json, so it is no model of"),
        "no-weights": (no_weights, "ValueError", "has no model.safetensors"),
        "other": (good | {"config.json": other}, "ValueError", "alice/other: config.json names no 'architecture' and"),
        "unknown": (
            files_of(models, architecture="StyleGAN"),
            "ValueError",
            "'StyleGAN'; this version knows ",
        ),
        "huge": (files_of(models, width=1_000_000), "ValueError", "width must be a whole number from 1 to 512, got"),
        "key": (files_of(models, width=None), "ValueError", "alice/key: config.json lacks width of a UNetGenerator"),
        "newer": (files_of(models, format_version=2), "ValueError", "this version reads 1: update img2img_hub"),
        "shape": (files_of(models, width=8), "ValueError", "have another shape (first: "),
        "cut": (good | {"model.safetensors": weights[:-9]}, "ValueError", "is no readable safetensors file"),
        "settings": (good | {"translation.json": b'{"working_size": 0}'}, "ValueError", "working_size must be"),
        "judge": (judge, "ValueError", "holds a PatchDiscriminator, which judges images and makes none"),
        "failing-config": (good, "LocalEntryNotFoundError", "locate the file on the Hub"),
        "failing-weights": (good, "LocalEntryNotFoundError", "locate the file on the Hub"),
        "failing-settings": (good, "LocalEntryNotFoundError", "locate the file on the Hub"),
    }
    for name, (files, _, _) in cases.items():
        put(hub_server, f"alice/{name}", files)
    # 520 is not tried again; a 503 would be for 25 seconds, and then end the same.
    hub_server.fail_next("HEAD /alice/failing-config/.*/config.json", 520, times=100)
    hub_server.fail_next("HEAD /alice/failing-weights/.*/model.safetensors", 520, times=100)
    hub_server.fail_next("HEAD /alice/failing-settings/.*/translation.json", 520, times=100)
    hub_server.fail_next("HEAD /alice/hiccup/.*/config.json", 503)  # once: tried again
    done = run_client(["-c", LOAD, *(f"alice/{name}" for name in cases)], anonymous)
    said = json.loads(done.stdout.splitlines()[-1])
    for name, (_, kind, words) in cases.items():
        got_kind, got_words = said[f"alice/{name}"]
        assert got_kind == kind, f"{name}: {got_words}"
        assert words in got_words, name


def put(server: HubServer, repo_id: str, files: dict[str, bytes]) -> None:
    """A repo as somebody else's software may have left it."""
    storage = server.hub.storage
    repo = storage.create("models", repo_id, author="alice", private=False)
    head = repo.resolve("main").id
    stored = {name: storage.add_bytes(content) for name, content in files.items()}
    repo.add_commit("refs/heads/main", files=stored, title="first", message="", author="alice", parent=head)
    storage.save(repo)


# --- pushing without the right to -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (None, "--push_to_hub: you are not logged in: type `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", "--push_to_hub: the Hub did not confirm who you are (Invalid user token"),
        (ALICE_READS, "--push_to_hub: the token of alice can only read: log in with one that has the write role"),
        (ALICE, "--push_to_hub: the Hub did not confirm who you are ("),
    ],
    ids=["no token", "a wrong one", "one that reads", "no Hub"],
)
def test_a_run_that_could_not_be_pushed_ends_before_it_begins(
    token: str | None, says: str, hub_server: HubServer, paired_folder: Path, tmp_path: Path
) -> None:
    env = client_environment(hub_server, token, tmp_path / "home") | {"OMP_NUM_THREADS": "1"}
    if token == ALICE:
        hub_server.stop()
    arguments = ["pix2pix", "--dataset", paired_folder, "--side_by_side", "--output_dir", tmp_path / "run", "--cpu"]
    arguments += ["--image_size", "16", "--max_steps", "1", "--push_to_hub", "--hub_model_id", "alice/tiny"]
    done = run_client([ROOT / "train_accelerate.py", *arguments], env, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("train_accelerate.py: error:")]
    assert says in line
    assert done.stderr.splitlines()[-1] == line
    assert token is None or token not in done.stdout + done.stderr
    assert not (tmp_path / "run").exists()
