"""The objectives against the papers' formulas written out, on one and on several scales, and the pool's rule."""

import math

import pytest
import torch

from img2img_hub.objectives.losses import (
    ImagePool,
    adversarial,
    feature_matching,
    fooling,
    gradient_penalty,
    kl,
    r1_penalty,
)

LOGITS = torch.tensor([[-2.0, 0.5], [3.0, 0.0]])


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_losses_are_their_formulas(real):
    flat = LOGITS.flatten().tolist()
    sign = 1 if real else -1
    cross_entropy = sum(math.log(1 + math.exp(-sign * x)) for x in flat) / 4
    least_squares = sum((x - real) ** 2 for x in flat) / 4
    assert adversarial(LOGITS, real=real, kind="vanilla").item() == pytest.approx(cross_entropy)
    assert adversarial(LOGITS, real=real, kind="lsgan").item() == pytest.approx(least_squares)
    assert adversarial(LOGITS, real=real, kind="wgangp").item() == pytest.approx(-sign * sum(flat) / 4)
    hinge = sum(max(0.0, 1 - sign * x) for x in flat) / 4
    assert adversarial(LOGITS, real=real, kind="hinge").item() == pytest.approx(hinge)


def test_a_generator_learns_from_real_labels_and_with_hinge_without_a_bound():
    for kind in ("vanilla", "lsgan", "wgangp"):
        assert torch.equal(fooling(LOGITS, kind=kind), adversarial(LOGITS, real=True, kind=kind))
    assert fooling(LOGITS, kind="hinge").item() == pytest.approx(-LOGITS.mean().item())


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="'vanilla', 'lsgan', 'wgangp' or 'hinge', got 'softplus'"):
        adversarial(LOGITS, real=True, kind="softplus")  # type: ignore[arg-type]


def test_smoothing_moves_the_label_of_real_and_of_nothing_else():
    flat = LOGITS.flatten().tolist()
    sigmoids = [1 / (1 + math.exp(-x)) for x in flat]
    cross_entropy = -sum(0.9 * math.log(p) + 0.1 * math.log(1 - p) for p in sigmoids) / 4
    assert adversarial(LOGITS, real=True, kind="vanilla", smoothing=0.1).item() == pytest.approx(cross_entropy)
    least_squares = sum((x - 0.9) ** 2 for x in flat) / 4
    assert adversarial(LOGITS, real=True, kind="lsgan", smoothing=0.1).item() == pytest.approx(least_squares)
    for kind in ("vanilla", "lsgan"):
        fake = adversarial(LOGITS, real=False, kind=kind)
        assert torch.equal(adversarial(LOGITS, real=False, kind=kind, smoothing=0.1), fake)


@pytest.mark.parametrize("kind", ["vanilla", "lsgan", "wgangp", "hinge"])
def test_several_scales_count_the_same_however_many_logits_they_have(kind):
    coarse = torch.tensor([[1.5]])
    both = adversarial((LOGITS, coarse), real=True, kind=kind)
    one, other = (adversarial(scale, real=True, kind=kind) for scale in (LOGITS, coarse))
    assert both.item() == pytest.approx((one.item() + other.item()) / 2)
    summed = adversarial((LOGITS, coarse), real=True, kind=kind, summed=True)
    assert summed.item() == pytest.approx(one.item() + other.item())
    assert torch.equal(adversarial(LOGITS, real=True, kind=kind, summed=True), one), "one scale is its own sum"
    means = -(LOGITS.mean() + coarse.mean()) if kind in ("hinge", "wgangp") else summed
    assert torch.allclose(fooling((LOGITS, coarse), kind=kind, summed=True), means)


def test_feature_matching_sums_over_stages_and_averages_over_scales_and_teaches_by_the_fake_alone():
    def stages(value):
        return tuple(
            tuple(torch.full(shape, value, requires_grad=True) for shape in shapes)
            for shapes in (((2, 3, 4, 4), (2, 5, 2, 2)), ((2, 3, 2, 2), (2, 5, 1, 1)))
        )

    fake, real = stages(0.5), stages(-1.0)
    fake = (fake[0], tuple(stage + 1 for stage in fake[1]))
    value = feature_matching(fake, real)
    assert value.item() == pytest.approx((1.5 + 1.5 + 2.5 + 2.5) / 2)
    value.backward()
    assert fake[0][1].grad.abs().sum().item() == pytest.approx(1 / 2), "a mean over the stage, half a scale's weight"
    assert all(stage.grad is None for scale in real for stage in scale)


def test_kl_is_summed_over_batch_and_dimensions():
    mean, log_variance = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    one = torch.distributions.Normal(mean, log_variance.exp().sqrt())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(one, standard).sum()
    assert torch.allclose(kl(mean, log_variance), expected)


def test_penalty_of_a_linear_critic_is_known():
    """A critic c·x summed over 12 values has the gradient c everywhere: (‖c‖·√12 − 1)²; a norm of one costs nothing."""
    real, fake = torch.randn(3, 3, 2, 2), torch.randn(3, 3, 2, 2)
    for slope, penalty in ((1 / math.sqrt(12), 0.0), (2.0, (2 * math.sqrt(12) - 1) ** 2)):
        value = gradient_penalty(lambda x, slope=slope: slope * x.sum(dim=(1, 2, 3)), real, fake)
        assert value.item() == pytest.approx(penalty, abs=1e-5)


