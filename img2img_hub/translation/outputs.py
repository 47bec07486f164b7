"""Where the command line's outputs go: planned and checked before any work, saved whole or not at all.

python -m img2img_hub translate photos/ --model model_cards/facades-label2photo --output translated/
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from img2img_hub.data.find.search import MARK, OUTPUT, LeftOut, is_output
from img2img_hub.files import replacing
from img2img_hub.images.formats import IMAGE_EXTENSIONS, ImageError
from img2img_hub.images.raster import AnyImage, Raster
from img2img_hub.images.read import read_image
from img2img_hub.images.remarks import note, spoken
from img2img_hub.images.tiff_writing import for_pillow

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
    ".tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
}
MOST_PIXELS_A_SIDE = {".jpg": 65_500, ".webp": 16_383}
"""What the formats can hold; the others hold more than fits into memory."""


@dataclass(frozen=True, kw_only=True)
class OutputPlan:
    """What becomes what, and what could not be looked at."""

    jobs: list[tuple[Path, Path]]
    """(input, output), in the order of the inputs."""
    problems: list[tuple[Path, str]]
    """(subfolder, why it cannot be looked into)."""
    left_out: list[str]
    """One line for each folder of the inputs that holds something else than images."""
    among_inputs: bool
    """Whether the output folder lies in a folder of inputs."""


def plan_outputs(
    inputs: Sequence[Path],
    *,
    folder: Path,
    suffix: str,
    overwrite: bool,
    recursive: bool = False,
    beside: Sequence[Path] = (),
) -> OutputPlan:
    """Each input becomes folder/STEM + suffix; nothing is made or read yet.

    Args:
        inputs: image files, and folders of images. Hidden files and folders (names with a dot first) are left out.
        folder: where the outputs will go; need not be there. As a subfolder of an input it is no input itself, nor is
            any other folder of outputs, of a run or of a model.
        overwrite: whether outputs may be there already. An input is never overwritten.
        beside: files and folders that are read together with the inputs, and are as safe as those.
        recursive: whether the folders' subfolders count: an image of photos/sub becomes folder/sub/STEM + suffix. Each
            folder is looked into once, by whatever links it is reached.

    Raises:
        ValueError: no inputs, one that is missing, two of one stem, an output in the way, outputs beside the inputs.
    """
    if not inputs:
        raise ValueError("no input: name image files or folders of images")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {folder} is a file: name a folder")
    files: dict[str, tuple[Path, Path]] = {}  # absolute: as named, and where to in the output folder. A file that is
    problems: list[tuple[Path, str]] = []  #    named twice is one, two links to a file are two
    lines: list[str] = []
    for path in inputs:
        if path.is_dir():
            left_out = LeftOut()
            found = _images_in(path, output=folder, recursive=recursive, problems=problems, left_out=left_out)
            lines += [left_out.describe(str(path))] if left_out.kinds else []
        elif path.exists() or path.is_symlink():
            found = [(path, Path(path.name))]
        else:
            raise ValueError(f"{path} does not exist: check the spelling of the path")
        within = [os.path.realpath(other) + os.sep for other in beside if other.is_dir()]
        for file, place in found:
            if any(os.path.realpath(file).startswith(other) for other in within):  # a mask, say, is no input
                continue
            files.setdefault(os.path.abspath(file), (file, place.with_name(place.stem + suffix)))
    originals = {os.path.realpath(file) for file in files} | {os.path.realpath(path) for path in beside}
    jobs: dict[str, tuple[Path, Path]] = {}
    for file, place in files.values():
        destination = folder / place
        earlier = jobs.setdefault(str(place).casefold(), (file, destination))[0]
        if earlier != file:
            raise ValueError(
                f"{earlier} and {file} would both become {destination}: rename one, or translate them in two runs "
                "with two --output folders"
            )
        if os.path.realpath(destination) in originals:
            raise ValueError(f"{destination} is an input and would be overwritten: name another --output")
    together = (*inputs, *beside)
    if any(path.is_dir() and os.path.realpath(path) == os.path.realpath(folder) for path in together):
        raise ValueError(
            f"--output {folder} is the folder of the inputs, among which nobody could tell the outputs later: name "
            "another folder, such as one in it"
        )
    if not overwrite and (there := [destination for _, destination in jobs.values() if os.path.lexists(destination)]):
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise ValueError(f"{there[0]} is there already{more}: add --overwrite, or name another --output")
    around = {os.path.realpath(path if path.is_dir() else path.parent) for path in together}
    among_inputs = any(str(parent) in around for parent in Path(os.path.realpath(folder)).parents)
    return OutputPlan(jobs=list(jobs.values()), problems=problems, left_out=lines, among_inputs=among_inputs)


def find_partners(
    sources: Sequence[Path], named: Mapping[str, str | Path], *, recursive: bool
) -> dict[Path, dict[str, Path]]:
    """For each image of the first folder, or file, that is named: those of the others; {} where there are no names.

    Raises:
        ValueError: an image has no partner, or several.
    """
    if not named:
        return {}
    (first, root), *others = ((name, Path(path)) for name, path in named.items())
    found: dict[Path, dict[str, Path]] = {source: {first: source} for source in sources}
    for name, place in others:
        by_stem = _by_stem(place, recursive=recursive) if place.is_dir() else {}
        for source in sources:
            partners = by_stem.get(source.relative_to(root).with_suffix(""), []) if root.is_dir() else [place]
            if len(partners) != 1 or not partners[0].is_file():
                what = f"{len(partners)} partners" if len(partners) > 1 else "no partner"
                raise ValueError(f"{source} has {what} in {place} ({name}): partners have the same name, rename one")
            found[source][name] = partners[0]
    return found


def find_masks(
    sources: Sequence[Path], *, roots: Sequence[Path], mask: str | Path, recursive: bool
) -> dict[Path, str | Path]:
    """For each image its mask: what is said of all, or of a folder of masks that of the same name, whatever its ending.

    Args:
        roots: the files and folders that the images were found in.

    Raises:
        ValueError: an image has no mask there, or several.
    """
    folder = Path(mask)
    if not folder.is_dir():
        return dict.fromkeys(sources, mask)
    by_stem = _by_stem(folder, recursive=recursive)
    found: dict[Path, str | Path] = {}
    for source in sources:
        bases = [root if root.is_dir() else root.parent for root in roots]
        stems = [source.relative_to(base).with_suffix("") for base in bases if source.is_relative_to(base)]
        masks = next((by_stem[stem] for stem in stems if stem in by_stem), [])
        if len(masks) != 1:
            what = f"{len(masks)} masks" if masks else "no mask"
            raise ValueError(f"{source} has {what} in {folder}: a mask has its image's name, rename one")
        found[source] = masks[0]
    return found


def _by_stem(folder: Path, *, recursive: bool) -> dict[Path, list[Path]]:
    """The images of a folder by their paths below it, without their endings."""
    found: dict[Path, list[Path]] = {}
    for file in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if file.suffix.lower() in IMAGE_EXTENSIONS and not file.name.startswith("."):
            found.setdefault(file.relative_to(folder).with_suffix(""), []).append(file)
    return found


def _images_in(
    root: Path, *, output: Path, recursive: bool, problems: list[tuple[Path, str]], left_out: LeftOut
) -> list[tuple[Path, Path]]:
    """[(image, its path from root on)]; what cannot be looked into goes to `problems`, or is refused as root."""
    images: list[tuple[Path, Path]] = []
    folders = 0
    for folder, error in _folders_in(root, output=output, recursive=recursive, left_out=left_out):
        folders += 1
        if error is not None:
            says = f"{folder} cannot be looked into ({error.strerror}): change its permissions, or leave it out"
            if folder == root:
                raise ValueError(says)
            problems.append((folder, says))
            continue
        for file in sorted(folder.iterdir()):
            if file.name.startswith("."):
                left_out.add("hidden file or folder", file.name)
            elif file.is_dir():
                continue
            elif file.suffix.lower() in IMAGE_EXTENSIONS:
                images.append((file, file.relative_to(root)))
            else:
                left_out.add_file(file)
    if not images and not problems:
        where = "in it or its subfolders" if recursive else "directly in it"
        cure = "" if recursive or not any(_subfolders(root)) else ": add --recursive to look into its subfolders"
        raise ValueError(f"{root} has no images ({', '.join(sorted(IMAGE_EXTENSIONS))}) {where}{cure}")
    return images


def _folders_in(
    root: Path, *, output: Path, recursive: bool, left_out: LeftOut
) -> Iterator[tuple[Path, OSError | None]]:
    """The folder and its subfolders, each once: links wait until the folders that they may lead back to are through."""
    seen = {os.path.realpath(output)} - {os.path.realpath(root)}
    folders: list[Path] = [root]
    links: list[Path] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        if folder != root and is_output(folder):
            left_out.add(OUTPUT, folder.relative_to(root).as_posix())
            continue
        try:
            inside = _subfolders(folder)
        except OSError as error:
            yield folder, error
            continue
        yield folder, None
        if recursive:
            links += [path for path in inside if path.is_symlink()]
            folders += [path for path in reversed(inside) if not path.is_symlink()]
        else:
            for path in inside:
                left_out.add("folder that --recursive would take", path.name)


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def check_free(path: Path | None, *, overwrite: bool) -> None:
    """Refuse to write over a file without being asked, and over a folder in any case."""
    if path is not None and path.exists() and not (overwrite and path.is_file()):
        raise ValueError(f"{path} is there already: add --overwrite, or name another file")


def check_sheet(path: Path | None, *, overwrite: bool) -> None:
    """The same for a sheet, whose ending must name a format: nobody wants to read that after a thousand images."""
    if path is not None and path.suffix.lower() not in IMAGE_EXTENSIONS:
        raise ValueError(f"--sheet {path} is no image file by its name: let it end in .png or .jpg")
    check_free(path, overwrite=overwrite)


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder {folder} cannot be made ({error.strerror}): name another place") from None


def check_writable(folder: Path) -> None:
    """Refuse a folder that no file can be put into: nobody wants to read that after a thousand images."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as trial:
            trial.write(b"trial")
    except OSError as error:
        raise ValueError(
            f"the folder {folder} cannot be written to ({error.strerror}): make room there, change its permissions, "
            "or name another place"
        ) from None


