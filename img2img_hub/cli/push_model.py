"""The command that publishes a generator on the Hub.

python -m img2img_hub push-model runs/facades --repo_id user/facades
"""

import sys
from pathlib import Path
from typing import Annotated

import tyro

from img2img_hub.cli.shared import private_or_public


def push_model(
    folder: Annotated[Path, tyro.conf.Positional],
    *,
    repo_id: str,
    reverse: str | None = None,
    private: bool = False,
    public: bool = False,
    revision: str | None = None,
    commit_message: str = "Upload the generator",
) -> int:
    """Publish a finished generator (weights, settings, model card, sample sheet) on the Hugging Face Hub.

    Log in first: `hf auth login`, or set HF_TOKEN. What people wrote into the card on the Hub is kept.

    Args:
        folder: Folder of the generator: a run's output folder, or source2target or target2source in it.
        repo_id: user/name on the Hub; made if it is not there.
        reverse: Repo of the opposite direction, user/name; default: the folder beside this one, under the like name.
        private: Make a new repo private; default: where what a model was made of is private or gated on the Hub.
        public: Make a new repo public whatever it was made of.
        revision: Branch to push to; default: main.
        commit_message: What the commit says.
    """
    from img2img_hub.hub.privacy import in_brackets, reasons_of
    from img2img_hub.hub.publish import push_folder
    from img2img_hub.hub.pushing.patience import Patience, one_try_a_request, patiently

    wish = private_or_public(private=private, public=public)

    def push() -> str:
        return push_folder(
            folder, repo_id, reverse=reverse, private=wish, revision=revision, commit_message=commit_message
        )

    patience = Patience()
    one_try_a_request(silence=patience.silence)
    url = patiently(
        push,
        patience=patience,
        on_failure=lambda reason, wait: print(f"{reason}; again in {wait:.0f} s", file=sys.stderr),
    )
    print(f"pushed to {url}{in_brackets(reasons_of(folder) if wish is None else [])}")
    return 0
