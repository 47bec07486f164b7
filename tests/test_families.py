"""The papers' steps, against the same written out plainly: order, freezing, weights, what each optimizer holds."""

import copy
from dataclasses import fields, replace
from typing import get_args

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.nn import functional as F

from img2img_hub import CycleGAN, Pix2Pix
from img2img_hub.families import Outputs
from img2img_hub.families.options import Architecture
from img2img_hub.networks import GENERATORS
from img2img_hub.training.loop import Stepper
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.state.checkpoints import RunState
from tests.families import PACKAGED, in_channels, tiny

SMALL = Architecture(width=4, discriminator_layers=1, dropout=0.0)
STEPS = 3


class NoLogs:
    """Takes note of the terms, by phase."""

    def __init__(self):
        self.terms = []

    def add(self, phase, terms):
        self.terms.append((phase, {name: value.item() for name, (value, _) in terms.items()}))


def batches(count, size=1, side=16):
    generator = torch.Generator().manual_seed(5)
    return [
        {
            name: torch.rand(size, 3, side, side, generator=generator, dtype=torch.float64) * 2 - 1
            for name in ("source", "target")
        }
        for _ in range(count)
    ]


def run(family, networks, data, *, logs=None, **config):
    """The product's step on `data`, batch by batch."""
    AcceleratorState._reset_state(reset_partial_state=True)
    settings = TrainConfig(output_dir="unused", cpu=True, **config).of(family)
    accelerator = Accelerator(cpu=True)
    optimizers = {
        phase.name: accelerator.prepare(
            torch.optim.Adam(
                [p for name in phase.trains for p in networks[name].parameters()], lr=2e-4, betas=(0.5, 0.999)
            )
        )
        for phase in family.phases
    }
    state = RunState(networks=networks, optimizers=optimizers, averages={}, pools=family.make_pools(seed=0))
    helpers = family.make_helpers()
    stepper = Stepper(family, settings, accelerator=accelerator, wrapped=networks, state=state, helpers=helpers)
    logs = logs or NoLogs()
    stream = iter(data)
    per_step = settings.gradient_accumulation_steps * (1 + sum(phase.repeats - 1 for phase in family.phases))
    for _ in range(len(data) // per_step):
        stepper.step(stream, logs)  # type: ignore[arg-type]
    assert next(stream, None) is None, "a repeat of a phase takes a fresh batch, and nothing else does"
    return logs


def adam(*networks):
    return torch.optim.Adam([p for network in networks for p in network.parameters()], lr=2e-4, betas=(0.5, 0.999))


def assert_same_weights(networks, reference):
    for name in reference:
        others = reference[name].state_dict()
        for key, value in networks[name].state_dict().items():
            assert torch.allclose(value, others[key], atol=1e-6), f"{name}.{key}"


def differ(network, other):
    theirs = other.state_dict()
    return any(not torch.allclose(value, theirs[key], atol=1e-6) for key, value in network.state_dict().items())


def build(family):
    """Small networks and a copy, in double precision: Adam turns the rounding noise of a gradient that should be zero
    into steps. CycleGAN without norms, for before an instance norm a bias has no other gradient. Its weights are larger
    than the papers', with which a network without norms gives nearly zero whatever it is shown."""
    torch.manual_seed(0)
    architecture = replace(SMALL, norm=None if family.paired else "none")
    networks = family.build(architecture, in_channels=3, out_channels=3, image_size=16)
    for network in networks.values():
        network.train().double()
        if not family.paired:
            for parameter in network.parameters():
                parameter.data.mul_(4)
    return networks, copy.deepcopy(networks)


def test_pix2pix_steps_as_the_paper_does():
    """Discriminator first on a detached fake, ½ (real + fake); then the generator against the updated discriminator
    with the same fake: cross-entropy + 100 · L1."""
    family = Pix2Pix()
    networks, plain = build(family)
    data = batches(STEPS)
    logs = run(family, networks, data)

    g, d = plain["generator"], plain["discriminator"]
    optimizer_g, optimizer_d = adam(g), adam(d)
    bce = F.binary_cross_entropy_with_logits
    for batch in data:
        fake = g(batch["source"])
        fake_logits = d(torch.cat([batch["source"], fake.detach()], 1))
        real_logits = d(torch.cat([batch["source"], batch["target"]], 1))
        loss_d = 0.5 * (
            bce(fake_logits, torch.zeros_like(fake_logits)) + bce(real_logits, torch.ones_like(real_logits))
        )
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        logits = d(torch.cat([batch["source"], fake], 1))
        loss_g = bce(logits, torch.ones_like(logits)) + 100 * (fake - batch["target"]).abs().mean()
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()

    assert [phase for phase, _ in logs.terms] == ["discriminator", "generator"] * STEPS
    assert_same_weights(networks, plain)


def test_cyclegan_steps_as_the_paper_does():
    """Both generators first in one step: least squares, 10 · cycle, 5 · identity; then both discriminators, each
    halved, on fakes from their pools."""
    family = CycleGAN(pool_size=2)
    networks, plain = build(family)
    data = batches(STEPS + 2)
    run(family, networks, data)

    g, f = plain["source2target"], plain["target2source"]
    d_target, d_source = plain["discriminator_target"], plain["discriminator_source"]
    optimizer_g, optimizer_d = adam(g, f), adam(d_target, d_source)
    pools = family.make_pools(seed=0)
    for batch in data:
        a, b = batch["source"], batch["target"]
        for d in (d_target, d_source):
            d.requires_grad_(False)
        fake_b, fake_a = g(a), f(b)
        loss = (d_target(fake_b) - 1).square().mean() + (d_source(fake_a) - 1).square().mean()
        loss = loss + 10 * (f(fake_b) - a).abs().mean() + 10 * (g(fake_a) - b).abs().mean()
        loss = loss + 5 * (g(b) - b).abs().mean() + 5 * (f(a) - a).abs().mean()
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        for d in (d_target, d_source):
            d.requires_grad_(True)
        optimizer_d.zero_grad()
        for d, real, fake, name in ((d_target, b, fake_b, "target"), (d_source, a, fake_a, "source")):
            old = pools[name].query(fake)
            (0.5 * ((d(real) - 1).square().mean() + d(old).square().mean())).backward()
        optimizer_d.step()

    assert_same_weights(networks, plain)


@pytest.mark.parametrize(
    ("family", "weights"),
    [
        (Pix2Pix(), [{"fake": 0.5, "real": 0.5}, {"adversarial": 1, "l1": 100}]),
        (
            Pix2Pix(adversarial_loss="wgangp", lambda_l1=7),
            [{"fake": 1, "real": 1, "penalty": 10}, {"adversarial": 1, "l1": 7}],
        ),
        (
            Pix2Pix(adversarial_loss="hinge"),
            [{"fake": 1, "real": 1}, {"adversarial": 1, "l1": 100}],
        ),
        (
            CycleGAN(),
            [{"adversarial": 1, "cycle": 10, "identity": 5}, {"fake": 0.5, "real": 0.5}],
        ),
        (
            CycleGAN(adversarial_loss="wgangp", lambda_identity=0, lambda_gp=3),
            [{"adversarial": 1, "cycle": 10}, {"fake": 1, "real": 1, "penalty": 3}],
        ),
    ],
)
def test_terms_carry_the_papers_weights(family, weights):
    """Adam hardly sees the scale of a phase's sum, so the steps above do not tell whether it is halved."""
    networks, _ = build(family)
    outputs = Outputs(keep_graph=True, pools=family.make_pools(seed=0))
    for phase, expected in zip(family.phases, weights, strict=True):
        terms = phase.loss(dict(networks), batches(1)[0], outputs)
        found = {name: weight for name, (_, weight) in terms.items()}
        if not family.paired:
            expected = {f"{term}_{side}": weight for term, weight in expected.items() for side in ("source", "target")}
        assert found == expected


def test_with_hinge_the_generator_learns_from_the_mean_and_the_discriminator_within_its_margin():
    family = Pix2Pix(adversarial_loss="hinge", lambda_l1=0)
    networks, _ = build(family)
    (batch,) = batches(1)
    with torch.no_grad():
        pair = torch.cat([batch["source"], networks["generator"](batch["source"])], 1)
        logits = networks["discriminator"](pair)
    outputs = Outputs(keep_graph=False, pools={})
    terms = family.discriminator_loss(dict(networks), batch, outputs)
    assert torch.allclose(terms["fake"][0], F.relu(1 + logits).mean())
    assert torch.allclose(family.generator_loss(dict(networks), batch, outputs)["adversarial"][0], -logits.mean())


@pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN()], ids=lambda family: family.name)
def test_the_generator_phase_leaves_the_discriminators_alone(family):
    networks, before = build(family)
    phases = {phase.name: phase for phase in family.phases}
    for name in phases["generator"].freezes:
        assert name not in phases["generator"].trains
    run(family, networks, batches(1))
    leaked = [
        name for name in phases["generator"].freezes if any(not p.requires_grad for p in networks[name].parameters())
    ]
    assert not leaked, "frozen for the phase only"
    for name, network in networks.items():
        assert differ(network, before[name]), f"{name} is never trained"


