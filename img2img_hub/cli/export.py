"""The command that writes a model as an ONNX file.

python -m img2img_hub export --model model_cards/facades-label2photo --output facades.onnx --dynamic
"""

from pathlib import Path

from img2img_hub.cli.shared import load_translator


def export(
    *,
    model: str,
    output: Path,
    dynamic: bool = False,
    half: bool = False,
    int8: bool = False,
    calibration: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
) -> int:
    """Write a model as an ONNX file, run it, and say how far it is from PyTorch.

    What it takes to use the file by itself (value ranges, padding, sizes, the differences measured) is written beside
    it, as .json. A file of the name model.onnx in a model's folder is what --backend onnx and openvino then run.

    Args:
        model: Hub id (user/model) or folder of a generator.
        output: File to write, .onnx.
        dynamic: Take images of any size, and any number at once. Default: one, of the size of training.
        half: Weights and arithmetic in float16, for half the size.
        int8: Convolutions in int8, for a quarter of the size and speed on CPUs; the quality that is left is printed.
        calibration: With --int8: folder of typical source images, of a model of several with a subfolder of each by its
            name, or data set. Default: the model's own examples.
        revision: Branch, tag or commit of the Hub model.
        overwrite: Replace the file, and the description of one, that is there already.
    """
    from img2img_hub.evaluation.calibration import calibration_batches
    from img2img_hub.runtimes.export import export_model, need
    from img2img_hub.translation.outputs import check_free, make_folder

    if output.suffix != ".onnx":
        raise ValueError(f"--output {output} is no ONNX file by its name: let it end in .onnx")
    if half and int8:
        raise ValueError("--half and --int8 are two precisions: leave one out")
    if calibration is not None and not int8:
        raise ValueError("--calibration is for --int8: add that, or leave it out")
    check_free(output, overwrite=overwrite)
    about = output.with_suffix(".json")
    check_free(about, overwrite=overwrite)
    if about.exists() and '"opset"' not in about.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"{about} describes no ONNX file, so that it is not replaced: name another --output")
    need("onnx", "onnxscript", "onnxruntime", extra="onnx", what="export")
    make_folder(output.parent)
    translator = load_translator(model, device="cpu", revision=revision)
    batches = calibration_batches(translator, calibration, revision=revision) if int8 else None
    facts = export_model(
        translator.network,
        output,
        working_size=translator.settings.working_size,
        inputs={slot.name: slot.channels for slot in translator.settings.inputs} or None,
        values=translator.settings.source_values,
        about={"model": model, "revision": revision, "translation": translator.settings.to_dict()},
        dynamic=dynamic,
        half=half,
        calibration=batches,
    )
    shape = (facts.get("inputs") or [facts["source"]])[0]["shape"]
    sizes = "any size" if dynamic else f"{shape[3]}×{shape[2]} pixels only"
    megabytes = output.stat().st_size / 1e6
    print(f"{'written':18}{output}: {facts['precision']}, {sizes}, opset {facts['opset']}, {megabytes:.1f} MB")
    print(f"{'described in':18}{output.with_suffix('.json')}")
    for check in facts["checks"]:
        print(
            f"{'difference':18}{check['max_abs_difference']:.2g} at most at {check['width']}×{check['height']}, of -1…1"
        )
    if int8:
        said = facts["int8"]
        which = "other images" if said["measured_on_other_images"] else "the same images"
        print(
            f"{'int8 PSNR':18}{said['psnr_mean']:.1f} dB against float (worst {said['psnr_min']:.1f}) on "
            f"{said['measured_on']} images; calibrated on {said['calibration_images']}, {which}"
        )
    return 0
