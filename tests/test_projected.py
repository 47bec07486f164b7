"""The discriminator of what a frozen classifier sees: python -m pytest tests/test_projected.py"""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from img2img_hub import Network, Pix2Pix, Pix2PixHD, ProjectedDiscriminator, Spade
from img2img_hub.families import Outputs
from img2img_hub.families.paired import EYE, PROJECTED
from img2img_hub.objectives.lite import load_lite0, load_lite1
from img2img_hub.objectives.projected import CHANNELS, Eye, make_eye
from img2img_hub.training.run.record import strangers
from img2img_hub.training.state.best import Best
from tests.families import small, tiny
from tests.runs import assert_same_end, interrupt_at

pytest_plugins = ["tests.starting"]

FAMILIES = [
    tiny(family, projected="lite1", projected_width=4, lambda_projected=0.5) for family in (Pix2Pix, Pix2PixHD, Spade)
]
each = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def features(count=2, width=4):
    made = torch.Generator().manual_seed(1)
    return tuple(torch.randn(count, 5 + level, 16 >> level, 16 >> level, generator=made) for level in range(3))


def critic(**more):
    torch.manual_seed(2)
    return ProjectedDiscriminator(channels="5,6,7", width=4, **more)


# --- the network ------------------------------------------------------------------------------------------------------


def test_judges_as_written_plainly():
    """Mixed over channels, then from the coarsest on over scales; each judge convolves by W / σ(W)."""
    network, seen = critic().eval(), features()
    state = network.state_dict()

    def divided(level, place):
        weight = state[f"judges.{level}.{place}.parametrizations.weight.original"]
        return weight / torch.linalg.matrix_norm(weight.flatten(1), ord=2)

    expected, above = [], None
    for level in (2, 1, 0):
        x = F.conv2d(seen[level], state[f"mix_{level}"])
        if above is not None:
            x = x + F.interpolate(
                F.conv2d(above, state[f"fuse_{level}"], padding=1), scale_factor=2, mode="bilinear", align_corners=False
            )
        above = x
        for place, (stride, padding) in {0: (2, 1), 2: (1, 1), 4: (1, 1)}.items():
            x = F.conv2d(
                x, divided(level, place), state[f"judges.{level}.{place}.bias"], stride=stride, padding=padding
            )
            x = F.leaky_relu(x, 0.2) if place < 4 else x
        expected.insert(0, x)
    for _ in range(300):  # until its estimate of σ is the largest singular value
        network.train()(seen)
    made = network.eval()(seen)
    assert [tuple(logits.shape) for logits in made] == [(2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)]
    for ours, plain in zip(made, expected, strict=True):
        assert torch.allclose(ours, plain, rtol=1e-3, atol=1e-4)


def test_what_mixes_never_learns_and_travels_with_the_weights(tmp_path):
    network = critic()
    fixed = {name for name, _ in network.named_buffers() if name.startswith(("mix", "fuse"))}
    assert fixed == {"mix_0", "mix_1", "mix_2", "fuse_0", "fuse_1"}
    assert all(name.startswith("judges.") for name, _ in network.named_parameters())
    assert all(is_parametrized(judge[place], "weight") for judge in network.judges for place in (0, 2, 4))
    network.save_weights(tmp_path)
    loaded = Network.from_pretrained(tmp_path)
    assert isinstance(loaded, ProjectedDiscriminator)
    for ours, again in zip(network.eval()(features()), loaded(features()), strict=True):
        assert torch.allclose(ours, again, atol=1e-6)