@pytest.mark.parametrize("family", [Pix2Pix, CycleGAN])
def test_wgangp_applies_its_penalty_and_takes_five_critic_steps_on_fresh_batches(family):
    family = family(adversarial_loss="wgangp")
    networks, _ = build(family)
    logs = run(family, networks, batches(10))
    assert [phase for phase, _ in logs.terms].count("discriminator") == 10
    assert [phase for phase, _ in logs.terms].count("generator") == 2
    critic_terms = [terms for phase, terms in logs.terms if phase == "discriminator"]
    assert all(value > 0 for terms in critic_terms for name, value in terms.items() if name.startswith("penalty"))
    reals = [terms["real" if family.paired else "real_target"] for terms in critic_terms]
    assert len(set(reals)) == 10, "fresh batches"
    # the penalty moves the critic
    unpenalised, _ = build(family)
    run(type(family)(adversarial_loss="wgangp", lambda_gp=0.0), unpenalised, batches(10))
    name = family.phases[0].freezes[0] if family.phases[0].freezes else "discriminator"
    assert differ(networks[name], unpenalised[name])


def test_fakes_of_a_fresh_batch_come_from_the_right_generator():
    family = CycleGAN(adversarial_loss="wgangp", pool_size=0)
    networks, _ = build(family)
    (batch,) = batches(1)
    terms = family.discriminator_loss(dict(networks), batch, Outputs(keep_graph=False, pools=family.make_pools(seed=0)))
    for generator, start, end in (("source2target", "source", "target"), ("target2source", "target", "source")):
        judged = networks[f"discriminator_{end}"](networks[generator](batch[start])).mean()
        assert torch.allclose(terms[f"fake_{end}"][0], judged)