def test_penalty_interpolates_once_a_sample_and_trains_the_critic():
    seen = []
    weight = torch.ones(1, requires_grad=True)

    def critic(x):
        seen.append(x)
        return weight * x.square().sum(dim=(1, 2, 3))

    real, fake = torch.ones(4, 1, 3, 3), torch.zeros(4, 1, 3, 3)
    gradient_penalty(critic, real, fake).backward()
    shares = seen[0].flatten(1)
    assert (shares == shares[:, :1]).all(), "one point a sample, not one a pixel"
    assert len(shares[:, 0].unique()) == 4
    assert 0 <= shares.min() <= shares.max() <= 1
    assert weight.grad is not None
    assert weight.grad.abs() > 0


def test_penalty_of_several_scales_is_the_mean_of_each_ones():
    """Gradients 2 and ½ everywhere, over 12 values: not what their sum or their mean would give."""
    value = gradient_penalty(
        lambda x: (2 * x.sum(dim=(1, 2, 3)), x.sum(dim=(1, 2, 3)) / 2), torch.randn(3, 3, 2, 2), torch.randn(3, 3, 2, 2)
    )
    each = [(slope * math.sqrt(12) - 1) ** 2 for slope in (2, 0.5)]
    assert value.item() == pytest.approx(sum(each) / 2)


def test_r1_of_linear_patches_is_known():
    """Patches w·x of one pixel each: D, their mean, has the gradient w / pixels at each; squared and summed over the
    pixels, ‖w‖² / pixels, whatever the image and the batch."""
    weight = torch.tensor([2.0, 1.0, -3.0])
    for size, batch in ((2, 1), (4, 3)):
        image = torch.randn(batch, 3, size, size, requires_grad=True)
        logits = (image * weight[:, None, None]).sum(dim=1, keepdim=True)
        assert r1_penalty(logits, image).item() == pytest.approx(14 / size**2)
        scales = (logits, 2 * logits)
        assert r1_penalty(scales, image).item() == pytest.approx((14 + 4 * 14) / 2 / size**2)


def test_r1_is_the_mean_over_the_batch_and_trains_the_discriminator():
    """D = w · ½‖x‖²: the gradient is w · x, R1 is w² · E‖x‖², and its slope in w is 2 w · E‖x‖²."""
    weight = torch.tensor(3.0, requires_grad=True)
    image = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 2.0)]).requires_grad_(True)
    value = r1_penalty(weight * image.square().sum(dim=(1, 2, 3)) / 2, image)
    value.backward()
    assert value.item() == pytest.approx(9 * (4 + 16) / 2)
    assert weight.grad.item() == pytest.approx(2 * 3 * (4 + 16) / 2)


def test_penalties_hold_in_half_precision():
    """Gradients of 300 have squares that float16 does not hold, and those of the mean of 4096 patches are too small."""
    image = torch.ones(1, 1, 64, 64, dtype=torch.float16, requires_grad=True)
    assert r1_penalty(300 * image, image).item() == pytest.approx(300**2 / 4096)
    assert r1_penalty(1e-4 * image, image).item() == pytest.approx(1e-8 / 4096, rel=0.01)
    penalty = gradient_penalty(lambda x: 300 * x, image.detach(), image.detach())
    assert penalty.item() == pytest.approx((300 * 64 - 1) ** 2, rel=1e-3)


def test_pool_fills_then_swaps_half_of_the_time():
    pool = ImagePool(50, seed=0)
    first = torch.arange(50.0).view(50, 1, 1, 1)
    assert torch.equal(pool.query(first), first), "while it fills, the new ones come back"
    new = torch.arange(100.0, 500.0).view(-1, 1, 1, 1)
    answers = torch.cat([pool.query(fake[None]) for fake in new])
    kept = (answers == new).flatten().float().mean().item()
    assert 0.4 < kept < 0.6
    stored = {image.item() for image in pool.images}
    returned = {value.item() for value in answers.flatten()} | set()
    assert len(pool.images) == 50
    assert stored | returned == {float(i) for i in [*range(50), *range(100, 500)]}, "nothing is lost"
    assert not stored & (returned - {n.item() for n in new.flatten()}), "what was returned from the pool has left it"


def test_pool_of_size_zero_passes_through_and_detaches():
    fake = torch.ones(2, 1, 1, 1, requires_grad=True)
    answer = ImagePool(0, seed=0).query(fake)
    assert torch.equal(answer, fake)
    assert not answer.requires_grad


def test_pool_state_continues_exactly():
    pool = ImagePool(3, seed=1)
    pool.query(torch.arange(5.0).view(5, 1, 1, 1))
    copy = ImagePool(3, seed=99)
    copy.load_state_dict(pool.state_dict())
    more = torch.arange(10.0, 60.0).view(50, 1, 1, 1)
    assert torch.equal(pool.query(more), copy.query(more))
