"""What is published names no place on the machine it was made on: of absolute paths only the last part is left.

    python -c "
    from img2img_hub.hub.local_paths import shortened
    print(shortened('--dataset=/home/alice/pairs'))"

Relative paths that do not lead out of the folder, Hub ids and addresses of the web stay as they are.
"""

import re
from typing import Any
from urllib.parse import unquote

# ../a, /home/a, ~/a, ~alice/a, C:\\a, C:/a, \\\\server\\a, file:///home/a
_START = r"(?:file:/{1,3}|~[\w.-]*[\\/]|[A-Za-z]:[\\/]|(?:\.[\\/])*\.\.[\\/]|[\\/])"
_WHOLE = re.compile(rf"(?P<before>-{{1,2}}[\w-]+=)?(?P<path>{_START}.*)", re.DOTALL)
_INSIDE = re.compile(
    rf"(?P<url>(?!file:)[A-Za-z][\w+.-]+://\S*)|(?P<before>(?:^|[\s\"'=,;(\[{{|@]|:(?!//)))(?P<path>{_START}[^\s\"',;|)\]}}]+)"
)


def shortened(text: str) -> str:
    """A value, or a word of a command line, without local paths; spaces are part of one that begins the word."""
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        return (whole["before"] or "") + _last_part(whole["path"])
    return _INSIDE.sub(lambda found: found["url"] or found["before"] + _last_part(found["path"]), text)


def shortened_everywhere(value: Any) -> Any:
    """A JSON value, each text in it `shortened`."""
    if isinstance(value, dict):
        return {key: shortened_everywhere(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shortened_everywhere(inner) for inner in value]
    return shortened(value) if isinstance(value, str) else value


def _last_part(path: str) -> str:
    if path.startswith("file:"):
        path = unquote(path.removeprefix("file:"))
    parts = [part for part in re.split(r"[\\/]+", path) if part]
    return parts[-1] if parts else "."
