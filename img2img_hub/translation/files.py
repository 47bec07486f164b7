"""Where the command line's outputs go: planned and checked before any work, saved whole or not at all.

python -m img2img_hub translate photos/ --model model_cards/facades-label2photo --output translated/
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from img2img_hub.images import IMAGE_EXTENSIONS, read_image

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
}


def plan_outputs(inputs: Sequence[Path], *, folder: Path, suffix: str, overwrite: bool) -> list[tuple[Path, Path]]:
    """[(input, folder/STEM + suffix)] of all inputs; nothing is made or read yet.

    Args:
        inputs: image files, and folders of images (not their subfolders).
        folder: where the outputs will go; need not be there.
        overwrite: whether outputs may be there already. An input is never overwritten.

    Raises:
        ValueError: no inputs, one that is missing, two of one stem, an output in the way.
    """
    if not inputs:
        raise ValueError("no input: name image files or folders of images")
    files: dict[str, Path] = {}  # absolute: as named; a file named twice is one, two links to a file are two
    for path in inputs:
        found = [path]
        if path.is_dir():
            names = (file for file in sorted(path.iterdir()) if not file.name.startswith("."))
            found = [file for file in names if file.suffix.lower() in IMAGE_EXTENSIONS and not file.is_dir()]
            if not found:
                raise ValueError(f"{path} has no images ({', '.join(sorted(IMAGE_EXTENSIONS))}) directly in it")
        elif not path.exists():
            raise ValueError(f"{path} does not exist: check the spelling of the path")
        files.update({os.path.abspath(file): file for file in found})
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--output {folder} is a file: name a folder")
    originals = {os.path.realpath(file) for file in files}
    jobs: dict[str, tuple[Path, Path]] = {}
    for file in files.values():
        destination = folder / f"{file.stem}{suffix}"
        earlier = jobs.setdefault(destination.name.casefold(), (file, destination))[0]
        if earlier != file:
            raise ValueError(
                f"{earlier} and {file} would both become {destination}: rename one, or translate them in two runs "
                "with two --output folders"
            )
        if os.path.realpath(destination) in originals:
            raise ValueError(f"{destination} is an input and would be overwritten: name another --output")
    if not overwrite and (there := [destination for _, destination in jobs.values() if destination.exists()]):
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise ValueError(f"{there[0]} is there already{more}: add --overwrite, or name another --output")
    return list(jobs.values())


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


def save_sheet(sheet: Image.Image, path: Path) -> None:
    make_folder(path.parent)
    sheet.save(path)


def save_output(image: Image.Image, destination: Path) -> None:
    """Save in the format of the file name, with the colour profile.

    Written under another name, then renamed: an interrupted run leaves no half image behind.
    """
    options = SAVE_OPTIONS[destination.suffix]
    if options["format"] == "JPEG":  # has no alpha: what is transparent shows white
        image = read_image(image, channels=1 if image.mode in ("L", "LA") else 3)
    part = destination.with_name(f".{destination.name}.part")
    try:
        image.save(part, icc_profile=image.info.get("icc_profile"), **options)
        os.replace(part, destination)
    finally:
        part.unlink(missing_ok=True)
