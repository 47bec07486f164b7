"""The knobs beside the papers' objectives: each one's number by hand, what it leaves alone, who learns from whom."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from img2img_hub import CycleGAN, Pix2Pix
from img2img_hub.families import Outputs
from img2img_hub.families.options import Architecture
from img2img_hub.objectives.losses import adversarial
from tests.test_families import NoLogs, adam, batches, build, run

FAMILIES = [Pix2Pix, CycleGAN]


class Slopes(nn.Module):
    """A linear discriminator of single pixels, whose numbers can be had by hand; it remembers what it was shown."""

    def __init__(self, *slopes):
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor(slopes))
        self.shown = []

    def forward(self, image):
        self.shown.append(image.detach())
        return (image * self.slopes[:, None, None]).sum(dim=1, keepdim=True)


class Constant(nn.Module):
    """A generator of one colour."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, image):
        return self.value.expand_as(image)


def by_hand(family, *, size=2):
    """Networks of known numbers: sources of 0.5 (batch) and fakes of −1, targets of 0.25, slope 2 on what is judged."""
    if family.paired:
        networks = {"generator": Constant(-1.0), "discriminator": Slopes(3.0, 2.0)}
    else:
        networks = {name: Constant(-1.0) for name in ("source2target", "target2source")}
        networks |= {f"discriminator_{side}": Slopes(2.0) for side in ("target", "source")}
    batch = {"source": torch.full((1, 1, size, size), 0.5), "target": torch.full((1, 1, size, size), 0.25)}
    return networks, batch


def outputs(family, *, keep_graph=False):
    return Outputs(keep_graph=keep_graph, pools=family.make_pools(seed=0))


@pytest.mark.parametrize("family", FAMILIES)
def test_label_smoothing_is_the_discriminators_and_of_real_images_only(family):
    family = family(adversarial_loss="lsgan", label_smoothing=0.2)
    networks, batch = by_hand(family)
    made = outputs(family)
    terms = family.discriminator_loss(networks, batch, made)
    condition = 1.5 if family.paired else 0.0  # 3 · 0.5
    end = "" if family.paired else "_target"
    assert terms[f"real{end}"][0].item() == pytest.approx((condition + 2 * 0.25 - 0.8) ** 2)
    assert terms[f"fake{end}"][0].item() == pytest.approx((condition - 2) ** 2)
    generator = family.generator_loss(networks, batch, made)
    assert generator[f"adversarial{end}"][0].item() == pytest.approx((condition - 2 - 1) ** 2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "share"), [("vanilla", 0.5), ("lsgan", 0.5), ("wgangp", 1.0), ("hinge", 1.0)])
def test_r1_is_the_gradient_by_the_judged_image_alone(family, kind, share):
    """Slope 2 on 4 pixels, of which D is the mean: 4 · (2 / 4)²; the 3 of a pair's source has no part in it. λ / 2 of
    it stands beside real + fake, and is halved with them."""
    family = family(adversarial_loss=kind, lambda_r1=10.0)
    networks, batch = by_hand(family)
    terms = family.discriminator_loss(networks, batch, outputs(family))
    value, weight = terms["r1" if family.paired else "r1_target"]
    assert (value.item(), weight) == (pytest.approx(1.0), share * 5)
    assert terms["real" if family.paired else "real_source"][1] == share
    assert not any(image.requires_grad for image in batch.values()), "the batch is left as it was"


def test_who_differentiates_twice_cannot_have_compiled_discriminators():
    assert Pix2Pix(lambda_r1=0.1).differentiates_twice
    assert CycleGAN(adversarial_loss="wgangp").differentiates_twice
    assert not Pix2Pix(label_smoothing=0.1, diff_augment="color").differentiates_twice


