"""Makes a translator's export for the page, in a process of its own, and measures what bfloat16 would cost.

    python -m img2img_hub.demo.prepare FOLDER auto MODEL    # as the page starts it; FOLDER has the weights, and goes

The process has low priority (some seconds for 8 million parameters) and keeps neither memory nor Python's lock from the
page. OpenVINO computes in bfloat16 where it leaves each of the model's own examples at 40 dB or more of what PyTorch
makes of it in float32; what was measured is kept beside the export.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub import snapshot_download

from img2img_hub.images.formats import IMAGE_EXTENSIONS
from img2img_hub.networks import Network
from img2img_hub.runtimes.backends import has_export, keep_export, kept_export, knows_bfloat16
from img2img_hub.runtimes.export import psnr, save_whole
from img2img_hub.translation.engine import Dtype
from img2img_hub.translation.holes import in_the_middle
from img2img_hub.translation.translator import Translator

Asked = Literal["auto", "float32", "bfloat16"]
ENOUGH = 40.0  # dB that every example must keep: nobody sees the difference
MOST_EXAMPLES = 16
_PACKAGES = Path(__file__).resolve().parents[2]


def prepare(translator: Translator, asked: Asked) -> Dtype:
    """What OpenVINO is to compute in, with the export for it in its place; "auto" is decided by measuring, once.

    Raises:
        ValueError: there is no export, and none can be made.
    """
    network, where = translator.network, _folder_of(translator)
    if asked == "auto" and not knows_bfloat16():
        asked = "float32"
    if asked == "auto":
        if _measured(network) is None:
            _apart(translator, asked)
        asked = "bfloat16" if (_measured(network) or 0.0) >= ENOUGH else "float32"
    if not has_export(network, where=where, dtype=asked):
        _apart(translator, asked)
    return asked


def _folder_of(translator: Translator) -> str:
    return translator.name if Path(translator.name).is_dir() else ""


def _record(network: Network) -> Path:
    return kept_export(network, dtype="bfloat16").with_suffix(".json")


def _measured(network: Network) -> float | None:
    """The worst PSNR in dB that bfloat16 left of an example, 0 where there was none; None: not measured yet."""
    try:
        return float(json.loads(_record(network).read_text(encoding="utf-8"))["psnr_min"])
    except (OSError, ValueError, KeyError, TypeError):  # there is no record, or it is damaged
        return None


def _apart(translator: Translator, asked: Asked) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        translator.network.save_weights(folder)
        translator.settings.save(folder)
        path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            # -P: what lies in the current folder is no module of ours
            [sys.executable, "-P", "-m", "img2img_hub.demo.prepare", folder, asked, translator.name],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    if done.returncode:
        raise ValueError(" ".join(done.stderr.split())[-300:] or f"the export ended with status {done.returncode}")


# --- in the other process ---------------------------------------------------------------------------------------------


def _main(folder: str, asked: Asked, name: str) -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    torch.set_num_threads(1)
    translator = Translator.from_pretrained(folder, device="cpu")
    shutil.rmtree(folder)  # now: should the page be stopped meanwhile, nobody else would
    translator.name = name  # whose folder may have a file of its own to run, and has examples
    try:
        make(translator, asked)
    except ValueError as error:
        sys.exit(str(error))


def make(translator: Translator, asked: Asked) -> None:
    """Make the export that is asked for, or that comes of measuring, where there is none yet.

    Raises:
        ValueError: as `keep_export`.
    """
    _export(translator, _measure(translator) if asked == "auto" else asked)


def _export(translator: Translator, dtype: Dtype) -> None:
    if not has_export(translator.network, where=_folder_of(translator), dtype=dtype):
        keep_export(translator.network, working_size=translator.settings.working_size, dtype=dtype)


def _measure(translator: Translator) -> Dtype:
    """Run the model's examples in bfloat16, and keep a record of the worst. What nobody will run is not kept."""
    kept = kept_export(translator.network, dtype="bfloat16")
    worst, examples = 0.0, _examples(translator)
    if examples:
        _export(translator, "bfloat16")
        try:
            fast = translator.with_backend("openvino", dtype="bfloat16")
            worst = min(psnr(fast.translate_tensor(one), translator.translate_tensor(one)) for one in examples)
        except Exception:  # OpenVINO's of several classes: the page will see, and say, whether it runs at all
            return "float32"
    content = {"psnr_min": round(worst, 2), "examples": len(examples)}
    save_whole((json.dumps(content) + "\n").encode(), _record(translator.network))
    if worst >= ENOUGH:
        return "bfloat16"
    kept.unlink(missing_ok=True)
    return "float32"


def _examples(translator: Translator) -> list[torch.Tensor]:
    """(1, C, H, W) of the model's own examples at the size of training; of a Hub model, those that are here."""
    where = _folder_of(translator)
    with suppress(Exception):  # a name that no repo has, one that is not here, a cache that cannot be read
        where = where or snapshot_download(translator.name, allow_patterns=["examples/*"], local_files_only=True)
    size = (translator.settings.working_size, translator.settings.working_size)
    found: list[torch.Tensor] = []
    for path in sorted(Path(where, "examples").glob("*")) if where else []:
        if path.suffix.lower() in IMAGE_EXTENSIONS and len(found) < MOST_EXAMPLES:
            with suppress(ValueError, OSError):  # the page leaves it out, too
                filled = translator.settings.hole is not None
                image = in_the_middle(path, translator.settings.inputs) if filled else path
                read = translator.pixels.read(translator.pixels.joined(image))
                found.append(translator.pixels.tensor(read, size=size)[None])
    return found


if __name__ == "__main__":
    _main(*sys.argv[1:])  # type: ignore[arg-type]
