"""Where the command line's outputs go: planned and checked before any work, saved whole or not at all.

python -m img2img_hub translate photos/ --model model_cards/facades-label2photo --output translated/
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from img2img_hub.images import IMAGE_EXTENSIONS, ImageError, read_image
from img2img_hub.rasters import AnyImage, Raster
from img2img_hub.tiffs import for_pillow

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
    ".tif": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
}
MOST_PIXELS_A_SIDE = {".jpg": 65_500, ".webp": 16_383}
"""What the formats can hold; the others hold more than fits into memory."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes what, and what could not be looked at."""

    jobs: list[tuple[Path, Path]]
    """(input, output), in the order of the inputs."""
    problems: list[tuple[Path, str]]
    """(subfolder, why it cannot be looked into)."""


def plan_outputs(
    inputs: Sequence[Path], *, folder: Path, suffix: str, overwrite: bool, recursive: bool = False
) -> Plan:
    """Each input becomes folder/STEM + suffix; nothing is made or read yet.

    Args:
        inputs: image files, and folders of images. Hidden files and folders (names with a dot first) are left out.
        folder: where the outputs will go; need not be there. As a subfolder of an input it is no input itself.
        overwrite: whether outputs may be there already. An input is never overwritten.
        recursive: whether the folders' subfolders count: an image of photos/sub becomes folder/sub/STEM + suffix. Each
            folder is looked into once, by whatever links it is reached.

    Raises:
        ValueError: no inputs, one that is missing, two of one stem, an output in the way.
    """
    if not inputs:
        raise ValueError("no input: name image files or folders of images")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {folder} is a file: name a folder")
    files: dict[str, tuple[Path, Path]] = {}  # absolute: as named, and where to in the output folder. A file that is
    problems: list[tuple[Path, str]] = []  #    named twice is one, two links to a file are two
    for path in inputs:
        if path.is_dir():
            found = _images_in(path, output=folder, recursive=recursive, problems=problems)
        elif path.exists() or path.is_symlink():
            found = [(path, Path(path.name))]
        else:
            raise ValueError(f"{path} does not exist: check the spelling of the path")
        for file, place in found:
            files.setdefault(os.path.abspath(file), (file, place.with_name(place.stem + suffix)))
    originals = {os.path.realpath(file) for file in files}
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
    if not overwrite and (there := [destination for _, destination in jobs.values() if os.path.lexists(destination)]):
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise ValueError(f"{there[0]} is there already{more}: add --overwrite, or name another --output")
    return Plan(jobs=list(jobs.values()), problems=problems)


def _images_in(
    root: Path, *, output: Path, recursive: bool, problems: list[tuple[Path, str]]
) -> list[tuple[Path, Path]]:
    """[(image, its path from root on)]; what cannot be looked into goes to `problems`, or is refused as root."""
    images: list[tuple[Path, Path]] = []
    folders = 0
    for folder, error in _folders_in(root, output=output, recursive=recursive):
        folders += 1
        if error is not None:
            says = f"{folder} cannot be looked into ({error.strerror}): change its permissions, or leave it out"
            if folder == root:
                raise ValueError(says)
            problems.append((folder, says))
            continue
        names = (file for file in sorted(folder.iterdir()) if not file.name.startswith("."))
        files = [file for file in names if file.suffix.lower() in IMAGE_EXTENSIONS and not file.is_dir()]
        images += [(file, file.relative_to(root)) for file in files]
    if not images and not problems:
        where = "in it or its subfolders" if recursive else "directly in it"
        cure = "" if recursive or not any(_subfolders(root)) else ": add --recursive to look into its subfolders"
        raise ValueError(f"{root} has no images ({', '.join(sorted(IMAGE_EXTENSIONS))}) {where}{cure}")
    return images


def _folders_in(root: Path, *, output: Path, recursive: bool) -> Iterator[tuple[Path, OSError | None]]:
    """The folder and its subfolders, each once: links wait until the folders that they may lead back to are through."""
    seen = {os.path.realpath(output)} - {os.path.realpath(root)}
    folders: list[Path] = [root]
    links: list[Path] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        try:
            inside = _subfolders(folder)
        except OSError as error:
            yield folder, error
            continue
        yield folder, None
        if recursive:
            links += [path for path in inside if path.is_symlink()]
            folders += [path for path in reversed(inside) if not path.is_symlink()]


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
    trial = folder / f".trial-{os.getpid()}.part"
    try:
        try:
            trial.write_bytes(b"trial")
        finally:
            trial.unlink(missing_ok=True)
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
    if isinstance(output, Raster):
        if destination.suffix == ".png" and (output.georeference or output.valid is not None):
            warnings.warn(
                "PNG keeps neither where an image lies nor which pixels have no data: --format tif does", stacklevel=2
            )
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
    part = destination.with_name(f".{destination.name}.part")
    try:
        try:
            output.save(part, icc_profile=output.info.get("icc_profile"), **options)
            os.replace(part, destination)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(
            f"{destination} cannot be written ({error.strerror or error}): make room there, or name another --output"
        ) from None