@pytest.mark.parametrize("family", FAMILIES)
def test_diff_augment_changes_all_that_discriminators_see_and_nothing_else(family):
    torch.manual_seed(0)
    family = family(diff_augment="cutout")
    networks, batch = by_hand(family, size=16)
    plain, made = {name: tensor.clone() for name, tensor in batch.items()}, outputs(family)
    terms = family.discriminator_loss(networks, batch, made) | family.generator_loss(networks, batch, made)
    critics = [network for name, network in networks.items() if name.startswith("discriminator")]
    for critic in critics:
        shown = torch.cat(critic.shown)
        assert len(shown) == 3, "fake and real, and the generator's fake"
        holes = shown[:, -1] == 0
        assert (holes.flatten(1).sum(dim=1) > 0).all()
        assert not any(torch.equal(holes[i], holes[j]) for i, j in ((0, 1), (1, 2), (0, 2))), "each its own draw"
        assert ((shown[:, 0] == 0) == holes).all(), "a pair's source with it"
    if family.paired:
        assert terms["l1"][0].item() == pytest.approx(1.25)
    else:
        assert terms["identity_target"][0].item() == pytest.approx(1.25)
        assert (made.pools["target"].images[0] == -1).all(), "the pool keeps the whole fake"
    assert all(torch.equal(tensor, plain[name]) for name, tensor in batch.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_two_discriminator_updates_per_step_as_written_plainly(family):
    """The second on a batch of its own, on which pix2pix's generator then learns too. CycleGAN's discriminators learn
    first from the fakes that the generators made before they changed."""
    family = family(critic_steps=2, adversarial_loss="lsgan", **({} if family.paired else {"pool_size": 0}))
    networks, plain = build(family)
    data = batches(6)
    run(family, networks, data)

    phases = {phase.name: (phase.loss, adam(*(plain[name] for name in phase.trains))) for phase in family.phases}

    def update(name, batch, fakes=None):
        loss, optimizer = phases[name]
        made = outputs(family)
        made.fakes.update(fakes or {})
        optimizer.zero_grad()
        sum(value * weight for value, weight in loss(plain, batch, made).values()).backward()
        optimizer.step()
        return made.fakes

    for first, second in zip(data[::2], data[1::2], strict=True):
        if family.paired:
            update("discriminator", first)
            update("discriminator", second)
            update("generator", second)
        else:
            fakes = update("generator", first)
            update("discriminator", first, fakes)
            update("discriminator", second)
    for name, network in networks.items():  # a batch norm's averages count how often a fake was computed
        for ours, reference in zip(network.parameters(), plain[name].parameters(), strict=True):
            assert torch.allclose(ours, reference, atol=1e-6), name


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Pix2Pix(label_smoothing=0.5), r"--label_smoothing must be in \[0, 0.5\), got 0.5"),
        (lambda: CycleGAN(label_smoothing=-0.1), "--label_smoothing"),
        (lambda: Pix2Pix(label_smoothing=float("nan")), "--label_smoothing"),
        (lambda: CycleGAN(label_smoothing=0.1, adversarial_loss="wgangp"), "--adversarial_loss wgangp, which has no"),
        (lambda: Pix2Pix(label_smoothing=0.1, adversarial_loss="hinge"), "--adversarial_loss hinge, which has no"),
        (lambda: Pix2Pix(lambda_r1=-1.0), "--lambda_r1"),
        (lambda: CycleGAN(diff_augment="blur"), "--diff_augment takes some of color, translation, cutout"),
    ],
)
def test_knobs_that_cannot_work_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# --- who learns from whom ---------------------------------------------------------------------------------------------

KNOBS = {
    "default": {},
    "multiscale": {"discriminator": "multiscale"},
    "diff_augment": {"diff_augment": "color,translation,cutout"},
    "r1": {"lambda_r1": 10.0},
    "wgangp": {"adversarial_loss": "wgangp", "critic_steps": 2},
    "all": {
        "discriminator": "multiscale",
        "diff_augment": "color,translation,cutout",
        "lambda_r1": 10.0,
        "label_smoothing": 0.1,
        "critic_steps": 2,
        "adversarial_loss": "lsgan",
    },
}


class Watch(NoLogs):
    """After each phase's backward: what it trains has gradients, and nothing else has."""

    def __init__(self, family, networks):
        super().__init__()
        self.phases = {phase.name: phase for phase in family.phases}
        self.networks = networks

    def add(self, phase, terms):
        super().add(phase, terms)
        for name, network in self.networks.items():
            for key, parameter in network.named_parameters():
                if name in self.phases[phase].trains:
                    assert parameter.grad is not None, f"{name}.{key} does not learn in the phase {phase}"
                    assert parameter.grad.isfinite().all()
                else:
                    assert parameter.grad is None, f"the phase {phase} leaks into {name}.{key}"


