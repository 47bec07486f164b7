"""One map in several styles: none, a photo's, drawn ones; the encoder beside the generator, the command, exports.

python -m pytest tests/test_styles.py
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from img2img_hub import SpadeGenerator, Translator
from img2img_hub.cli import main
from img2img_hub.images.picture import to_tensor
from img2img_hub.networks import StyleEncoder
from img2img_hub.networks.style_encoder import STYLE_ENCODER
from img2img_hub.translation.settings import TranslationSettings
from tests.conftest import picture
from tests.hub import HubServer, run_client
from tests.test_spade import lively

SIDE = 64


def generator() -> SpadeGenerator:
    torch.manual_seed(0)
    network = lively(SpadeGenerator(width=2, hidden=4, latent=6, latent_side=2)).eval()
    network.image.weight.data *= 0.02
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as a run leaves it."""
    place = tmp_path / "model"
    generator().save_weights(place)
    lively(StyleEncoder(width=2, latent=6)).save_weights(place / "training" / STYLE_ENCODER)
    TranslationSettings(family="spade", working_size=SIDE, norm_statistics="running", resize="fit").save(place)
    return place


@pytest.fixture
def labels() -> Image.Image:
    return picture(seed=1, size=(80, 60))


@pytest.fixture
def photos() -> tuple[Image.Image, Image.Image]:
    return picture(seed=2, size=(50, 90)), Image.new("RGB", (30, 30), (250, 90, 0))


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.tobytes() == other.tobytes()


def test_a_map_is_translated_in_no_style_a_drawn_one_or_a_photos(folder, labels, photos):
    translator = Translator.from_pretrained(folder, device="cpu")
    assert translator.varies
    assert translator.takes_style
    assert translator.with_backend("onnx").takes_style
    assert "styles of 6 numbers" in translator.describe()
    made = {
        "plain": translator(labels),
        "seed 1": translator(labels, seed=1),
        "seed 2": translator(labels, seed=2),
        "photo 1": translator(labels, style=photos[0]),
        "photo 2": translator(labels, style=photos[1]),
        "around photo 1": translator(labels, style=photos[0], seed=1),
        "elsewhere around it": translator(labels, style=photos[0], seed=2),
    }
    assert len({image.tobytes() for image in made.values()}) == len(made)
    assert {image.size for image in made.values()} == {labels.size}
    # The same again, one at a time and several.
    assert same(translator(labels, seed=1), made["seed 1"])
    assert same(translator(labels, style=photos[0]), made["photo 1"])
    assert same(translator([labels, labels], style=photos[0], batch_size=2)[1], made["photo 1"])
    assert same(translator(labels, style=photos[0], seed=1), made["around photo 1"])
    assert same(translator(labels), made["plain"])


