"""The translators that the page offers: find them, read their cards, load each once and keep it.

    IMG2IMG_MODELS="runs/first, user/summer2winter" python app.py

Nothing is loaded at start: weights are read when a visitor first chooses the model, and are then shared by all visitors
(`Translator` holds the lock around the network).
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from img2img_hub.hub import front_matter
from img2img_hub.images.formats import IMAGE_EXTENSIONS
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.translator import Translator

VARIABLE = "IMG2IMG_MODELS"
SHIPPED = Path(__file__).resolve().parents[2] / "model_cards"
_REQUIRED = ("config.json", "model.safetensors")
_ABOUT = ["README.md", "config.json", "translation.json", "sample_sheet.png"]
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FOLDERS = re.compile(r"(?<![\w.:/~])[/~](?:[^\s/]+/)+")  # "/home/ann/" of "/home/ann/x.png", nothing of "https://a/x"

# What loading a model can raise; a refused connection is the HTTP library's own error, a base of the Hub client's.
LOAD_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, HfHubHTTPError.__bases__[0])


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the page says about one translator before it is loaded.

    `location` is what `Translator.from_pretrained` takes, a folder or a Hub repo id; `key` is what visitors see and the
    API takes: the repo id, or the folder's name, since where the server keeps its folders is nobody's business.
    `story`: plain text, a sentence or two. `sheet`: the sample sheet that a run leaves beside the weights. `settings`:
    what its translation.json says; None where that cannot be read, or was not yet.
    """

    key: str
    location: str
    name: str
    story: str = ""
    examples: tuple[Path, ...] = ()
    sheet: Path | None = None
    settings: TranslationSettings | None = None

    @property
    def takes_one(self) -> bool:
        """Whether it is not known to take several pictures for one."""
        return self.settings is None or len(self.settings.inputs) < 2


@dataclass
class Models:
    """The models in the order in which they are offered, and what was wrong with those that are not."""

    models: dict[str, Model] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _translators: dict[str, Translator] = field(default_factory=dict, repr=False)
    _locks: dict[str, threading.Lock] = field(default_factory=dict, repr=False)
    _growing: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        # One lock a model: two visitors wait for one download, while others go on with theirs.
        self._locks = {key: threading.Lock() for key in self.models}

    def __bool__(self) -> bool:
        return bool(self.models)

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(name, key) pairs for the menu; a name that occurs twice is told apart by its key."""
        names = [model.name for model in self.models.values()]
        return [
            (model.name if names.count(model.name) == 1 else f"{model.name} ({key})", key)
            for key, model in self.models.items()
        ]

    def translator(self, key: str) -> Translator:
        """The one shared Translator of `key`, loaded at the first call; raises what `from_pretrained` raises."""
        with self._locks[key]:
            if key not in self._translators:
                location = self.models[key].location
                self._translators[key] = Translator.from_pretrained(location)
                if not Path(location).is_dir():
                    card = _card_of_repo(location)
                    with self._growing:
                        self.models[key] = card
            return self._translators[key]

    def partner(self, key: str) -> str | None:
        """The key of the opposite direction of a model that is loaded; None where there is none to be had.

        A reverse that was not asked for is offered from now on: a model in the folder beside, or of a Hub model the
        repo that it names, of the same owner: another's is not read with this server's token.
        """
        translator, here = self.translator(key), self.models[key].location
        reverse = translator.reverse
        if reverse is None:
            return None
        beside = Path(reverse).resolve() if Path(here).is_dir() else None
        for other, model in self.models.items():
            if other != key and model.location in (reverse, str(beside)):
                return other
        if beside is not None and beside.parent == Path(here).parent and _is_model(beside):
            return self._offer(_card_of_folder(beside, key=beside.name))
        owner = here.split("/")[0]
        if beside is None and _REPO_ID.fullmatch(reverse) and reverse != here and reverse.split("/")[0] == owner:
            if Path(reverse).exists():  # a folder of the server is no repo
                return None
            return self._offer(Model(key=reverse, location=reverse, name=_title_from(reverse)))
        return None

    def _offer(self, model: Model) -> str:
        with self._growing:  # two visitors may bring two reverses at the same time
            if Path(model.location).is_dir():
                model = replace(model, key=_free_key(Path(model.location), taken=self.models))
            if model.key not in self.models:
                self._locks[model.key] = threading.Lock()
                self.models = {**self.models, model.key: model}  # anew: others may be walking through it
        return model.key

    def load_all(self) -> None:
        """Load every model now; one that cannot be loaded is left out, and told among the problems."""
        for key in list(self.models):
            if key in self.models and self._load(key) and (other := self.partner(key)) is not None:
                self._load(other)

    def _load(self, key: str) -> bool:
        try:
            self.translator(key)
        except LOAD_ERRORS as error:
            self.problems.append(f"{self.models[key].name} cannot be loaded: {self.reason(key, error)}")
            del self.models[key]
            return False
        return True

    def reason(self, key: str, error: Exception) -> str:
        """What went wrong with `key`, for visitors: without the server's folders."""
        return without_folders(str(error).replace(self.models[key].location, key))

    @property
    def on_hub(self) -> list[str]:
        """Keys of the models that come from the Hub, and so have revisions."""
        return [key for key, model in self.models.items() if not Path(model.location).is_dir()]

    def folder(self, key: str) -> Path:
        """Where the card of `key`, its sample sheet and its settings lie; those of a Hub model are fetched.

        Raises what the Hub's client raises.
        """
        location = self.models[key].location
        if Path(location).is_dir():
            return Path(location)
        return Path(snapshot_download(location, allow_patterns=_ABOUT))


