"""GauGAN's step is the paper's and its authors': order, losses, what moves when, what is published.

python -m pytest tests/test_spade_family.py
"""

import copy
import json

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from benchmarks.plain_spade import PlainStep
from benchmarks.spade import plain_discriminator, plain_generator
from img2img_hub import Architecture, Network, Spade, SpadeGenerator, TrainConfig
from img2img_hub.families import Outputs
from img2img_hub.networks import StyleEncoder
from img2img_hub.networks.style_encoder import STYLE_ENCODER
from img2img_hub.training.state.checkpoints import RunState
from img2img_hub.training.state.optimizers import make_optimizers, set_learning_rates
from img2img_hub.training.step import Stepper
from tests.families import tiny_vgg19

pytest_plugins = ["tests.starting"]

SMALL = Architecture(width=4, hidden=4, discriminator_layers=2)
STEPS = 2


class NoLogs:
    def __init__(self):
        self.terms = []

    def add(self, phase, terms):
        self.terms.append((phase, {name: (value.item(), weight) for name, (value, weight) in terms.items()}))


def batches(count, channels=5):
    made = torch.Generator().manual_seed(5)
    return [
        {
            "source": F.one_hot(torch.randint(channels, (2, 64, 64), generator=made), channels).movedim(-1, 1).double(),
            "target": torch.rand(2, 3, 64, 64, generator=made).double() * 2 - 1,
        }
        for _ in range(count)
    ]


def build(family):
    """Small networks of double precision, and a copy."""
    torch.manual_seed(0)
    networks = family.build(SMALL, in_channels=5, out_channels=3, image_size=64)
    for network in networks.values():
        network.train().double()
    return networks, copy.deepcopy(networks)


def run(family, networks, data):
    """The product's step on `data`, batch by batch, by the run's defaults of the family."""
    AcceleratorState._reset_state(reset_partial_state=True)
    config = TrainConfig(output_dir="unused", cpu=True).of(family)
    accelerator = Accelerator(cpu=True)
    optimizers = make_optimizers(family, config, networks=networks, accelerator=accelerator)
    set_learning_rates(optimizers, family, config, factor=1.0)
    state = RunState(networks=networks, optimizers=optimizers, averages={}, pools={})
    helpers = family.make_helpers()
    stepper = Stepper(family, config, accelerator=accelerator, wrapped=networks, state=state, helpers=helpers)
    logs, stream = NoLogs(), iter(data)
    torch.manual_seed(3)  # of the styles
    for _ in data:
        stepper.step(stream, logs)
    return logs.terms, helpers


def judged(discriminator, fake, real, map):
    """(logits, stages before them) of each of two scales, of fakes and targets, which are one batch."""
    seen = torch.cat([torch.cat([map, fake], 1), torch.cat([map, real], 1)])
    found = []
    for scale, judge in enumerate(discriminator.judges):
        x = F.avg_pool2d(seen, 3, stride=2, padding=1, count_include_pad=False) if scale else seen
        stages = []
        for layer in judge.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                stages.append(x)
        found.append((x, stages))
    assert len(found) == 2
    return found


@pytest.mark.parametrize("latent", [0, 6])
def test_spade_steps_as_the_paper_does(tmp_path, latent):
    """The generator (with the encoder) first, by hinge, 10 · matching, 10 · perceptual and 0.05 · KL; then the
    discriminator, not halved, on a fake made anew in training mode; fakes and targets in one batch both times."""
    family = Spade(latent=latent, perceptual=str(tiny_vgg19(tmp_path / "vgg.pth")))
    networks, plain = build(family)
    data = batches(STEPS)
    terms, helpers = run(family, networks, data)

    g, d, e = plain["generator"], plain["discriminator"], plain.get(STYLE_ENCODER)
    learning = [*g.parameters(), *(e.parameters() if e is not None else [])]
    optimizer_g = torch.optim.Adam(learning, lr=1e-4, betas=(0.0, 0.9))
    optimizer_d = torch.optim.Adam(d.parameters(), lr=4e-4, betas=(0.0, 0.9))

    def fake_and_divergence(batch):
        if e is None:
            return g(batch["source"]), 0.0
        mean, log_variance = e(batch["target"])
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
        return g(batch["source"], latent=z), divergence

    torch.manual_seed(3)
    expected = []
    for batch in data:
        real, map = batch["target"], batch["source"]
        fake, divergence = fake_and_divergence(batch)
        scales = judged(d, fake, real, map)
        adversarial = sum(-logits[:2].mean() for logits, _ in scales) / 2
        matching = sum((stage[:2] - stage[2:].detach()).abs().mean() for _, stages in scales for stage in stages) / 2
        perceptual = helpers["perceptual"](fake, real)
        optimizer_g.zero_grad()
        (adversarial + 10 * matching + 10 * perceptual + 0.05 * divergence).backward()
        optimizer_g.step()
        expected.append(adversarial.item())

        with torch.no_grad():
            fake, _ = fake_and_divergence(batch)
        scales = judged(d, fake, real, map)
        loss = sum((1 + logits[:2]).clamp(min=0).mean() + (1 - logits[2:]).clamp(min=0).mean() for logits, _ in scales)
        optimizer_d.zero_grad()
        (loss / 2).backward()
        optimizer_d.step()

    assert [phase for phase, _ in terms] == ["generator", "discriminator"] * STEPS
    assert [found["adversarial"][0] for phase, found in terms if phase == "generator"] == pytest.approx(expected)
    for name, reference in plain.items():  # weights, batch norm's averages, spectral norm's vectors
        others = reference.state_dict()
        for key, value in networks[name].state_dict().items():
            torch.testing.assert_close(value, others[key], rtol=0, atol=1e-6, msg=f"{name}.{key}")
    if latent:
        moved = build(family)[0][STYLE_ENCODER].state_dict()
        learnt = networks[STYLE_ENCODER].state_dict()
        assert all((learnt[key] - moved[key]).abs().max() > 1e-5 for key in ("mean.weight", "log_variance.weight"))


