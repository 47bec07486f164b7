"""What strangers try at each endpoint of the page, beside what they try at its doors (tests/test_security.py).

    python -m pytest tests/test_security_tabs.py

An endpoint that comes later has to be named here, with how it is called.
"""

from __future__ import annotations

import json
import socket
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from img2img_hub.demo.app import build_demo
from img2img_hub.demo.models import find_models
from tests.browser.serving import ROOT, picture, serve, write_model, write_noisy, write_pair, write_rooms
from tests.test_security import ask, upload

# How each endpoint is called with a picture.
CALLS: dict[str, Callable[[Any], list[Any]]] = {
    "/translate": lambda file: ["stripes2dots", file, "fit"],
    "/variations": lambda file: ["noisy", file, "fit", 7, 2],
    "/cycle": lambda file: ["summer2winter", file, "fit"],
    "/translate_several": lambda file: ["rooms", "fit", file, file, None, None],
    "/batch": lambda file: ["stripes2dots", [file], "fit"],
    "/compare": lambda file: [["stripes2dots", "maps"], file, "fit"],
    "/compare_revisions": lambda file: ["owner/name", "v1", "main", file, "fit"],
    "/translate_any": lambda file: ["owner/name", file, "fit"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "stripes2dots")
    write_model(folder / "maps", card="# Maps\n")
    write_noisy(folder / "noisy")
    write_pair(folder)
    write_rooms(folder / "rooms")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(models: Path, server: Path) -> Iterator[str]:
    with serve(f"{models}, owner/name", folder=server, env={"IMG2IMG_ALLOW_ANY_MODEL": "1"}) as url:
        yield url


@pytest.fixture(scope="module")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    folder = tmp_path_factory.mktemp("downloads")
    return Client(address, verbose=False, download_files=str(folder), analytics_enabled=False)


@pytest.fixture(autouse=True)
def still_up(address: str) -> Iterator[None]:
    yield
    status, _, body = ask(address, "/")
    assert status == 200
    assert b"img2img_hub" in body


def call(address: str, endpoint: str, data: list[Any], *, visitor: str = "127.0.0.1") -> str:
    """What the endpoint answers to data as they stand: clients would upload a file that is named."""
    body = json.dumps({"data": data}).encode()
    door = f"/gradio_api/call{endpoint}"
    status, _, said = ask(address, door, method="POST", body=body, visitor=visitor, Content_Type="application/json")
    if status != 200:
        return said.decode()
    _, _, said = ask(address, f"{door}/{json.loads(said)['event_id']}")
    return said.decode()


def stored(address: str, path: Path, *, name: str = "x.png") -> str:
    status, said = upload(address, path.read_bytes(), name=name)
    assert status == 200
    return json.loads(said)[0]


def named(path: str, name: Any) -> dict[str, Any]:
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def test_each_endpoint_is_tried_here(client: Client) -> None:
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == set(CALLS)


@pytest.mark.parametrize("endpoint", CALLS)
def test_no_file_of_the_server_passes_as_an_upload(address: str, models: Path, server: Path, endpoint: str) -> None:
    own = models / "stripes2dots/examples/1-stripes-1.png"
    for secret in (own, Path("/etc/passwd"), ROOT / "app.py", models / "stripes2dots", server / "server.log"):
        for more in ({}, {"url": f"file://{secret}"}):
            said = call(address, endpoint, CALLS[endpoint](named(str(secret), "x.png") | more))
            assert "event: complete" not in said
            assert "event: error" in said
            assert "root:" not in said


@pytest.mark.parametrize("endpoint", CALLS)
def test_the_server_fetches_nothing_for_strangers(address: str, endpoint: str) -> None:
    with socket.socket() as inside:
        inside.bind(("127.0.0.1", 0))
        inside.listen()
        inside.settimeout(1)
        target = f"http://127.0.0.1:{inside.getsockname()[1]}/secret.png"
        for more in ({}, {"url": target}):
            assert "event: complete" not in call(address, endpoint, CALLS[endpoint](named(target, "x.png") | more))
        with pytest.raises(TimeoutError):
            inside.accept()


@pytest.mark.parametrize("path", ["", ".", "cache", "cache/.."])
def test_a_folder_of_visitors_files_is_no_picture(address: str, server: Path, tmp_path: Path, path: str) -> None:
    """In a batch a folder would stand for all images in it."""
    picture((16, 16)).save(tmp_path / "x.png")
    theirs = Path(stored(address, tmp_path / "x.png", name="theirs.png"))
    for folder in (theirs.parent, theirs.parents[1] / path):
        assert "event: complete" not in call(address, "/batch", ["stripes2dots", [named(str(folder), "x.png")], "fit"])


@pytest.mark.parametrize("endpoint", CALLS)
def test_a_picture_of_400_megapixels_is_refused_unread(client: Client, tmp_path: Path, endpoint: str) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(AppError, match=r"bomb\.png has more than \d+ million pixels"):
        client.predict(*CALLS[endpoint](handle_file(str(tmp_path / "bomb.png"))), api_name=endpoint)


@pytest.mark.parametrize("endpoint", CALLS)
def test_limits_of_pixels_and_bytes_hold_everywhere(client: Client, tmp_path: Path, endpoint: str) -> None:
    Image.new("1", (8001, 5000)).save(tmp_path / "large.png")
    with pytest.raises(AppError, match=r"large\.png has 8001 × 5000 pixels \(40\.0 megapixels\); this page takes 40"):
        client.predict(*CALLS[endpoint](handle_file(str(tmp_path / "large.png"))), api_name=endpoint)
    (tmp_path / "film.png").write_bytes(bytes(51 * 1024 * 1024))
    with pytest.raises(Exception, match=r"413|too large|exceed|maximum"):
        client.predict(*CALLS[endpoint](handle_file(str(tmp_path / "film.png"))), api_name=endpoint)


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize("kind", ["bands", "floats", "pages"])
def test_tiffs_that_pillow_does_not_know_have_the_same_limits(
    client: Client, tmp_path: Path, endpoint: str, kind: str
) -> None:
    options: dict[str, Any] = {"photometric": "rgb" if kind == "floats" else "minisblack"}
    if kind == "bands":
        options["planarconfig"] = "contig"
    shape, dtype = {
        "bands": ((1000, 1000, 170), "uint8"),
        "floats": ((4000, 4000, 3), "float32"),
        "pages": ((170, 1000, 1000), "uint8"),
    }[kind]
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros(shape, dtype), compression="zlib", **options)
    with pytest.raises(AppError, match=r"deep\.tif has .*; this page takes 40"):
        client.predict(*CALLS[endpoint](handle_file(str(tmp_path / "deep.tif"))), api_name=endpoint)


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize("content", ["<svg xmlns='http://www.w3.org/2000/svg'/>", "<!DOCTYPE html><script>1</script>"])
def test_pages_named_png_are_no_pictures(client: Client, tmp_path: Path, endpoint: str, content: str) -> None:
    (tmp_path / "<b>x.png").write_text(content)
    with pytest.raises(AppError, match="is not an image that can be read") as error:
        client.predict(*CALLS[endpoint](handle_file(str(tmp_path / "<b>x.png"))), api_name=endpoint)
    assert "<b>" not in str(error.value)


