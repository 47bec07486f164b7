"""Where a run's generators go on the Hub, found before the training, and the push after it.

accelerate launch train_accelerate.py cyclegan … --push_to_hub --hub_model_id user/name
"""

import shlex
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalTokenNotFoundError

from img2img_hub.families import Family
from img2img_hub.hub.publish import PUSH_ERRORS, check_repo_id, push_folder
from img2img_hub.training.config import TrainConfig


def find_repo_ids(family: Family, config: TrainConfig, accelerator: Accelerator) -> dict[str, str]:
    """{folder: full repo id} of the generators to push, {} without --push_to_hub; the same on every rank.

    Asked before the training: a wrong token should cost seconds, not days.

    Raises:
        ValueError: no token, a wrong one or one that can only read, an invalid id, a Hub that does not answer.
    """
    if not config.push_to_hub:
        return {}
    answer: list[str] = [""]
    if accelerator.is_main_process:
        try:
            answer = ["ok " + _full_id(family, config)]
        except ValueError as error:
            answer = [f"--push_to_hub: {error}"]
        except PUSH_ERRORS as error:
            answer = [f"--push_to_hub: the Hub did not confirm who you are ({error})"]
    broadcast_object_list(answer)
    if not answer[0].startswith("ok "):
        raise ValueError(answer[0])
    repo_id = answer[0].removeprefix("ok ")
    return _ids(family, repo_id)


def _ids(family: Family, repo_id: str) -> dict[str, str]:
    return {folder: f"{repo_id}-{folder}" if folder else repo_id for folder in family.published}


def _full_id(family: Family, config: TrainConfig) -> str:
    name = config.hub_model_id or Path(config.output_dir).resolve().name
    for repo_id in _ids(family, name).values():
        check_repo_id(repo_id)
    try:
        user = HfApi(token=config.hub_token).whoami()
    except LocalTokenNotFoundError:
        raise ValueError("you are not logged in: type `hf auth login`, or set HF_TOKEN") from None
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise ValueError(f"the token of {user['name']} can only read: log in with one that has the write role")
    return name if "/" in name else f"{user['name']}/{name}"


def push_all(root: Path, repo_ids: dict[str, str], *, config: TrainConfig) -> list[str]:
    """Push every generator; the URLs.

    Raises:
        ValueError: a push failed; the message has the command that pushes later.
    """
    urls = []
    for index, (folder, repo_id) in enumerate(repo_ids.items()):
        try:
            urls.append(push_folder(root / folder, repo_id, token=config.hub_token, private=config.hub_private))
        except PUSH_ERRORS as error:
            left = list(repo_ids.items())[index:]
            private = ["--private"] if config.hub_private else []
            push = ["python", "-m", "img2img_hub", "push-model"]
            commands = "; ".join(shlex.join([*push, str(root / f), "--repo_id", r, *private]) for f, r in left)
            raise ValueError(
                f"the run is finished and saved in {root}, but pushing to {repo_id} failed ({error}). "
                f"Push it later: {commands}"
            ) from None
    return urls