def test_the_benchmark_compares_with_a_step_that_does_the_same():
    family = Spade(perceptual="none")
    networks, copies = build(family)
    data = batches(STEPS)
    run(family, networks, data)
    plain = plain_generator(copies["generator"]), plain_discriminator(copies["discriminator"])
    step = PlainStep(*plain)
    for batch in data:
        step(batch)
    for name, reference in zip(("generator", "discriminator"), plain, strict=True):
        others = reference.state_dict()
        for key, value in networks[name].state_dict().items():
            torch.testing.assert_close(value, others[key], rtol=0, atol=1e-6, msg=f"{name}.{key}")


def test_defaults_are_the_papers_and_its_authors():
    family = Spade()
    with torch.device("meta"):
        made = family.build(Architecture(), in_channels=184, out_channels=3, image_size=256)
        styled = Spade(latent=256).build(Architecture(), in_channels=184, out_channels=3, image_size=256)
    assert made["generator"].parameter_count == 97_480_899
    assert made["discriminator"].parameter_count == 5_904_514
    assert made.keys() == {"generator", "discriminator"}
    assert styled[STYLE_ENCODER].parameter_count == 10_463_424
    assert (styled["generator"].config["latent"], styled["generator"].config["latent_side"]) == (256, 8)
    assert (family.adversarial_loss, family.lambda_kl) == ("hinge", 0.05)
    assert (family.lambda_feature_matching, family.lambda_perceptual, family.perceptual) == (10, 10, "vgg19")
    config = TrainConfig(output_dir="x").of(family)
    assert (config.learning_rate, config.discriminator_learning_rate) == (1e-4, 4e-4)
    assert (config.adam_beta1, config.adam_beta2) == (0.0, 0.9)
    assert (config.num_epochs, config.decay_epochs) == (200, 100)


def test_discriminator_is_of_instance_norm_and_begins_as_the_generator_does():
    networks = Spade().build(Architecture(width=16, norm="batch"), in_channels=4, out_channels=3, image_size=64)
    discriminator = networks["discriminator"]
    assert discriminator.config["norm"] == "instance"
    convolutions = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d)]
    assert [is_parametrized(layer) for layer in convolutions] == [False, True, True, True, False] * 2
    for layer in convolutions[1:4]:
        weight = layer.parametrizations.weight.original
        wanted = 0.02 * (2 / (16 * (weight.shape[0] + weight.shape[1]))) ** 0.5
        assert weight.std().item() == pytest.approx(wanted, rel=0.1)


def test_kl_is_what_keeps_styles_near_the_normal_distribution():
    """Its weight reaches the sum; without it nothing holds the encoder."""
    networks, _ = build(Spade(latent=6, perceptual="none"))
    (batch,) = batches(1)
    for weight in (0.0, 2.0):
        family = Spade(latent=6, perceptual="none", lambda_kl=weight)
        terms = family.generator_loss(dict(networks), batch, Outputs(keep_graph=False, pools={}))
        assert terms["kl"][1] == weight
        assert terms["kl"][0] > 0


def test_without_styles_no_encoder_is_made_trained_or_promised():
    plain, styled = Spade(), Spade(latent=4)
    assert [way.auxiliaries for way in plain.directions] == [()]
    assert [way.auxiliaries for way in styled.directions] == [(STYLE_ENCODER,)]
    assert plain.phases[0].trains == ("generator",)
    assert styled.phases[0].trains == ("generator", STYLE_ENCODER)


@pytest.mark.parametrize(
    ("knobs", "architecture", "size", "says"),
    [
        ({"latent": -1}, {}, 64, "--latent is the length of the style vector, 0 for none, got -1"),
        ({}, {}, 80, "--image_size 80 does not fit the generator, which needs a multiple of 32 and at least 64"),
        ({"latent": 4}, {"depth": "most"}, 64, "needs a multiple of 128 and at least 256"),
        ({}, {"depth": "deep"}, 64, "depth must be 'normal', 'more' or 'most', got 'deep'"),
        ({}, {"norm": "none"}, 64, "norm must be 'batch' or 'instance' in a SPADE generator, got 'none'"),
    ],
)
def test_what_does_not_fit_together_is_refused(knobs, architecture, size, says):
    with pytest.raises(ValueError, match=says):
        Spade(**knobs).build(Architecture(width=4, **architecture), in_channels=3, out_channels=3, image_size=size)


def test_a_run_publishes_the_encoder_beside_the_generator_and_asks_for_running_averages(start):
    folder = start(Spade(latent=4, perceptual="none"), "run", max_steps=1)
    generator = Network.from_pretrained(folder)
    assert isinstance(generator, SpadeGenerator)
    assert (generator.latent, generator.latent_side) == (4, 2)
    assert isinstance(Network.from_pretrained(folder / "training" / STYLE_ENCODER), StyleEncoder)
    settings = json.loads((folder / "translation.json").read_text())
    assert settings["norm_statistics"] == "running"
    assert settings["resize"] == "fit"
    assert '`style="photo.jpg"` takes that of a photo' in (folder / "README.md").read_text()
