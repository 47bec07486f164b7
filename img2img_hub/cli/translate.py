"""The command that translates images and folders of images.

python -m img2img_hub translate photos/ --model model_cards/facades-label2photo --output translated/
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from img2img_hub.cli.shared import importing, load_translator


def translate(
    inputs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT…", help_behavior_hint="(one or more)")
    ],
    *,
    model: str,
    output: Path,
    format: Literal["png", "jpg", "webp", "tif"] = "png",
    recursive: bool = False,
    batch_size: int = 4,
    resize: Literal["native", "fit"] | None = None,
    seed: int | None = None,
    style: Path | None = None,
    mask: str | None = None,
    tiles: Literal["fast", "exact"] = "fast",
    memory: float | None = None,
    backend: Literal["torch", "compile", "onnx", "openvino"] = "torch",
    onnx_file: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    device: str | None = None,
    revision: str | None = None,
    max_megapixels: int | None = None,
    overwrite: bool = False,
) -> int:
    """Translate images and all images of folders; each becomes OUTPUT/STEM.png.

    An image that cannot be used is named at the end, and the others are done; the exit status is 1 then.

    Args:
        inputs: Image files and folders of images. Hidden files are left out. For a model of several images one of each
            by name, as in rgb=photos/ depth=depths/: partners have the same name, whatever its ending.
        model: Hub id (user/model) or folder of a generator.
        output: Folder to write to; made if need be.
        format: File type of the outputs; tif for those with other bands or values than a picture's.
        recursive: Take the folders' subfolders, too: photos/sub/a.jpg becomes OUTPUT/sub/a.png.
        batch_size: How many images of one size go through the network at once; with 1 each gives to the last bit what
            it gives alone.
        resize: native keeps the resolution, fit works at the size of training and resizes back; default: the model's.
        seed: Draw a variation (dropout, noise, style), the same for the same number, by PyTorch whatever the backend;
            default: none, one fixed output.
        style: A photo whose style all outputs take, for models that have styles (GauGAN trained with --latent); with
            seed, drawn from around it.
        mask: For models that fill holes, what is to be filled in: a picture that is white there, of all inputs; a
            folder of one for each, of the same name; or its colour in the inputs, "#ff00ff". Default: what is
            transparent in the inputs. The rest of an image stays as it is, to the bit.
        tiles: How an image that does not fit into the memory goes through strip by strip: fast estimates what the norm
            layers normalise with, exact gathers it from the whole image.
        memory: GiB that a translation may take beside the program and the images; default: half of what is free.
        backend: What runs the network: torch; onnx or openvino, faster on a CPU; compile, torch.compile, for GPUs (on a
            CPU it gains nothing).
        onnx_file: For onnx and openvino: a file that export wrote, such as an int8 one; default: the model's own.
        dtype: What the network computes in; float16 and bfloat16 take half of the memory, and on a GPU about half of
            the time. With openvino: bfloat16, where the processor computes in it, for about half of the time, too.
        device: cpu, cuda, cuda:1, mps …; default: cuda if there is one, else mps, else cpu.
        revision: Branch, tag or commit of the Hub model.
        max_megapixels: Read images of up to so many million pixels, where you trust them; default: 179.
        overwrite: Replace outputs that are there already.
    """
    with importing():
        from img2img_hub.images.formats import allow_megapixels
        from img2img_hub.translation.checks import check_options
        from img2img_hub.translation.folders import translate_folder
        from img2img_hub.translation.holes import is_colour
        from img2img_hub.translation.outputs import plan_outputs

    allow_megapixels(max_megapixels)
    check_options(format=format, batch_size=batch_size, seed=seed)
    # Once before the model is loaded, which may take a download, to say at once what is in the way.
    named = _named(inputs)
    files = [*named.values()] or [*inputs]
    planned, beside = (files[:1], files[1:]) if named else (files, [])
    beside += [] if mask is None or is_colour(mask) else [Path(mask)]
    plan_outputs(planned, folder=output, suffix=f".{format}", overwrite=overwrite, recursive=recursive, beside=beside)
    translator = load_translator(
        model,
        device=device,
        revision=revision,
        tiles=tiles,
        memory=memory,
        backend=backend,
        onnx_file=onnx_file,
        dtype=dtype,
    )
    translator = translator if style is None else translator.with_style(style)
    report = translate_folder(
        translator,
        named or inputs,
        output=output,
        format=format,
        resize=resize,
        seed=seed,
        mask=mask,
        batch_size=batch_size,
        recursive=recursive,
        overwrite=overwrite,
        progress=True,
    )
    done, failed = len(report.written), len(report.failures)
    print(f"{done} of {done + failed} images translated into {output}")
    for line in report.notes:
        print(f"img2img_hub: warning: {line}", file=sys.stderr)
    if failed:
        lines = [message for _, message in report.failures]
        print("\n".join([f"img2img_hub: {failed} failed:", *lines]), file=sys.stderr)
    return 0 if not failed else 1 if done else 2


def _named(inputs: tuple[Path, ...]) -> dict[str, Path]:
    """rgb=photos/ depth=depths/ by name; {} where these are plain paths."""
    parts = {path: str(path).partition("=") for path in inputs}
    if not all(name and rest and not path.exists() for path, (name, _, rest) in parts.items()):
        return {}
    if any(letter in name for name, _, _ in parts.values() for letter in "/\\"):
        return {}
    names = [name for name, _, _ in parts.values()]
    if len(set(names)) < len(names):
        raise ValueError(f"{' '.join(map(str, inputs))} names an image twice: name each once")
    return {name: Path(rest) for name, _, rest in parts.values()}