@pytest.mark.parametrize("knobs", KNOBS.values(), ids=KNOBS)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_phase_leaks_into_the_networks_of_another(family, knobs):
    family = family(**knobs)
    torch.manual_seed(0)
    multiscale = {"discriminator_scales": 2} if family.discriminator == "multiscale" else {}
    architecture = Architecture(width=4, discriminator_layers=1, **multiscale)
    networks = family.build(architecture, in_channels=3, out_channels=3, image_size=16)
    for network in networks.values():
        network.double()
    watch = Watch(family, networks)
    run(family, networks, batches(2 * family.discriminator_repeats), logs=watch)
    assert len(watch.terms) == 2 * (1 + family.discriminator_repeats)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_discriminators_phase_can_run_alone(family):
    """As a missing discriminator is warmed up: generators stay as they are, spend no memory on a graph, and pools begin
    to fill."""
    family = family()
    networks, _ = build(family)
    generators = {name: copy.deepcopy(networks[name]) for name in family.published.values()}
    graphs = []
    for name in generators:
        networks[name].register_forward_hook(lambda _, inputs, fake: graphs.append(fake.requires_grad))
    phase = next(phase for phase in family.phases if phase.name == "discriminator")
    made = outputs(family)
    terms = phase.loss(dict(networks), batches(1)[0], made)
    sum(value * weight for value, weight in terms.values()).backward()
    assert graphs == [False] * len(generators)
    for name, before in generators.items():
        assert all(p.grad is None for p in networks[name].parameters())
        parameters = zip(networks[name].parameters(), before.parameters(), strict=True)
        assert all(torch.equal(now, then) for now, then in parameters)
    assert all(p.grad is not None for name in phase.trains for p in networks[name].parameters())
    assert [len(pool.images) for pool in made.pools.values()] == [1] * len(made.pools)


def test_without_knobs_pix2pix_is_bit_for_bit_what_it_was():
    """Terms and gradients of both phases, in single precision with batch norm."""
    torch.manual_seed(0)
    family = Pix2Pix()
    architecture = Architecture(width=4, discriminator_layers=1, dropout=0.0)
    networks = family.build(architecture, in_channels=3, out_channels=3, image_size=32)
    plain = copy.deepcopy(networks)
    batch = {name: torch.rand(2, 3, 32, 32) * 2 - 1 for name in ("source", "target")}
    made = outputs(family, keep_graph=True)
    state = torch.get_rng_state()
    ours = [family.discriminator_loss(networks, batch, made), family.generator_loss(networks, batch, made)]
    assert torch.equal(torch.get_rng_state(), state), "nothing is drawn"

    fake = plain["generator"](batch["source"])
    pairs = [torch.cat([batch["source"], image], dim=1) for image in (fake.detach(), batch["target"], fake)]
    logits = [plain["discriminator"](pair) for pair in pairs]
    losses = [adversarial(x, real=real, kind="vanilla") for x, real in zip(logits, (False, True, True), strict=True)]
    theirs = [
        {"fake": (losses[0], 0.5), "real": (losses[1], 0.5)},
        {"adversarial": (losses[2], 1.0), "l1": (F.l1_loss(fake, batch["target"]), 100.0)},
    ]
    for nets, phases in ((networks, ours), (plain, theirs)):
        for terms, name in zip(phases, ("discriminator", "generator"), strict=True):
            total = torch.stack([value * weight for value, weight in terms.values()]).sum()
            total.backward(inputs=list(nets[name].parameters()), retain_graph=True)
    for mine, reference in zip(ours, theirs, strict=True):
        assert list(mine) == list(reference)
        assert all(torch.equal(mine[key][0], reference[key][0]) for key in mine)
    for name, network in networks.items():
        pairs = zip(network.parameters(), plain[name].parameters(), strict=True)
        assert all(torch.equal(one.grad, other.grad) for one, other in pairs)
        assert all(torch.equal(value, plain[name].state_dict()[key]) for key, value in network.state_dict().items())