def test_a_photos_style_is_the_mean_that_the_encoder_makes_of_it_at_the_size_of_training(folder, photos):
    translator = Translator.from_pretrained(folder, device="cpu")
    encoder = StyleEncoder.from_pretrained(folder / "training" / STYLE_ENCODER)
    batch = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    photo = to_tensor(photos[0].resize((SIDE, SIDE), Image.Resampling.BICUBIC))[None]
    with torch.no_grad():
        mean, log_variance = encoder(photo)
        expected = translator.network(batch, latent=mean.expand(2, -1))
        drawn = torch.randn(1, 6, generator=torch.Generator().manual_seed(5))
        around = translator.network(batch, latent=(mean + (log_variance / 2).exp() * drawn).expand(2, -1))
        freely = translator.network(batch, latent=drawn.expand(2, -1))
    styled = translator.with_style(photos[0])
    torch.testing.assert_close(styled.translate_tensor(batch), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(styled.translate_tensor(batch, seed=5), around, rtol=0, atol=1e-3)
    torch.testing.assert_close(translator.translate_tensor(batch, seed=5), freely, rtol=0, atol=1e-4)
    assert (expected - translator.translate_tensor(batch)).abs().max() > 0.05


def test_the_encoder_is_loaded_when_it_is_first_asked_for(folder, labels, photos):
    translator = Translator.from_pretrained(folder, device="cpu")
    shutil.rmtree(folder / "training")
    translator(labels, seed=1)
    assert not translator.takes_style
    with pytest.raises(ValueError, match="has no training/style_encoder, which reads a photo's style: draw a style by"):
        translator(labels, style=photos[0])
    other = Translator(generator(), replace(translator.settings), name="mine")
    assert not other.takes_style
    with pytest.raises(ValueError, match="mine was not loaded with its training/style_encoder"):
        other(labels, style=photos[0])


def test_a_model_without_styles_says_so(labels, photos):
    translator = Translator(SpadeGenerator(width=2, hidden=4))
    assert not translator.varies
    assert not translator.takes_style
    with pytest.raises(ValueError, match="SpadeGenerator has no styles: leave style"):
        translator(labels, style=photos[0])


def test_an_encoder_of_another_training_is_refused(folder, labels, photos):
    StyleEncoder(width=2, latent=5).save_weights(folder / "training" / STYLE_ENCODER)
    with pytest.raises(ValueError, match="makes 5 numbers of 3 bands, and the generator has 6 and 3"):
        Translator.from_pretrained(folder, device="cpu")(labels, style=photos[0])


def test_what_is_too_large_for_a_style_is_refused_in_words(folder, photos, monkeypatch):
    monkeypatch.setattr("img2img_hub.translation.engine._ALWAYS_FITS", 0)
    translator = Translator.from_pretrained(folder, device="cpu", memory=1e-4)
    with pytest.raises(ValueError, match=r"a variation \(seed, style\) of 200×300 pixels is computed at once"):
        translator(picture(seed=1, size=(200, 300)), style=photos[0], resize="native")


def test_the_command_takes_a_photo(folder, labels, photos, tmp_path, capsys):
    labels.save(tmp_path / "map.png")
    photos[0].save(tmp_path / "photo.png")
    line = ["translate", tmp_path / "map.png", "--model", folder, "--output", tmp_path / "out", "--device", "cpu"]
    assert main([str(word) for word in [*line, "--style", tmp_path / "photo.png"]]) == 0
    expected = Translator.from_pretrained(folder, device="cpu")(labels, style=photos[0])
    assert same(Image.open(tmp_path / "out" / "map.png"), expected)
    shutil.rmtree(folder / "training")
    assert main([str(word) for word in [*line, "--style", tmp_path / "photo.png", "--overwrite"]]) == 2
    assert "has no training/style_encoder" in capsys.readouterr().err


def test_the_encoder_comes_from_the_hub(folder: Path, alice: dict[str, str], hub_server: HubServer) -> None:
    run_client(
        f"""
        import torch
        from huggingface_hub import HfApi
        from img2img_hub import Translator
        from img2img_hub.networks import StyleEncoder
        from PIL import Image

        HfApi().create_repo("alice/gaugan")
        HfApi().upload_folder(folder_path={str(folder)!r}, repo_id="alice/gaugan")
        translator = Translator.from_pretrained("alice/gaugan", device="cpu")
        assert translator.takes_style
        HfApi().delete_folder("training", repo_id="alice/gaugan")  # a later commit is another model
        photo, labels = Image.new("RGB", (40, 40), (9, 99, 200)), Image.new("RGB", (64, 64), (200, 9, 9))
        local = Translator.from_pretrained({str(folder)!r}, device="cpu")
        assert translator(labels, style=photo).tobytes() == local(labels, style=photo).tobytes()
        """,
        env=alice,
    )


def test_other_runtimes_have_no_style_and_leave_styles_to_pytorch(folder, labels, photos):
    """Of the exported graph z is 0."""
    translator = Translator.from_pretrained(folder, device="cpu")
    for backend in ("onnx", "openvino"):
        other = Translator.from_pretrained(folder, backend=backend)
        for size in ((64, 64), (96, 160)):
            batch = torch.rand(1, 3, *size) * 2 - 1
            made = other.translate_tensor(batch)
            torch.testing.assert_close(made, translator.translate_tensor(batch), rtol=0, atol=1e-2)
        for options in ({"style": photos[0]}, {"seed": 3}):
            assert same(other(labels, **options), translator(labels, **options))
