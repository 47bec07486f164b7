"""Private in, private out: whether what a model was made of may be seen by everybody.

    python -c "from img2img_hub.hub.privacy import why_private; print(why_private(datasets=['user/secret']))"

A model shows pictures of its data on its sample sheet, and knows more of them by heart. So a repo for it is private
where a Hub data set or a model that it was made of is private or gated, unless somebody says otherwise.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from img2img_hub.hub.front_matter import keys_of

CONFIG = "training_config.json"
ORIGIN = "from_the_hub"
"""In training_config.json and run.json: {"datasets": ids, "models": ids} that the run was made of."""

Origin = dict[str, list[str]]


def why_private(*, datasets: Iterable[str] = (), models: Iterable[str] = ()) -> list[str]:
    """A reason for each that not everybody may see, such as "the data set alice/secret is private"; asked of the Hub.

    One that the Hub does not show, to whoever is logged in here, counts as private.
    """
    api = HfApi()
    reasons = []
    for kind, what, ids in (("dataset", "data set", datasets), ("model", "model", models)):
        for repo_id in ids:
            try:
                info = api.repo_info(repo_id, repo_type=kind)
            except RepositoryNotFoundError:
                reasons.append(f"the Hub does not show the {what} {repo_id} any more, which may be private")
                continue
            if info.private or getattr(info, "gated", False):
                reasons.append(f"the {what} {repo_id} is {'private' if info.private else 'gated'}")
    return reasons


def origin_of(folder: Path) -> Origin:
    """What the model in a folder was made of, as far as it came from the Hub: as its training_config.json says, or, of
    former versions, the data sets in its card."""
    try:
        origin = json.loads((folder / CONFIG).read_text(encoding="utf-8"))[ORIGIN]
        return {kind: [str(repo_id) for repo_id in origin[kind]] for kind in ("datasets", "models")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"datasets": _datasets_in_card(folder / "README.md"), "models": []}


def _datasets_in_card(card: Path) -> list[str]:
    try:
        found = keys_of(card.read_text(encoding="utf-8")).get("datasets") or []
    except (OSError, ValueError):
        return []
    return [str(repo_id) for repo_id in (found if isinstance(found, list) else [found])]


def reasons_of(folder: str | Path) -> list[str]:
    """`why_private` of the model in a folder."""
    return why_private(**origin_of(Path(folder)))


def in_brackets(reasons: list[str]) -> str:
    """What is said after an address: "" of what everybody may see."""
    return f" (private, for {'; '.join(reasons)})" if reasons else ""


def refuse_public(api: HfApi, repo_id: str, *, reasons: list[str], kind: str = "model") -> None:
    """Raise ValueError where a repo is public that is wanted private.

    reasons: of `why_private`; [] where private was asked for in so many words.
    """
    if not api.repo_info(repo_id, repo_type=kind).private:
        why = f"{'; '.join(reasons)}" if reasons else "it was to be private"
        raise ValueError(
            f"{repo_id} is there already and public, but {why}: make it private in its settings on the Hub, name "
            "another repo, or say that it may be public (train: --hub_private False; push-model and push-space: "
            "--public; Python: private=False)"
        )
