"""The local Hub as the real huggingface_hub and datasets clients see it: python -m pytest tests/test_hub_server.py"""

import re

from tests.hub import HubServer, run_client
from tests.hub.fixtures import ALICE, ALICE_READS, BOB
from tests.hub.server import stopped


def test_a_model_goes_up_and_comes_down_at_every_revision(alice: dict[str, str], hub_server: HubServer) -> None:
    run_client(
        """
        import os, pathlib, tempfile
        import pytest
        from huggingface_hub import HfApi, ModelCard, hf_hub_download, snapshot_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

        api, folder = HfApi(), pathlib.Path(tempfile.mkdtemp())
        url = api.create_repo("alice/maps")
        assert url.repo_id == "alice/maps" and url == os.environ["HF_ENDPOINT"] + "/alice/maps"
        with pytest.raises(HfHubHTTPError, match="409"):
            api.create_repo("alice/maps")
        api.create_repo("alice/maps", exist_ok=True)

        first = os.urandom(100_000)
        (folder / "training").mkdir()
        (folder / "README.md").write_text("---\\nlicense: mit\\n---\\n# Maps\\n")
        (folder / "model.safetensors").write_bytes(first)
        (folder / "training" / "log.txt").write_text("done")
        one = api.upload_folder(folder_path=folder, repo_id="alice/maps").oid
        assert api.upload_folder(folder_path=folder, repo_id="alice/maps").oid == one  # nothing changed: no commit
        api.create_tag("alice/maps", tag="v1")
        api.create_branch("alice/maps", branch="try/this", revision="v1")

        second = os.urandom(1000)
        two = api.upload_file(path_or_fileobj=second, path_in_repo="model.safetensors", repo_id="alice/maps").oid
        api.upload_file(path_or_fileobj=b"b", path_in_repo="b.txt", repo_id="alice/maps", revision="try/this")
        assert [c.commit_id for c in api.list_repo_commits("alice/maps")][:2] == [two, one]

        def read(name, revision=None):
            return pathlib.Path(hf_hub_download("alice/maps", name, revision=revision)).read_bytes()

        for revision, contents in {None: second, "main": second, two: second, one: first, "v1": first}.items():
            assert read("model.safetensors", revision) == contents, revision
        assert read("b.txt", "try/this") == b"b"
        with pytest.raises(EntryNotFoundError):
            read("b.txt")
        with pytest.raises(RevisionNotFoundError):
            read("README.md", "v2")
        whole = pathlib.Path(snapshot_download("alice/maps", revision="v1"))
        files = {str(p.relative_to(whole)): p.read_bytes() for p in whole.rglob("*") if p.is_file()}
        assert set(files) == {".gitattributes", "README.md", "model.safetensors", "training/log.txt"}
        assert files["model.safetensors"] == first and files["training/log.txt"] == b"done"
        assert ModelCard.load("alice/maps").data.license == "mit"
        assert api.model_info("alice/maps").card_data.license == "mit"

        with pytest.raises(HfHubHTTPError, match="412"):
            api.upload_file(
                path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="alice/maps", parent_commit=one
            )
        with pytest.raises(EntryNotFoundError):
            api.delete_file("x.txt", "alice/maps")
        api.delete_folder("training", "alice/maps")
        assert sorted(api.list_repo_files("alice/maps")) == [".gitattributes", "README.md", "model.safetensors"]
        info = api.get_paths_info("alice/maps", ["model.safetensors", "nothing"], expand=True)
        assert [(i.path, i.size, i.last_commit.oid) for i in info] == [("model.safetensors", 1000, two)]

        proposed = api.upload_file(path_or_fileobj=b"p", path_in_repo="p", repo_id="alice/maps", create_pr=True)
        assert proposed.pr_revision == "refs/pr/1" and read("p", "refs/pr/1") == b"p"
        assert not api.file_exists("alice/maps", "p")
        refs = api.list_repo_refs("alice/maps")
        assert {b.name for b in refs.branches} == {"main", "try/this"} and [t.name for t in refs.tags] == ["v1"]
        api.delete_tag("alice/maps", tag="v1")
        api.delete_branch("alice/maps", branch="try/this")
        with pytest.raises(RevisionNotFoundError):
            api.model_info("alice/maps", revision="v1")
        """,
        alice,
    )
    assert [c.title for c in hub_server.repo("alice/maps").commits.values()].count("initial commit") == 1


