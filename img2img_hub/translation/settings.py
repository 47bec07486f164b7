"""translation.json: what an image needs before and after the network, saved beside the weights.

python -c "from img2img_hub.translation.settings import TranslationSettings; print(TranslationSettings().to_dict())"
"""

import json
import warnings
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from img2img_hub.errors import check_range, is_whole
from img2img_hub.images.palettes import UNLABELLED
from img2img_hub.images.raster import MAX_BANDS
from img2img_hub.images.slots import Slot, common_type
from img2img_hub.images.values import BandValues
from img2img_hub.networks import Network
from img2img_hub.networks.blocks import NormStatistics

SETTINGS_FILE = "translation.json"
FORMAT_VERSION = 2  # 1 knew no inputs
_FORMER = {"value_min": 0, "value_max": 255}  # before there were rasters, every file had these

Resize = Literal["native", "fit"]
Crop = Literal["resize", "native"]


@dataclass(frozen=True, kw_only=True)
class TranslationSettings:
    """How a generator wants to be used. Every field stands under its own name in translation.json.

    Raises:
        ValueError: a value outside its range; the message names the key.
    """

    format_version: int = FORMAT_VERSION
    """Version of this file's layout; that of former versions is read, too."""
    family: str = ""
    """The method it was trained by ("pix2pix", "cyclegan" …); empty where nobody said."""
    source_channels: int = 3
    """Bands of the input: 3 (RGB) or 1 (grey) of 8-bit pictures, any number of rasters."""
    target_channels: int = 3
    """Bands of the output, likewise."""
    inputs: tuple[Slot, ...] = ()
    """Where several images make one input, what they are, in the order of their bands; of class numbers or a mask that
    alone; empty for any other one image."""
    output: Slot | None = None
    """Where outputs are class numbers, what they are: the network makes their colours, of which they are read."""
    source_values: BandValues | None = None
    """Type and value range of the input's bands; null for 8-bit pictures, whose 0 and 255 the network sees as -1 and
    1."""
    target_values: BandValues | None = None
    """Type and value range of the output's bands, likewise."""
    norm_statistics: NormStatistics = "image"
    """What batch norm normalises with: "image", each image's own statistics (pix2pix, section 3.3), or "running",
    training's averages. Instance norm makes no difference between the two."""
    working_size: int = 256
    """Side of the square images it was trained on, in pixels."""
    resize: Resize = "native"
    """The better default: "native" pads an image and keeps its resolution, "fit" resizes it to
    working_size × working_size, as in training, and the result back."""
    crop: Crop = "resize"
    """What it was trained on: "resize", images squeezed to squares; "native", crops of images as they are, whose
    own size is the one to measure it at."""
    reverse: str | None = None
    """The translator of the opposite direction: a Hub id, or the name of a folder beside this one."""

    def __post_init__(self) -> None:
        if self.format_version not in range(1, FORMAT_VERSION + 1) or isinstance(self.format_version, bool):
            raise ValueError(
                f"format_version is {self.format_version!r}, this version reads {FORMAT_VERSION}: update img2img_hub"
            )
        if not isinstance(self.family, str) or len(self.family) > 100:
            raise ValueError(f"family must be a short text such as 'pix2pix', got {self.family!r:.60}")
        for side in ("source", "target"):
            values: BandValues | None = getattr(self, f"{side}_values")
            allowed = (1, 3) if values is None else (values.channels,)
            _check_whole(f"{side}_channels", getattr(self, f"{side}_channels"), allowed=allowed)
        if self.inputs:
            channels = sum(slot.channels for slot in self.inputs)
            if channels != self.source_channels or self.source_values is None:
                raise ValueError(
                    f"inputs have {channels} channels in all, and source_channels is {self.source_channels}"
                )
            if sum(slot.bands for slot in self.inputs) != self.source_values.bands:
                raise ValueError(f"inputs have other bands than source_values, which are {self.source_values.bands}")
            if common_type(self.inputs) != self.source_values.dtype:
                raise ValueError(f"inputs are of other types than source_values, which are {self.source_values.dtype}")
            if len({slot.name for slot in self.inputs}) < len(self.inputs):
                raise ValueError("inputs must be of different names")
            if any(slot.name == "target" for slot in self.inputs):
                raise ValueError("inputs has a target, and that is what the output is called")
            if len(self.inputs) == 1 and not self.inputs[0].by_nearest:
                raise ValueError("inputs must be two or more, or class numbers or a mask, or left out")
        classes = [slot.channels if slot.kind == "labels" else 0 for slot in self.inputs for _ in range(slot.bands)]
        said = [] if self.source_values is None else list(self.source_values.classes)
        if said != (classes if any(classes) else []):
            raise ValueError(f"inputs have other classes than source_values, which are {said}")
        bands = [slot.kind for slot in self.inputs for _ in range(slot.bands)]
        edges = tuple(band for band, kind in enumerate(bands) if kind == "instances")
        if edges != (() if self.source_values is None else self.source_values.edges):
            raise ValueError("inputs have other instances than edges of source_values")
        holes = [band for band, kind in enumerate(bands) if kind == "hole"]
        if holes != ([] if self.hole is None else [self.hole]):
            raise ValueError("inputs have other masks of what is to be filled than hole of source_values")
        if self.hole is not None:
            self._check_filled()
        if self.target_values is not None and self.target_values.numbered:
            raise ValueError("target_values has classes or edges, and networks make their colours: see output")
        if self.output is not None:
            pictures = self.target_values is None or self.target_values.is_picture
            if not self.output.in_colours or self.target_channels != 3 or not pictures:
                raise ValueError("output must be called target, of kind labels, made as a picture of 3 bands")
            if self.output.classes > UNLABELLED:
                raise ValueError(f"output has {self.output.classes} classes, and a picture holds {UNLABELLED} at most")
        _check_choice("norm_statistics", self.norm_statistics, get_args(NormStatistics))
        _check_whole("working_size", self.working_size, allowed=range(1, 8193))
        _check_choice("resize", self.resize, get_args(Resize))
        _check_choice("crop", self.crop, get_args(Crop))
        if self.reverse is not None and (not isinstance(self.reverse, str) or not 0 < len(self.reverse) <= 300):
            raise ValueError(f"reverse must be null, a Hub id or a folder's name, got {self.reverse!r:.60}")

    def _check_filled(self) -> None:
        """What a model that fills makes is what stands in front of the hole: else nothing could come back."""
        first, values, made = self.inputs[0], self.source_values, self.target_values
        assert values is not None
        if (self.hole, first.bands) != (self.target_channels,) * 2 or self.output is not None:
            raise ValueError(
                f"{self.hole} bands stand before the mask of what is to be filled, and {self.target_channels} are made"
            )
        dtype = "uint8" if made is None else made.dtype
        ends = (values.low[: self.hole], values.high[: self.hole])
        wanted = ((0.0,) * first.bands, (255.0,) * first.bands) if made is None else (made.low, made.high)
        if first.dtype != dtype or ends != wanted:
            raise ValueError(f"{first.name} is filled, and target_values say another type or range than it has")

    @property
    def hole(self) -> int | None:
        """Of a model that fills holes, the place of the band that says where they are, behind those that are filled."""
        return None if self.source_values is None else self.source_values.hole

    @property
    def asked(self) -> tuple[Slot, ...]:
        """The inputs that somebody has to bring: of a model that fills holes the image and the mask, beside which it
        may look at the image once more."""
        return self.inputs if self.hole is None else self.inputs[:2]

    @property
    def resizes(self) -> bool:
        """Whether "fit" is something else than "native": not of a model that was trained on images as they are."""
        return self.crop == "resize"

    def slots(self, *, scale: int = 1) -> tuple[Slot, ...]:
        """What the generator reads, and what it makes: "target", of `scale` times the size."""
        target = replace(self.output or Slot(name="target"), scale=scale)
        return *(self.inputs or (Slot(name="source"),)), target

    def describe_bands(self) -> str:
        """ "3 → 1 bands", and " (uint16 → 8 bits)" where they are not both 8-bit pictures."""
        both = (self.source_values, self.target_values)
        types = ["8 bits" if values is None else values.dtype for values in both]
        bands = f"{self.source_channels} → {self.target_channels} bands"
        return bands if both == (None, None) else f"{bands} ({types[0]} → {types[1]})"

    def to_dict(self) -> dict[str, Any]:
        """The content of translation.json."""
        known = asdict(self)
        known["inputs"] = [_said_of(slot) for slot in self.inputs]
        for side in ("source_values", "target_values"):
            values: BandValues | None = getattr(self, side)
            known[side] = None if values is None else values.to_dict()
        for key in ("output", "crop"):  # which former versions refuse, like all that they do not know
            if known[key] == getattr(type(self), key):
                known.pop(key)
        return known if self.output is None else known | {"output": _said_of(self.output)}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Check the content of a translation.json; keys that are left out take their default."""
        if not isinstance(values, dict):
            raise ValueError(f"an object was expected, got {type(values).__name__}")
        known = {field.name for field in fields(cls)}
        values = dict(values)
        for key, only in _FORMER.items():
            value = values.pop(key, only)
            if value != only or isinstance(value, bool):
                raise ValueError(f"value_min and value_max must be 0 and 255, or left out, got {key} {value!r:.60}")
        for key in ("source_values", "target_values"):
            if values.get(key) is not None:
                try:
                    values[key] = BandValues.from_dict(values[key])
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from None
        values["inputs"] = _slots(values.get("inputs", ()))
        if values.get("output") is not None:
            values["output"] = _slots([values["output"]], key="output")[0]
        values.setdefault("format_version", 1)
        if values["format_version"] in (1, FORMAT_VERSION) and (unknown := sorted(set(values) - known)):
            raise ValueError(f"unknown key {', '.join(unknown)}; this version knows {', '.join(sorted(known))}")
        made = cls(**{key: value for key, value in values.items() if key in known})
        return replace(made, format_version=FORMAT_VERSION)

    def save(self, folder: str | Path) -> None:
        """Write translation.json into `folder` (made if need be)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SETTINGS_FILE).write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(
        cls,
        repo_or_folder: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        defaults: Self | None = None,
    ) -> Self:
        """Read translation.json from a folder or a Hub repo; where it has none, warn and take `defaults`.

        Raises:
            ValueError: the file is no JSON object or holds a bad value.
            huggingface_hub.errors.HfHubHTTPError: what the Hub answered.
            huggingface_hub.errors.LocalEntryNotFoundError: the Hub is out of reach and the file is not in the cache.
        """
        where = str(repo_or_folder)
        path: Path | None
        if Path(where).is_dir():
            path = Path(where, SETTINGS_FILE)
        else:
            try:
                path = Path(
                    hf_hub_download(
                        where,
                        SETTINGS_FILE,
                        revision=revision,
                        token=token,
                        cache_dir=cache_dir,
                        local_files_only=local_files_only,
                    )
                )
            except LocalEntryNotFoundError:  # nobody could look: missing only if an earlier look found it missing
                if try_to_load_from_cache(where, SETTINGS_FILE, cache_dir=cache_dir, revision=revision) is None:
                    raise
                path = None
            except EntryNotFoundError:
                path = None
        if path is None or not path.is_file():
            defaults = defaults or cls()
            warnings.warn(
                f"{where} has no {SETTINGS_FILE}: taking the defaults ({defaults.norm_statistics!r} norm statistics, "
                f"working size {defaults.working_size})",
                stacklevel=2,
            )
            return defaults
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:  # JSON and Unicode errors are ValueErrors too
            raise ValueError(f"{where}: {SETTINGS_FILE}: {error}") from None


