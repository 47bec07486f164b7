"""What the Hub checks in the YAML block on top of a README.md, as far as a wrong card is refused there."""

import re
from typing import Any

import yaml

FRONT_MATTER = re.compile(r"^\s*---\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", re.DOTALL)
REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
LICENSES = "apache-2.0 mit bsd-2-clause bsd-3-clause cc0-1.0 cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0"
LICENSE_IDS = {*LICENSES.split(), "gpl-3.0", "agpl-3.0", "lgpl-3.0", "openrail", "openrail++", "unknown", "other"}
SPACE_COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def front_matter(readme: bytes) -> dict[str, Any]:
    """The YAML block as a dict; empty where there is none or it cannot be read."""
    match = FRONT_MATTER.search(readme.decode("utf-8", errors="replace"))
    try:
        values = yaml.safe_load(match.group(1)) if match else None
    except yaml.YAMLError:
        values = None
    return values if isinstance(values, dict) else {}


def check_card(content: str, repo_type: str) -> tuple[list[str], list[str]]:
    """(errors, warnings) for the text of a README.md."""
    match = FRONT_MATTER.search(content)
    if match is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        card = yaml.safe_load(match.group(1))
    except yaml.YAMLError as error:
        return [f"invalid YAML: {error}"], []
    if card is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(card, dict):
        return ["the YAML block must be a mapping"], []
    errors = _check_common(card)
    if repo_type == "model":
        errors += _check_ids(card, "datasets") + _check_model_index(card.get("model-index"))
    if repo_type == "space":
        errors += _check_space(card)
    return errors, []


def _check_common(card: dict[str, Any]) -> list[str]:
    errors = []
    licenses = card.get("license", [])
    for name in [licenses] if isinstance(licenses, str) else licenses or []:
        if name not in LICENSE_IDS:
            errors.append(f'"license" must be one of {sorted(LICENSE_IDS)}, got {name!r}')
    for key in ("pipeline_tag", "library_name", "license_name"):
        if key in card and (not isinstance(card[key], str) or not re.fullmatch(r"[a-z0-9_.-]+", card[key])):
            errors.append(f'"{key}" must be lower-case letters, digits and dashes, got {card[key]!r}')
    tags = card.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(t, str) and t for t in tags):
        errors.append(f'"tags" must be a list of strings, got {tags!r}')
    return errors


def _check_ids(card: dict[str, Any], key: str) -> list[str]:
    ids = card.get(key, [])
    if isinstance(ids, list) and all(isinstance(i, str) and REPO_ID.fullmatch(i) for i in ids):
        return []
    return [f'"{key}" must be a list of ids like "user/name", got {ids!r}']


def _check_model_index(index: Any) -> list[str]:
    try:
        wanted = {"name": [model["name"] for model in index or []]}
        results = [result for model in index or [] for result in model["results"]]
        wanted["task.type"] = [result["task"]["type"] for result in results]
        wanted["dataset"] = [result["dataset"][key] for result in results for key in ("name", "type")]
        metrics = [metric for result in results for metric in result["metrics"]]
        wanted["metrics.type"] = [metric["type"] for metric in metrics]
        values = [metric["value"] for metric in metrics]
    except (KeyError, TypeError) as error:
        return [f'"model-index" is not valid: {error!r}']
    wrong = [key for key, texts in wanted.items() if not all(isinstance(t, str) and t for t in texts)]
    if any(value is None or value != value for value in values):  # JSON knows no nan
        wrong.append("metrics.value")
    return [f'"model-index" is not valid: {key}' for key in wrong]


def _check_space(card: dict[str, Any]) -> list[str]:
    errors = [f'"{k}" must be one of {sorted(SPACE_COLORS)}, got {card[k]!r}' for k in ("colorFrom", "colorTo")
              if k in card and card[k] not in SPACE_COLORS]  # fmt: skip
    if card.get("sdk") not in ("gradio", "docker", "static", "streamlit"):
        errors.append(f'"sdk" must be gradio, docker or static, got {card.get("sdk")!r}')
    if len(card.get("short_description", "")) > 60:
        errors.append('"short_description" must be at most 60 characters long')
    return errors + _check_ids(card, "models") + _check_ids(card, "datasets")
