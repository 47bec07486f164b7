"""What the tabs beside Translate and Paint say, in English and Chinese; `texts` joins it to the rest.

python -c "from img2img_hub.demo.texts import say; print(say('paint_over'))"
"""

from __future__ import annotations

Texts = dict[str, tuple[str, str]]

# Erase.
ERASE: Texts = {
    "erase_tab": ("Erase", "抹除"),
    "erase_by": ("Erase with", "抹除模型"),
    "choose_to_erase": (
        "Choose a picture, then paint over what shall go.",
        "请选择图片，然后涂抹要去除的部分。",
    ),
    "paint_over": ("Paint over what shall go.", "请涂抹要去除的部分。"),
    "all_erased": (
        "All of the picture is painted over, and nothing is left to fill it from: keep some of it.",
        "整张图片都被涂抹，没有可用于填补的部分：请保留一部分。",
    ),
    "erased": ("Filled in {seconds:.2f} s on {device}", "已填补，用时 {seconds:.2f} 秒（{device}）"),
    "fills_nothing": ("{name} fills no holes: choose another model.", "{name} 不能填补空缺：请选择其他模型。"),
    "too_much_erased": (
        "What is painted over in this picture of {size} needs more than {limit:.3g} megapixels around it. Paint over "
        "less, or make the picture smaller.",
        "此图片（{size}）的涂抹区域及其周围超过 {limit:.3g} 百万像素。请减少涂抹，或缩小图片。",
    ),
}

# Batch, Compare, any model of the Hub, About.
ENLARGE: Texts = {
    "enlarge_tab": ("Enlarge", "放大"),
    "enlarge_by": ("Enlarge with", "放大模型"),
    "enlarge_button": ("Enlarge", "放大"),
    "choose_to_enlarge": ("Choose a picture and press Enlarge.", "请选择图片，然后点击“放大”。"),
}

