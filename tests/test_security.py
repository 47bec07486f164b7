"""What strangers on the open internet try: each is refused or served, and the page is still up after it.

python -m pytest tests/test_security.py
"""

import http.client
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.browser.serving import ROOT, picture, serve, write_model

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "stripes2dots")


@pytest.fixture(scope="module")
def address(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(str(model), folder=tmp_path_factory.mktemp("server")) as url:
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


def ask(
    address: str,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    visitor: str = "127.0.0.1",
    **headers: str,
):
    """(status, headers, body) for a path that is sent as it stands: clients would tidy up what attackers do not.

    visitor: the address that the request comes from; all of 127.0.0.0/8 are this machine.
    """
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60, source_address=(visitor, 0))
    try:
        connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def translate(client: Client, model: Path, path: Path):
    return client.predict(model.name, handle_file(str(path)), "fit", api_name="/translate")


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


def test_the_models_own_files_are_not_served(address: str, model: Path) -> None:
    for path in (model / "model.safetensors", model / "config.json", model / "examples/1-stripes-1.png"):
        assert ask(address, f"/gradio_api/file={path}")[0] == 403


def test_the_server_fetches_nothing_for_strangers(address: str, client: Client, model: Path) -> None:
    """No proxy, and no address in the place of an upload: an inner network is none of a visitor's business."""
    with socket.socket() as inside:
        inside.bind(("127.0.0.1", 0))
        inside.listen()
        inside.settimeout(1)
        target = f"http://127.0.0.1:{inside.getsockname()[1]}/secret.png"
        assert ask(address, f"/gradio_api/proxy={target}")[0] in (400, 401, 403, 404)
        for upload in ({"path": target}, {"path": target, "url": target}, {"path": "/etc/passwd", "url": target}):
            upload |= {"meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}
            body = json.dumps({"data": [model.name, upload, "fit"]}).encode()
            status, _, said = ask(
                address, "/gradio_api/call/translate", method="POST", body=body, Content_Type="application/json"
            )
            if status == 200:
                event = json.loads(said)["event_id"]
                _, _, said = ask(address, f"/gradio_api/call/translate/{event}")
                assert b"event: error" in said
                assert b"root:" not in said
        with pytest.raises(TimeoutError):
            inside.accept()


# --- files of visitors ------------------------------------------------------------------------------------------------


def test_a_picture_of_400_megapixels_is_refused_unread(client: Client, model: Path, tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < MEGABYTE
    with pytest.raises(AppError, match=r"bomb\.png has more than \d+ million pixels.*make it smaller first"):
        translate(client, model, tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "content",
    [
        '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "<!DOCTYPE html><html><script>alert(1)</script></html>",
    ],
    ids=["svg", "html"],
)
def test_pages_named_png_are_no_pictures_and_never_run(
    address: str, client: Client, model: Path, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "holiday.png"
    path.write_text(content)
    with pytest.raises(AppError, match=r"holiday\.png is not an image that can be read"):
        translate(client, model, path)
    for name, kind in (("x.png", "image/png"), ("x.svg", "image/svg+xml"), ("x.html", "text/html")):
        for stored in json.loads(upload(address, content.encode(), name=name, kind=kind)[1]):
            status, headers, _ = ask(address, f"/gradio_api/file={stored}")
            if status == 200:
                shown = headers.get("Content-Type", "").split(";")[0]
                harmless = shown in ("image/png", "text/plain", "application/octet-stream")
                assert harmless or headers.get("Content-Disposition", "").startswith("attachment"), (name, shown)


def upload(address: str, content: bytes, *, name: str, kind: str = "image/png") -> tuple[int, bytes]:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
    body = f"{head}Content-Type: {kind}\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    status, _, said = ask(
        address,
        "/gradio_api/upload",
        method="POST",
        body=body,
        Content_Type=f"multipart/form-data; boundary={boundary}",
    )
    return status, said


def test_an_upload_of_200_megabytes_is_refused(address: str, tmp_path: Path) -> None:
    try:
        status, said = upload(address, b"\0" * (200 * MEGABYTE), name="large.png")
    except (BrokenPipeError, ConnectionResetError):
        return  # cut off on the way: refused as well
    assert status == 413, said[:300]


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/cron.d/evil.png", "..\\..\\evil.png", "a" * 300 + ".png", "\0.png"]
)
def test_a_files_name_does_not_choose_its_place(address: str, model: Path, name: str) -> None:
    status, said = upload(address, b"x", name=name)
    if status == 200:
        (stored,) = json.loads(said)
        assert ".." not in Path(stored).parts
        assert Path(stored).parents[1].name == "cache", "each file in a folder of its own, in the page's cache"


# --- connections ------------------------------------------------------------------------------------------------------


def test_fifty_idle_connections_keep_nobody_waiting(address: str, client: Client, model: Path, tmp_path: Path) -> None:
    picture((16, 16)).save(tmp_path / "x.png")
    with ExitStack() as stack:
        for number in range(50):
            host = urlsplit(address)
            idle = stack.enter_context(socket.create_connection((str(host.hostname), host.port or 80), timeout=10))
            if number % 2:  # half of them begin a request and never end it
                idle.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n")
        assert ask(address, "/")[0] == 200
        _, download, _ = translate(client, model, tmp_path / "x.png")
        assert Image.open(download).size == (16, 16)
