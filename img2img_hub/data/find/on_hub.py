"""What a Hub data set is made of, asked before a download: is it there at all, and are its files plain images?

    python -m img2img_hub check-data --dataset user/pairs

`datasets` opens what has columns. Plain files, uploaded as a folder, it reads as one column, in which partners are
lost: these are downloaded as they are, and read as a folder here.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from img2img_hub.data.find.archives import ARCHIVES
from img2img_hub.data.find.config import DataConfig, DataError, reason
from img2img_hub.data.find.lists import LISTS
from img2img_hub.images.formats import IMAGE_EXTENSIONS

_SECONDS = 10  # for an answer, before the downloads, which have their own patience


def files_on_hub(name: str, *, config: DataConfig) -> list[str] | None:
    """Names of the files of a data set on the Hub; None where only the cache may know it.

    Raises:
        DataError: there is none of that name, or it may not be seen.
    """
    import httpx2
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.HF_HUB_OFFLINE:
        return None
    here = "" if "/" in name else f" nor a folder {name} here"
    try:
        info = HfApi().dataset_info(name, revision=config.dataset_revision, timeout=_SECONDS)
    except GatedRepoError:
        raise DataError(
            f"the Hub's data set {name} is gated: accept its conditions on its page, and log in (hf auth login)"
        ) from None
    except RevisionNotFoundError:
        raise DataError(
            f"the Hub's data set {name} has no revision {config.dataset_revision}: type --dataset_revision with another"
        ) from None
    except RepositoryNotFoundError:
        raise DataError(
            f"there is no data set {name} on the Hub that you may see{here}: check the spelling (user/name), or log in "
            "where it is private (hf auth login)"
        ) from None
    except ValueError as error:  # no id
        raise DataError(f"{name} is no folder here, and no id of a Hub data set ({reason(error)})") from None
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code < 500:
            raise DataError(f"the Hub refuses {name} ({reason(error)}): log in again (hf auth login)") from None
        _refuse_unless_cached(name, error, config=config, here=here)
        return None
    except (httpx2.HTTPError, OSError) as error:
        _refuse_unless_cached(name, error, config=config, here=here)
        return None
    return [sibling.rfilename for sibling in info.siblings or []]


def _refuse_unless_cached(name: str, error: Exception, *, config: DataConfig, here: str) -> None:
    import datasets
    from datasets.naming import camelcase_to_snakecase

    user, _, own = name.rpartition("/")
    kept = f"{user}___{camelcase_to_snakecase(own)}" if user else camelcase_to_snakecase(own)
    in_datasets = (Path(datasets.config.HF_DATASETS_CACHE) / kept).exists()
    if not in_datasets and cached_plain(name, config=config) is None:
        raise DataError(
            f"the Hub does not answer ({reason(error)}), and the data set {name} is not in the cache{here}: check the "
            "connection, or type a folder that is here"
        ) from None


def is_plain(files: list[str], *, columns_named: bool = False) -> bool:
    """Whether it is images, archives or lists of them, with nothing that gives them columns; those that `datasets`
    sees in WebDataset's shards are wanted where somebody names them."""
    if columns_named and any(file.lower().endswith((".tar", ".tar.gz", ".tgz")) for file in files):
        return False
    paths = [PurePosixPath(file) for file in files]
    tables = any(
        path.suffix in (".parquet", ".arrow", ".py") or path.name.startswith(("metadata.", "dataset_dict."))
        for path in paths
    )
    return not tables and any(path.name.lower().endswith((*IMAGE_EXTENSIONS, *ARCHIVES)) for path in paths)


def downloaded(name: str, *, config: DataConfig, local_files_only: bool = False) -> Path:
    """The folder of a data set's images, archives and lists, in the Hub client's cache. Raises what the client does."""
    from huggingface_hub import snapshot_download

    endings = (*IMAGE_EXTENSIONS, *ARCHIVES, *LISTS)
    patterns = [f"*{form}" for ending in endings for form in (ending, ending.upper())]
    folder = snapshot_download(
        name,
        repo_type="dataset",
        revision=config.dataset_revision,
        allow_patterns=patterns,
        local_files_only=local_files_only,
    )
    return Path(folder)


def cached_plain(name: str, *, config: DataConfig) -> Path | None:
    """Where such a data set was downloaded to, for when the Hub cannot be asked; None where it was not."""
    try:
        folder = downloaded(name, config=config, local_files_only=True)
    except (OSError, ValueError):  # not in the cache, or no id
        return None
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return folder if is_plain(files) else None
