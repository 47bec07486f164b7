"""What the page says, in English and Chinese: every text has a name and stands here once.

`T("translate")` is for what is there when the page is built: the browser chooses the language. `say("done", request,
seconds=0.3)` is for what the server answers: the visitor's browser tells it the language, programs get English.

    python -c "from img2img_hub.demo.texts import say; print(say('no_picture'))"
"""

from __future__ import annotations

import gradio as gr

from img2img_hub.demo.tab_texts import ENLARGE, ERASE, OTHERS

TEXTS: dict[str, tuple[str, str]] = {
    "tagline": (
        "Turn one kind of picture into another, with models trained by you or shared on the Hugging Face Hub.",
        "把一类图片变成另一类：使用您自己训练的模型，或 Hugging Face Hub 上共享的模型。",
    ),
    "translate_tab": ("Translate", "转换"),
    "paint_tab": ("Paint", "绘制"),
    "model": ("Model", "模型"),
    "your_picture": ("Your picture", "您的图片"),
    "picture_to_translate": ("The picture to translate", "要转换的图片"),
    "pick_example": ("Or pick an example", "或选择一个示例"),
    "resolution": ("Resolution", "分辨率"),
    "fit": ("Fit to working size", "缩放到工作尺寸"),
    "native": ("Native resolution", "原始分辨率"),
    "enlarges": ("As it is, and larger", "按原图放大"),
    "translate": ("Translate", "转换"),
    "before_after": ("Before and after", "转换前后对比"),
    "choose_picture": ("Choose a picture and press Translate.", "请选择图片，然后点击“转换”。"),
    "download": ("Download PNG", "下载 PNG"),
    "about": ("About this model", "关于此模型"),
    "loading": ("The model is being loaded …", "正在加载模型……"),
    "paint_for": ("Paint for", "绘制模型"),
    "result": ("Result", "结果"),
    "draw": ("Draw, or start from an example.", "请绘制，或从示例开始。"),
    "start_from": ("Start from an example", "从示例开始"),
    "left_out": ("Some models were left out", "部分模型未能加载"),
    "direction": ("Direction", "方向"),
    "variations": ("Variations", "多种结果"),
    "variations_about": (
        "This model has noise (dropout stays on) or styles: each seed is another plausible answer, the same one each "
        "time, and around the style picture where there is one.",
        "该模型带有噪声（保留 dropout）或风格：每个种子给出另一种合理的结果，相同的种子结果相同；"
        "提供风格图片时，结果接近其风格。",
    ),
    "style_picture": (
        "Style picture (optional): its colours and light are taken up",
        "风格图片（可选）：采用其色彩与光线",
    ),
    "paint_seed": ("Seed of a variation (0: none)", "变化的种子（0：无）"),
    "seed": ("First seed", "起始种子"),
    "how_many": ("How many", "数量"),
    "draw_variations": ("Draw variations", "生成多种结果"),
    "cycle": ("There and back", "往返转换"),
    "cycle_about": (
        "The picture goes through this model and, from there, back through the opposite one.",
        "图片先经过此模型，再经过相反方向的模型转换回来。",
    ),
    "cycle_button": ("Translate there and back", "往返转换一次"),
    "cycle_error": (
        "Cycle error: mean difference of source and back (L1), from 0 (the same) to 1",
        "循环误差：原图与还原图的平均差异（L1），0 为完全相同，最大为 1",
    ),
    "faster_coming": (
        "a faster backend is being prepared; PyTorch serves meanwhile",
        "正在准备更快的后端；目前由 PyTorch 提供服务",
    ),
    # The server's answers.
    "done": (
        "Done in {seconds:.2f} s on {device} · {size} · {how}",
        "用时 {seconds:.2f} 秒 · {device} · {size} · {how}",
    ),
    "fitted": ("fit to {pixels} px", "缩放到 {pixels} 像素"),
    "at_native": ("native resolution", "原始分辨率"),
    "enlarged": ("{scale}× as large", "放大 {scale} 倍"),
    "becomes": ("The result has {width} × {height} px.", "结果为 {width} × {height} 像素。"),
    "painted": ("{seconds:.2f} s on {device}", "{seconds:.2f} 秒 · {device}"),
    "without_noise": ("without noise", "无噪声"),
    "of_seed": ("seed {seed}", "种子 {seed}"),
    "bad_seed": (
        "The seed is {value}: give a whole number from 0 to 2147483647.",
        "种子为 {value}：请输入 0 到 2147483647 的整数。",
    ),
    "bad_count": (
        "The number of variations is {value}: give a whole number from 1 to {most}.",
        "数量为 {value}：请输入 1 到 {most} 的整数。",
    ),
    "no_noise": (
        "{name} has no noise, so that a picture has one translation and no variations.",
        "{name} 没有噪声：一张图片只有一个结果。",
    ),
    "no_styles": (
        "{name} takes up no style of a picture: leave the style picture out.",
        "{name} 不能采用图片的风格：请不要提供风格图片。",
    ),
    "no_reverse": (
        "{name} names no model of the opposite direction that this page has.",
        "{name} 没有本页面可用的相反方向的模型。",
    ),
    "cycle_source": ("source", "原图"),
    "cycle_output": ("output", "转换结果"),
    "cycle_back": ("and back", "转换回来"),
    "cycle_done": (
        "There and back in {seconds:.2f} s on {device} · cycle error (L1, 0–1) {error:.4f}",
        "往返用时 {seconds:.2f} 秒 · {device} · 循环误差（L1，0–1）{error:.4f}",
    ),
    "foretold": (
        "At native resolution ({width} × {height} px) this takes about {time} on this server.",
        "以原始分辨率（{width} × {height} 像素）转换，在此服务器上大约需要 {time}。",
    ),
    "foretold_longer": (
        "At native resolution ({width} × {height} px) this does not fit into the server’s memory at once and takes "
        "longer than {time}.",
        "以原始分辨率（{width} × {height} 像素）转换，服务器内存不足以一次完成，所需时间将超过 {time}。",
    ),
    "not_foretold": (
        "At native resolution ({width} × {height} px) this takes longer; how long, the first translation will tell.",
        "以原始分辨率（{width} × {height} 像素）转换需要更长时间；首次转换之后即可预估。",
    ),
    "beyond_native": (
        "This picture has {size}: it is fitted to the working size, native resolution takes up to {limit:.3g}.",
        "图片大小为 {size}：将缩放到工作尺寸，原始分辨率最多支持 {limit:.3g} 百万像素。",
    ),
    "seconds": ("{number} s", "{number} 秒"),
    "minutes": ("{number} min", "{number} 分钟"),
    "padded": (
        "{width} × {height} pixels, which this model pads to {padded}",
        "{width} × {height} 像素，此模型会将其填充到 {padded}",
    ),
    "no_model": (
        "There is no model {name} here. Choose one from the gallery.",
        "这里没有模型 {name}。请从列表中选择。",
    ),
    "bad_resolution": ("Resolution is {value}: give 'fit' or 'native'.", "分辨率为 {value}：请用 'fit' 或 'native'。"),
    "no_picture": (
        "Upload, paste or take a picture first, or pick an example.",
        "请先上传、粘贴或拍摄一张图片，或选择一个示例。",
    ),
    "each_picture": (
        "This model makes its result of several pictures: give one of each, {names}.",
        "该模型由多张图片生成结果：请为每一项各提供一张图片：{names}。",
    ),
    "one_picture": (
        "This model takes one picture: translate it in the Translate tab, or by /translate.",
        "该模型只需要一张图片：请在“转换”标签页中转换，或调用 /translate。",
    ),
    "several_pictures": (
        "This model makes its result of several pictures ({names}): give them in the Translate tab, or by "
        "/translate_several.",
        "该模型由多张图片（{names}）生成结果：请在“转换”标签页中提供，或调用 /translate_several。",
    ),
    "too_many_pictures": (
        "This model takes more pictures than this page has room for ({names}): use it from Python or the command line.",
        "该模型需要的图片多于本页面所能容纳的数量（{names}）：请在 Python 或命令行中使用。",
    ),
    "too_large_native": (
        "The picture has {size}; native resolution takes up to {limit:.3g}. Choose “Fit to working size”, or make the "
        "picture smaller.",
        "图片大小为 {size}；原始分辨率最多支持 {limit:.3g} 百万像素。请选择“缩放到工作尺寸”，或缩小图片。",
    ),
    "too_large_fit": (
        "The picture has {size}; this model, which enlarges, takes up to {limit:.3g}. Make the picture smaller.",
        "图片大小为 {size}；此模型会放大图片，最多支持 {limit:.3g} 百万像素。请缩小图片。",
    ),
    "too_large_as_is": (
        "The picture has {size}; this model takes pictures as they are, up to {limit:.3g}. Make the picture smaller.",
        "图片大小为 {size}；此模型按原图处理，最多支持 {limit:.3g} 百万像素。请缩小图片。",
    ),
    "not_finished": (
        "The server could not finish this picture. Choose “Fit to working size”, or make the picture smaller.",
        "服务器未能处理此图片。请选择“缩放到工作尺寸”，或缩小图片。",
    ),
    "share_used_up": (
        "{count} of your requests are waiting already, and others want their turn, too. Try again when one is done.",
        "您已有 {count} 个请求在排队，也请给其他人留出位置。请在其中一个完成后再试。",
    ),
    "not_arrived": (
        "The picture did not arrive. Upload it again as a PNG, JPEG or WebP file.",
        "图片未能上传。请以 PNG、JPEG 或 WebP 格式重新上传。",
    ),
    "too_large": (
        "{name} has {size}; this page takes {limit:.3g}. Make it smaller and try again.",
        "{name} 大小为 {size}；本页面最多支持 {limit:.3g} 百万像素。请缩小后重试。",
    ),
    "too_long": (
        "{name} is {width} × {height} pixels; this page takes up to {limit} a side. Crop it and try again.",
        "{name} 大小为 {width} × {height} 像素；本页面每边最多支持 {limit} 像素。请裁剪后重试。",
    ),
    "drawing_foreign": (
        "The drawing did not arrive as the painter sends it. Draw another stroke, or load the page anew.",
        "绘图数据格式不正确。请再画一笔，或重新加载页面。",
    ),
    "drawing_large": (
        "The drawing has {width} × {height} pixels; {limit} a side is the most.",
        "绘图大小为 {width} × {height} 像素；每边最多 {limit} 像素。",
    ),
    "drawing_torn": (
        "The drawing did not arrive whole. Draw another stroke, or load the page anew.",
        "绘图数据不完整。请再画一笔，或重新加载页面。",
    ),
}

TEXTS |= ERASE | ENLARGE | OTHERS

_ENGLISH, _CHINESE = ({name: both[language] for name, both in TEXTS.items()} for language in (0, 1))
T = gr.I18n(**{"en": _ENGLISH, "zh": _CHINESE, "zh-CN": _CHINESE, "zh-TW": _CHINESE})


def say(name: str, request: gr.Request | None = None, /, **values: object) -> str:
    """A text of the server's, in the language of the browser that asks; English for programs."""
    languages = request.headers.get("accept-language", "") if request is not None else ""
    chinese = languages.strip().lower().startswith("zh")
    return TEXTS[name][chinese].format(**values)