OTHERS: Texts = {
    "batch_tab": ("Batch", "批量"),
    "compare_tab": ("Compare", "比较"),
    "hub_tab": ("Any model", "任意模型"),
    "about_tab": ("About", "介绍"),
    "your_pictures": ("Your pictures", "您的图片"),
    "translate_all": ("Translate all", "全部转换"),
    "choose_pictures": (
        "Choose several pictures; you get one zip of PNG files of the same sizes, or larger where the model enlarges.",
        "请选择多张图片；您将得到一个 zip 压缩包，其中的 PNG 文件尺寸不变；若模型会放大图片，则尺寸更大。",
    ),
    "download_zip": ("Download zip", "下载 zip"),
    "results": ("Results", "结果"),
    "in_work": ("Translating", "正在转换"),
    "pictures_unit": ("pictures", "张"),
    "batch_done": (
        "{done} of {total} pictures done in {seconds:.1f} s on {device}",
        "{total} 张图片中的 {done} 张已完成，用时 {seconds:.1f} 秒（{device}）",
    ),
    "not_done": ("These could not be translated", "以下图片未能转换"),
    "none_done": ("None of the pictures could be translated.", "没有图片能够转换。"),
    "no_pictures": ("Choose one or more pictures first.", "请先选择一张或多张图片。"),
    "too_many": (
        "You chose {count} files; {limit} at a time is the most. Take some away, and do them in a second run.",
        "您选择了 {count} 个文件；一次最多 {limit} 个。请移除一些，分批转换。",
    ),
    "too_many_pixels": (
        "The pictures have {size:.1f} megapixels in all; {limit:.3g} at a time is the most at this resolution. Take "
        "some away, make them smaller, or choose “Fit to working size”.",
        "图片总计 {size:.1f} 百万像素；此分辨率下一次最多 {limit:.3g} 百万像素。"
        "请移除一些、缩小图片，或选择“缩放到工作尺寸”。",
    ),
    "too_many_pixels_as_is": (
        "The pictures have {size:.1f} megapixels in all; {limit:.3g} at a time is the most with this model. Take some "
        "away, or make them smaller.",
        "图片总计 {size:.1f} 百万像素；此模型一次最多 {limit:.3g} 百万像素。请移除一些，或缩小图片。",
    ),
    "too_large_native_one": (
        "{size}; native resolution takes up to {limit:.3g}.",
        "大小为 {size}；原始分辨率最多支持 {limit:.3g} 百万像素。",
    ),
    "too_large_fit_one": (
        "{size}; this model, which enlarges, takes up to {limit:.3g}.",
        "大小为 {size}；此模型会放大图片，最多支持 {limit:.3g} 百万像素。",
    ),
    "no_png": (
        "This model makes rasters that no PNG can hold. Translate them with the command line, which writes TIFF files.",
        "此模型生成的栅格数据无法存为 PNG。请使用命令行转换，它会写入 TIFF 文件。",
    ),
    "compare_what": ("Compare", "比较对象"),
    "several_models": ("Several models", "多个模型"),
    "two_revisions": ("Two revisions of one model", "同一模型的两个版本"),
    "two_to_four": ("Two to four models", "两到四个模型"),
    "compare": ("Compare", "比较"),
    "first_revision": ("First revision (branch, tag or commit)", "第一个版本（分支、标签或提交）"),
    "second_revision": ("Second revision", "第二个版本"),
    "choose_to_compare": (
        "Choose a picture and what to compare, then press Compare.",
        "请选择图片和比较对象，然后点击“比较”。",
    ),
    "choose_two_to_four": (
        "Choose two to four models; you chose {count}.",
        "请选择两到四个模型；您选择了 {count} 个。",
    ),
    "no_picture_to_compare": ("Upload, paste or take a picture first.", "请先上传、粘贴或拍摄一张图片。"),
    "no_revisions": (
        "{name} is no model of the Hub, so it has no revisions.",
        "{name} 不是 Hub 上的模型，因此没有版本。",
    ),
    "same_revision": (
        "Both revisions are the same: name two different ones.",
        "两个版本相同：请填写两个不同的版本。",
    ),
    "compared": ("{name} · {seconds:.2f} s", "{name} · {seconds:.2f} 秒"),
    "compared_all": ("{count} results side by side · {size} · {device}", "{count} 个结果并排显示 · {size} · {device}"),
    "not_compared": ("These could not be compared", "以下未能比较"),
    "hub_model": ("Model on the Hugging Face Hub", "Hugging Face Hub 上的模型"),
    "hub_model_info": (
        "The id of any public model that was trained with img2img_hub.",
        "任何用 img2img_hub 训练的公开模型的 ID。",
    ),
    "name_a_model": (
        "Type the id of a model, such as owner/name, and choose a picture.",
        "请输入模型 ID（例如 owner/name）并选择图片。",
    ),
    "guest_id": (
        "{name} is no id of a model on the Hub: type it as owner/name.",
        "{name} 不是 Hub 上的模型 ID：请按 owner/name 的格式输入。",
    ),
    "guest_revision_name": (
        "“{name}” is no revision: type a branch, a tag or a commit, such as main.",
        "“{name}”不是有效的版本：请输入分支、标签或提交，例如 main。",
    ),
    "guest_missing": (
        "There is no public model {name} on the Hub. Check its spelling; private and gated ones cannot be used here.",
        "Hub 上没有公开模型 {name}。请检查拼写；私有和受限的模型不能在此使用。",
    ),
    "guest_revision": ("{name} has no revision {revision}.", "{name} 没有版本 {revision}。"),
    "guest_foreign": (
        "{name} is no model of img2img_hub: it lacks config.json or model.safetensors.",
        "{name} 不是 img2img_hub 的模型：缺少 config.json 或 model.safetensors。",
    ),
    "guest_large": (
        "{name} is too large for this page: its {file} has {size} MB, and {limit} MB is the most.",
        "{name} 对本页面来说太大：其 {file} 有 {size} MB，最多 {limit} MB。",
    ),
    "guest_unfit": ("{name} cannot be used here: {reason}", "{name} 不能在此使用：{reason}"),
    "guest_heavy": (
        "{name} works at {size} × {size} pixels, which is too large for this page.",
        "{name} 的工作尺寸为 {size} × {size} 像素，对本页面来说太大。",
    ),
    "guest_hub": (
        "{name} could not be fetched: the Hub does not answer as it should. Try again later.",
        "未能获取 {name}：Hub 没有正常响应。请稍后再试。",
    ),
    "loading_card": ("The card is being read …", "正在读取模型卡片……"),
    "no_card": ("This model has no card.", "此模型没有卡片。"),
    "no_card_to_be_had": ("The card of {name} cannot be had: {reason}", "无法获取 {name} 的卡片：{reason}"),
    "licence": ("Licence", "许可证"),
    "no_licence": ("The card names none.", "卡片中未注明。"),
    "measured": ("Measured", "测量结果"),
    "metric": ("Metric", "指标"),
    "value": ("Value", "数值"),
    "on": ("On", "数据集"),
    "in_python": ("In Python", "在 Python 中使用"),
    "over_the_api": ("Over this page's API", "通过本页面的 API"),
}