def test_mixing_keeps_the_size_of_values():
    torch.manual_seed(0)
    network = ProjectedDiscriminator(channels="24,40,112,320")
    for level, count in enumerate((24, 40, 112, 320)):
        mixed = F.conv2d(torch.randn(4, count, 8, 8), network.get_buffer(f"mix_{level}"))
        assert mixed.shape[1] == 64 * 2**level
        assert mixed.std().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ProjectedDiscriminator(channels="24,no"), "whole numbers separated by commas"),
        (lambda: ProjectedDiscriminator(channels="1,1,1,1,1,1,1"), "features must be"),
        (lambda: ProjectedDiscriminator(width=0), "width must be"),
        (lambda: critic()(features()[:2]), "judges of 3 features, got 2"),
    ],
)
def test_a_network_that_cannot_be_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(("name", "load"), [("lite0", load_lite0), ("lite1", load_lite1)])
def test_an_eye_sees_four_sizes_and_hands_gradients_back(name, load):
    eye = make_eye(name)
    image = (torch.rand(1, 3, 64, 96) * 2 - 1).requires_grad_(True)
    seen = eye(image)
    assert [tuple(each.shape) for each in seen] == [
        (1, 24, 16, 24), (1, 40, 8, 12), (1, 112, 4, 6), (1, 320, 2, 3),
    ]  # fmt: skip
    assert ",".join(str(each.shape[1]) for each in seen) == CHANNELS
    maps = load()(image)
    assert all(torch.equal(ours, maps[stage] / 8) for ours, stage in zip(seen, (1, 2, 4, 6), strict=True))
    sum(each.sum() for each in seen).backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in eye.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(torch.equal(once, again) for once, again in zip(seen, eye(image), strict=True))


# --- families ---------------------------------------------------------------------------------------------------------


def made_for(family, *, batch_size=1):
    torch.manual_seed(0)
    architecture = small(family) if family.name != "pix2pix" else replace(small(family), noise_channels=0)
    networks = family.build(architecture, in_channels=3, out_channels=3, image_size=64)
    for network in networks.values():
        network.train()
    batch = {name: torch.rand(batch_size, 3, 64, 64) * 2 - 1 for name in ("source", "target")}
    return networks | family.make_helpers(), batch


@each
def test_each_family_learns_from_it_and_it_from_each_family(family):
    networks, batch = made_for(family)
    outputs = Outputs(keep_graph=False, pools={})
    assert family.directions[0].judges == ("discriminator", PROJECTED)
    phases = {phase.name: phase for phase in family.phases}
    assert phases["discriminator"].trains == phases["generator"].freezes == ("discriminator", PROJECTED)

    learnt = phases["discriminator"].loss(networks, batch, outputs)
    assert {name for name in learnt if name.startswith(PROJECTED)} == {"projected_fake", "projected_real"}
    torch.stack([value * weight for value, weight in learnt.values()]).sum().backward()
    weights = [each for each in networks[PROJECTED].parameters() if each.ndim > 1]
    assert len(weights) == 4 * 3
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in weights)

    networks[PROJECTED].requires_grad_(False)
    terms = phases["generator"].loss(networks, batch, outputs)
    value, weight = terms[PROJECTED]
    assert weight == 0.5
    gradients = torch.autograd.grad(value, list(networks["generator"].parameters()), allow_unused=True)
    assert sum(each.abs().sum() for each in gradients if each is not None) > 0


def test_its_losses_are_those_of_any_discriminator_on_what_the_eye_sees():
    family = Pix2Pix(projected="lite0", projected_width=4, adversarial_loss="hinge")
    networks, batch = made_for(family)
    networks[PROJECTED].eval()  # so that spectral norm stays
    fake = -batch["target"]
    terms = family.projected_terms(networks, real=batch["target"], fake=fake)
    logits = {
        name: networks[PROJECTED](networks[EYE](image)) for name, image in (("real", batch["target"]), ("fake", fake))
    }
    for name, sign in (("real", -1), ("fake", 1)):
        plain = torch.stack([F.relu(1 + sign * each).mean() for each in logits[name]]).mean()
        assert torch.allclose(terms[f"projected_{name}"][0], plain)
        assert terms[f"projected_{name}"][1] == 1
    fooled = family.fooling_projected(networks, fake=fake)[PROJECTED][0]
    assert torch.allclose(fooled, -torch.stack([each.mean() for each in logits["fake"]]).mean())


