"""From an original checkpoint to a finished generator: its network, its settings, its card.

    python -m img2img_hub convert latest_net_G.pth --output models/facades

The file tells the network (official/file.py). What it does not tell is taken from the papers: U-Nets are pix2pix's,
ResNets are CycleGAN's, antialiased ones are CUT's, RRDBNets ESRGAN's. What the channels of a label map are, no paper
tells: that is asked.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from img2img_hub.data.samples.kinds import values_of
from img2img_hub.families import FAMILIES
from img2img_hub.hub.card import CardFacts, render_model_card
from img2img_hub.images.slots import Slot
from img2img_hub.images.values import BandValues
from img2img_hub.networks import (
    CoarseToFineGenerator,
    CompactGenerator,
    Generator,
    ModifiedSRResNetGenerator,
    Network,
    RRDBGenerator,
    SpadeGenerator,
    UNetGenerator,
)
from img2img_hub.networks.blocks import Norm, NormStatistics
from img2img_hub.networks.spade import Depth
from img2img_hub.networks.style_encoder import STYLE_ENCODER
from img2img_hub.official.file import (
    CUT_SOURCE,
    HD_SOURCE,
    SOURCE,
    SPADE_SOURCE,
    SR_SOURCE,
    read_official,
)
from img2img_hub.official.interpolate import interpolate as mix
from img2img_hub.translation.settings import SETTINGS_FILE, TranslationSettings

Method = Literal["pix2pix", "cyclegan", "cut", "fastcut", "pix2pixhd", "spade", "srgan", "esrgan"]
SUPER_RESOLUTION = (RRDBGenerator, CompactGenerator, ModifiedSRResNetGenerator)
SPADE_LICENSE = "cc-by-nc-sa-4.0"
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
    mixed: tuple[Path, float] | None = None
    """Another checkpoint whose weights are in it, and their share."""


class Said(TypedDict, total=False):
    """What `convert_official` can be told of a file."""

    dropout: float | None
    norm: Norm | None
    depth: Depth | None
    features: int | None
    edges: bool | None
    unknown: bool | None
    family: Method | None
    norm_statistics: NormStatistics | None
    working_size: int | None
    interpolate: tuple[str | Path, float] | None


def convert_official(
    path: str | Path,
    *,
    dropout: float | None = None,
    norm: Norm | None = None,
    depth: Depth | None = None,
    features: int | None = None,
    edges: bool | None = None,
    unknown: bool | None = None,
    family: Method | None = None,
    norm_statistics: NormStatistics | None = None,
    working_size: int | None = None,
    interpolate: tuple[str | Path, float] | None = None,
) -> Converted:
    """Read a checkpoint of the original code and settle how it wants to be used.

    Args:
        path: such as latest_net_G.pth.
        dropout, norm, depth, features: see `read_official`.
        edges: of a source of classes, whether its last channel marks where instances border (pix2pixHD, SPADE).
        unknown: of such a source, whether the channel behind the classes is of pixels of no class (SPADE).
        family: the method it was trained by. None: pix2pix for a U-Net, cyclegan for a ResNet, cut for an antialiased
            one, pix2pixhd and spade for theirs, esrgan for an RRDBNet and the compact network, srgan for MSRResNet.
        norm_statistics: what batch norm normalises with. None: "running" for SPADE and super-resolution, else "image",
            as the originals' test.py do.
        working_size: side of the training images in pixels. None: 2**levels for a U-Net (256 for unet_256), 512 for
            pix2pixHD's global generator and twice that with each enhancer, 512 for SPADE of another depth than
            "normal", for super-resolution 256 pixels of the output, else 256.
        interpolate: another checkpoint of the same architecture and its share, from 0 to 1, in each weight: what is
            between two models, such as a general one and its twin that removes less noise.

    Raises:
        ValueError: the file is refused (see `read_official`), or an argument does not fit it, or is lacking.
    """
    shape: dict[str, Any] = {"dropout": dropout, "norm": norm, "depth": depth, "features": features}
    official = read_official(path, **shape)
    network, notes = official.network, list(official.notes)
    wishes: dict[str, Any] = {"family": family, "norm_statistics": norm_statistics, "working_size": working_size}
    wishes |= {"edges": edges, "unknown": unknown, "interpolate": " ".join(map(str, interpolate or ())) or None}
    if not isinstance(network, Generator):
        if given := [f"{key} {value}" for key, value in wishes.items() if value is not None]:
            raise ValueError(f"{path} is a {type(network).__name__}, to which {given[0]} says nothing: leave it out")
        return Converted(network=network, settings=None, method="", notes=tuple(notes))
    if interpolate is not None:
        other = Path(interpolate[0])
        notes += mix(official, read_official(other, **shape), share=interpolate[1], where=(Path(path), other))
    said = family is not None
    if family is None:
        family = _family_of(network)
        notes.append(f"the file does not name its method: taken for {family}, whose paper has such a network")
    if working_size is None:
        working_size = _size_of(network)
        notes.append(f"the file does not tell the size of its training images: {working_size} × {working_size} assumed")
    try:
        inputs = _inputs(network, edges=edges, unknown=unknown)
        settings = TranslationSettings(
            family=family,
            source_channels=network.in_channels,
            target_channels=network.out_channels,
            inputs=inputs,
            source_values=_values(inputs),
            norm_statistics=norm_statistics or FAMILIES[family].norm_statistics or "image",
            working_size=working_size,
            resize="fit" if network.knows_one_size else "native",
            crop="native" if isinstance(network, SUPER_RESOLUTION) else "resize",
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if isinstance(network, SpadeGenerator) and network.latent:
        notes.append(
            f"it has styles: its latest_net_E.pth, converted into training/{STYLE_ENCODER} of its folder, reads those "
            "of photos"
        )
    method = FAMILIES[family].title + ("" if said else ", as its network suggests (the file does not tell)")
    mixed = None if interpolate is None else (Path(interpolate[0]), float(interpolate[1]))
    return Converted(network=network, settings=settings, method=method, notes=tuple(notes), mixed=mixed)


def _family_of(network: Network) -> Method:
    of_class: dict[type[Network], Method] = {
        UNetGenerator: "pix2pix",
        CoarseToFineGenerator: "pix2pixhd",
        SpadeGenerator: "spade",
        RRDBGenerator: "esrgan",
        CompactGenerator: "esrgan",
        ModifiedSRResNetGenerator: "srgan",
    }
    return of_class.get(type(network), "cut" if network.config.get("antialias") else "cyclegan")


def _size_of(network: Generator) -> int:
    if isinstance(network, UNetGenerator):
        return network.multiple
    if isinstance(network, CoarseToFineGenerator):
        return 512 * 2 ** int(network.config["enhancers"])
    if isinstance(network, SUPER_RESOLUTION):
        return 256 // network.scale
    return 512 if network.config.get("depth", "normal") != "normal" else 256


def _inputs(network: Generator, *, edges: bool | None, unknown: bool | None) -> tuple[Slot, ...]:
    """What a source is: () for a picture, else a label map, perhaps with a map of instances.

    Raises:
        ValueError: nobody said what its channels are.
    """
    spade = isinstance(network, SpadeGenerator)
    said = edges is not None or unknown is not None
    if not spade and not isinstance(network, CoarseToFineGenerator):
        if said:
            raise ValueError(
                f"edges and unknown are of label maps, and a {type(network).__name__} of the original code reads "
                "pictures: leave them out"
            )
        return ()
    count = network.in_channels
    if not spade:
        if count in (1, 3) and not said:
            return ()
        if unknown:
            raise ValueError("pix2pixHD has no channel of pixels of no class: leave unknown out")
        unknown = False
    if edges is None or unknown is None:
        raise ValueError(
            f"its source has {count} channels, and the file does not show what they are: say --edges True or False "
            "(whether the last one marks where instances border)"
            + (
                " and --unknown True or False (whether the one behind the classes is of pixels of no class). Of the "
                "released models, COCO-Stuff's (184 channels) has both, Cityscapes' (36) edges alone, and ADE20K's "
                "(151) neither: its maps are read as they are, 0 to 150"
                if spade
                else ". The released model, label2city (36 channels), has one"
            )
        )
    classes = count - edges - unknown
    if classes < 1:
        raise ValueError(
            f"its source has {count} channels, of which edges {edges} and unknown {unknown} leave no class"
        )
    labels = Slot(
        name="label" if edges else "source",
        kind="labels",
        bands=1,
        classes=classes,
        unknown_channel=unknown,
        dtype="uint8" if classes <= 255 else "uint16",
    )
    return (labels, Slot(name="instance", kind="instances", bands=1, dtype="int32")) if edges else (labels,)


def _values(inputs: tuple[Slot, ...]) -> BandValues | None:
    def measured(slot: Slot) -> BandValues:
        raise AssertionError(f"{slot.describe()} holds numbers, not values")

    return values_of(inputs, measured) if inputs else None


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
    network = converted.network
    spade, hd = isinstance(network, SpadeGenerator), isinstance(network, CoarseToFineGenerator)
    source = SPADE_SOURCE if spade else HD_SOURCE if hd else CUT_SOURCE if network.config.get("antialias") else SOURCE
    source = SR_SOURCE if isinstance(network, SUPER_RESOLUTION) else source
    files, whose = _said_of(checkpoint), "The weights are the file's own, in float32."
    if converted.mixed is not None:
        other, share = converted.mixed
        files += f" and {_said_of(other)}"
        whose = f"Each weight is {1 - share:.6g} of the first one's and {share:.6g} of the second one's, in float32."
    limits = "The file tells neither the data of the training nor its license, and nothing was measured here."
    if spade:
        limits += (
            " The code of SPADE and the weights that its authors published are for non-commercial use alone "
            "(CC BY-NC-SA 4.0)."
        )
    notes = "".join(f"\n- {note[0].upper()}{note[1:]}." for note in converted.notes)
    facts = CardFacts(
        model_name=name,
        family=settings.family,
        method=converted.method,
        architecture=network.config,
        parameters=network.parameter_count,
        weights=(
            f"Converted from {files}, {'a checkpoint' if converted.mixed is None else 'checkpoints'} of the layout of "
            f"the [original PyTorch code]({source}). {whose}\n{notes}"
        ).strip(),
        norm_statistics=settings.norm_statistics if network.config.get("norm") == "batch" else "",
        license=SPADE_LICENSE if spade else "",
        limitations=limits,
        citation=FAMILIES[settings.family].paper,
        scale=getattr(network, "scale", 1),
    )
    return render_model_card(facts)


def _said_of(checkpoint: Path) -> str:
    with checkpoint.open("rb") as file:
        return f"`{checkpoint.name}` (SHA-256 `{hashlib.file_digest(file, 'sha256').hexdigest()}`)"
