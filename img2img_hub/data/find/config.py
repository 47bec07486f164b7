"""What the user says about a data set.

python train_accelerate.py pix2pix --dataset user/name --source_column sketch --target_column photo
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from img2img_hub.errors import said_by_http

MAX_CLASSES = 1024
"""Of a label map; each is a band to a network, of which images/ allows as many. (Help texts must not wait for it.)"""
MAX_TARGET_CLASSES = 255
"""Of a label map that is made: a PNG with a palette holds so many, and what is of no class."""
AUTO = "auto"
"""In the place of a palette's file: read it off the images."""
Smaller = Literal["bicubic", "real"]
"""How a source is made smaller than its target; data/samples/degradation.py does it."""
Hole = Literal["box", "free_form"]
"""How a hole is drawn that is to be filled in; data/samples/masks.py does it."""
Corruption = Literal["box", "free_form", "grayscale", "fading", "stains", "scratches"]
"""What sources made of their targets lack, or have; data/samples/masks.py and ageing.py do it."""


class DataError(ValueError):
    """A data set that cannot be used as asked. The message, one line, says what was found and what to type."""


class SplitMissingError(DataError):
    """The data set has no such split."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the images are and which are source and target."""

    dataset: str
    """Hub data set (user/name) or local folder."""
    dataset_config: str | None = None
    """Configuration (subset) of the Hub data set, and of the target data set. Default: the only one."""
    dataset_revision: str | None = None
    """Branch, tag or commit of the Hub data set, and of the target data set. Default: main."""
    target_dataset: str | None = None
    """Unpaired: second data set or folder, which holds the targets."""
    train_split: str = "train"
    """Split, or subfolder, to train on."""
    validation_split: str | None = None
    """Split to validate on; "none" for none. Default: validation, val or test if there is one, else a held-out part."""
    validation_fraction: float = 0.05
    """Part of the training images (0 to 1) held out, by the seed, where there is no validation split."""
    source_column: tuple[str, ...] | str | None = None
    """Image column, or subfolder, with the sources; the only image column with side_by_side. Of pairs several may be
    named, such as rgb depth: their images of one row are one source, band behind band. Default: found by name."""
    target_column: str | None = None
    """Image column, or subfolder, with the targets. Default: found by name."""
    source_split: str | None = None
    """Unpaired: split, or subfolder, with the sources, used whatever split is asked for."""
    target_split: str | None = None
    """Unpaired: split, or subfolder, with the targets, used whatever split is asked for."""
    label_column: str | None = None
    """Unpaired: column with the labels that tell sources from targets. Default: the only one that has any."""
    source_label: str | None = None
    """Unpaired: label of the sources."""
    target_label: str | None = None
    """Unpaired: label of the targets."""
    labels: tuple[str, ...] = ()
    """Sources that are label maps, each with how many classes there are: 12, or NAME=12 where several make one source.
    Each class becomes a channel; 255 is of no class. Files hold numbers (of a PNG with a palette, its numbers)."""
    palette: tuple[str, ...] = ()
    """Sources that are label maps in colours: a file that says which colour is which class (JSON {"wall": "#0030ff"},
    or text with lines such as wall #0030ff), or auto to read the colours off the training images; NAME=FILE or
    NAME=auto where several make one source. JPEG's blurred colours become the nearest."""
    unknown: int | None = None
    """Number of the pixels of no class in label maps. Default: 255 alone, which is of none besides."""
    unknown_channel: bool = False
    """Give the pixels of no class in sources a channel of their own (GauGAN's "don't care"); else they are 0 in all."""
    instances: tuple[str, ...] = ()
    """Of several sources, one of which is a label map: the one, by name, that numbers instances, in 16 or 32 bits. The
    network sees the borders between them."""
    masks: tuple[str, ...] = ()
    """Sources, by name, that are masks: 1 to the network where they are white, 0 elsewhere."""
    target_labels: int | None = None
    """Targets are label maps of so many classes: learnt as pictures in the classes' colours, of which translations
    are made into classes again. Files hold numbers, or colours with --target_palette."""
    target_palette: str | None = None
    """The colours of the targets' classes, a file or auto as of --palette."""
    columns: tuple[str, ...] = ()
    """Of a method that reads more than sources and targets: NAME=COLUMN (or subfolder) of each; those left out are
    called as the method calls them."""
    pair_pattern: tuple[str, ...] = ()
    """Names of the sources' and of the targets' files, a * for what partners share: label_* photo_*, or *_A *_B, or
    *.png *.jpg, in two folders or in one. Default: the same names, or what all names of a side have for themselves."""
    drop_unmatched: bool = False
    """Leave out images without a partner, which are an error else."""
    skip_bad: bool = False
    """Read all images before the training, and leave out those that cannot be used, which end it else."""
    side_by_side: bool = False
    """Each image holds a pair: A is its left half, B its right half."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which one of A and B, or of two columns or folders found by name, is the source."""
    corrupt: tuple[Corruption, ...] = ()
    """Pairs of one set of pictures, the targets: sources are made of them with a box or free-form strokes covered,
    without colour, or aged by fading, stains and scratches (inpainting, colourisation, the repair of old photographs);
    several words add up."""
    holes: tuple[Hole, ...] = ()
    """Of methods that fill holes: how these are drawn into one set of pictures, in training anew for every crop: box,
    one rectangle, free_form, thick strokes; of two words one for each picture. Default: both."""
    degradation: Literal["bicubic", "real", "none"] | None = None
    """Of methods that enlarge: how the small pictures are made of one set of large ones. bicubic (papers); real, with
    blur, noise and JPEG (Real-ESRGAN); none: the data are pairs of two sizes. Default: bicubic, where no source_column
    is named."""
    in_channels: int | None = None
    """Bands of the sources: 1 reads pictures as grey; one more than colours, such as 4, takes alpha as a band. Default:
    what the files hold, 3 for 8-bit pictures."""
    out_channels: int | None = None
    """Bands of the targets, likewise."""
    no_data: float | None = None
    """Pixels of this value, of 8-bit RGB in all three bands, are no data, left out of loss and statistics as NaN always
    is; nothing to label maps and masks (see --unknown). Default: the value that each file names (GDAL_NODATA)."""
    source_range: tuple[float, float] | None = None
    """Values of the sources that become -1 and 1, of rasters of 16 bits or floats. Default: each band's own, from the
    training images, without outliers."""
    target_range: tuple[float, float] | None = None
    """Values of the targets that become -1 and 1, likewise; no output goes beyond them."""
    max_samples: int | None = None
    """Use only the first so many pairs, or images a side, of every split. Default: all."""
    max_megapixels: int | None = None
    """Read images of up to so many million pixels, where you trust them. Default: 179."""
    streaming: bool = False
    """Read the Hub data set while training, as it comes, instead of downloading it first."""
    shuffle_buffer: int = 1000
    """With streaming: images, still encoded, held in memory to draw the next one from."""

    def __post_init__(self) -> None:
        if isinstance(self.source_column, list | tuple):
            names = tuple(self.source_column)
            object.__setattr__(self, "source_column", names[0] if len(names) == 1 else names or None)
        if not self.dataset:
            raise DataError("no data set is named: type --dataset with a Hub id (user/name) or a folder")
        if self.direction not in ("AtoB", "BtoA"):
            raise DataError(f"direction is {self.direction!r}: type --direction AtoB or --direction BtoA")
        if not 0 <= self.validation_fraction < 1:
            raise DataError(
                f"validation_fraction is {self.validation_fraction}: type a number from 0 (hold nothing out) to below 1"
            )
        if isinstance(self.corrupt, str) or set(self.corrupt) - set(get_args(Corruption)):
            raise DataError(f"corrupt is {self.corrupt!r}: give some of {', '.join(get_args(Corruption))}")
        if isinstance(self.holes, str) or set(self.holes) - set(get_args(Hole)):
            raise DataError(f"holes is {self.holes!r}: give some of {', '.join(get_args(Hole))}")
        for name in ("in_channels", "out_channels"):
            bands = getattr(self, name)
            if bands is not None and bands < 1:
                raise DataError(f"{name} is {bands}: type 1 or more, or leave it out for what the files hold")
        for name in ("source_range", "target_range"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, tuple(values))  # a list out of a JSON file
                if len(values) != 2 or not -math.inf < values[0] < values[1] < math.inf:
                    raise DataError(f"{name} is {list(values)}: type two numbers, the lower one first")
        if self.no_data is not None and not math.isfinite(self.no_data):
            raise DataError(f"no_data is {self.no_data}, and NaN and infinity are never data: leave --no_data out")
        if self.max_samples is not None and self.max_samples < 1:
            raise DataError(f"max_samples is {self.max_samples}: type 1 or more, or leave it out for all")
        if self.shuffle_buffer < 1:
            raise DataError(f"shuffle_buffer is {self.shuffle_buffer}: type 1 (no shuffling) or more images")
        for name in ("labels", "palette", "instances", "masks", "columns", "pair_pattern"):
            value = getattr(self, name)  # a list out of a JSON file, or one text of a notebook
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        self._check_kinds()
        self._check_that_they_agree()

    def shrinks(self, scale: int) -> Smaller | None:
        """How sources are made smaller than targets of `scale` times their size; None where they are in the data."""
        said = self.degradation or ("none" if self.source_column or self.side_by_side else "bicubic")
        return None if scale == 1 or said == "none" else said

    @property
    def sources(self) -> tuple[str, ...]:
        """Where several images make one source, what they are called; () for one image."""
        return self.source_column if isinstance(self.source_column, tuple) else ()

    def column_of(self, slot: str) -> str:
        """The column, or subfolder, of what a method calls so."""
        return dict(text.split("=", 1) for text in self.columns).get(slot, slot)

    @property
    def palettes(self) -> dict[str, str]:
        """{source, "source" for the only one: the file that says its colours, or AUTO}."""
        return dict(_named(text) for text in self.palette)

    def _check_kinds(self) -> None:
        for text in self.labels:
            classes = text.rpartition("=")[2]
            if not classes.isdecimal() or len(classes) > 10 or not 1 <= int(classes) <= MAX_CLASSES:
                raise DataError(
                    f"--labels {text} does not say how many classes there are: type a number from 1 to {MAX_CLASSES}, "
                    f"or NAME=NUMBER where several images make one source"
                )
        named = [text.rpartition("=")[0] or "source" for text in self.labels]
        coloured = [_named(text)[0] for text in self.palette]
        said = named + [name for name in coloured if name not in named] + [*self.instances, *self.masks]
        for names in (said, coloured):
            if twice := [name for place, name in enumerate(names) if name in names[:place]]:
                raise DataError(
                    f"--labels, --palette, --masks or --instances say twice what {twice[0]} is: once is enough"
                )
        if said and self.source_range is not None:
            raise DataError(
                "--source_range is for values, and --labels and --masks say that sources have none: drop one"
            )
        if self.target_labels is not None and not 1 <= self.target_labels <= MAX_TARGET_CLASSES:
            raise DataError(f"--target_labels is {self.target_labels}: type a number from 1 to {MAX_TARGET_CLASSES}")
        if self.maps_targets and (self.target_range is not None or self.out_channels is not None):
            flag = "--out_channels" if self.target_range is None else "--target_range"
            raise DataError(f"{flag} is for values, and --target_labels says that targets have none: drop one")
        if self.unknown is not None and not 0 <= self.unknown <= 65535:
            raise DataError(f"--unknown is {self.unknown}: type a number from 0 to 65535")
        if self.streaming and AUTO in (*self.palettes.values(), self.target_palette):
            raise DataError(
                "--palette auto reads the colours off all images, which a stream never shows at once: name a file that "
                "says which colour is which class"
            )
        for text in self.columns:
            if not all(text.partition("=")):
                raise DataError(f"--columns {text} is not NAME=COLUMN: type both, such as --columns weights=importance")
        if self.side_by_side:
            if self.masks or self.instances:
                raise DataError(
                    "--masks and --instances need files of their own, and --side_by_side has photographs in them"
                )
            for flag, numbers, colours in (
                ("", self.labels, self.palette),
                ("target_", self.target_labels, self.target_palette),
            ):
                if numbers and not colours:
                    raise DataError(
                        f"--{flag}labels with --side_by_side, where photographs stand in the same files, so that maps "
                        f"are in colours: add --{flag}palette auto, or a file that says which colour is which class"
                    )
        if self.corrupt and (said or self.maps_targets):
            raise DataError("--corrupt makes the sources of the targets, so --labels and --masks have no use: drop one")

    @property
    def maps_targets(self) -> bool:
        """Whether targets are label maps."""
        return self.target_labels is not None or self.target_palette is not None

    @property
    def source_name(self) -> str | None:
        """The column, or subfolder, of the sources where it is one."""
        return self.source_column if isinstance(self.source_column, str) else None

    def _check_several_sources(self) -> None:
        names = " ".join(self.sources)
        if len(set(self.sources)) < len(self.sources):
            raise DataError(f"--source_column {names} names one of them twice: type each once")
        if "target" in self.sources:
            raise DataError(f"--source_column {names}: outputs are called target everywhere, so rename that column")
        if self.target_column is None:
            raise DataError(f"--source_column {names}: type --target_column, too, which says what the target is")
        if self.target_column in self.sources:
            raise DataError(f"--source_column {names} has the target {self.target_column} among the sources: drop it")
        others = ("target_dataset", "source_split", "source_label", "in_channels", "source_range", "no_data")
        named = [f"--{name}" for name in others if getattr(self, name) is not None]
        if named:
            raise DataError(f"--source_column {names} makes one source of several images, without {named[0]}: drop it")

    def _check_that_they_agree(self) -> None:
        """Refuse options that contradict each other, rather than let one of them win in silence."""
        if len(self.pair_pattern) not in (0, 2):
            raise DataError(
                f"--pair_pattern {' '.join(self.pair_pattern)}: type two, the sources' first, such as label_* photo_*"
            )
        if self.pair_pattern and (self.side_by_side or self.corrupt or self.sources):
            flag = "--side_by_side" if self.side_by_side else "--corrupt" if self.corrupt else "--source_column"
            raise DataError(f"--pair_pattern is for pairs in files of their own, which {flag} has none of: drop one")
        if self.streaming and (self.skip_bad or self.drop_unmatched):
            flag = "--skip_bad" if self.skip_bad else "--drop_unmatched"
            raise DataError(f"{flag} looks at all images first, and a stream is never seen at once: drop one of them")
        if self.pair_pattern and self.direction == "BtoA":
            raise DataError(
                "--direction BtoA turns what is found by name, but --pair_pattern already says which files are the "
                "sources: drop --direction and exchange the two patterns"
            )
        if self.sources:
            self._check_several_sources()
        if self.corrupt:
            self.check_that_one_set_is_named("--corrupt")
        for kind in ("split", "label"):
            source, target = getattr(self, f"source_{kind}"), getattr(self, f"target_{kind}")
            if (source is None) != (target is None) and self.target_dataset is None:
                have, lack = ("source", "target") if target is None else ("target", "source")
                raise DataError(f"--{have}_{kind} is given without --{lack}_{kind}: type both")
        if self.label_column and not (self.source_label or self.target_label):
            raise DataError(
                f"--label_column {self.label_column} says nothing alone: add --source_label and --target_label"
            )
        if self.streaming and self.source_label:
            raise DataError(
                "--source_label looks for its rows in the whole data set, which a stream never sees at once: "
                "leave out --streaming, or tell sources from targets by split, column or data set"
            )
        if self.side_by_side:
            if self.sources:
                raise DataError("--side_by_side has one source in each image: name one --source_column")
            for name in ("target_dataset", "target_column", "source_split", "source_label"):
                if getattr(self, name) is not None:
                    raise DataError(f"--side_by_side finds both halves in one image, so --{name} has no use: drop one")
        told = [
            name
            for name in ("target_dataset", "target_column", "source_split", "source_label")
            if getattr(self, name) is not None
        ]
        if self.direction == "BtoA" and told:
            raise DataError(
                f"--direction BtoA turns A and B found by name, but --{told[0]} already says which is the target: "
                f"drop --direction and exchange the two names"
            )

    def check_that_one_set_is_named(self, by: str, *, rasters: bool = False) -> None:
        """Where sources are made `by` something of targets there is nothing to say of them, nor, unless it takes these,
        of rasters. Raises DataError."""
        for name in () if rasters else ("no_data", "target_range"):
            if getattr(self, name) is not None:
                raise DataError(f"{by} takes 8-bit pictures, and --{name} is for rasters: leave one of them out")
        sources = ["target_dataset", "source_column", "source_split", "target_split", "source_label", "target_label"]
        sources += ["in_channels", "source_range"]
        named = [name for name in sources if getattr(self, name) is not None]
        named += ["side_by_side"] if self.side_by_side else []
        named += ["direction BtoA"] if self.direction == "BtoA" else []
        if named:
            raise DataError(
                f"{by} makes the sources of the targets, so --{named[0]} has no use: drop one; --target_column "
                f"names the column, or subfolder, of the pictures, --train_split the split"
            )


def _named(text: str) -> tuple[str, str]:
    """NAME=FILE as (NAME, FILE); what is no name but a path is the only source's."""
    name, _, file = text.partition("=")
    return (name, file) if file and name and not set(name) & set("/\\.~") else ("source", text)


def reason(error: Exception) -> str:
    """What other libraries raised, in one line of at most 300 characters, without the signatures in addresses."""
    text = said_by_http(error)
    return text if len(text) <= 300 else text[:300] + " …"