@pytest.mark.parametrize("endpoint", CALLS)
def test_arguments_of_other_kinds_are_refused(address: str, endpoint: str) -> None:
    for data in ([], [None] * 5, [{}] * 5, [[[[]]]] * 5, ["x" * 100_000] * 5, [1e308] * 3, [True, False, None]):
        assert "event: complete" not in call(address, endpoint, data)


HOSTILE = ["../../evil.png", "/etc/cron.d/evil.png", "..\\..\\evil.png", "C:\\evil.png", "a" * 400 + ".png", "\0.png"]
HOSTILE += [
    "con.png",
    "evil\u202egnp.exe",
    "..",
    ".",
    "",
    "a/b/../../c.png",
    "evil\r\nname.png",
    "\ud83d.png",
    "EVIL.png",
]
HOSTILE += ["<img src=x onerror=alert(1)>.png", "~/.bashrc", "$(id).png", "-rf.png", "üñï.png", ".hidden.png", "x.png "]


def test_names_in_the_zip_are_plain_ones(address: str, tmp_path: Path) -> None:
    picture((16, 16)).save(tmp_path / "x.png")
    files = [named(stored(address, tmp_path / "x.png"), name) for name in [*HOSTILE, None]]
    said = call(address, "/batch", ["stripes2dots", files, "fit"])
    archive, report, _ = json.loads(said.split("data: ", 1)[1])
    assert f"{len(files)} of {len(files)} pictures done" in report
    (tmp_path / "all.zip").write_bytes(ask(address, f"/gradio_api/file={archive['path']}")[2])
    with zipfile.ZipFile(tmp_path / "all.zip") as opened:
        names = opened.namelist()
        opened.extractall(tmp_path / "out")
    assert len(names) == len({name.casefold() for name in names}) == len(files)
    for name in names:
        assert name.endswith(".png")
        assert not set(name) & set('/\\<>:"|?*\0\r\n\u202e')
        assert not name.startswith((".", " "))
        assert len(name.encode()) < 255
    assert {path.name for path in tmp_path.rglob("out/*")} == set(names), "nothing lies elsewhere"


