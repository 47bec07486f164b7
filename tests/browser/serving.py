"""A page to test against: tiny models in a folder, app.py serving them in its own process, a Chromium to look at it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from gradio.utils import get_upload_folder
from PIL import Image, ImageDraw

from img2img_hub import Network, ResNetGenerator, SpadeGenerator, UNetGenerator
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.networks import StyleEncoder
from img2img_hub.networks.style_encoder import STYLE_ENCODER
from img2img_hub.translation.settings import TranslationSettings
from tests.ports import free_port
from tests.test_spade import lively
from tests.warm import start_python

ROOT = Path(__file__).resolve().parents[2]
WAIT = 30_000  # milliseconds; the machine may be busy
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
CARD = """---
license: mit
---
# Stripes → dots

Turns *stripes* into [dots](https://example.com/dots). A random network, made for the tests.

## Use it
"""


def write_model(
    folder: Path,
    *,
    card: str | None = CARD,
    examples: int = 3,
    resize: str = "fit",
    network: Network | None = None,
    reverse: str | None = None,
) -> Path:
    """A model in Hub layout, with example pictures of 64 x 64 pixels; a U-Net of a few thousand random weights."""
    torch.manual_seed(0)
    (network or UNetGenerator(levels=4, width=4)).save_pretrained(folder)
    family = "pix2pix" if reverse is None else "cyclegan"
    TranslationSettings(family=family, working_size=64, resize=resize, reverse=reverse).save(folder)  # type: ignore[arg-type]
    (folder / "README.md").unlink(missing_ok=True)  # save_pretrained writes a card of its own
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    if examples:
        (folder / "examples").mkdir()
    for number in range(examples):
        picture((64, 64), stripe=4 + 3 * number).save(folder / "examples" / f"{number + 1}-stripes-{number + 1}.png")
    return folder


def write_noisy(folder: Path) -> Path:
    """A model whose dropout shows: its weights are large enough for differences in 8 bits."""
    torch.manual_seed(1)
    network = UNetGenerator(levels=6, width=4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(10)
    return write_model(folder, card="# Noisy\n\nDraws lots. Twice.\n", network=network)


def write_of_classes(folder: Path) -> Path:
    """A model of label maps in colours."""
    write_model(
        folder, card="# Of classes\n\nPaints.\n", examples=0, network=UNetGenerator(in_channels=2, levels=4, width=4)
    )
    slot = Slot(
        name="source", kind="labels", bands=1, classes=2, palette=("#0030ff", "#00ff00"), class_names=("sky", "meadow")
    )
    values = BandValues(dtype="uint8", low=(0,), high=(255,), classes=(2,))
    TranslationSettings(
        family="pix2pix", source_channels=2, source_values=values, inputs=(slot,), working_size=64, resize="fit"
    ).save(folder)
    return folder


FACADE = {
    **{"background": "#0000de", "facade": "#0030ff", "window": "#0080ff", "door": "#00cfff", "cornice": "#20ffdf"},
    **{"sill": "#70ff8f", "balcony": "#c0ff3f", "blind": "#fff000", "deco": "#ff9f00", "molding": "#ff5000"},
    **{"pillar": "#ff0000", "shop": "#ae0000"},
}
STREET = {
    **{"sky": "#808080", "building": "#800000", "pole": "#c0c080", "road": "#804080", "pavement": "#3c28de"},
    **{"tree": "#808000", "sign": "#c08080", "fence": "#404080", "car": "#400080", "pedestrian": "#404000"},
    **{"bicyclist": "#0080c0"},
}
STRIPES = {"blue": "#0030ff", "orange": "#ff5000"}
"""Classes of label maps, and the colours that those of `picture` are in."""


def write_styled(folder: Path, classes: dict[str, str], *, void: str = "", instances: bool = False) -> Path:
    """GauGAN: a model of label maps in these colours, whose styles show, with the encoder that reads them off photos.

    void: the colour of what is of no class. instances: whether it reads a second map, which tells instances apart.
    """
    torch.manual_seed(0)
    channels = len(classes) + instances
    network = lively(SpadeGenerator(in_channels=channels, width=2, hidden=4, latent=6, latent_side=1))
    network.start.weight.data *= 20  # so that a style changes all colours …
    network.image.weight.data *= 0.02  # … and none is black or white
    network.save_weights(folder)
    lively(StyleEncoder(width=2, latent=6)).save_weights(folder / "training" / STYLE_ENCODER)
    slots = [
        Slot(
            name="map",
            kind="labels",
            bands=1,
            classes=len(classes),
            palette=(*classes.values(), *([void] if void else [])),
            class_names=tuple(classes),
        )
    ]
    slots += [Slot(name="ids", kind="instances", bands=1)] if instances else []
    count = len(slots)
    values = BandValues(
        dtype="uint8",
        low=(0.0,) * count,
        high=(255.0,) * count,
        classes=(len(classes), 0)[:count],
        edges=(1,) * instances,
    )
    TranslationSettings(
        family="spade",
        source_channels=channels,
        source_values=values,
        inputs=tuple(slots),
        norm_statistics="running",
        working_size=64,
        resize="fit",
    ).save(folder)
    (folder / "README.md").write_text(f"# {folder.name}\n\nOf classes, in styles.\n", encoding="utf-8")
    return folder


def write_rooms(folder: Path) -> Path:
    """A model of two pictures, a coloured and a grey one."""
    torch.manual_seed(3)
    slots = (Slot(name="colours", bands=3), Slot(name="edges", bands=1))
    values = BandValues(dtype="uint8", low=(0,) * 4, high=(255,) * 4)
    UNetGenerator(in_channels=4, levels=4, width=4, dropout=0).save_weights(folder)
    TranslationSettings(
        family="pix2pix", source_channels=4, inputs=slots, source_values=values, working_size=64, resize="fit"
    ).save(folder)
    (folder / "README.md").write_text("# Rooms\n\nOf colours and edges.\n", encoding="utf-8")
    return folder


def write_pair(root: Path, *, resize: str = "native") -> tuple[Path, Path]:
    """Two directions of a CycleGAN that name each other: ROOT/summer2winter and ROOT/winter2summer."""
    names = ("summer2winter", "winter2summer")
    for seed, (name, other) in enumerate([names, names[::-1]]):
        torch.manual_seed(seed)
        network = ResNetGenerator(width=4, blocks=1)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(3)
        write_model(root / name, card=None, examples=1 + seed, resize=resize, network=network, reverse=other)
    return root / names[0], root / names[1]


def picture(size: tuple[int, int], *, stripe: int = 8) -> Image.Image:
    """Hard-edged stripes in two colours: an RGB image of `size`, (width, height)."""
    image = Image.new("RGB", size, (0, 48, 255))
    draw = ImageDraw.Draw(image)
    for x in range(0, size[0], 2 * stripe):
        draw.rectangle((x, 0, x + stripe - 1, size[1]), fill=(255, 80, 0))
    return image


def as_upload(path: Path) -> dict[str, str]:
    """What names a file that a visitor has uploaded: a copy of it, where Gradio puts uploads."""
    place = Path(get_upload_folder(), hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)
    return {"path": str(place), "orig_name": path.name}


@contextlib.contextmanager
def serve(
    models: str | None, *, folder: Path, app: Path = ROOT / "app.py", env: dict[str, str] | None = None
) -> Iterator[str]:
    """Run app.py from another directory, as a checkout that is not installed, and give its address.

    models: what IMG2IMG_MODELS names; None: left to app.py. env: more of the environment.
    """
    port = free_port()
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    environment = {key: value for key, value in os.environ.items() if key.lower() not in proxies | {"pythonpath"}}
    environment |= {"IMG2IMG_MODELS": models} if models is not None else {}
    environment |= {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "cache")}
    (folder / "tmp").mkdir(exist_ok=True)
    environment |= {"TMPDIR": str(folder / "tmp")}
    environment |= {"HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    # PyTorch, so that results are those of a Translator to the bit; tests of the backends say "auto".
    environment |= {"XDG_CACHE_HOME": str(folder / "xdg"), "IMG2IMG_BACKEND": "torch"}
    environment |= env or {}
    log = folder / "server.log"
    log.touch()
    server = start_python([str(app)], env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, server, log)
        yield address
    finally:
        server.terminate()
        server.join(20)
        assert server.exitcode is not None, "it does not end"


def find_chromium() -> str:
    """The path of a Chromium, or a failure that says what to install: a page nobody looked at is not tested."""
    from playwright.sync_api import sync_playwright

    for name in (os.environ.get("CHROMIUM", ""), *BROWSERS):
        if name and (path := shutil.which(name)):
            return path
    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return playwright.chromium.executable_path
    raise AssertionError(
        "The page tests need a Chromium and found none. Install one with `apt-get install chromium` "
        "or `python -m playwright install --with-deps chromium`, or name yours: CHROMIUM=/path/to/chrome"
    )


def _wait_for(address: str, server: BaseProcess, log: Path, *, seconds: float = 90) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.exitcode is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(address, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(f"app.py did not serve {address} within {seconds:.0f} s:\n{log.read_text()}")
