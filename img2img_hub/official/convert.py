"""From an original checkpoint to a finished generator: its network, its settings, its card.

    python -m img2img_hub convert latest_net_G.pth --output models/facades

The file tells the network (official/file.py). What it does not tell is taken from the papers: U-Nets are pix2pix's,
ResNets are CycleGAN's, antialiased ones are CUT's.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from img2img_hub.families import FAMILIES
from img2img_hub.hub.card import CardFacts, render_model_card
from img2img_hub.networks import Generator, Network, UNetGenerator
from img2img_hub.networks.blocks import Norm, NormStatistics
from img2img_hub.official.file import CUT_SOURCE, SOURCE, read_official
from img2img_hub.translation.settings import SETTINGS_FILE, TranslationSettings

Method = Literal["pix2pix", "cyclegan", "cut", "fastcut"]
FILES = ("config.json", "model.safetensors", SETTINGS_FILE, "README.md")  # of a converted generator


@dataclass(frozen=True, kw_only=True)
class Converted:
    """An original checkpoint as this library has it."""

    network: Network
    """In eval mode, float32, on the CPU."""
    settings: TranslationSettings | None
    """None for a discriminator or heads, which translate nothing."""
    method: str
    """What it was trained with, in the words of its card, and whether somebody said so; "" without settings."""
    notes: tuple[str, ...]
    """What was dropped, filled in or assumed on the way, each one sentence without its full stop."""


def convert_official(
    path: str | Path,
    *,
    dropout: float | None = None,
    norm: Norm | None = None,
    family: Method | None = None,
    norm_statistics: NormStatistics | None = None,
    working_size: int | None = None,
) -> Converted:
    """Read a checkpoint of the original code and settle how it wants to be used.

    Args:
        path: such as latest_net_G.pth.
        dropout, norm: see `read_official`.
        family: the method it was trained by. None: pix2pix for a U-Net, cyclegan for a ResNet, cut for an antialiased
            one.
        norm_statistics: what batch norm normalises with. None: "image", as the original's test.py does without --eval.
        working_size: side of the training images in pixels. None: 2**levels for a U-Net (256 for unet_256), else 256.

    Raises:
        ValueError: the file is refused (see `read_official`), or an argument does not fit it.
    """
    official = read_official(path, dropout=dropout, norm=norm)
    network, notes = official.network, list(official.notes)
    wishes = {"family": family, "norm_statistics": norm_statistics, "working_size": working_size}
    if not isinstance(network, Generator):
        if given := [f"{key} {value}" for key, value in wishes.items() if value is not None]:
            raise ValueError(f"{path} is a {type(network).__name__}, to which {given[0]} says nothing: leave it out")
        return Converted(network=network, settings=None, method="", notes=tuple(notes))
    unet, said = isinstance(network, UNetGenerator), family is not None
    if family is None:
        family = "pix2pix" if unet else "cut" if network.config.get("antialias") else "cyclegan"
        notes.append(f"the file does not name its method: taken for {family}, whose paper has such a network")
    if working_size is None:
        working_size = network.multiple if unet else 256
        notes.append(f"the file does not tell the size of its training images: {working_size} × {working_size} assumed")
    try:
        settings = TranslationSettings(
            family=family,
            source_channels=network.in_channels,
            target_channels=network.out_channels,
            norm_statistics="image" if norm_statistics is None else norm_statistics,
            working_size=working_size,
            resize="fit" if unet else "native",
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    method = FAMILIES[family].title + ("" if said else ", as its network suggests (the file does not tell)")
    return Converted(network=network, settings=settings, method=method, notes=tuple(notes))


def save_converted(converted: Converted, folder: str | Path, *, checkpoint: str | Path) -> None:
    """Write what `Translator.from_pretrained` loads and `push_folder` publishes; a discriminator's weights alone.

    Args:
        folder: made if need be; files of the same names are replaced.
        checkpoint: the file that it was read from, which the card names.
    """
    folder = Path(folder)
    converted.network.save_weights(folder)
    if converted.settings is not None:
        converted.settings.save(folder)
        card = _card(converted, converted.settings, name=folder.resolve().name, checkpoint=Path(checkpoint))
        (folder / "README.md").write_text(card, encoding="utf-8")


def _card(converted: Converted, settings: TranslationSettings, *, name: str, checkpoint: Path) -> str:
    """Where it comes from and what was assumed; nothing was measured, so there are no numbers."""
    network, family = converted.network, FAMILIES[settings.family]
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    source = CUT_SOURCE if network.config.get("antialias") else SOURCE
    notes = "".join(f"\n- {note[0].upper()}{note[1:]}." for note in converted.notes)
    facts = CardFacts(
        model_name=name,
        family=family.name,
        method=converted.method,
        architecture=network.config,
        parameters=network.parameter_count,
        weights=(
            f"Converted from `{checkpoint.name}` (SHA-256 `{digest}`), a checkpoint of the layout of the [original "
            f"PyTorch code]({source}). The weights are the file's own, in float32.\n{notes}"
        ).strip(),
        norm_statistics=settings.norm_statistics if network.config.get("norm") == "batch" else "",
        limitations="The file tells neither the data of the training nor its license, and nothing was measured here.",
        citation=family.paper,
    )
    return render_model_card(facts)
