"""What strangers name in the place of an upload: every endpoint, every form, one and the same answer.

    python -m pytest tests/test_security_uploads.py

Gradio checks paths only in what says of itself that it is a file ("meta"), so the rude forms leave that out.
"""

from __future__ import annotations

import base64
import io
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser.serving import picture
from tests.strangers import CALLS, ask, call, endpoint_of, good_upload, named, open_to_strangers, upload

META = {"_type": "gradio.FileData"}
MISSING = "/no/such/file.png"

# How a path can be named. None of these is how the page's own script names an upload.
FORMS: dict[str, Callable[[str], Any]] = {
    "with meta": lambda path: {"path": path, "orig_name": "x.png", "meta": META},
    "without meta": lambda path: {"path": path},
    "without meta, with a name": lambda path: {"path": path, "orig_name": "x.png"},
    "meta of another type": lambda path: {"path": path, "meta": {"_type": "x"}},
    "meta that is none": lambda path: {"path": path, "meta": None},
    "with a file's address": lambda path: {"path": path, "url": f"file://{path}"},
    "with the page's own address": lambda path: {"path": path, "url": f"/gradio_api/file={path}"},
    "only an address": lambda path: {"url": f"file://{path}"},
    "a stream": lambda path: {"path": path, "is_stream": True},
    "a string": lambda path: path,
    "an address": lambda path: f"file://{path}",
    "a list": lambda path: [path],
    "a list of dicts": lambda path: [{"path": path}],
    "a dict in a dict": lambda path: {"path": {"path": path}},
    "an image of a gallery": lambda path: {"image": {"path": path}},
    "with slashes": lambda path: {"path": f"//{path}"},
    "with a NUL": lambda path: {"path": f"{path}\0.png"},
}
# Gradio itself answers of what says that it is a file and lies elsewhere ("null"). What lies among the uploads it
# copies to where uploads lie, so links and pipes there are asked in the other forms: no stranger can make any.
AMONG_UPLOADS = {"the uploads", "an upload's folder", "missing among the uploads"}
MADE_BY_HAND = {
    *("an upload through a link", "a link", "a linked folder", "a pipe", "a linked device", "relative to an upload"),
    *("a file beside the uploads", "a file deeper than uploads", "a detour to an upload"),
}
# Every endpoint and form is asked for these; two endpoints, of one picture and of several, for all.
FEW = {"a picture", "a folder", "a pipe", "a link", "a device", "missing"}
ALL = ("/translate", "/batch")


def drawing() -> str:
    """As the painter sends it."""
    data = io.BytesIO()
    picture((64, 64)).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


# Private events take pictures, too: by their number anybody can call them.
PRIVATE = {
    "arrive": lambda file: ["stripes2dots", file],
    "check_upload": lambda file: [file],
    "paint": lambda file: ["styles", drawing(), file, 0],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, server: Path) -> Iterator[str]:
    with open_to_strangers(tmp_path_factory.mktemp("models"), server) as url:
        yield url


@pytest.fixture(scope="module")
def good(address: str) -> dict[str, Any]:
    return good_upload(address)


