"""What strangers on the open internet try: each is refused or served, and the page is still up after it.

    python -m pytest tests/test_security.py

One table of endpoint × attack, and what is tried at the page's doors. What they name in the place of an upload is in
tests/test_security_uploads.py.
"""

from __future__ import annotations

import json
import socket
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import tifffile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from img2img_hub.demo.app import build_demo
from img2img_hub.demo.models import find_models
from tests.browser.serving import ROOT, picture
from tests.strangers import CALLS, ask, call, endpoint_of, good_upload, named, open_to_strangers, stored, upload

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(models: Path, server: Path) -> Iterator[str]:
    with open_to_strangers(models, server) as url:
        yield url


@pytest.fixture(scope="module")
def client(address: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    folder = tmp_path_factory.mktemp("downloads")
    return Client(address, verbose=False, download_files=str(folder), analytics_enabled=False)


@pytest.fixture(scope="module")
def good(address: str) -> dict[str, Any]:
    return good_upload(address)


@pytest.fixture(autouse=True)
def still_up(address: str) -> Iterator[None]:
    yield
    status, _, body = ask(address, "/")
    assert status == 200
    assert b"img2img_hub" in body


# --- each endpoint × each file ----------------------------------------------------------------------------------------


def tiff(*shape: int, dtype: str = "uint8", **options: Any) -> Callable[[Path], None]:
    """One that Pillow does not know."""
    options = {"photometric": "minisblack", "compression": "zlib"} | options
    return lambda path: tifffile.imwrite(path, np.zeros(shape, dtype), **options)


SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = "<!DOCTYPE html><html><script>alert(1)</script></html>"
DEEP = r"deep\.tif has .*; this page takes 40"
# What it is: its name, how it is made, what is said of it.
ATTACKS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "400 megapixels": (
        "bomb.png",
        Image.new("1", (20_000, 20_000)).save,
        r"bomb\.png has more than \d+ million pixels.*make it smaller first",
    ),
    "40 megapixels": (
        "large.png",
        Image.new("1", (8001, 5000)).save,
        r"large\.png has 8001 × 5000 pixels \(40\.0 megapixels\); this page takes 40",
    ),
    "39 megapixels in a row": (
        "row.png",
        Image.new("1", (39_000_000, 1)).save,
        r"row\.png is 39000000 × 1 pixels; this page takes up to 30000 a side",
    ),
    "51 MiB": ("film.png", lambda path: path.write_bytes(bytes(51 * 1024 * 1024)), "413|too large|exceed|maximum"),
    "a TIFF of bands": ("deep.tif", tiff(1000, 1000, 170, planarconfig="contig"), DEEP),
    "a TIFF of floats": ("deep.tif", tiff(4000, 4000, 3, dtype="float32", photometric="rgb"), DEEP),
    "a TIFF of pages": ("deep.tif", tiff(170, 1000, 1000), DEEP),
    "an SVG": ("<b>x.png", lambda path: path.write_text(SVG), r"x\.png is not an image that can be read"),
    "a page": ("<b>x.png", lambda path: path.write_text(HTML), r"x\.png is not an image that can be read"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each attack's file, made once."""
    places = {attack: tmp_path_factory.mktemp("attack") / name for attack, (name, _, _) in ATTACKS.items()}
    for attack, (_, make, _) in ATTACKS.items():
        make(places[attack])
    assert places["400 megapixels"].stat().st_size < MEGABYTE
    return {attack: str(path) for attack, path in places.items()}


def test_each_endpoint_is_tried_here(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == set(map(endpoint_of, CALLS))
    places = {
        name: [each["parameter_name"] for each in endpoint["parameters"] if each["component"] in ("Image", "File")]
        for name, endpoint in endpoints.items()
    }
    styles = {name for name, inputs in places.items() if "style" in inputs}
    assert {f"{name}: style" for name in styles} == {name for name in CALLS if ":" in name}
    assert all(
        len(inputs) - (name in styles) == (4 if name == "/translate_several" else 1) for name, inputs in places.items()
    )


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_each_endpoint_refuses_each_attack_in_words(
    client: Client, made: dict[str, str], good: dict[str, Any], endpoint: str, attack: str
) -> None:
    refusal = Exception if attack == "51 MiB" else AppError  # the upload itself is refused
    with pytest.raises(refusal, match=ATTACKS[attack][2]) as error:
        client.predict(*CALLS[endpoint](handle_file(made[attack]), good), api_name=endpoint_of(endpoint))
    assert "<b>" not in str(error.value)


@pytest.mark.parametrize("endpoint", CALLS)
def test_no_file_of_the_server_passes_as_an_upload(
    address: str, models: Path, server: Path, good: dict[str, Any], endpoint: str
) -> None:
    own = models / "stripes2dots/examples/1-stripes-1.png"
    for secret in (own, Path("/etc/passwd"), ROOT / "app.py", models / "stripes2dots", server / "server.log"):
        for more in ({}, {"url": f"file://{secret}"}):
            said = call(address, endpoint, CALLS[endpoint](named(str(secret), "x.png") | more, good))
            assert "event: complete" not in said
            assert "event: error" in said
            assert "root:" not in said


@pytest.mark.parametrize("endpoint", CALLS)
def test_arguments_of_other_kinds_are_refused(address: str, endpoint: str) -> None:
    for data in ([], [None] * 5, [{}] * 5, [[[[]]]] * 5, ["x" * 100_000] * 5, [1e308] * 3, [True, False, None]):
        assert "event: complete" not in call(address, endpoint, data)


def test_the_server_fetches_nothing_for_strangers(address: str, good: dict[str, Any]) -> None:
    """No proxy, and no address in the place of an upload: an inner network is none of a visitor's business."""
    with socket.socket() as inside:
        inside.bind(("127.0.0.1", 0))
        inside.listen()
        inside.settimeout(1)
        target = f"http://127.0.0.1:{inside.getsockname()[1]}/secret.png"
        assert ask(address, f"/gradio_api/proxy={target}")[0] in (400, 401, 403, 404)
        for endpoint, values in CALLS.items():
            for path, more in ((target, {}), (target, {"url": target}), ("/etc/passwd", {"url": target})):
                said = call(address, endpoint, values(named(path, "x.png") | more, good))
                assert "event: error" in said, (endpoint, said)
                assert "root:" not in said, endpoint
        with pytest.raises(TimeoutError):
            inside.accept()


# --- files of the server ----------------------------------------------------------------------------------------------

SECRETS = ["/etc/passwd", str(ROOT / "app.py"), str(ROOT / "requirements.txt"), str(ROOT)]
DOORS = [
    "/gradio_api/file=",
    "/file=",
    "/gradio_api/file/",
    "/gradio_api/stream/",
    "/static/",
    "/assets/",
    "/gradio_api/",
]
TRICKS = [
    "{}",
    "/{}",
    "../../../../../../../..{}",
    "..%2f..%2f..%2f..%2f..%2f..%2f..%2f..{}",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e{}",
]
TRICKS += [
    "....//....//....//..../{}",
    "file://{}",
    "file://localhost{}",
    "%252e%252e%252f%252e%252e%252f{}",
    "{}%00.png",
]


@pytest.mark.parametrize("door", DOORS)
def test_no_file_of_the_server_can_be_read(address: str, door: str) -> None:
    for secret in SECRETS:
        contents = Path(secret).read_bytes()[:60] if Path(secret).is_file() else b"requirements.txt"
        for trick in TRICKS:
            status, _, body = ask(address, door + trick.format(secret))
            assert status in (400, 401, 403, 404, 405, 422), (status, door + trick.format(secret))
            assert contents not in body


def test_the_models_own_files_are_not_served(address: str, models: Path) -> None:
    model = models / "stripes2dots"
    for path in (model / "model.safetensors", model / "config.json", model / "examples/1-stripes-1.png"):
        assert ask(address, f"/gradio_api/file={path}")[0] == 403


# --- files of visitors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [SVG, HTML], ids=["svg", "html"])
def test_a_page_that_was_uploaded_never_runs(address: str, content: str) -> None:
    for name, kind in (("x.png", "image/png"), ("x.svg", "image/svg+xml"), ("x.html", "text/html")):
        for place in json.loads(upload(address, content.encode(), name=name, kind=kind)[1]):
            status, headers, _ = ask(address, f"/gradio_api/file={place}")
            if status == 200:
                shown = headers.get("Content-Type", "").split(";")[0]
                harmless = shown in ("image/png", "text/plain", "application/octet-stream")
                assert harmless or headers.get("Content-Disposition", "").startswith("attachment"), (name, shown)


def test_an_upload_of_200_megabytes_is_refused(address: str) -> None:
    try:
        status, said = upload(address, b"\0" * (200 * MEGABYTE), name="large.png")
    except (BrokenPipeError, ConnectionResetError):
        return  # cut off on the way: refused as well
    assert status == 413, said[:300]


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/cron.d/evil.png", "..\\..\\evil.png", "a" * 300 + ".png", "\0.png"]
)
def test_a_files_name_does_not_choose_its_place(address: str, name: str) -> None:
    status, said = upload(address, b"x", name=name)
    if status == 200:
        (stored,) = json.loads(said)
        assert ".." not in Path(stored).parts
        assert Path(stored).parents[1].name == "cache", "each file in a folder of its own, in the page's cache"


@pytest.mark.parametrize("path", ["", ".", "cache", "cache/.."])
def test_a_folder_of_visitors_files_is_no_picture(address: str, server: Path, tmp_path: Path, path: str) -> None:
    """In a batch a folder would stand for all images in it."""
    picture((16, 16)).save(tmp_path / "x.png")
    theirs = Path(stored(address, tmp_path / "x.png", name="theirs.png"))
    for folder in (theirs.parent, theirs.parents[1] / path):
        assert "event: complete" not in call(address, "/batch", ["stripes2dots", [named(str(folder), "x.png")], "fit"])


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


# --- connections ------------------------------------------------------------------------------------------------------


def test_fifty_idle_connections_keep_nobody_waiting(address: str, client: Client, tmp_path: Path) -> None:
    picture((16, 16)).save(tmp_path / "x.png")
    with ExitStack() as stack:
        for number in range(50):
            host = urlsplit(address)
            idle = stack.enter_context(socket.create_connection((str(host.hostname), host.port or 80), timeout=10))
            if number % 2:  # half of them begin a request and never end it
                idle.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n")
        assert ask(address, "/")[0] == 200
        _, download, _ = client.predict(
            *CALLS["/translate"](handle_file(str(tmp_path / "x.png")), None), api_name="/translate"
        )
        assert Image.open(download).size == (16, 16)


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
    assert set(limits) == set(map(endpoint_of, CALLS))
    assert limits["/batch"] == limits["/translate_any"] == limits["/compare_revisions"] == 1
    shared = {function.concurrency_id for function in demo.fns.values() if function.concurrency_limit == 1}
    assert "translate" not in shared, "what may take long leaves room for single pictures"
    assert max(int(limit) for limit in limits.values()) <= 2