def test_tokens_decide_who_sees_and_writes(anonymous: dict[str, str], hub_server: HubServer) -> None:
    run_client(
        f"""
        import pytest
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

        alice, reads, bob, nobody = (HfApi(token=t) for t in ("{ALICE}", "{ALICE_READS}", "{BOB}", False))
        assert alice.whoami()["name"] == "alice" and reads.whoami()["auth"]["accessToken"]["role"] == "read"
        with pytest.raises(HfHubHTTPError, match="Invalid user token"):
            HfApi(token="hf_wrong").whoami()
        alice.create_repo("alice/secret", private=True)
        alice.create_repo("alice/open")
        assert {{m.id for m in reads.list_models(author="alice")}} == {{"alice/secret", "alice/open"}}
        assert [m.id for m in bob.list_models(author="alice")] == ["alice/open"]
        assert [m.id for m in alice.list_models(author="bob")] == []
        assert reads.model_info("alice/secret").private

        for api, status in ((bob, 404), (nobody, 401)):
            with pytest.raises(RepositoryNotFoundError) as missing:
                api.model_info("alice/nothing")
            with pytest.raises(RepositoryNotFoundError) as hidden:
                api.model_info("alice/secret")
            assert missing.value.response.status_code == hidden.value.response.status_code == status
            with pytest.raises(RepositoryNotFoundError):
                api.hf_hub_download("alice/secret", ".gitattributes")
        with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
            HfApi(token="hf_wrong").model_info("alice/open")

        def upload(api):
            return api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="alice/open")

        with pytest.raises(HfHubHTTPError, match="write role"):
            upload(reads)
        with pytest.raises(HfHubHTTPError, match="rights to write"):
            upload(bob)
        with pytest.raises(HfHubHTTPError, match="401"):
            upload(nobody)
        with pytest.raises(HfHubHTTPError, match="rights to write"):
            bob.create_repo("alice/other")
        upload(alice)
        alice.update_repo_settings("alice/secret", private=False)
        assert not nobody.model_info("alice/secret").private
        alice.delete_repo("alice/secret")
        assert not alice.repo_exists("alice/secret")
        """,
        anonymous,
    )
    assert set(hub_server.repo("alice/open").resolve("main").files) == {".gitattributes", "x.txt"}


LOAD_PAIRS = """
    from datasets import load_dataset
    pairs = load_dataset("alice/pairs")
    assert {name: len(split) for name, split in pairs.items()} == {"train": 5, "test": 2}
    row = pairs["train"][3]
    assert row["source"].getpixel((0, 0)) == (3, 3, 3) and row["target"].getpixel((0, 0)) == (103, 103, 103)
    assert row["source"].size == (8, 6)
"""


def test_a_data_set_of_image_pairs_comes_back_and_again_from_the_cache(
    alice: dict[str, str], bob: dict[str, str], hub_server: HubServer
) -> None:
    run_client(
        """
        import numpy as np
        import PIL.Image
        from datasets import Dataset, DatasetDict, Features, Image

        def split(count):
            images = [PIL.Image.fromarray(np.full((6, 8, 3), i, np.uint8)) for i in range(count)]
            return Dataset.from_dict(
                {"source": images, "target": [image.point(lambda v: v + 100) for image in images]},
                features=Features({"source": Image(), "target": Image()}),
            )

        DatasetDict({"train": split(5), "test": split(2)}).push_to_hub("alice/pairs")
        """,
        alice,
    )
    first = hub_server.repo("alice/pairs", "datasets").resolve("main").id
    hub_server.faults.clear()
    run_client(
        LOAD_PAIRS
        + f"""
    streamed = list(load_dataset("alice/pairs", split="test", revision="{first}", streaming=True))
    assert [row["target"].getpixel((0, 0))[0] for row in streamed] == [100, 101]
    """,
        bob,
    )
    assert any(request.startswith("GET /_lfs/") for request in hub_server.requests)
    with stopped(hub_server):
        run_client(LOAD_PAIRS, {**bob, "HF_HUB_OFFLINE": "1"})


def test_long_lists_come_in_pages_and_large_files_go_in_parts(alice: dict[str, str], hub_server: HubServer) -> None:
    hub_server.hub.page_size, hub_server.hub.part_size = 2, 1000
    run_client(
        """
        import os, pathlib
        from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download

        api, big = HfApi(), os.urandom(4500)
        for name in "abc":
            api.create_repo(f"alice/{name}")
        additions = [CommitOperationAdd(f"folder/{i}.txt", b"x") for i in range(4)]
        additions.append(CommitOperationAdd("big.bin", big))
        api.create_commit("alice/a", additions, commit_message="five")
        assert [m.id for m in api.list_models(author="alice")] == ["alice/a", "alice/b", "alice/c"]
        assert len(list(api.list_repo_tree("alice/a", recursive=True))) == 7  # six files and a folder
        assert [f.path for f in api.list_repo_tree("alice/a")] == [".gitattributes", "big.bin", "folder"]
        api.upload_file(path_or_fileobj=b"y", path_in_repo="y", repo_id="alice/a")
        assert [c.title for c in api.list_repo_commits("alice/a")][1:] == ["five", "initial commit"]
        assert pathlib.Path(hf_hub_download("alice/a", "big.bin")).read_bytes() == big
        """,
        alice,
    )
    assert sum(bool(re.match("PUT /_lfs/.*part=", request)) for request in hub_server.requests) == 5