@pytest.fixture(scope="module")
def theirs(address: str, server: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another visitor's upload, which lies where uploads do."""
    file = tmp_path_factory.mktemp("theirs") / "theirs.png"
    picture((24, 24)).save(file)
    return Path(json.loads(upload(address, file.read_bytes(), name="theirs.png")[1])[0])


@pytest.fixture(scope="module")
def targets(server: Path, theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Real pictures of the server and what would hold a place of the queue for ever, each by its path."""
    folder = tmp_path_factory.mktemp("private")
    picture((32, 32)).save(folder / "secret.png")
    cache = theirs.parents[1]
    hashed = cache / ("0" * 64)  # as Gradio names the folder of an upload
    hashed.mkdir()
    (hashed / "link.png").symlink_to(folder / "secret.png")
    (hashed / "to-theirs.png").symlink_to(theirs)
    os.mkfifo(hashed / "pipe.png")
    (hashed / "zero.png").symlink_to("/dev/zero")
    (cache / ("1" * 64)).symlink_to(folder)
    picture((32, 32)).save(cache / "loose.png")
    (hashed / "deeper").mkdir()
    picture((32, 32)).save(hashed / "deeper/secret.png")
    return {
        "a picture": str(folder / "secret.png"),
        "a text": "/etc/passwd",
        "a folder": str(folder),
        "the uploads": str(cache),
        "an upload's folder": str(theirs.parent),
        "an upload through a link": str(hashed / "to-theirs.png"),
        "a link": str(hashed / "link.png"),
        "a linked folder": str(cache / ("1" * 64) / "secret.png"),
        "a pipe": str(hashed / "pipe.png"),
        "a linked device": str(hashed / "zero.png"),
        "a device": "/dev/zero",
        "a file beside the uploads": str(cache / "loose.png"),
        "a file deeper than uploads": str(hashed / "deeper/secret.png"),
        "up and down": f"{theirs.parent}/../../../{os.path.relpath(folder / 'secret.png', theirs.parents[3])}",
        "a detour to an upload": f"{theirs.parent}/../{theirs.parent.name}/theirs.png",
        "relative": os.path.relpath(folder / "secret.png", server),
        "relative to an upload": os.path.relpath(theirs, server),
        "home": "~/.bashrc",
        "nothing": "",
        "missing": MISSING,
        "missing among the uploads": str(hashed / "missing.png"),
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("endpoint", CALLS)
def test_whatever_is_no_upload_gets_one_and_the_same_answer(
    address: str, targets: dict[str, str], good: dict[str, Any], endpoint: str, form: str
) -> None:
    asked = {what: path for what, path in targets.items() if endpoint in ALL or what in FEW}
    answers = asked_for(asked, form, lambda value: call(address, endpoint, CALLS[endpoint](value, good)))
    for said in answers:
        assert "event: error" in said
        assert "event: complete" not in said
        for word in ("secret", "passwd", "No such file", "cache", "root:", "/"):
            assert word not in said.replace("event: error", ""), said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", FORMS)
def test_private_events_tell_nothing_of_files_either(address: str, targets: dict[str, str], form: str) -> None:
    config = json.loads(ask(address, "/config")[2])
    events = [each for each in config["dependencies"] if each["api_name"].rstrip("_0123456789") in PRIVATE]
    assert {each["api_name"].rstrip("_0123456789") for each in events} == set(PRIVATE)
    for event in events:

        def answer(value: Any, event: Any = event) -> str:
            return joined(address, event["id"], PRIVATE[event["api_name"].rstrip("_0123456789")](value))

        few = FEW if event["api_name"] == "paint" else {"a picture"}
        asked = targets if event == events[0] else {what: targets[what] for what in few}
        for said in asked_for(asked, form, answer):
            assert "32" not in said, f"the size of the secret picture: {said}"


def asked_for(targets: dict[str, str], form: str, answer: Callable[[Any], str]) -> list[str]:
    """The answers to all of `targets` in this form, checked to be one and the same."""
    answers: dict[str, dict[bool, list[str]]] = {}
    for what, path in targets.items():
        among = form == "with meta" and what in AMONG_UPLOADS
        if form != "with meta" or what not in MADE_BY_HAND:
            answers.setdefault(answer(FORMS[form](path)), {}).setdefault(among, []).append(what)
    for among in (False, True):
        assert sum(among in each for each in answers.values()) <= 1, answers
    return list(answers)


def joined(address: str, number: int, values: list[Any]) -> str:
    """What an event, by its number, answers over the queue, without what differs from call to call."""
    session = f"s{number}"
    body = json.dumps({"data": values, "fn_index": number, "session_hash": session}).encode()
    status, _, said = ask(address, "/gradio_api/queue/join", method="POST", body=body, Content_Type="application/json")
    assert status == 200, said
    _, _, stream = ask(address, f"/gradio_api/queue/data?session_hash={session}")
    messages = [json.loads(line[6:]) for line in stream.decode().splitlines() if line.startswith("data: ")]
    done = [each for each in messages if each["msg"] == "process_completed"]
    assert len(done) == 1, messages
    output = done[0]["output"]
    return json.dumps([done[0]["success"], output.get("data"), output.get("error")])


@pytest.mark.parametrize("endpoint", CALLS)
def test_no_request_passes_by_the_queue(address: str, theirs: Path, good: dict[str, Any], endpoint: str) -> None:
    body = json.dumps({"data": CALLS[endpoint](named(str(theirs), "x.png"), good)}).encode()
    for before in ("/gradio_api/run", "/gradio_api/api", "/run", "/api"):
        door = before + endpoint_of(endpoint)
        status, _, said = ask(address, door, method="POST", body=body, Content_Type="application/json")
        assert status in (404, 405), (door, status, said[:200])


def test_an_upload_is_still_taken(address: str, theirs: Path, good: dict[str, Any]) -> None:
    for form in ("with meta", "without meta", "without meta, with a name"):
        said = call(address, "/translate", CALLS["/translate"](FORMS[form](str(theirs)), good))
        assert "event: complete" in said, (form, said)
        (before, _), *_ = json.loads(said.split("data: ", 1)[1])
        assert Image.open(before["path"]).size == (24, 24)
        for endpoint in (name for name in CALLS if ":" in name):
            said = call(address, endpoint, CALLS[endpoint](FORMS[form](str(theirs)), good))
            assert "event: complete" in said, (endpoint, form, said)


@pytest.mark.parametrize("kind", ["ico", "icns", "png"])
def test_an_icon_with_an_enormous_picture_inside_is_refused_before_that_is_decoded(address: str, kind: str) -> None:
    """An icon's header tells of 16 × 16 pixels, and Pillow decodes what is inside as it opens the file."""
    file = io.BytesIO()
    Image.new("L", (9500, 9500)).save(file, "PNG")
    inside = file.getvalue()
    block = b"icp4" + struct.pack(">I", len(inside) + 8) + inside
    content = {
        "ico": struct.pack("<HHHBBHHHII", 0, 1, 1, 16, 16, 0, 1, 32, len(inside), 22) + inside,
        "icns": b"icns" + struct.pack(">I", len(block) + 8) + block,
        "png": inside,
    }[kind]
    status, said = upload(address, content, name="x.png")
    assert status == 200
    answer = call(address, "/translate", ["stripes2dots", named(json.loads(said)[0], "x.png"), "fit", None])
    assert "has more than 80 million pixels, as a decompression bomb would" in answer


NAMES = [
    "\0",
    "a\0b.png",
    "\ud800.png",
    "\n.png",
    "😀" * 60 + ".png",
    "街" * 200 + ".png",
    "x" * 5000,
    "..",
    "C:",
    "con.png",
]


@pytest.mark.parametrize("name", [*NAMES, "<b>.png", "a/b\\c.png", "\u202egnp.exe"], ids=ascii)
def test_a_picture_of_any_name_is_translated(address: str, tmp_path: Path, name: str) -> None:
    picture((16, 16)).save(tmp_path / "x.png")
    status, said = upload(address, (tmp_path / "x.png").read_bytes(), name="x.png")
    assert status == 200
    for endpoint in ("/translate", "/cycle", "/variations", "/compare", "/batch"):
        key = {"/cycle": "summer2winter", "/variations": "noisy", "/compare": ["maps", "noisy"]}.get(endpoint, "maps")
        upload_of = named(json.loads(said)[0], name)
        data = [key, [upload_of] if endpoint == "/batch" else upload_of, "fit"]
        data += {"/variations": [1, 1, None], "/translate": [None]}.get(endpoint, [])
        answer = call(address, endpoint, data)
        assert "event: complete" in answer, f"{endpoint}: {answer}"
