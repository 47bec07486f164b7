"""From models to a Gradio Space that shows them: the page, this package, the models in folders, and what they need.

    python -m img2img_hub push-space alice/translators --models model_cards/facades-label2photo alice/maps --dry_run

A Space is a repo whose README.md says how to start it. Models in folders go along; models on the Hub are named and
fetched when they are first chosen.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, SpaceHardware

from img2img_hub.hub import front_matter
from img2img_hub.hub.card import with_short_paths
from img2img_hub.hub.privacy import Origin, origin_of, refuse_public, why_private
from img2img_hub.hub.publish import (
    ABOUT,
    CARD,
    EXAMPLES,
    REQUIRED,
    check_repo_id,
    published,
    shown_pictures,
)
from img2img_hub.networks.style_encoder import STYLE_ENCODER

PACKAGE = Path(__file__).resolve().parents[1]
MODELS = "model_cards"
MAX_SHORT_DESCRIPTION = 60  # the Hub refuses more

# What the page and this package import; the versions are those that it runs with here.
NEEDS = (
    "torch",
    "gradio",
    "docstring_parser",
    "filelock",
    "httpx2",
    "huggingface_hub",
    "jinja2",
    "markdown-it-py",
    "numpy",
    "pillow",
    "psutil",
    "pyyaml",
    "safetensors",
    "tqdm",
    "tyro",
)
# What makes the page faster on a CPU (see demo.speed): written down where the Space has no GPU and they are here.
FASTER = ("onnx", "onnxscript", "openvino")
# ZeroGPU has its own list of torch versions, and of Pythons.
ZERO_GPU = "zero-a10g"
ZERO_GPU_TORCH = "torch>=2.8,<2.12"
PYTHON = "3.12"

_APP = '''"""The page of img2img_hub for the models of this Space: python app.py"""

import os
from pathlib import Path

try:  # on ZeroGPU it has to come before torch; elsewhere there is none
    import spaces  # noqa: F401
except ImportError:
    pass

# Before Gradio is imported: the page asks nothing of the outside world but the models below.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
here = Path(__file__).parent
os.environ.setdefault("IMG2IMG_MODELS", ", ".join({names}))

from img2img_hub.demo.app import main  # noqa: E402

main()
'''

_BODY = """
# {title}

Pictures in, translated pictures out: a page of [img2img_hub](img2img_hub), which trains, shares and shows
image-to-image translators (Pix2Pix and CycleGAN).

| model | licence of the weights |
|---|---|
{rows}

