"""pix2pixHD's styles at test time: what the encoder remembers, its clusters, and translations in what they say.

python -m pytest tests/test_usual_styles.py
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2img_hub import CoarseToFineGenerator, DataConfig, Network, Pix2PixHD, Translator
from img2img_hub.networks import InstanceEncoder
from img2img_hub.networks.clusters import clusters
from img2img_hub.networks.instance_encoder import MEMORY, REMEMBERED
from img2img_hub.official.file import read_official, save_official
from img2img_hub.translation.settings import TranslationSettings
from tests.runs import assert_same_end, interrupt_at

pytest_plugins = ["tests.starting"]


# --- clusters ---------------------------------------------------------------------------------------------------------


def test_clusters_are_the_means_of_what_lies_together_the_largest_first():
    draws = torch.Generator().manual_seed(1)
    places = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 9.0]])
    groups = [place + torch.rand(count, 3, generator=draws) for place, count in zip(places, (20, 70, 40), strict=True)]
    rows = torch.cat(groups)[torch.randperm(130, generator=draws)]
    found = clusters(rows, 3)
    expected = torch.stack([groups[1].mean(0), groups[2].mean(0), groups[0].mean(0)])
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(clusters(rows, 3), found)
    inside = (torch.cdist(rows, clusters(rows, 10)).amin(1) ** 2).mean()
    assert inside < 0.5 * (torch.cdist(rows, found).amin(1) ** 2).mean()


def test_rows_that_are_few_or_equal_have_as_many_clusters_as_differ():
    assert clusters(torch.ones(5, 2), 10).tolist() == [[1.0, 1.0]]
    rows = torch.tensor([[1.0], [2.0], [2.0]])
    assert clusters(rows, 10).tolist() == [[2.0], [1.0]]


# --- what the encoder remembers ---------------------------------------------------------------------------------------


def encoder(*, halvings: int = 1) -> InstanceEncoder:
    torch.manual_seed(0)
    return InstanceEncoder(width=2, halvings=halvings, out_channels=2, classes=3).train()


def test_an_encoder_in_training_remembers_each_thing_of_a_class_that_is_large_enough():
    made = encoder()
    things = torch.zeros(2, 1, 32, 32, dtype=torch.int32)
    things[0, :, :16], things[0, :, 31, :16], things[0, :, 30, :17] = 2005, 7, 8  # 16 pixels are 1/64, 17 are more
    things[1, :, :, :16] = 2006
    classes = torch.tensor([0, -1])[:, None, None, None].expand(2, 1, 32, 32).clone()
    classes[0, :, :16], classes[0, :, 30], classes[1, :, :, :16] = 2, 1, 2
    classes[0, :, 31] = 2  # too small, of a class that has larger ones
    features = made(torch.rand(2, 3, 32, 32), things, classes)
    assert made.images == 2
    # 8 and what is 0 beside it are 17 and 15 pixels of class 1, which is of the first image as 0 is of class 0.
    assert made.seen.tolist() == [1, 1, 2]
    assert torch.equal(made.remembered[0, 0], features[0, :, 20, 20].detach())
    assert torch.equal(made.remembered[1, 0], features[0, :, 30, 0].detach())
    assert torch.equal(made.remembered[2, :2], features[:, :, 0, 0].detach())
    assert not made.remembered[:, 2:].any()
    before = made.remembered.clone()
    made(torch.rand(2, 3, 32, 32), things)
    made.eval()(torch.rand(2, 3, 32, 32), things, classes)
    assert torch.equal(made.remembered, before)


def test_a_number_that_is_no_things_is_remembered_for_every_class_that_has_it():
    """As 0 where maps of instances number cars and people alone."""
    made, things = encoder(), torch.zeros(1, 1, 32, 32, dtype=torch.int32)
    classes = (torch.arange(32) // 16).expand(1, 1, 32, 32)
    features = made(torch.rand(1, 3, 32, 32), things, classes)
    assert made.seen.tolist() == [1, 1, 0]
    assert torch.equal(made.remembered[0, 0], features[0, :, 0, 0].detach())
    assert torch.equal(made.remembered[1, 0], features[0, :, 0, 0].detach())


def test_small_things_count_for_a_class_that_has_no_large_one():
    made = encoder()
    things = torch.arange(64).view(8, 8).repeat_interleave(4, 0).repeat_interleave(4, 1)[None, None]  # of 1/64 each
    made(torch.rand(1, 3, 32, 32), things, torch.ones_like(things))
    assert made.seen.tolist() == [0, 64, 0]
    made(torch.rand(1, 3, 32, 32), things // 2, torch.ones_like(things))  # of 1/32
    made(torch.rand(1, 3, 32, 32), things, torch.ones_like(things))
    assert made.seen.tolist() == [0, 96, 0]
    assert torch.equal(made.styles(5)[:, :, 1], clusters(made.remembered[1, 64:96], 5))


def test_no_number_is_remembered_that_is_none():
    made = encoder()
    image = torch.rand(2, 3, 32, 32)
    image[1] = torch.nan
    made(image, torch.zeros(2, 1, 32, 32, dtype=torch.int32), torch.zeros(2, 1, 32, 32, dtype=torch.long))
    assert made.seen.tolist() == [1, 0, 0]
    assert made.styles(3).isfinite().all()


def test_of_more_things_than_it_remembers_the_latest_are_kept():
    made = encoder()
    things = torch.zeros(1, 1, 8, 8, dtype=torch.int32)
    last = [made(torch.rand(1, 3, 8, 8), things, things.long())[0, :, 0, 0] for _ in range(REMEMBERED + 3)]
    assert int(made.seen[0]) == REMEMBERED + 3
    expected = torch.stack([*last[REMEMBERED:], *last[3:REMEMBERED]]).detach()
    assert torch.equal(made.remembered[0], expected)


def test_styles_are_the_clusters_of_each_class_over_again_where_there_are_fewer():
    made = encoder()
    made.seen[1], made.seen[2], made.images[()] = 3, REMEMBERED + 9, 100
    made.shares[:] = 0.5
    made.when[1, :3], made.when[2] = 80, 90
    made.remembered[1, :3] = torch.tensor([[1.0, 2.0], [3.0, 4.0], [3.0, 4.0]])
    made.remembered[2] = torch.rand(REMEMBERED, 2) + 5
    styles = made.styles(4)
    assert styles.shape == (4, 2, 3)
    assert not styles[:, :, 0].any()
    assert styles[:, :, 1].tolist() == [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]
    assert torch.equal(styles[:, :, 2], clusters(made.remembered[2], 4))


def test_styles_are_of_the_last_quarter_of_the_training_or_of_when_a_class_came_last():
    made = encoder()
    made.seen[:], made.images[()], made.shares[:] = 4, 100, 0.5
    made.remembered[:2, :4] = torch.arange(4.0)[:, None]
    made.when[0, :4] = torch.tensor([1, 75, 76, 100])
    made.when[1, :4] = torch.tensor([1, 20, 20, 5])
    assert sorted(made.styles(2)[:, 0, 0].tolist()) == [2, 3]
    assert sorted(made.styles(2)[:, 0, 1].tolist()) == [1, 2]


def test_what_is_remembered_is_of_one_training_and_weights_go_to_the_next():
    before, after = encoder(), encoder()
    things = torch.zeros(1, 1, 8, 8, dtype=torch.int32)
    before(torch.rand(1, 3, 8, 8), things, things.long())
    with torch.no_grad():
        before.layers[1].weight.mul_(2)
    other = InstanceEncoder(width=2, halvings=1, out_channels=2)
    assert after.take_over(before) == "all its weights"
    assert other.take_over(before) == "all its weights"
    assert torch.equal(after.layers[1].weight, before.layers[1].weight)
    assert torch.equal(other.layers[1].weight, before.layers[1].weight)
    assert not after.seen.any()
    assert after.take_over(InstanceEncoder(width=3, halvings=1, out_channels=2)) is None
    old = {key: value for key, value in before.state_dict().items() if key.startswith("layers")}
    after.load_state_dict(old)  # a checkpoint of before encoders remembered
    before.forget()
    assert not any(before.state_dict()[name].any() for name in MEMORY)


# --- what the generator makes of styles -------------------------------------------------------------------------------


def generator() -> CoarseToFineGenerator:
    """Of two classes and a channel of edges; a class has styles that no other has."""
    torch.manual_seed(0)
    made = CoarseToFineGenerator(
        in_channels=3, width=4, blocks=1, enhancers=0, norm="none", feature_channels=2, styles=4, layout="pix2pixhd"
    ).eval()
    for weight in made.parameters():
        weight.data *= 6  # as they are drawn the features hardly show
    made.centres[:, :, :2] = torch.rand(4, 2, 2) * 2 - 1
    return made


def one_hot(classes, edges=None):
    found = torch.stack([classes == 0, classes == 1, torch.zeros_like(classes) if edges is None else edges])
    return found.float()[None]


def test_without_features_each_class_has_its_most_usual_style():
    made, classes = generator(), torch.randint(-1, 2, (32, 48))
    source = one_hot(classes, torch.rand(32, 48) > 0.5)
    features = torch.zeros(1, 2, 32, 48)
    for y in range(32):
        for x in range(48):
            if classes[y, x] >= 0:
                features[0, :, y, x] = made.centres[0, :, classes[y, x]]
    with torch.no_grad():
        assert torch.equal(made(source), made(source, features))
        assert not torch.allclose(made(source), made(source, torch.zeros_like(features)), atol=1e-3)


def test_styles_are_drawn_for_each_class_or_each_thing():
    made, classes = generator(), torch.arange(64).expand(64, 64) // 32
    by_class = {tuple(made.draw_features(one_hot(classes))[0, :, 0, 0].tolist()) for _ in range(60)}
    assert by_class == {tuple(style.tolist()) for style in made.centres[:, :, 0]}
    drawn = made.draw_features(one_hot(classes))
    assert len(drawn.flatten(2).unique(dim=2)[0, 0]) == 2
    things = (torch.arange(64)[:, None] // 4 * 64 + classes * 7).expand(64, 64)[None, None]  # 16 of each class
    drawn = made.draw_features(one_hot(classes), things)
    for kind in (0, 1):
        own = [drawn[0][:, things[0, 0] == number] for number in things[0, 0][classes == kind].unique()]
        assert all(len(each.unique(dim=1)[0]) == 1 for each in own)
        styles = {tuple(each[:, 0].tolist()) for each in own}
        assert len(styles) > 1
        assert styles <= {tuple(style.tolist()) for style in made.centres[:, :, kind]}


def test_styles_need_features_and_a_config_without_them_is_as_before(tmp_path):
    with pytest.raises(ValueError, match="styles are of feature_channels, of which there are none, got styles 3"):
        CoarseToFineGenerator(styles=3)
    before = CoarseToFineGenerator(width=4, blocks=1, enhancers=0)
    config = {key: value for key, value in before.config.items() if key != "styles"}
    assert "centres" not in before.state_dict()
    assert Network._from_config(config, where="before").config == before.config


def test_a_generator_gets_its_styles_without_a_draw():
    """A run draws on from where it was, however often its sheets are drawn."""
    bare = CoarseToFineGenerator(in_channels=3, width=4, blocks=1, enhancers=0, feature_channels=2).eval()
    before = torch.get_rng_state()
    made = bare.with_styles(torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(torch.get_rng_state(), before)
    assert (made.styles, made.training) == (4, False)
    assert all(torch.equal(value, made.state_dict()[name]) for name, value in bare.state_dict().items())


def test_official_files_are_of_the_networks_without_their_styles(tmp_path):
    for made, asked in ((generator_of_instances(), {"features": 2}), (encoder(halvings=4).eval(), {})):
        save_official(made, tmp_path / "net.pth")
        loaded = read_official(tmp_path / "net.pth", **asked).network
        known = loaded.state_dict()
        assert known.keys() == {name for name in made.state_dict() if name not in {"centres", *MEMORY}}
        assert all(torch.equal(value, made.state_dict()[name]) for name, value in known.items())


def generator_of_instances() -> CoarseToFineGenerator:
    shape = {"width": 4, "blocks": 1, "enhancers": 1, "feature_channels": 2, "styles": 4}
    return CoarseToFineGenerator(layout="pix2pixhd", **shape).eval()


# --- from the run to translations -------------------------------------------------------------------------------------


@pytest.fixture
def streets(tmp_path) -> DataConfig:
    """Maps of two classes, things in them, and photos in which each thing has one of two colours."""
    for part in ("maps", "photos", "things"):
        (tmp_path / "streets/train" / part).mkdir(parents=True)
    for number in range(6):
        random = np.random.default_rng(number)
        things = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 10, 0), 10, 1)
        colours = random.integers(0, 2, 16)[things]
        photo = np.stack([colours * 200, 200 - colours * 200, np.full((40, 40), 60)], axis=2).astype(np.uint8)
        Image.fromarray((things % 2).astype(np.uint8)).save(tmp_path / f"streets/train/maps/{number}.png")
        Image.fromarray(things.astype(np.int32)).save(tmp_path / f"streets/train/things/{number}.tif")
        Image.fromarray(photo).save(tmp_path / f"streets/train/photos/{number}.png")
    return DataConfig(
        dataset=str(tmp_path / "streets"),
        source_column=("maps", "things"),
        target_column="photos",
        labels=("maps=2",),
        instances=("things",),
        validation_split="none",
    )


def test_a_run_publishes_the_styles_of_its_encoder_and_a_seed_draws_of_them(start, streets, monkeypatch, tmp_path):
    family = Pix2PixHD(perceptual="none", styles="instances")
    whole = start(family, "whole", data=streets)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        start(family, "cut", data=streets)
    assert_same_end(whole, start(family, "cut", data=streets, resume=True), step=6)

    weights = load_file(whole / "model.safetensors")
    last = InstanceEncoder.from_pretrained(whole / "training/encoder")
    assert last.seen[:2].tolist() == last.seen[:2].clamp(min=8).tolist()
    assert not last.seen[2:].any()  # edges are no class
    assert torch.allclose(weights["centres"], last.styles(10), atol=1e-6)
    assert not (torch.cat([last.shares[0, :8], last.shares[1, :8]]) == 0).any()
    assert weights["centres"][:, :, :2].flatten(0, 1).unique().numel() > 8
    assert not weights["centres"][:, :, 2].any()

    translator = Translator.from_pretrained(whole, device="cpu")
    assert translator.varies
    assert "`seed=7`, or any number, draws other styles" in (whole / "README.md").read_text()
    assert "10 styles of each class" in translator.describe()
    things = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 16, 0), 16, 1).astype(np.int32)
    inputs = {"maps": (things % 2).astype(np.uint8), "things": things}
    plain, one, two = translator(inputs), translator(inputs, seed=1), translator(inputs, seed=2)
    assert plain.tobytes() == translator(inputs).tobytes() != one.tobytes() != two.tobytes()
    assert one.tobytes() == translator(inputs, seed=1).tobytes() == translator([inputs, inputs], seed=1)[1].tobytes()

    drawn = []
    original = CoarseToFineGenerator.draw_features

    def draw(self, source, own=None):
        drawn.append((own, original(self, source, own)))
        return drawn[-1][1]

    monkeypatch.setattr(CoarseToFineGenerator, "draw_features", draw)
    for mode, side in (("native", 64), ("fit", translator.settings.working_size)):
        translator(inputs, seed=3, resize=mode)
        own, features = drawn.pop()
        assert own.shape[-2:] == (side, side)
        assert own.unique().tolist() == list(range(16))
        assert all(len(features[0][:, own[0, 0] == number].unique(dim=1)[0]) == 1 for number in range(16))


def test_what_it_makes_in_the_usual_styles_is_the_same_by_onnx_and_in_strips(start, streets, tmp_path):
    data = replace(streets, source_column=("maps",), labels=("2",), instances=())
    folder = start(Pix2PixHD(perceptual="none", styles="labels"), "run", data=data)
    map = Image.fromarray(np.random.default_rng(0).integers(0, 2, (90, 70), dtype=np.uint8))
    translator = Translator.from_pretrained(folder, device="cpu")
    expected = np.asarray(translator(map)).astype(int)
    for backend in ("onnx", "openvino"):
        made = np.asarray(translator.with_backend(backend)(map)).astype(int)
        assert np.abs(made - expected).max() <= 1
    strips = Translator.from_pretrained(folder, device="cpu", memory=0.02, tiles="exact")
    large = np.random.default_rng(1).integers(0, 2, (900, 700), dtype=np.uint8)
    assert not strips.engine.fits(900, 700)
    assert np.abs(np.asarray(strips(large)).astype(int) - np.asarray(translator(large)).astype(int)).max() <= 1
    assert translator(map, seed=5).tobytes() != translator(map).tobytes()


def test_a_run_begins_with_generators_of_other_styles_or_none(start, streets, tmp_path, capsys):
    family = Pix2PixHD(perceptual="none", styles="instances")
    before = start(family, "before", data=streets, max_steps=2)
    plain = tmp_path / "plain"  # as it is without styles, such as one that was converted
    weights = load_file(before / "model.safetensors")
    made = Network._from_config({**Network.from_pretrained(before).config, "styles": 0}, where="plain")
    made.load_state_dict({name: value for name, value in weights.items() if name != "centres"}, assign=True)
    made.save_weights(plain)
    for where in (before, plain, before / "checkpoints/step-2"):
        capsys.readouterr()
        folder = start(family, "after", data=streets, init_from=str(where), max_steps=1, overwrite=True)
        assert "starts from" in (said := capsys.readouterr().err) or "start from" in said
        assert load_file(folder / "model.safetensors")["centres"].any()
    assert (
        not load_file(
            start(family, "fresh", data=streets, init_from=str(before), max_steps=1)
            / "training/encoder/model.safetensors"
        )["images"]
        > 1
    )


def test_what_is_measured_is_what_is_published(start, streets):
    folder = start(Pix2PixHD(perceptual="none", styles="instances"), "half", data=streets, save_dtype="float16")
    centres = load_file(folder / "model.safetensors")["centres"]
    assert centres.dtype == torch.float16
    encoder = InstanceEncoder.from_pretrained(folder / "training/encoder")
    assert torch.allclose(centres.float(), encoder.styles(10), atol=2e-3)


def test_each_thing_keeps_its_style_when_others_come_or_go():
    made, classes = generator(), torch.zeros(64, 64, dtype=torch.long)
    things = torch.arange(64).expand(64, 64)[None, None].clone()
    torch.manual_seed(3)
    before = made.draw_features(one_hot(classes), things)
    things[..., :9] = -(2**40)
    torch.manual_seed(3)
    after = made.draw_features(one_hot(classes), things)
    assert torch.equal(after[..., 9:], before[..., 9:])


def test_a_style_of_a_photo_is_refused_in_words_of_such_a_model(tmp_path):
    made = generator()
    translator = Translator(made, TranslationSettings(family="pix2pixhd"), device="cpu")
    with pytest.raises(
        ValueError, match=r"takes no style of a photo: leave style \(--style\) out; a seed \(--seed\) draws"
    ):
        translator.with_style(Image.new("RGB", (8, 8)))
