"""From a finished generator's folder to a model repo on the Hub, in one commit.

    python -m img2img_hub push-model runs/facades --repo_id alice/facades-label2photo

Only the files that make the model go, and images to try it on: never checkpoints, samples of other steps or logs.
"""

import json
import re
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RemoteEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from img2img_hub.hub.card import merge_card, with_repo_ids, with_short_paths
from img2img_hub.hub.local_paths import shortened_everywhere
from img2img_hub.hub.privacy import CONFIG, reasons_of, refuse_public

CARD = "README.md"
SETTINGS = "translation.json"
REQUIRED = (CARD, "config.json", "model.safetensors", SETTINGS)
EXAMPLES = ("examples/*.png", "examples/*.jpg", "examples/*.jpeg", "examples/*.webp")
ABOUT = ("training_config.json", "paint.json")
SHEET = "sample_sheet.png"
OPTIONAL = (*ABOUT, "training/**/*", *EXAMPLES)

# The address of a picture in a card, as Markdown or HTML.
_PICTURE = re.compile(r"""(?:!\[[^\]]*\]\(|<img\s[^>]*?src=["'])\s*<?(?:\./)?([^)\s"'>]+)""")

# What a push can raise. A refused connection is the HTTP library's own error, a base of the Hub client's.
PUSH_ERRORS: tuple[type[Exception], ...] = (ValueError, OSError, HfHubHTTPError.__bases__[0])


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    reverse: str | None = None,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload the generator",
) -> str:
    """Publish a finished generator and return the URL of its repo.

    The repo is made if it does not exist, and so is the branch `revision`. What goes names no place on this machine: of
    absolute paths in the card's command and in training_config.json only the last part is left. A card that is
    on the Hub already keeps what people wrote in it; if somebody changes the repo during the push, the push fails
    rather than to overwrite them.

    Args:
        folder: with README.md, config.json, model.safetensors and translation.json; training_config.json, paint.json,
            training/, the pictures that the card shows and the images in examples/ (shown on the web page) go along.
        repo_id: "user/name", or "name" for the token's own user.
        reverse: repo of the opposite direction. None: as translation.json says, where a folder beside this one becomes
            the repo so named: source2target, pushed as "user/x-source2target", names "user/x-target2source". Under
            another repo name a folder has no id, so it is left out, with a warning.
        token: None for the one you logged in with.
        private: make a new repo private. None: where the model was made of Hub data sets or models that are private or
            gated (as the Hub says now of what training_config.json names).
        revision: branch to push to; None for main.

    Raises:
        ValueError: the id is not valid, the folder lacks files, the front matter on the Hub cannot be read, or the
            repo is public and ought to be private.
        huggingface_hub.errors.HfHubHTTPError: the Hub's own refusals (wrong token, no rights …).
        OSError: the upload of a large file failed.
    """
    folder = Path(folder)
    check_repo_id(repo_id)
    if reverse is not None:
        check_repo_id(reverse)
    files = _files_to_push(folder)
    settings = _read_settings(folder)
    api = HfApi(token=token)
    reasons = reasons_of(folder) if private is None else []
    private = True if reasons else private
    url = api.create_repo(repo_id, private=private, exist_ok=True)
    if private:
        refuse_public(api, url.repo_id, reasons=reasons)
    if revision is not None:
        api.create_branch(url.repo_id, branch=revision, exist_ok=True)
    head = api.model_info(url.repo_id, revision=revision).sha
    reverse = reverse or _reverse_repo(folder, url.repo_id, settings.get("reverse"))
    settings_file = folder / SETTINGS if reverse == settings.get("reverse") else _json({**settings, "reverse": reverse})
    card = with_repo_ids((folder / CARD).read_text(encoding="utf-8"), url.repo_id, reverse=reverse)
    card = with_short_paths(card)
    try:
        remote = api.hf_hub_download(url.repo_id, CARD, revision=head)
    except RemoteEntryNotFoundError:  # and only this: after a network error people's text would be overwritten
        pass
    else:
        there = Path(remote).read_text(encoding="utf-8")
        if there != card:  # the same card stays to the byte: a push that is tried again must not commit again
            card = merge_card(there, card)
    operations = [CommitOperationAdd(path.relative_to(folder).as_posix(), published(path)) for path in files]
    operations += [CommitOperationAdd(SETTINGS, settings_file), CommitOperationAdd(CARD, card.encode())]
    # Not upload_folder, which may split its files over several commits and knows no README of our making.
    try:
        api.create_commit(url.repo_id, operations, commit_message=commit_message, revision=revision, parent_commit=head)
    except RuntimeError as error:  # the client's wrapping of whatever stopped the upload of a large file
        cause = error.__cause__ or error
        raise OSError(f"{error} ({cause})" if cause is not error else str(error)) from cause
    return str(url)


def published(file: Path) -> Path | bytes:
    """What goes for a file: itself, but a training_config.json of a former version without its local paths."""
    if file.name != CONFIG:
        return file
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return file
    short = shortened_everywhere(settings)
    return file if short == settings else _json(short)


def check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(
            f"{repo_id!r} is not a repo id: write USER/NAME, such as alice/facades-label2photo ({error})"
        ) from error


def _files_to_push(folder: Path) -> list[Path]:
    """All files but the card and the settings, sorted; refuses a folder that is not a finished generator."""
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}: name the folder of a finished generator, such as runs/facades")
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        directions = [path.name for path in sorted(folder.iterdir()) if (path / "config.json").is_file()]
        inside = [name for name in directions if name != "training"]
        cure = "train to the end first (train_accelerate.py writes them, with --resume for a stopped run)"
        if inside:
            cure = f"push the generators inside it one by one: {', '.join(str(folder / name) for name in inside)}"
        raise ValueError(f"{folder} is not a finished generator, it lacks {', '.join(missing)}: {cure}")
    found = {path for pattern in (*REQUIRED, *OPTIONAL) for path in folder.glob(pattern) if path.is_file()}
    return sorted((found | shown_pictures(folder)) - {folder / CARD, folder / SETTINGS})


def shown_pictures(folder: Path) -> set[Path]:
    """The PNGs beside a card that it shows, and the sample sheet. Others there, such as a photo that somebody keeps in
    the folder of a run, are none of the model's."""
    card = (folder / CARD).read_text(encoding="utf-8", errors="replace")
    shown = {unquote(name) for name in _PICTURE.findall(card)} | {SHEET}
    return {path for path in folder.glob("*.png") if path.name in shown and path.is_file()}


def _read_settings(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / SETTINGS} cannot be read ({error}): correct it, or train again") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{folder / SETTINGS} holds no object: correct it, or train again")
    return settings


def _json(settings: dict[str, Any]) -> bytes:
    return (json.dumps(settings, indent=2) + "\n").encode()


def _reverse_repo(folder: Path, repo_id: str, named: str | None) -> str | None:
    """The id under which the opposite direction is, or will be, on the Hub."""
    if not named or "/" in named:
        return named
    here = folder.resolve().name
    if re.search(rf"[/._-]{re.escape(here)}$", repo_id):
        return repo_id.removesuffix(here) + named
    warnings.warn(
        f"{repo_id} will not name its opposite direction, {named}, whose repo is not known: name it by --reverse "
        f"USER/NAME, or push both as NAME-{here} and NAME-{named}",
        stacklevel=3,
    )
    return None
