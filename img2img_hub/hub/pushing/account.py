"""Whether one may push, asked before anything is trained: who one is, where one may write, what a card may say.

python -c "from img2img_hub.hub.pushing.account import check_push; print(check_push('my-model', license='mit'))"
"""

import json

from huggingface_hub import HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from img2img_hub.hub.privacy import refuse_public, why_private

LICENSES = "https://huggingface.co/docs/hub/repositories-licenses"


def check_push(
    name: str,
    *,
    token: str | None = None,
    license: str = "",
    license_name: str | None = None,
    license_link: str | None = None,
) -> str:
    """The full id, USER/NAME, of a repo that one may push to, as far as the Hub tells without writing.

    Args:
        name: "USER/NAME", "ORGANISATION/NAME", or "NAME" for the token's own user.
        token: None for the one you logged in with.
        license, license_name, license_link: what the card will say; "" for nothing.

    Raises:
        ValueError: no token, a wrong one, one that can only read; somebody else's name; a license that no card may
            name (the list is the Hub's, and grows).
    """
    full = _full_id(name, token)
    if license:
        data = ModelCardData(license=license, license_name=license_name, license_link=license_link)
        try:
            ModelCard(f"---\n{data.to_yaml()}\n---\n").validate()
        except ValueError as error:
            said = _messages(str(error))
            raise ValueError(
                f"the Hub refuses --license {license} ({said}): take an id of {LICENSES}, or other"
            ) from None
    return full


def _full_id(name: str, token: str | None) -> str:
    try:
        user = HfApi(token=token).whoami()
    except LocalTokenNotFoundError:
        raise ValueError("you are not logged in: type `hf auth login`, or set HF_TOKEN") from None
    except HfHubHTTPError as error:
        raise ValueError(f"the Hub did not confirm who you are ({error})") from None
    own = user["name"]
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise ValueError(f"the token of {own} can only read: log in with one that has the write role")
    if "/" not in name:
        return f"{own}/{name}"
    # A fine-grained token lists its rights in another way; what it may do is seen when the repo is made.
    roles = {org["name"].casefold(): org.get("roleInOrg") for org in user.get("orgs", [])}
    place = name.split("/")[0]
    if role == "write" and place.casefold() not in (own.casefold(), *roles):
        others = f" or one of your organisations ({', '.join(roles)})" if roles else ""
        raise ValueError(f"{own} may not write to {place}: name a repo of your own, such as {own}/NAME{others}")
    if role == "write" and roles.get(place.casefold()) == "read":
        raise ValueError(f"{own} can only read in the organisation {place}: ask for the write role there")
    return name


def create_repos(
    repo_ids: list[str],
    *,
    token: str | None = None,
    private: bool | None = None,
    datasets: list[str],
    models: list[str],
) -> list[str]:
    """Make the repos that do not exist yet: nothing else tells for sure whether one may write there.

    Args:
        private: None: where one of the data sets or models that the new ones are made of is not for everybody.

    Returns:
        Why they are private, [] where nothing but `private` says so.

    Raises:
        ValueError: one is there and public that ought to be private.
    """
    api = HfApi(token=token)
    reasons = why_private(datasets=datasets, models=models) if private is None else []
    private = True if reasons else private
    for repo_id in repo_ids:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if private:
            refuse_public(api, repo_id, reasons=reasons)
    return reasons


def _messages(body: str) -> str:
    """The errors in the Hub's answer, on one line that is not longer than it need be."""
    try:
        said = "; ".join(error["message"] for error in json.loads(body)["errors"])
    except (ValueError, KeyError, TypeError):
        said = body
    said = " ".join(said.split())
    return said if len(said) <= 200 else said[:199] + "…"