def test_diff_augment_changes_what_it_is_shown():
    plain, changed = (
        Pix2Pix(projected="lite0", projected_width=4, diff_augment=policy)
        for policy in ("", "color,translation,cutout")
    )
    networks, batch = made_for(plain)
    networks[PROJECTED].eval()
    values = [family.fooling_projected(networks, fake=batch["target"])[PROJECTED][0] for family in (plain, changed)]
    assert values[0] != values[1]


def test_both_halves_of_a_batch_are_seen_at_once():
    """The eye's norms are in eval mode and mix no samples: one pass, not two."""
    calls = []

    class Counting(Eye):
        def forward(self, image):
            calls.append(len(image))
            return super().forward(image)

    family = Pix2Pix(projected="lite0", projected_width=4)
    networks, batch = made_for(family)
    networks[EYE] = Counting(networks[EYE].network)
    family.projected_terms(networks, real=batch["target"], fake=-batch["target"])
    assert calls == [2]


# --- runs -------------------------------------------------------------------------------------------------------------


@each
def test_a_run_with_it_goes_on_bit_for_bit_and_says_so(start, monkeypatch, family):
    settings = {"max_steps": 4, "image_size": 64, "checkpoint_steps": 100}
    whole = start(family, "whole", **settings)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        start(family, "cut", **settings)
    cut = start(family, "cut", resume=True, **settings)
    assert_same_end(whole, cut, step=4)
    config = json.loads((whole / "training" / PROJECTED / "config.json").read_text())
    assert (config["architecture"], config["channels"], config["width"]) == ("ProjectedDiscriminator", CHANNELS, 4)
    card = (whole / "README.md").read_text()
    assert "a discriminator on what EfficientNet-Lite1 sees, weight 0.5" in card
    names = {key for path in whole.rglob("*.safetensors") for key in load_file(path)}
    assert not any(name.startswith(("stem", "stages", "network")) for name in names), "the eye itself is not saved"
    assert strangers(whole) == strangers(cut) == []


@each
def test_what_was_best_is_replaced_with_it_and_a_run_deletes_all_of_its_own(start, family):
    """A run's folder knows its files by a list: of all that a family may make, not of what it makes by default."""
    settings = {"max_steps": 3, "image_size": 64, "eval_every": 1, "best_metric": "l1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Best, "is_beaten_by", lambda *_, **__: True)
        folder = start(family, "run", **settings)
    assert json.loads((folder / "best/best.json").read_text())["step"] == 3
    assert (folder / "best/training" / PROJECTED / "model.safetensors").is_file()
    assert strangers(folder) == []
    start(family, "run", overwrite=True, max_steps=1, image_size=64)
    assert not (folder / "best").exists()


def test_a_run_without_it_teaches_one_with_it(start, capsys):
    first = start(tiny(Pix2Pix), "first", max_steps=2, image_size=64)
    second = start(FAMILIES[0], "second", max_steps=2, image_size=64, init_from=str(first))
    said = capsys.readouterr().err
    assert PROJECTED in said, "it starts afresh, and that is said"
    assert (second / "training" / PROJECTED).is_dir()


def test_it_is_off_by_default():
    for family in (Pix2Pix(), Pix2PixHD(perceptual="none"), Spade(perceptual="none")):
        assert family.directions[0].judges == ("discriminator",)
        assert family.make_helpers() == {}
        assert PROJECTED not in made_for(tiny(type(family)))[0]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Pix2Pix(projected="vgg19"), "--projected must be one of none, lite0, lite1, got 'vgg19'"),
        (lambda: Pix2Pix(lambda_projected=-1.0), "--lambda_projected"),
        (
            lambda: Pix2Pix(projected="lite0").build(small(Pix2Pix()), in_channels=3, out_channels=4, image_size=64),
            "--projected looks at pictures of 1 or 3 channels, and these targets have 4",
        ),
        (
            lambda: Pix2Pix(projected="lite0").build(small(Pix2Pix()), in_channels=3, out_channels=3, image_size=32),
            "--image_size 32 is too small for --projected",
        ),
    ],
)
def test_what_cannot_work_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