def test_faults_on_demand(alice: dict[str, str], hub_server: HubServer) -> None:
    hub_server.fail_next("GET /_lfs/", "cut")
    hub_server.fail_next("GET /api/models/alice/model$", 503)
    hub_server.fail_next("HEAD .*/README.md", "timeout")
    run_client(
        """
        import os, pathlib
        import pytest
        from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError

        weights = os.urandom(100_000)
        HfApi().create_repo("alice/model")
        for name, contents in {"weights.bin": weights, "README.md": b"# Maps"}.items():
            HfApi().upload_file(path_or_fileobj=contents, path_in_repo=name, repo_id="alice/model")
        got = pathlib.Path(hf_hub_download("alice/model", "weights.bin")).read_bytes()
        assert got == weights  # resumed after the cut
        with pytest.raises(HfHubHTTPError, match="503"):
            HfApi().model_info("alice/model")
        assert HfApi().model_info("alice/model").id == "alice/model"  # once only
        with pytest.raises(Exception, match="timed out"):
            get_hf_file_metadata(hf_hub_url("alice/model", "README.md"), timeout=0.5)
        hf_hub_download("alice/model", "README.md")
        """,
        alice,
    )
    assert sum(request.startswith("GET /_lfs/") for request in hub_server.requests) == 2


def test_faults_of_uploads_and_of_tokens(alice: dict[str, str], hub_server: HubServer) -> None:
    hub_server.fail_next("POST /api/models/alice/model/commit", "lost")
    hub_server.fail_next("PUT /_lfs/", "drop")
    hub_server.fail_next("GET /api/models/alice/model$", 429, headers={"Retry-After": "7"})
    hub_server.before_next("GET /api/models/alice/model/revision/v1", lambda: hub_server.revoke(ALICE))
    run_client(
        """
        import os
        import pytest
        from httpx2 import RemoteProtocolError
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        api, model = HfApi(), {"repo_id": "alice/model"}
        api.create_repo(**model)
        with pytest.raises(RemoteProtocolError, match="without sending a response"):  # and yet it is committed
            api.upload_file(path_or_fileobj=b"# Maps", path_in_repo="README.md", **model)
        with pytest.raises(HfHubHTTPError, match="429") as limited:
            api.model_info("alice/model")
        assert limited.value.response.headers["Retry-After"] == "7"
        assert [c.title for c in api.list_repo_commits("alice/model")][:1] == ["Upload README.md with huggingface_hub"]
        api.upload_file(path_or_fileobj=os.urandom(3_000_000), path_in_repo="weights.bin", **model)  # the second time
        api.create_tag("alice/model", tag="v1")
        with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
            api.model_info("alice/model", revision="v1")
        """,
        alice,
    )
    assert sum(request.startswith("PUT /_lfs/") for request in hub_server.requests) == 2
    assert hub_server.repo("alice/model").resolve("main").files["weights.bin"].size == 3_000_000


def test_members_of_an_organization_have_their_roles(anonymous: dict[str, str], hub_server: HubServer) -> None:
    hub_server.add_organization("lab", alice="write", bob="read")
    run_client(
        f"""
        import pytest
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        alice, bob, nobody = HfApi(token="{ALICE}"), HfApi(token="{BOB}"), HfApi(token=False)
        assert [(org["name"], org["roleInOrg"]) for org in bob.whoami()["orgs"]] == [("lab", "read")]
        assert alice.create_repo("lab/maps", private=True).repo_id == "lab/maps"
        alice.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="lab/maps")
        assert bob.file_exists("lab/maps", "x") and [m.id for m in bob.list_models(author="lab")] == ["lab/maps"]
        assert not nobody.repo_exists("lab/maps")
        for write in (lambda: bob.create_repo("lab/mine"), lambda: bob.delete_file("x", "lab/maps")):
            with pytest.raises(HfHubHTTPError, match="rights to write"):
                write()
        alice.delete_repo("lab/maps")
        assert not alice.repo_exists("lab/maps")
        """,
        anonymous,
    )


def test_spaces_and_cards_that_the_hub_refuses(alice: dict[str, str], hub_server: HubServer) -> None:
    run_client(
        """
        import pytest
        from huggingface_hub import HfApi
        api = HfApi()
        space = {"repo_id": "alice/demo", "repo_type": "space"}
        url = api.create_repo(**space, space_sdk="gradio", space_variables=[{"key": "A", "value": "1"}])
        assert url.repo_type == "space" and api.space_info("alice/demo").sdk == "gradio"
        assert api.get_space_runtime("alice/demo").stage == "NO_APP_FILE"
        api.upload_file(path_or_fileobj=b"print()", path_in_repo="app.py", **space)
        assert api.get_space_runtime("alice/demo").stage == "RUNNING"
        api.add_space_secret("alice/demo", "KEY", "secret")
        api.add_space_variable("alice/demo", "B", "2")
        api.delete_space_variable("alice/demo", "A")
        assert {k: v.value for k, v in api.get_space_variables("alice/demo").items()} == {"B": "2"}
        card = b"---\\nsdk: gradio\\ncolorFrom: brown\\n---\\n"
        with pytest.raises(ValueError, match="colorFrom"):
            api.upload_file(path_or_fileobj=card, path_in_repo="README.md", **space)
        """,
        alice,
    )
    assert hub_server.repo("alice/demo", "spaces").secrets == {"KEY": "secret"}
