"""The YAML at the head of a README.md, which the Hub reads.

python -c "from img2img_hub.hub.front_matter import cut; print(cut(open('README.md').read())[0] or 'it has none')"
"""

import re
from typing import Any

import yaml

_FRONT_MATTER = re.compile(r"\s*---\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)


class _PlainLoader(yaml.SafeLoader):
    """Without aliases: a few lines of them stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias in a card")
        return super().compose_node(parent, index)


def cut(card: str) -> tuple[str, str]:
    """(the YAML, "" where there is none; the text below it) of a card."""
    card = card.removeprefix("\ufeff").replace("\r\n", "\n")
    found = _FRONT_MATTER.match(card)
    return (found[1], card[found.end() :]) if found else ("", card)


def keys_of(card: str, *, aliases: bool = True) -> dict[str, Any]:
    """What a card says at its head; {} where that cannot be read. `aliases`: False for cards of strangers."""
    try:
        head = yaml.load(cut(card)[0], Loader=yaml.SafeLoader if aliases else _PlainLoader)
    except Exception:  # a stranger's YAML makes PyYAML raise nearly anything
        return {}
    return head if isinstance(head, dict) else {}


def written(head: dict[str, Any]) -> str:
    """Such a head with its marks, to be put before the text."""
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)}---\n"
