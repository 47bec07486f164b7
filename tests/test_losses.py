"""The objectives against the papers' formulas written out, and the pool's rule."""

import math

import pytest
import torch

from img2img_hub.losses import ImagePool, adversarial, gradient_penalty

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


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="'vanilla', 'lsgan' or 'wgangp', got 'hinge'"):
        adversarial(LOGITS, real=True, kind="hinge")  # type: ignore[arg-type]


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