def save_sheet(sheet: Image.Image, path: Path) -> None:
    make_folder(path.parent)
    sheet.save(path)


def save_output(output: AnyImage, destination: Path) -> None:
    """Save in the format of the file name (.png, .jpg, .webp or .tif), with the colour profile.

    Written under another name, then renamed: an interrupted run leaves no half image behind.

    Raises:
        ImageError: the format cannot hold that image, or the place cannot be written.
    """
    with spoken():
        _note_what_is_lost(output, destination)
    if isinstance(output, Raster):
        output.save(destination)
        return
    options = SAVE_OPTIONS[destination.suffix]
    if max(output.size) > (most := MOST_PIXELS_A_SIDE.get(destination.suffix, max(output.size))):
        raise ImageError(
            f"{destination} would be {output.width}×{output.height} pixels, and {options['format']} holds no side of "
            f"more than {most}: use --format png"
        )
    if options["format"] == "JPEG":  # has no alpha: what is transparent shows white
        output = read_image(output, channels=1 if output.mode in ("L", "LA") else 3)
    if options["format"] == "TIFF" and (georeference := output.info.get("georeference")):
        options = options | {"tiffinfo": for_pillow(georeference)}
    try:
        with replacing(destination) as part:
            output.save(part, icc_profile=output.info.get("icc_profile"), **options)
    except OSError as error:
        raise ImageError(
            f"{destination} cannot be written ({error.strerror or error}): make room there, or name another --output"
        ) from None


def mark_as_output(folder: Path) -> None:
    """Among inputs: say in the folder that what it holds is none, nor data to train on."""
    (folder / MARK).write_text(
        "The images in this folder were made by img2img_hub of those around it. With this file here they are neither "
        "translated nor trained on as if they were some of those.\n",
        encoding="utf-8",
    )


def _note_what_is_lost(output: AnyImage, destination: Path) -> None:
    if destination.suffix in (".tif", ".tiff"):
        return
    place = output.georeference if isinstance(output, Raster) else output.info.get("georeference")
    lost = ["where it lies"] if place else []
    if isinstance(output, Raster) and output.valid is not None:
        lost.append("which pixels have no data")
    if lost:
        note("lost", str(destination), " and ".join(lost))