The code is under Apache-2.0. This Space was made by `python -m img2img_hub push-space`, which writes all its files
anew; what else is in it stays.
"""


@dataclass(frozen=True, kw_only=True)
class Space:
    """What will be in the repo: {path in the repo: file on this machine, or contents}."""

    files: dict[str, Path | bytes]
    origin: Origin
    """Hub data sets and models in it."""

    def size(self, name: str) -> int:
        """Bytes of one of the files."""
        file = self.files[name]
        return len(file) if isinstance(file, bytes) else file.stat().st_size


def make_space(
    models: Sequence[str | Path], *, title: str, short_description: str | None = None, hardware: str | None = None
) -> Space:
    """All files of a Space that shows `models`; nothing is sent.

    Args:
        models: folders of models, folders that hold several (model_cards, a CycleGAN run), and Hub ids (user/name).
        title: what the Space is called.
        short_description: a line for its thumbnail, at most 60 characters.
        hardware: hardware to suggest, such as "t4-small"; "zero-a10g" also writes requirements that ZeroGPU can meet.

    Raises:
        ValueError: no models, a folder without one, two of one name, an id that is none, unknown hardware.
    """
    short_description = short_description or "Pix2Pix and CycleGAN translators to try"
    if len(short_description) > MAX_SHORT_DESCRIPTION:
        raise ValueError(
            f"the short description has {len(short_description)} characters: the Hub takes {MAX_SHORT_DESCRIPTION}"
        )
    if hardware is not None and hardware not in (known := [each.value for each in SpaceHardware]):
        raise ValueError(f"hardware {hardware!r} is none that the Hub has: choose from {', '.join(known)}")
    folders, ids = _find(models)
    names = [f"str(here / {f'{MODELS}/{name}'!r})" for name in folders] + [repr(repo_id) for repo_id in ids]
    head = {
        "title": title,
        "emoji": "🎨",
        "colorFrom": "indigo",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "python_version": PYTHON,
        "app_file": "app.py",
        "short_description": short_description,
        "license": "apache-2.0",
        "tags": ["image-to-image", "pix2pix", "cyclegan", "img2img_hub"],
        "models": ids or None,
        "suggested_hardware": hardware,
    }
    head = {key: value for key, value in head.items() if value is not None}
    rows = [f"| {name} | {_licence(folder)} |" for name, folder in folders.items()]
    rows += [f"| [{repo_id}](https://huggingface.co/{repo_id}) | see its card |" for repo_id in ids]
    body = _BODY.format(title=title, rows="\n".join(rows))
    files: dict[str, Path | bytes] = {
        CARD: (front_matter.written(head) + body).encode(),
        "app.py": _APP.replace("{names}", f"[{', '.join(names)}]").encode(),
        "requirements.txt": _requirements(hardware).encode(),
    }
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            files[f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}"] = path
    for name, folder in folders.items():
        # Of what training left only what reads the styles of visitors' pictures.
        shown = (*REQUIRED, *ABOUT, *EXAMPLES, f"training/{STYLE_ENCODER}/*")
        found = {path for pattern in shown for path in folder.glob(pattern)}
        for path in sorted({path for path in found if path.is_file()} | shown_pictures(folder)):
            content = with_short_paths(path.read_text(encoding="utf-8")).encode() if path.name == CARD else path
            files[f"{MODELS}/{name}/{path.relative_to(folder).as_posix()}"] = (
                published(path) if isinstance(content, Path) else content
            )
    origins = [origin_of(folder) for folder in folders.values()] + [{"datasets": [], "models": ids}]
    origin = {kind: sorted({each for one in origins for each in one[kind]}) for kind in ("datasets", "models")}
    return Space(files=files, origin=origin)


def push_space(repo_id: str, space: Space, *, private: bool | None = None, token: str | None = None) -> str:
    """Create the Space, or update it in one commit, and return its URL.

    Modules of this package and models that an earlier push brought and this one does not are deleted; other files stay.

    Args:
        repo_id: "user/name", or "name" for the token's own user.
        space: what `make_space` returned.
        private: make a new Space private. None: where one of its models, or what it was made of, is private or gated.
        token: None for the one you logged in with.

    Raises:
        ValueError: the id is not valid, or the Space is public and ought to be private.
        huggingface_hub.errors.HfHubHTTPError: the Hub's own refusals (wrong token, no rights …).
        OSError: the upload of a large file failed.
    """
    check_repo_id(repo_id)
    api = HfApi(token=token)
    reasons = why_private(**space.origin) if private is None else []
    private = True if reasons else private
    url = api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
    if private:
        refuse_public(api, url.repo_id, reasons=reasons, kind="space")
    info = api.space_info(url.repo_id)
    ours = re.compile(rf"({PACKAGE.name}|{MODELS})/")
    there = [sibling.rfilename for sibling in info.siblings or []]
    operations: list[Any] = [CommitOperationAdd(name, file) for name, file in space.files.items()]
    operations += [CommitOperationDelete(name) for name in there if ours.match(name) and name not in space.files]
    try:
        api.create_commit(
            url.repo_id, operations, repo_type="space", commit_message="Show the models", parent_commit=info.sha
        )
    except RuntimeError as error:  # the client's wrapping of whatever stopped the upload of a large file
        cause = error.__cause__ or error
        raise OSError(f"{error} ({cause})" if cause is not error else str(error)) from cause
    return str(url)


# --- inside -----------------------------------------------------------------------------------------------------------


def _find(models: Sequence[str | Path]) -> tuple[dict[str, Path], list[str]]:
    """{name in the Space: folder} and Hub ids, in the order in which they were named."""
    folders: dict[str, Path] = {}
    ids: list[str] = []
    for named in models:
        folder = Path(named)
        if not folder.is_dir():
            text = str(named)
            if text.count("/") != 1 or text.startswith((".", "/", "~")):
                raise ValueError(f"there is no folder {text}, and it is no Hub id such as user/model")
            check_repo_id(text)
            ids += [text] if text not in ids else []
            continue
        found = [each for each in (folder, *sorted(folder.iterdir())) if _is_model(each)]
        if not found:
            raise ValueError(f"{folder} holds no model: name a folder with {', '.join(REQUIRED)}, or one that has such")
        for each in map(Path.resolve, found):
            if not re.fullmatch(r"[\w.-]+", each.name):  # it will stand in a list, in a table and in addresses
                raise ValueError(f"{each} cannot go along under its name: rename it to letters, digits, -, _ and .")
            if folders.setdefault(each.name, each) != each:
                raise ValueError(f"{folders[each.name]} and {each} would both be {MODELS}/{each.name}: rename one")
    if not folders and not ids:
        raise ValueError("no model is named: type --models with folders of models or Hub ids (user/model)")
    return folders, ids


def _is_model(folder: Path) -> bool:
    return all((folder / name).is_file() for name in REQUIRED)


def _licence(folder: Path) -> str:
    """As the model's card has it: license_name where the licence is "other"."""
    head = front_matter.keys_of((folder / CARD).read_text(encoding="utf-8", errors="replace"))
    name = str(head.get("license_name") or head.get("license") or "not said")
    return f"[{name}]({head['license_link']})" if head.get("license_link") else name


def _requirements(hardware: str | None) -> str:
    def line(name: str) -> str:
        if name == "torch" and hardware == ZERO_GPU:
            return ZERO_GPU_TORCH
        return f"{name}=={version(name).partition('+')[0]}"

    on_cpu = hardware is None or hardware.startswith("cpu")
    here = all(find_spec(name) for name in FASTER)
    return "".join(f"{line(name)}\n" for name in (*NEEDS, *(FASTER if on_cpu and here else ())))
