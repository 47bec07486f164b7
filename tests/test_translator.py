"""The one door to inference: sizes, bands, statistics, noise, threads, and what is refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import PatchDiscriminator, ResNetGenerator, Translator, UNetGenerator
from img2img_hub.images.formats import ImageError
from img2img_hub.images.picture import to_tensor
from img2img_hub.images.resize import pad_to_multiple
from img2img_hub.networks import Network
from img2img_hub.networks.blocks import BatchNorm2d
from img2img_hub.translation.settings import TranslationSettings


def unet(**arguments: object) -> Network:
    """A tiny U-Net with dropout (from 5 levels on), lively enough for differences to show in 8 bits."""
    return lively(UNetGenerator(**{"width": 4, "levels": 3, **arguments}))  # type: ignore[arg-type]


def resnet(**arguments: object) -> Network:
    return lively(ResNetGenerator(**{"width": 4, "blocks": 1, **arguments}))  # type: ignore[arg-type]


def lively(network: Network) -> Network:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        for layer in network.modules():
            if isinstance(layer, BatchNorm2d):
                layer.running_mean.normal_(generator=generator)  # type: ignore[union-attr]
                layer.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
    return network.eval()


def picture(width: int = 24, height: int = 16, *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    bands = len(mode) if mode != "1" else 1
    array = np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(array[:, :, 0] if bands == 1 else array, mode=mode)


def seen_by(network: Network) -> list[torch.Tensor]:
    """The list to which every input of the network will be added."""
    inputs: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    return inputs


def same(first: Image.Image, second: Image.Image) -> bool:
    return first.mode == second.mode and first.size == second.size and first.tobytes() == second.tobytes()


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [unet, resnet])
@pytest.mark.parametrize("resize", ["native", "fit"])
@pytest.mark.parametrize("size", [(24, 16), (37, 19), (8, 70), (5, 3), (1, 1)])
def test_the_output_has_the_size_of_the_input(make, resize, size):
    output = Translator(make(), TranslationSettings(working_size=32))(picture(*size), resize=resize)
    assert (output.mode, output.size) == ("RGB", size)


def test_native_reflects_up_to_the_multiple_and_crops_back():
    network = unet()
    inputs = seen_by(network)
    source = picture(21, 10)
    output = Translator(network)(source, resize="native")
    padded, (top, left) = pad_to_multiple(to_tensor(source)[None], multiple=8)
    assert padded.shape == (1, 3, 16, 24)
    assert torch.equal(inputs[0], padded)
    expected = network(padded)[:, :, top : top + 10, left : left + 21]
    assert to_tensor(output).numpy() == pytest.approx(expected[0].detach().clamp(-1, 1).numpy(), abs=0.51 / 127.5)


def test_fit_works_at_the_working_size_and_native_does_not():
    network = unet()
    inputs = seen_by(network)
    translator = Translator(network, TranslationSettings(working_size=32, resize="fit"))
    source = picture(100, 60)
    translator(source)
    assert torch.equal(inputs[0], to_tensor(source.resize((32, 32), Image.Resampling.BICUBIC))[None])
    translator(source, resize="native")
    assert inputs[1].shape == (1, 3, 64, 104)
    assert not same(translator(source), translator(source, resize="native"))


def test_a_tensor_of_any_size_comes_back_at_its_size():
    translator = Translator(resnet())
    batch = torch.rand(2, 3, 13, 7) * 2 - 1
    output = translator.translate_tensor(batch)
    assert output.shape == batch.shape
    assert output.abs().max() <= 1
    assert not output.requires_grad


# --- bands, alpha, profile, orientation -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "mode", "expected"),
    [
        (3, 3, "L", "RGB"),
        (3, 3, "RGBA", "RGBA"),
        (1, 1, "RGB", "L"),
        (1, 1, "RGBA", "LA"),
        (1, 3, "L", "RGB"),
        (3, 1, "RGB", "L"),
    ],
)
def test_bands_are_the_networks_and_alpha_is_the_inputs(in_channels, out_channels, mode, expected):
    translator = Translator(unet(in_channels=in_channels, out_channels=out_channels))
    source = picture(mode=mode)
    output = translator(source)
    assert output.mode == expected
    if "A" in mode:
        assert same(output.getchannel("A"), source.getchannel("A"))


def test_an_opaque_alpha_adds_none():
    source = picture()
    source.putalpha(255)
    assert Translator(unet())(source).mode == "RGB"


@pytest.mark.parametrize("resize", ["native", "fit"])
def test_a_rotated_photo_comes_out_upright_with_its_profile(tmp_path, resize):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to the right
    picture(24, 16).save(tmp_path / "photo.jpg", exif=exif, icc_profile=profile)
    output = Translator(unet())(tmp_path / "photo.jpg", resize=resize)
    assert output.size == (16, 24)
    assert output.info["icc_profile"] == profile
    with Image.open(tmp_path / "photo.jpg") as lying:
        upright = Image.fromarray(np.rot90(np.asarray(lying), k=-1))
    assert same(output, Translator(unet())(upright, resize=resize))


def test_a_profile_of_other_bands_is_left_out():
    source = picture()
    source.info["icc_profile"] = b"of an RGB image"
    assert "icc_profile" not in Translator(unet(out_channels=1))(source).info
    assert Translator(unet())(source).info["icc_profile"] == b"of an RGB image"


def test_paths_bytes_arrays_and_tensors_give_what_the_image_gives(tmp_path):
    translator = Translator(unet())
    source = picture()
    source.save(tmp_path / "source.png")
    file = tmp_path / "source.png"
    for same_image in (file, str(file), file.read_bytes(), np.asarray(source), to_tensor(source)):
        assert same(translator(same_image), translator(source))


def test_an_unreadable_image_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"broken\.png"):
        Translator(unet())(tmp_path / "broken.png")


# --- lists and batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_list_gives_in_its_order_what_each_image_gives_alone(norm, seed, batch_size):
    translator = Translator(unet(norm=norm, levels=6, noise_channels=2))
    # Very unlike each other: statistics shared between them would show.
    images = [picture(70, 64), Image.new("RGB", (70, 64), "black"), picture(40, 90), picture(70, 64, seed=1)]
    alone = [translator(image, seed=seed) for image in images]
    together = translator(images, batch_size=batch_size, seed=seed)
    assert isinstance(together, list)
    for one, other in zip(alone, together, strict=True):
        assert one.size == other.size
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1  # rounding of another batch size
    assert not same(alone[0], alone[3])


def test_no_images_give_none():
    assert Translator(unet())([]) == []


# --- test-time statistics (pix2pix, section 3.3) ----------------------------------------------------------------------


def test_image_statistics_are_what_training_mode_computes_for_one_image():
    network = unet(dropout=0.0)
    batch = to_tensor(picture(32, 32))[None]
    by_image = Translator(network, TranslationSettings(norm_statistics="image")).translate_tensor(batch)
    running = Translator(network, TranslationSettings(norm_statistics="running")).translate_tensor(batch)
    in_eval = network(batch)
    network.train()
    assert by_image.numpy() == pytest.approx(network(batch).detach().numpy(), abs=1e-5)
    assert running.numpy() == pytest.approx(in_eval.detach().numpy(), abs=1e-5)
    assert (by_image - running).abs().max() > 0.01


# --- variations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [{"levels": 6, "dropout": 0.5}, {"dropout": 0.0, "noise_channels": 2}])
def test_a_seed_varies_and_no_seed_does_not(arguments):
    translator = Translator(unet(**arguments))
    source = picture(64, 64)
    plain = translator(source)
    first, second = translator(source, seed=1), translator(source, seed=2)
    assert same(first, translator(source, seed=1))
    assert not same(first, second)
    assert not same(first, plain)
    assert same(plain, translator(source))


def test_a_seed_changes_nothing_where_there_is_no_noise():
    translator = Translator(resnet())
    assert same(translator(picture(), seed=1), translator(picture()))


@pytest.mark.parametrize(
    ("arguments", "varies"),
    [({"levels": 6}, True), ({"levels": 6, "dropout": 0.0}, False), ({}, False), ({"noise_channels": 1}, True)],
)
def test_a_translator_knows_whether_it_varies(arguments, varies):
    translator = Translator(unet(**arguments))
    assert translator.varies is varies
    assert same(translator(picture(), seed=1), translator(picture(), seed=2)) is not varies


def test_variations_leave_the_global_generator_alone():
    translator = Translator(unet(levels=6, noise_channels=1))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    translator(picture(64, 64), seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_network_in_training_stays_in_training():
    network = unet(levels=6).train()
    translator = Translator(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert same(translator(picture(64, 64)), translator(picture(64, 64)))
    assert network.training
    assert all(layer.training for layer in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_translators_do_not_disturb_each_others_variations():
    """They draw from generators that the whole process shares."""
    translators = [Translator(unet(levels=6, noise_channels=1)) for _ in range(4)]
    source = picture(64, 64)
    expected = [translator(source, seed=5) for translator in translators]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            outputs = list(pool.map(lambda translator: translator(source, seed=5), translators))
            assert all(map(same, outputs, expected))


def test_threads_do_not_disturb_each_other():
    translator = Translator(unet(levels=6, noise_channels=1))
    source = picture(64, 64)
    seeds = [None, 1, 2, None, 1, 2, 3, None] * 3
    expected = {seed: translator(source, seed=seed) for seed in set(seeds)}
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda seed: translator(source, seed=seed), seeds))
    assert all(same(output, expected[seed]) for seed, output in zip(seeds, outputs, strict=True))


# --- folders ----------------------------------------------------------------------------------------------------------


def save(folder: Path, network: Network, **settings: object) -> Path:
    network.save_pretrained(folder)
    TranslationSettings(**{"working_size": 32, **settings}).save(folder)  # type: ignore[arg-type]
    return folder


def test_a_saved_translator_is_the_same_translator(tmp_path):
    network = unet(levels=5)
    save(tmp_path / "model", network, family="pix2pix", norm_statistics="running", resize="fit")
    loaded = Translator.from_pretrained(tmp_path / "model", device="cpu")
    assert loaded.name == str(tmp_path / "model")
    assert loaded.settings == TranslationSettings(
        family="pix2pix", norm_statistics="running", resize="fit", working_size=32
    )
    assert same(loaded(picture(50, 40)), Translator(network, loaded.settings)(picture(50, 40)))
    assert loaded.describe() == (
        "pix2pix UNetGenerator · 3 → 3 bands · batch norm with training's running averages · trained at 32×32 · "
        "resize fit · on cpu"
    )
    assert "· instance norm ·" in Translator(resnet()).describe()


def test_a_folder_without_translation_json_warns_and_takes_the_networks_bands(tmp_path):
    unet(in_channels=1).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"no translation\.json"):
        translator = Translator.from_pretrained(tmp_path)
    assert (translator.settings.source_channels, translator.settings.target_channels) == (1, 3)


def test_the_reverse_is_the_folder_beside_or_the_repo_that_is_named(tmp_path):
    save(tmp_path / "target2source", resnet(), reverse="source2target")
    forth = save(tmp_path / "source2target", resnet(), reverse="target2source")
    assert Translator.from_pretrained(forth).reverse == str(tmp_path / "target2source")
    alone = save(tmp_path / "elsewhere" / "model", resnet(), reverse="alice/winter2summer")
    assert Translator.from_pretrained(alone).reverse == "alice/winter2summer"
    assert Translator(resnet()).reverse is None


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("runs/no/such", r"there is no folder 'runs/no/such', and it is no Hub id such as user/model"),
        ("nosuch", r"there is no folder 'nosuch'"),
        ("/no/such", r"there is no folder '/no/such'"),
        ("./no", r"there is no folder '\./no'"),
        ("", r"there is no folder ''"),
        ("config.json", r"config\.json is a file; name the folder that holds it"),
        ("empty", r"empty has no config\.json"),
        ("run", r"no config\.json.*run/source2target, .*run/target2source"),
        ("discriminator", r"holds a PatchDiscriminator, which judges images and makes none"),
    ],
)
def test_a_folder_that_is_no_translator_is_refused(tmp_path, monkeypatch, where, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "config.json").write_text("{}")
    for direction in ("source2target", "target2source"):
        save(tmp_path / "run" / direction, resnet())
    PatchDiscriminator(width=4).save_pretrained(tmp_path / "discriminator")
    with pytest.raises(ValueError, match=message):
        Translator.from_pretrained(where)


def test_settings_that_contradict_the_network_are_refused(tmp_path):
    save(tmp_path, unet(in_channels=1))
    (tmp_path / "translation.json").write_text(json.dumps({"source_channels": 3}))
    with pytest.raises(ValueError, match=r"translation\.json says source_channels 3, the network has 1"):
        Translator.from_pretrained(tmp_path)
    (tmp_path / "translation.json").write_text(json.dumps({"source_channels": 4}))
    with pytest.raises(ValueError, match="source_channels must be a whole number, 1 or 3, got 4"):
        Translator.from_pretrained(tmp_path)


def test_bands_that_no_settings_speak_of_are_floats_as_the_network_sees_them():
    values = Translator(unet(in_channels=4)).settings.source_values
    assert (values.dtype, values.low, values.high) == ("float32", (-1.0,) * 4, (1.0,) * 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "crop"}, "resize must be 'native' or 'fit', got 'crop'"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"seed": -1}, r"a seed is a whole number from 0 to 2\*\*63 - 1, got -1"),
        ({"seed": 1.5}, r"a seed is a whole number from 0 to 2\*\*63 - 1, got 1.5"),
        ({"seed": True}, "a seed is a whole number from 0 .* got True"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Translator(unet())(picture(), **options)


def test_other_refusals():
    with pytest.raises(ValueError, match="judges images and makes none: name a generator"):
        Translator(PatchDiscriminator(width=4))
    with pytest.raises(ValueError, match="device 'gpu' cannot be used"):
        Translator(unet(), device="gpu")
    for shape in [(3, 16, 16), (1, 1, 16, 16), (0, 3, 16, 16)]:
        with pytest.raises(ValueError, match=r"a batch \(N, 3, H, W\) is needed"):
            Translator(unet()).translate_tensor(torch.zeros(shape))


def test_too_large_an_image_says_what_to_do():
    network = unet()

    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    network.register_forward_pre_hook(out_of_memory)
    with pytest.raises(ValueError, match=r"not enough memory to translate 24×16 pixels.*--resize fit"):
        Translator(network)(picture())