def test_wgangp_has_no_batch_norm_in_the_critic():
    with pytest.raises(ValueError, match="--discriminator_norm instance or none"):
        Pix2Pix(adversarial_loss="wgangp").build(
            Architecture(discriminator_norm="batch"), in_channels=3, out_channels=3, image_size=16
        )
    made = Pix2Pix(adversarial_loss="wgangp").build(SMALL, in_channels=3, out_channels=3, image_size=16)
    assert made["discriminator"].config["norm"] == "instance"


@pytest.mark.parametrize("family", [Pix2Pix(), CycleGAN(pool_size=3)], ids=lambda family: family.name)
def test_accumulation_equals_the_larger_batch(family):
    """With norms that do not look at batch-mates."""
    architecture = Architecture(width=4, discriminator_layers=1, dropout=0.0, norm="none")
    torch.manual_seed(0)
    networks = family.build(architecture, in_channels=3, out_channels=3, image_size=16)
    for network in networks.values():
        network.double()
    whole = copy.deepcopy(networks)
    large = batches(3, size=2)
    small = [
        {name: tensor[index : index + 1] for name, tensor in batch.items()} for batch in large for index in range(2)
    ]
    run(family, whole, large)
    run(family, networks, small, gradient_accumulation_steps=2)
    assert_same_weights(networks, whole)


def test_defaults_are_the_papers():
    pix2pix, cyclegan = Pix2Pix(), CycleGAN()
    assert (pix2pix.adversarial_loss, pix2pix.lambda_l1, pix2pix.generator) == ("vanilla", 100.0, "unet")
    assert (cyclegan.adversarial_loss, cyclegan.lambda_cycle, cyclegan.lambda_identity) == ("lsgan", 10.0, 0.5)
    assert (cyclegan.pool_size, cyclegan.generator) == (50, "resnet")
    with torch.device("meta"):
        made = pix2pix.build(Architecture(), in_channels=3, out_channels=3, image_size=256)
        other = cyclegan.build(Architecture(), in_channels=3, out_channels=3, image_size=256)
    assert made["generator"].parameter_count == 54_413_955
    assert made["discriminator"].parameter_count == 2_768_705
    assert (made["generator"].config["norm"], made["generator"].config["dropout"]) == ("batch", 0.5)
    assert other["source2target"].parameter_count == 11_378_179
    assert other["discriminator_source"].config == other["discriminator_target"].config
    assert (other["discriminator_source"].config["in_channels"], other["source2target"].config["norm"]) == (
        3,
        "instance",
    )


def choices(family, name):
    """The networks that a family takes; others are refused by it."""
    return get_args(next(item.type for item in fields(family) if item.name == name))


