"""Checkpoints of the papers' own PyTorch code (pix2pix, CycleGAN, CUT, pix2pixHD, SPADE, ESRGAN): read and write them.

    python -c "from img2img_hub.official.file import read_official as r; print(r('latest_net_G.pth').network.config)"

Such a file is a state dict, bare or under a name: names and shapes are all that it says about its network
(layouts.py). A file from anywhere is data, never code: it is unpickled as tensors and nothing else.
"""

import io
import re
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from img2img_hub.files import write_bytes
from img2img_hub.networks import Network
from img2img_hub.networks.base import MAX_PARAMETERS
from img2img_hub.networks.blocks import Norm
from img2img_hub.networks.spade import Depth
from img2img_hub.official.gaugan import BARE_NORM
from img2img_hub.official.layout import Layout, State
from img2img_hub.official.layouts import LAYOUTS, find_layout, layout_of, original_names
from img2img_hub.official.super_resolution import KEYS

SOURCE = "https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix"
CUT_SOURCE = "https://github.com/taesungp/contrastive-unpaired-translation"

HD_SOURCE = "https://github.com/NVIDIA/pix2pixHD"
SPADE_SOURCE = "https://github.com/NVlabs/SPADE"
SR_SOURCE = "https://github.com/XPixelGroup/BasicSR"


@dataclass(frozen=True, kw_only=True)
class Official:
    """A checkpoint that was read."""

    network: Network
    """In eval mode, float32, on the CPU."""
    notes: tuple[str, ...]
    """What was dropped, filled in or assumed on the way, each one sentence without its full stop."""


