"""The command that reads and writes checkpoints of the original PyTorch code.

python -m img2img_hub convert latest_net_G.pth --output models/facades
python -m img2img_hub convert models/facades --to_official checkpoints/facades/latest_net_G.pth
python -m img2img_hub convert realesr-general-x4v3.pth --interpolate realesr-general-wdn-x4v3.pth 0.3 --output models/x4
"""

from pathlib import Path
from typing import Annotated, Literal

import tyro


def convert(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT|MODEL")],
    *,
    output: Path | None = None,
    to_official: Path | None = None,
    push_to_hub: str | None = None,
    dropout: float | None = None,
    norm: Literal["instance", "none"] | None = None,
    depth: Literal["normal", "more", "most"] | None = None,
    edges: bool | None = None,
    unknown: bool | None = None,
    features: int | None = None,
    family: Literal["pix2pix", "cyclegan", "cut", "fastcut", "pix2pixhd", "spade", "srgan", "esrgan"] | None = None,
    norm_statistics: Literal["image", "running"] | None = None,
    working_size: int | None = None,
    interpolate: Annotated[tuple[Path, float] | None, tyro.conf.arg(metavar="CHECKPOINT SHARE")] = None,
    overwrite: bool = False,
) -> int:
    """Turn a .pth of the original code (pix2pix and CycleGAN, CUT, pix2pixHD, SPADE, ESRGAN and Real-ESRGAN) into a
    model, or a model into such a .pth.

    Architecture, width, channels and norm are read off the file's names and shapes; no code in it is run.

    Args:
        source: The .pth to read; with --to_official, the model to write: a Hub id (user/model) or a folder.
        output: Folder for the model; made if need be.
        to_official: The other way: .pth file to write, which the original code loads.
        push_to_hub: Publish the model under this id (user/name), too.
        dropout: Probability to record; default: 0.5 for a U-Net (its file does not show it), a ResNet's as it shows.
        norm: For a file without norm weights; default: instance where it has biases, else none.
        depth: How often a SPADE generator doubles, which its file does not show: normal (COCO-Stuff and ADE20K), more
            (Cityscapes); most shows.
        edges: Of a label map with a channel for each class (pix2pixHD, SPADE): whether the last channel marks where
            instances border, which the file does not show.
        unknown: Of such a map (SPADE): whether the channel behind the classes is of pixels of no class.
        features: How many channels of pix2pixHD's source are an encoder's features; default: none.
        family: The method it was trained by; default: pix2pix for a U-Net, cyclegan for a ResNet, cut for
            an antialiased one, pix2pixhd and spade for theirs, esrgan for an RRDBNet and Real-ESRGAN's compact network.
        norm_statistics: What batch norm uses; default: image, each image's own, as test.py does without --eval; for
            SPADE and super-resolution running.
        working_size: Side of the training images in pixels; default: the U-Net's own size, 256 for a ResNet; 512 to
            2048 for pix2pixHD, 256 or 512 for SPADE, for super-resolution 256 over its scale.
        interpolate: Another .pth of the same network and its share in each weight, 0 to 1: 0.3 is 70 % of the first one
            and 30 % of this.
        overwrite: Replace the files of a model that is there already.
    """
    if (output is None) == (to_official is None):
        raise ValueError("name what to write: --output FOLDER for a model, or --to_official FILE.pth for the way back")
    wishes = {
        "dropout": dropout,
        "norm": norm,
        "depth": depth,
        "edges": edges,
        "unknown": unknown,
        "features": features,
        "family": family,
        "norm_statistics": norm_statistics,
        "working_size": working_size,
        "interpolate": interpolate,
    }
    if output is not None:
        return _from_official(Path(source), output, push_to_hub=push_to_hub, overwrite=overwrite, wishes=wishes)
    assert to_official is not None
    for flag, value in {"push_to_hub": push_to_hub, **wishes}.items():
        if value is not None:
            raise ValueError(f"--{flag} is for reading a .pth, and does nothing with --to_official: leave it out")
    return _to_official(source, to_official, overwrite=overwrite)


def _from_official(source: Path, output: Path, *, push_to_hub: str | None, overwrite: bool, wishes: dict) -> int:
    from img2img_hub.hub.publish import check_repo_id, push_folder
    from img2img_hub.official.convert import FILES, convert_official, save_converted
    from img2img_hub.translation.outputs import make_folder

    if push_to_hub is not None:
        check_repo_id(push_to_hub)
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output} is a file: name a folder")
    if not overwrite and (there := [output / name for name in FILES if (output / name).exists()]):
        raise ValueError(f"{there[0]} is there already: add --overwrite, or name another --output")
    for name, mark in (("README.md", "<!-- img2img_hub: generated"), ("config.json", '"architecture"')):
        path = output / name
        if path.exists() and not (path.is_file() and mark in path.read_text(encoding="utf-8", errors="replace")):
            raise ValueError(f"{path} is no model's of img2img_hub, so that it is not replaced: name another --output")
    converted = convert_official(source, **wishes)
    network = converted.network
    if converted.settings is None and push_to_hub is not None:
        raise ValueError(
            f"{source} is a {type(network).__name__}: alone it is of no use on the Hub, so leave out --push_to_hub"
        )
    make_folder(output)
    save_converted(converted, output, checkpoint=source)
    arguments = ", ".join(f"{key}={value}" for key, value in list(network.config.items())[2:])
    print(f"{'checkpoint':18}{source}: {type(network).__name__}({arguments})")
    for note in converted.notes:
        print(f"{'note':18}{note}")
    print(f"{'written':18}{output}")
    if converted.settings is None:
        what = type(network).__name__
        what = f"{'an' if what[0] in 'AEIO' else 'a'} {what}"
        print(f"{'note':18}{what} translates nothing: it stands in training/ of its generator, to train on")
    if push_to_hub is not None:
        url = push_folder(output, push_to_hub, commit_message=f"Convert {source.name} of the original code")
        print(f"pushed to {url}")
    return 0


def _to_official(source: str, path: Path, *, overwrite: bool) -> int:
    from img2img_hub.networks import Network
    from img2img_hub.official.file import save_official
    from img2img_hub.translation.outputs import check_free

    if Path(source).is_file():
        raise ValueError(f"{source} is a file: --to_official writes one from a model, so name its folder or Hub id")
    check_free(path, overwrite=overwrite)
    network = Network.from_pretrained(source)
    try:
        save_official(network, path)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    print(f"{'written':18}{path}: {type(network).__name__} for the original code")
    return 0