@pytest.mark.parametrize(
    ("family", "generator", "discriminator"),
    [
        (family, generator, discriminator)
        for family in PACKAGED
        for generator in choices(family, "generator")
        for discriminator in choices(family, "discriminator")
    ],
)
def test_any_generator_and_discriminator_fit_any_family_that_takes_them(family, generator, discriminator):
    kind = GENERATORS[generator]
    family = tiny(family, generator=generator, discriminator=discriminator)
    networks = family.build(Architecture(width=2), in_channels=in_channels(family), out_channels=3, image_size=96)
    assert isinstance(networks[next(iter(family.published.values()))], kind)
    outputs = Outputs(keep_graph=True, pools=family.make_pools(seed=0))
    side = 96 * next(slot.scale for slot in family.slots if slot.name == "target")
    batch = {"source": torch.zeros(2, in_channels(family), 96, 96), "target": torch.zeros(2, 3, side, side)}
    batch = family.prepare(batch)
    for phase in family.phases:
        terms = phase.loss(dict(networks), batch, outputs)
        assert all(value.ndim == 0 and value.isfinite() for value, _ in terms.values())


@pytest.mark.parametrize(("image_size", "levels"), [(16, 4), (96, 5), (128, 7), (256, 8), (512, 8)])
def test_unet_depth_follows_the_image_size(image_size, levels):
    with torch.device("meta"):
        channels = {"in_channels": 3, "out_channels": 3}
        made = Pix2Pix().build(Architecture(discriminator_layers=1), **channels, image_size=image_size)
        given = Pix2Pix().build(Architecture(levels=3, discriminator_layers=1), **channels, image_size=image_size)
    assert made["generator"].config["levels"] == levels
    assert given["generator"].config["levels"] == 3


@pytest.mark.parametrize(
    ("family", "architecture", "size", "says"),
    [
        (Pix2Pix(), {}, 100, "halved only 2 times"),
        (Pix2Pix(), {"levels": 8}, 128, "--image_size 128 does not fit the generator, which needs a multiple of 256"),
        (
            Pix2Pix(),
            {"blocks": 3},
            64,
            "--blocks belongs to --generator resnet or coarse_to_fine, but --generator is unet",
        ),
        (CycleGAN(), {"levels": 3}, 64, "--levels belongs to --generator unet"),
        (
            Pix2Pix(discriminator="pixel"),
            {"discriminator_layers": 2},
            64,
            "--discriminator_layers belongs to --discriminator patch or multiscale",
        ),
        (CycleGAN(), {}, 30, "multiple of 4"),
        (CycleGAN(), {}, 16, "--image_size 16 is too small for the discriminator, which needs 24 pixels"),
        (Pix2Pix(), {"discriminator_layers": 5}, 64, "fewer --discriminator_layers$"),
        (Pix2Pix(discriminator="multiscale"), {}, 64, "needs 93 pixels .* fewer --discriminator_layers or --discrim"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(family, architecture, size, says):
    with pytest.raises(ValueError, match=says):
        family.build(Architecture(**architecture), in_channels=3, out_channels=3, image_size=size)


def test_the_identity_loss_needs_equal_channels():
    with pytest.raises(ValueError, match="--lambda_identity 0"):
        CycleGAN().build(SMALL, in_channels=3, out_channels=1, image_size=16)
    made = CycleGAN(lambda_identity=0).build(SMALL, in_channels=3, out_channels=1, image_size=16)
    assert (made["target2source"].in_channels, made["target2source"].out_channels) == (1, 3)


def test_discriminator_width_follows_width_unless_given():
    both = Pix2Pix().build(Architecture(width=4), in_channels=3, out_channels=3, image_size=32)
    assert both["discriminator"].config["width"] == 4
    one = Pix2Pix().build(Architecture(width=4, discriminator_width=8), in_channels=3, out_channels=3, image_size=32)
    assert (one["generator"].config["width"], one["discriminator"].config["width"]) == (4, 8)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Pix2Pix(lambda_l1=-1), "--lambda_l1"),
        (lambda: CycleGAN(lambda_cycle=float("nan")), "--lambda_cycle"),
        (lambda: CycleGAN(pool_size=-1), "--pool_size must be 0 or more, got -1"),
        (lambda: Pix2Pix(critic_steps=0), "--critic_steps"),
        (lambda: Pix2Pix(adversarial_loss="bce"), "--adversarial_loss must be one of vanilla, lsgan, wgangp, hinge"),
    ],
)
def test_knobs_that_cannot_work_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize("kind", ["patch", "pixel"])
@pytest.mark.parametrize("layers", [1, 3, 5])
def test_a_discriminator_of_its_smallest_image_still_judges(kind, layers):
    architecture = Architecture(width=2, discriminator_layers=layers if kind == "patch" else None)
    family = CycleGAN(discriminator=kind)
    smallest = 3 * 2**layers if kind == "patch" else 16
    made = family.make_discriminator(architecture, in_channels=3, image_size=smallest)
    assert made.train()(torch.randn(1, 3, smallest, smallest)).numel() >= 1