def read_official(
    path: str | Path,
    *,
    dropout: float | None = None,
    norm: Norm | None = None,
    depth: Depth | None = None,
    features: int | None = None,
) -> Official:
    """Read a generator, a discriminator, an encoder or CUT's heads; architecture, width, channels, norm are in names
    and shapes.

    Args:
        path: such as latest_net_G.pth.
        dropout: probability to record. None: 0.5 for a U-Net, whose file does not show whether it had any; for a
            ResNet 0.5 where the layout has dropout layers, else 0.
        norm: "instance" or "none" for a file without norm weights. None: "instance" where it has their biases.
        depth: "normal" or "more" for a SPADE generator, whose file does not show which; has to be said.
        features: how many channels of a pix2pixHD generator's source are an encoder's features. None: none.

    Raises:
        ValueError: no such file, not readable as tensors alone, not of an original layout, an argument that
            contradicts what the file shows, or one that is lacking.
    """
    path = Path(path)
    tensors, taken = _read_tensors(path)
    try:
        found, notes = _clean(tensors)
        layout = find_layout(found)
        state, mended = layout.mend(found)
        arguments, more = layout.arguments(state, dropout=dropout, norm=norm, depth=depth, features=features)
        network, filled = _load(layout, arguments, state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Official(network=network, notes=(*taken, *notes, *mended, *more, *filled))


def to_official(network: Network) -> OrderedDict[str, Tensor]:
    """The state dict that the original code loads into the same network: its names, its order, float32, on the CPU.

    Raises:
        ValueError: the network has something that the original code cannot build.
    """
    config, name = network.config, type(network).__name__
    layout = layout_of(network)
    if layout is None:
        known = ", ".join(dict.fromkeys(layout.network.__name__ for layout in LAYOUTS))
        raise ValueError(f"a {name} has no place in the original code, which knows {known}")
    layout.check(network)
    state, names = network.state_dict(), original_names(network)
    if config.get("norm") == "none":  # then the original has no such biases
        for bias in layout.instance_biases(network):
            if state[bias].any():
                raise ValueError(f"this {name} has biases and no norm, the original code has no biases without a norm")
            del names[bias]
    tensors = {theirs: state[ours] for ours, theirs in names.items()}
    if filters := layout.filters(network):  # between the others, by the layer's number: model.7.filt
        tensors = dict(sorted((tensors | filters).items(), key=lambda entry: int(entry[0].split(".")[1])))
    return OrderedDict(
        (name, _copied(value, torch.float32 if value.is_floating_point() else torch.int64))
        for name, value in tensors.items()
    )


def save_official(network: Network, path: str | Path) -> None:
    """Write `to_official(network)` where the original code finds it, such as checkpoints/NAME/latest_net_G.pth.

    Folders are made if need be. Written under another name, then renamed: an interrupted run leaves no half file.
    """
    path, content = Path(path), io.BytesIO()
    tensors, layout = to_official(network), layout_of(network)
    assert layout is not None
    # Not to the disk: where that is full, torch's own message says nothing.
    torch.save({layout.under: tensors} if layout.under else tensors, content)
    write_bytes(path, content.getbuffer())


# --- the file ---------------------------------------------------------------------------------------------------------


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """{name: tensor} of a file that holds that and nothing else, or holds it under one of `KEYS`; and notes. Nothing in
    it is run."""
    if not path.is_file():
        what = "is a folder: name the .pth file in it" if path.is_dir() else "does not exist: check the spelling"
        raise ValueError(f"{path} {what}")
    _refuse_compression(path)
    with path.open("rb") as file:  # opened here, so that what torch.load raises is about the content
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on pickles of other kinds, which are refused here
                content = torch.load(file, weights_only=True, map_location="cpu")
        except Exception as error:  # a damaged file raises whatever the unpickler stumbles over
            if code := re.search(r"GLOBAL ([\w.]+)", str(error)):
                raise ValueError(
                    f"{path} holds more than tensors ({code[1]}), which could run code, so it was not unpickled: "
                    "whoever made it can save the state dict alone, torch.save(net.state_dict(), …)"
                ) from None
            raise ValueError(
                f"{path} cannot be read as tensors ({type(error).__name__}): it is damaged, cut short or no PyTorch "
                "checkpoint; get it anew"
            ) from None
    notes = []
    if isinstance(content, Mapping) and (held := [key for key in KEYS if isinstance(content.get(key), Mapping)]):
        if len(held) > 1:
            notes.append(f"its {held[0]}, the running averages of the weights, were taken, and its {held[1]} left out")
        content = content[held[0]]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds no named tensors but a {type(content).__name__} ({content!s:.60})")
    for name, value in content.items():
        if not isinstance(name, str) or not _is_plain_tensor(value):
            raise ValueError(
                f"{path} holds {name!r:.60}, a {type(value).__name__}, so it is no checkpoint as the original code "
                "saves it: names and tensors of one network, nothing else"
            )
        if value.is_meta:
            raise ValueError(f"{path} holds {name!r:.60} without its values (a meta tensor): whoever made it has them")
    return dict(content), notes


def _is_plain_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_nested


def _refuse_compression(path: Path) -> None:
    """PyTorch stores its records as they are: compressed ones could only be meant to fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except Exception:  # no zip (as before PyTorch 1.6), or a damaged one: torch tells
        return
    if packed:
        raise ValueError(f"{path} is compressed ({packed[0]!r:.60}), which PyTorch's own files never are: refused")


def _clean(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Without the prefixes of wrappers (DataParallel, torch.compile) and the statistics of old instance norms."""
    names = {name: re.sub(r"^((module|_orig_mod)\.)+", "", name) for name in state}
    if len(set(names.values())) < len(names):
        twice = next(name for name, number in Counter(names.values()).items() if number > 1)
        raise ValueError(f"two tensors have one name without their prefixes ({twice!r:.60})")
    state = {names[name]: value for name, value in state.items()}
    kept, dropped = {}, 0
    for name, value in state.items():
        layer, _, what = name.rpartition(".")
        statistics = what in ("running_mean", "running_var", "num_batches_tracked")
        if statistics and f"{layer}.weight" not in state and not layer.endswith(BARE_NORM):
            dropped += 1  # a batch norm has a weight
        else:
            kept[name] = value
    notes = [f"{dropped} running statistics of instance norms were dropped, which never use them"] if dropped else []
    return kept, notes


# --- into a network ---------------------------------------------------------------------------------------------------


def _load(layout: Layout, arguments: dict[str, Any], state: State) -> tuple[Network, list[str]]:
    """Build the network without memory, compare every name and shape, then take the tensors as float32."""
    architecture = layout.network
    looks = f"it looks like {architecture.__name__}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
    try:
        with torch.device("meta"):
            network = architecture(**arguments)
    except ValueError as error:
        raise ValueError(f"{looks}, but {error}") from None
    if network.parameter_count > MAX_PARAMETERS:
        raise ValueError(f"{looks}, but more than {MAX_PARAMETERS:,} parameters are refused")
    names = original_names(network, layout)
    filled, notes = _equal_without(network, layout, state)
    state = {**filled, **state}
    filters = layout.filters(network)
    expected = {names[ours]: value for ours, value in network.state_dict().items()} | filters
    missing = [name for name in expected if name not in state]
    foreign = [name for name in state if name not in expected]
    wrong = [name for name in expected if name in state and not _fits(state[name], expected[name])]
    problems = [f"{len(missing)} tensors are missing (first: {missing[0]})"] if missing else []
    problems += [f"{len(foreign)} are not its own (first: {foreign[0]})"] if foreign else []
    if wrong:
        found, want = state[wrong[0]], expected[wrong[0]]
        problems.append(
            f"{len(wrong)} do not fit (first: {wrong[0]} is {found.dtype} {tuple(found.shape)}, "
            f"expected {want.dtype} {tuple(want.shape)})"
        )
    if problems:
        raise ValueError(f"{looks}, but {'; '.join(problems)}")
    others = [name for name, kernel in filters.items() if not torch.allclose(state[name].to(kernel), kernel)]
    if others:
        raise ValueError(
            f"{looks}, but {len(others)} of its {len(filters)} fixed filters (first: {others[0]}) are not those of the "
            "original code: it was trained with other ones, and would compute something else here"
        )
    copies = {ours: _copied(state[theirs], expected[theirs].dtype) for ours, theirs in names.items()}
    network.load_state_dict(copies, strict=True, assign=True)
    return network.requires_grad_(True).eval(), notes


def _fits(found: Tensor, wanted: Tensor) -> bool:
    return (
        found.shape == wanted.shape
        and found.is_floating_point() == wanted.is_floating_point()
        and not found.is_complex()
    )


def _copied(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory of its own: in a file several tensors may be views of one."""
    return value.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format)


def _equal_without(network: Network, layout: Layout, state: State) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors that this version has and some originals lack, with the values that compute the same; and notes."""
    lacking = {ours: theirs for ours, theirs in original_names(network, layout).items() if theirs not in state}
    counters = {ours for ours in lacking if ours.endswith(".num_batches_tracked")}
    biases = layout.instance_biases(network) if network.config.get("norm") != "batch" else set()
    if not biases <= lacking.keys():  # only some of them are lacking: a damaged file
        biases = set()
    ours = network.state_dict()
    zeros = {lacking[name]: torch.zeros_like(ours[name], device="cpu") for name in counters | biases}
    notes = ["the counters of its batch norms, which PyTorch before 0.4.1 did not save, start at 0"] if counters else []
    return zeros, notes