def test_what_a_report_shows_of_a_name_is_text(address: str, tmp_path: Path) -> None:
    picture((16, 16)).save(tmp_path / "x.png")
    (tmp_path / "bad.png").write_text("no picture")
    files = [named(stored(address, tmp_path / "x.png"), "x.png")]
    files.append(named(stored(address, tmp_path / "bad.png"), "<img src=x onerror=alert(1)>.png"))
    said = call(address, "/batch", ["stripes2dots", files, "fit"])
    _, report, _ = json.loads(said.split("data: ", 1)[1])
    assert "&lt;img src=x" in report
    assert "<img" not in report


def test_more_calls_than_the_queue_holds_leave_the_page_up(address: str, tmp_path: Path) -> None:
    picture((16, 16)).save(tmp_path / "x.png")
    file = named(stored(address, tmp_path / "x.png"), "x.png")

    def ask_for_one(number: int) -> str:
        return call(address, "/batch", ["stripes2dots", [file], "fit"], visitor=f"127.0.0.{2 + number}")

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(ask_for_one, range(60)))
    done = sum("event: complete" in answer for answer in answers)
    assert done >= 40
    assert all("event: complete" in answer or "full" in answer.lower() for answer in answers)


def test_visitors_at_the_same_time_get_their_own_results(client: Client, tmp_path: Path) -> None:
    for width in range(20, 28):
        picture((width, 20), stripe=width - 18).save(tmp_path / f"{width}.png")

    def compared(width: int) -> list[int]:
        file = handle_file(str(tmp_path / f"{width}.png"))
        pictures, _ = client.predict(["stripes2dots", "maps"], file, "fit", api_name="/compare")
        return [Image.open(each["image"]).width for each in pictures]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(compared, range(20, 28))) == [[width] * 3 for width in range(20, 28)]


def test_each_event_waits_in_a_queue_with_a_limit(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMG_ALLOW_ANY_MODEL", "1")
    demo = build_demo(find_models(f"{models}, owner/name"))
    assert demo._queue.max_size == 40
    limits = {}
    for function in demo.fns.values():
        if function.queue:
            assert function.concurrency_limit is not None, function.api_name
        else:
            assert function.api_visibility == "private", function.api_name
        if function.api_visibility == "public":
            limits[f"/{function.api_name}"] = function.concurrency_limit
    assert set(limits) == set(CALLS)
    assert limits["/batch"] == limits["/translate_any"] == limits["/compare_revisions"] == 1
    shared = {function.concurrency_id for function in demo.fns.values() if function.concurrency_limit == 1}
    assert "translate" not in shared, "what may take long leaves room for single pictures"
    assert max(int(limit) for limit in limits.values()) <= 2
