"""Files of a model, wherever it lies: in a folder, or in a repo of the Hub.

python -c "from img2img_hub.networks.fetch import fetch; print(fetch('user/model', 'config.json'))"
"""

import re
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

_COMMIT = r"[0-9a-f]{40}"
_SECONDS = 10  # for an answer, before the download, which has its own patience


def fetch(where: str, filename: str, **download: Any) -> Path:
    """The local path of a file of a model: in the folder `where`, or downloaded from the Hub repo `where`.

    Raises:
        ValueError: the folder or the repo lacks the file, or `where` is neither.
        huggingface_hub.errors.HfHubHTTPError: what else the Hub answered.
        huggingface_hub.errors.LocalEntryNotFoundError: the Hub is out of reach and the file is not in the cache.
    """
    if where and Path(where).is_dir():  # Path("") is the current folder
        path = Path(where, filename)
        if path.is_file():
            return path
        inside = sorted(child.parent.name for child in Path(where).glob(f"*/{filename}"))
        hint = f"; name one of its folders: {', '.join(f'{where}/{name}' for name in inside)}" if inside else ""
        raise ValueError(f"{where} has no {filename}, so it is no model folder of img2img_hub{hint}")
    looks_local = where.startswith((".", "/", "~", "\\")) or where.count("/") > 1 or not where.strip()
    if looks_local:
        raise ValueError(f"there is no folder {where!r}; give a model folder or a Hub id such as user/model")
    try:
        _knock(where, filename, **download)
        return Path(hf_hub_download(where, filename, **download))
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):  # offline and not in the cache: say that, not "missing"
            raise
        raise ValueError(f"the Hub repo {where} has no {filename}, so it is no model of img2img_hub") from None


def _knock(
    where: str,
    filename: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    **_others: Any,
) -> None:
    """Ask for a file that is not in the cache once, before the Hub's client asks for half a minute: what looks like an
    id is often a folder that was mistyped. Raises what `fetch` does."""
    cached = try_to_load_from_cache(where, filename, cache_dir=cache_dir, revision=revision)
    answered = re.fullmatch(_COMMIT, revision or "") is not None  # it was told by the Hub just now
    if local_files_only or constants.HF_HUB_OFFLINE or cached is not None or answered:
        return
    try:
        get_hf_file_metadata(hf_hub_url(where, filename, revision=revision), token=token, timeout=_SECONDS)
    except (httpx2.ConnectError, httpx2.TimeoutException) as error:
        raise LocalEntryNotFoundError(f"{where} is not in the cache, and the Hub does not answer ({error})") from None
    except EntryNotFoundError:
        raise
    except HfHubHTTPError:  # which the client may know to overcome, or says itself
        return


def commit_of(path: Path) -> str | None:
    """The commit that a file of `fetch`, from a repo's top, was downloaded from; None where it is of a folder.

    With it as revision the other files come from the same state of the repo, whatever is pushed meanwhile.
    """
    snapshots, commit = path.parts[-3:-1] if len(path.parts) >= 3 else ("", "")
    return commit if snapshots == "snapshots" and re.fullmatch(_COMMIT, commit) else None
