"""What a translator is made of, wherever it lies: a folder, a Hub repo, a run's checkpoint.

from img2img_hub.translation.open_model import open_model

where = {"revision": None, "token": None, "cache_dir": None, "local_files_only": False}
network, settings, download = open_model("user/model", **where)
"""

from pathlib import Path
from typing import Any

from img2img_hub.networks import Generator, Network
from img2img_hub.networks.fetch import commit_of, fetch
from img2img_hub.translation.checkpoint import is_checkpoint, open_checkpoint
from img2img_hub.translation.settings import TranslationSettings, settings_for


def open_model(where: str, **download: Any) -> tuple[Generator, TranslationSettings, dict[str, Any]]:
    """The generator, in eval mode on the CPU, how it translates, and how to fetch more of its files: of one commit, for
    a push in between must not give a mixture.

    Raises:
        ValueError: neither a folder nor a Hub id, no generator, a bad config.json or translation.json.
        huggingface_hub.errors.HfHubHTTPError: what the Hub answered.
    """
    if Path(where).is_file():
        raise ValueError(f"{where} is a file; name the folder that holds it")
    if is_checkpoint(where):
        network, settings = open_checkpoint(where)
        return network, settings, download
    if not where.strip() or (not Path(where).is_dir() and where.count("/") != 1):
        raise ValueError(f"there is no folder {where!r}, and it is no Hub id such as user/model")
    download = download | {"revision": commit_of(fetch(where, "config.json", **download)) or download["revision"]}
    loaded = Network.from_pretrained(where, **download)
    if not isinstance(loaded, Generator):
        raise ValueError(
            f"{where} holds a {type(loaded).__name__}, which judges images and makes none: name a generator's repo"
        )
    return loaded, TranslationSettings.load(where, defaults=settings_for(loaded), **download), download