def without_folders(text: str) -> str:
    """`text` without the server's folders: "/home/ann/x.png" becomes "x.png"."""
    return _FOLDERS.sub("", text)


def find_models(setting: str | None = None) -> Models:
    """Models named by `setting` (default: the environment variable IMG2IMG_MODELS), or else those in model_cards/.

    `setting` lists folders and Hub repo ids, separated by commas or spaces (by commas alone where there is a comma, so
    that folder names may hold spaces). A folder of models, as model_cards/ or a CycleGAN run is, stands for all.
    """
    setting = os.environ.get(VARIABLE, "") if setting is None else setting
    names = [part.strip() for part in (setting.split(",") if "," in setting else setting.split()) if part.strip()]
    models: dict[str, Model] = {}
    problems: list[str] = []
    for name in names or ([str(SHIPPED)] if SHIPPED.is_dir() else []):
        folder = Path(name).expanduser()
        if folder.is_dir():
            found = [each.resolve() for each in (folder, *sorted(folder.iterdir())) if _is_model(each)]
            for each in found:
                key = _free_key(each, taken=models)
                models[key] = _card_of_folder(each, key=key)
            if names and not found:
                shown = folder.resolve().name
                problems.append(f"{shown} holds no model: a model folder has {' and '.join(_REQUIRED)}.")
        elif _REPO_ID.fullmatch(name):
            models[name] = Model(key=name, location=name, name=_title_from(name))
        else:
            shown = without_folders(name)
            problems.append(f"{shown} is neither a folder nor a Hub repo id of the form owner/name.")
    return Models(models, problems)


def _free_key(folder: Path, *, taken: dict[str, Model]) -> str:
    """The folder's name, with a number where another folder has it; the key it has where it is named twice."""
    number, key = 1, folder.name
    while key in taken and taken[key].location != str(folder):
        number += 1
        key = f"{folder.name} {number}"
    return key


def _is_model(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _REQUIRED)


def _card_of_folder(folder: Path, *, key: str) -> Model:
    title, story = _read_card(folder / "README.md")
    examples = sorted(path for path in (folder / "examples").glob("*") if path.suffix.lower() in IMAGE_EXTENSIONS)
    name = title if " " in title else _title_from(title or folder.resolve().name)
    sheet = path if (path := folder / "sample_sheet.png").is_file() else None
    return Model(
        key=key,
        location=str(folder),
        name=name,
        story=story,
        examples=tuple(examples),
        sheet=sheet,
        settings=_settings_in(folder),
    )


def _settings_in(folder: Path) -> TranslationSettings | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a translation.json they are the defaults
        try:
            return TranslationSettings.load(folder)
        except (OSError, ValueError):  # said where it is loaded
            return None


def _card_of_repo(repo_id: str) -> Model:
    """The same from the Hub (or its cache). A repo whose card cannot be had is offered without one."""
    try:
        folder = snapshot_download(
            repo_id,
            allow_patterns=[
                *("README.md", "sample_sheet.png", "translation.json"),
                *("examples/*.png", "examples/*.jp*g", "examples/*.webp"),
            ],
        )
    except LOAD_ERRORS:
        return Model(key=repo_id, location=repo_id, name=_title_from(repo_id))
    card = _card_of_folder(Path(folder), key=repo_id)
    return replace(card, location=repo_id, name=_title_from(repo_id))


def _title_from(name: str) -> str:
    """'user/facades-label2photo' -> 'Facades: label → photo'."""
    words = name.rstrip("/").split("/")[-1].replace("_", " ").replace("-", " ").split()
    words = [word.replace("2", " → ") if re.fullmatch(r"[a-zA-Z]{3,}2[a-zA-Z]{3,}", word) else word for word in words]
    *context, last = words or [name]
    title = f"{' '.join(context)}: {last}" if context and "→" in last else " ".join(words)
    return title[:1].upper() + title[1:]


def _read_card(readme: Path) -> tuple[str, str]:
    """Heading and first paragraph of a model card as plain text: cards come from anywhere, so no markup survives."""
    if not readme.is_file():
        return "", ""
    text = front_matter.cut(readme.read_text(encoding="utf-8", errors="replace"))[1]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"^(#.*)$", r"\n\1\n", text, flags=re.MULTILINE)
    title, story = "", ""
    for paragraph in filter(None, map(str.strip, re.split(r"\n\s*\n", text))):
        if paragraph.startswith("#"):
            if title:  # what follows tells how to use it
                break
            title = _plain(paragraph.lstrip("# "))
        elif paragraph[0] not in "|-*+><":  # no tables, lists, quotations
            story = story or _plain(paragraph)
    return title[:80], story if len(story) <= 300 else story[:299].rsplit(" ", 1)[0] + " …"


def _plain(markdown: str) -> str:
    """Markdown without images, link targets, HTML tags and emphasis, on one line."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", markdown)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[^>\n]+>", "", text)
    return " ".join(re.sub(r"[*`]+", "", text).split())