_OF_AN_INPUT = ("name", "kind", "bands", "dtype", "classes")
"""What translation.json says of a slot …"""
_OF_LABELS = ("palette", "class_names", "unknown", "unknown_channel")
"""… and of one of labels, where it is said."""


def _said_of(slot: Slot) -> dict[str, Any]:
    known = asdict(slot)
    default = Slot(name=slot.name)
    said = [key for key in _OF_LABELS if known[key] != getattr(default, key)]
    return {key: known[key] for key in (*_OF_AN_INPUT, *said)}


def _slots(values: Any, *, key: str = "inputs") -> tuple[Slot, ...]:
    if not isinstance(values, list | tuple) or len(values) > 100:
        raise ValueError(f"{key} must be a list of at most 100 objects, got {values!r:.60}")
    slots = []
    for each in values:
        if not isinstance(each, dict) or not {"name", "bands"} <= set(each) <= {*_OF_AN_INPUT, *_OF_LABELS}:
            raise ValueError(f"{key}: an object with {', '.join(_OF_AN_INPUT)} was expected, got {each!r:.60}")
        try:
            slots.append(Slot(**each))
            check_range(bands=(slots[-1].bands, 1, MAX_BANDS))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return tuple(slots)


def _check_whole(key: str, value: Any, *, allowed: range | tuple[int, ...]) -> None:
    if not is_whole(value) or value not in allowed:
        wanted = f"from {allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(map(str, allowed))
        raise ValueError(f"{key} must be a whole number, {wanted}, got {value!r:.60}")


def _check_choice(key: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key} must be {' or '.join(map(repr, allowed))}, got {value!r:.60}")


def settings_for(network: Network) -> TranslationSettings:
    """The default settings, with the network's bands: pictures where they can be, else floats as the network sees
    them."""

    def values(bands: int) -> BandValues | None:
        return None if bands in (1, 3) else BandValues(dtype="float32", low=(-1.0,) * bands, high=(1.0,) * bands)

    return TranslationSettings(
        source_channels=network.in_channels,
        target_channels=network.out_channels,
        source_values=values(network.in_channels),
        target_values=values(network.out_channels),
    )
