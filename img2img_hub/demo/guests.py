"""Models that a visitor names: any public repo of the Hub, or a revision of one on offer. Bounded, never trusted.

    IMG2IMG_ALLOW_ANY_MODEL=1 python app.py

What a visitor names is read from the Hub alone, never from a folder of the server, and without the owner's token, so
that nobody reaches the owner's private repos by it. The Hub is asked how large the files are before any is downloaded.
They lie in a temporary folder only while they are read; in memory stay the last one or few, apart from the owner's.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from img2img_hub.demo.models import LOAD_ERRORS, without_folders
from img2img_hub.demo.requests import most_pixels
from img2img_hub.demo.texts import say
from img2img_hub.demo.zero import ON_ZERO_GPU
from img2img_hub.runtimes.export import working_shape
from img2img_hub.translation.translator import Translator

VARIABLE = "IMG2IMG_ALLOW_ANY_MODEL"

# Bytes of each file that is read. A U-Net as in the Pix2Pix paper has 218 MB in float32.
MEGABYTE = 1_000_000
FILES = {
    "config.json": 0.1 * MEGABYTE,
    "model.safetensors": 250 * MEGABYTE,
    "translation.json": 0.1 * MEGABYTE,
    "README.md": 0.5 * MEGABYTE,
}
REQUIRED = ("config.json", "model.safetensors")
TIMEOUT = 10  # seconds, of each question to the Hub

logger = logging.getLogger(__name__)

_ID = re.compile(r"[a-z0-9][\w.-]*/[a-z0-9][\w.-]*", re.ASCII | re.IGNORECASE)
_REVISION = re.compile(r"[a-z0-9][\w.-]*(/[a-z0-9][\w.-]*)*", re.ASCII | re.IGNORECASE)


class GuestError(Exception):
    """Why a model that a visitor named cannot be had: the name of a text, and what stands in its places."""

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(say(text, **values))
        self.text, self.values = text, values

    def say(self, request: gr.Request | None) -> str:
        return say(self.text, request, **self.values)


def any_model_allowed() -> bool:
    """Whether the owner lets visitors name models. Not on ZeroGPU, where weights have to be loaded at the start."""
    return os.environ.get(VARIABLE) == "1" and not ON_ZERO_GPU


@dataclass(frozen=True)
class Guest:
    translator: Translator
    card: str


@dataclass
class Guests:
    """The `most` models that visitors named last; an earlier one makes room before another is read."""

    most: int = 1
    _loaded: dict[str, Guest] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def translator(self, key: str) -> Translator:
        return self.guest(key).translator

    def guest(self, key: str) -> Guest:
        """The model "owner/name" or "owner/name@revision". Raises GuestError."""
        repo_id, _, revision = key.partition("@")
        repo_id, revision = check_id(repo_id), check_revision(revision) if revision else ""
        key = f"{repo_id}@{revision}" if revision else repo_id
        with self._lock:
            if key in self._loaded:
                self._loaded[key] = self._loaded.pop(key)  # now the last
                return self._loaded[key]
            with tempfile.TemporaryDirectory(prefix="img2img-guest-", ignore_cleanup_errors=True) as place:
                folder = _download(repo_id, revision or None, shown=key, place=place)
                while len(self._loaded) >= self.most:
                    self._loaded.pop(next(iter(self._loaded)))
                self._loaded[key] = _load(folder, shown=key)
            return self._loaded[key]

    def reason(self, key: str, error: Exception) -> str:
        return without_folders(str(error))


def check_id(text: str) -> str:
    """A Hub id that a visitor typed or pasted with its address. Raises GuestError for all else, such as folders."""
    repo_id = text.strip().removeprefix("https://huggingface.co/").removesuffix("/")
    try:
        if not _ID.fullmatch(repo_id):
            raise HFValidationError
        validate_repo_id(repo_id)
    except HFValidationError:
        raise GuestError("guest_id", name=f"{text:.100}") from None
    return repo_id


def check_revision(text: str) -> str:
    """A branch, tag or commit. Raises GuestError."""
    if not _REVISION.fullmatch(text.strip()) or len(text) > 100 or ".." in text:
        raise GuestError("guest_revision_name", name=f"{text:.100}")
    return text.strip()


def _download(repo_id: str, revision: str | None, *, shown: str, place: str) -> Path:
    """The folder below `place` with the repo's files."""
    try:
        names, commit = _look(repo_id, revision, shown=shown)
        paths = [
            hf_hub_download(repo_id, name, revision=commit, token=False, cache_dir=place, etag_timeout=TIMEOUT)
            for name in names
        ]
        return Path(paths[0]).parent
    except RevisionNotFoundError as error:
        raise GuestError("guest_revision", name=repo_id, revision=revision) from error
    except RepositoryNotFoundError as error:  # gated ones are of this kind, too
        raise GuestError("guest_missing", name=repo_id) from error
    except LOAD_ERRORS as error:
        logger.warning("%s: %s", shown, error)
        raise GuestError("guest_hub", name=shown) from error


def _load(folder: Path, *, shown: str) -> Guest:
    try:
        translator = Translator.from_pretrained(folder)
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    except (OSError, ValueError, RuntimeError) as error:
        said = str(error).replace(f"{folder}: ", "").replace(str(folder), shown)
        raise GuestError("guest_unfit", name=shown, reason=without_folders(said)) from error
    translator.name = shown
    size = working_shape(translator.network, translator.settings.working_size)[0]  # padded: levels=12 makes 4096 of 1
    if size**2 > most_pixels(translator, "native") or not translator.engine.fits(size, size):
        raise GuestError("guest_heavy", name=shown, size=size)
    return Guest(translator, text)


def _look(repo_id: str, revision: str | None, *, shown: str) -> tuple[list[str], str | None]:
    """(files that are wanted and there, the commit that all are of), from the heads of the Hub's answers alone."""
    names, commit = [], revision
    for name, most in FILES.items():
        try:
            head = get_hf_file_metadata(hf_hub_url(repo_id, name, revision=commit), token=False, timeout=TIMEOUT)
        except EntryNotFoundError:
            if name in REQUIRED:
                raise GuestError("guest_foreign", name=shown) from None
            continue
        if head.size is None or head.commit_hash is None:
            raise OSError(f"the Hub does not say how large {name} is, and of which commit")
        if head.size > most:
            size, limit = f"{head.size / MEGABYTE:.1f}", f"{most / MEGABYTE:g}"
            raise GuestError("guest_large", name=shown, file=name, size=size, limit=limit)
        names.append(name)
        commit = head.commit_hash  # a push in between must not give a mixture
    return names, commit
