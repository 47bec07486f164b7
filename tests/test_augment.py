"""DiffAugment: what it does to the pixels, that pairs stay pairs, that it can be differentiated, and its draws."""

import pytest
import torch
from torch.nn import functional as F

from img2img_hub.objectives.augment import POLICIES, augment, parse_policy

ALL = parse_policy("color,translation,cutout")


def test_policies_are_words_in_any_order():
    assert parse_policy("") == parse_policy("  ") == ()
    assert parse_policy("cutout, color") == ("color", "cutout")
    assert POLICIES == ALL


@pytest.mark.parametrize("text", ["colour", "color;cutout", "color,", "Color"])
def test_an_unknown_word_is_refused_with_those_there_are(text):
    with pytest.raises(ValueError, match="--diff_augment takes some of color, translation, cutout"):
        parse_policy(text)


def test_nothing_asked_for_is_nothing_done():
    image, condition = torch.randn(2, 3, 8, 8), torch.randn(2, 1, 8, 8)
    state = torch.get_rng_state()
    assert augment(image, ()) is image
    assert torch.equal(augment(image, (), condition=condition), torch.cat([condition, image], dim=1))
    assert torch.equal(torch.get_rng_state(), state), "nor drawn: the run without it stays as it was"


def test_translation_moves_each_image_by_up_to_an_eighth_and_leaves_zeros():
    torch.manual_seed(0)
    count, height, width = 300, 16, 24
    image = torch.rand(1, 2, height, width).expand(count, -1, -1, -1) + 1
    border = F.pad(image[:1], (3, 3, 2, 2))
    moves = {
        (y, x): border[0, :, 2 - y : 2 - y + height, 3 - x : 3 - x + width] for y in range(-2, 3) for x in range(-3, 4)
    }
    found = [
        next(move for move, expected in moves.items() if torch.equal(moved, expected))
        for moved in augment(image, ("translation",))
    ]
    assert set(found) == set(moves), "all moves come up, and no others"


def test_cutout_takes_a_square_of_half_the_size_and_nothing_else():
    torch.manual_seed(0)
    image = torch.rand(400, 3, 16, 8) + 1
    cut = augment(image, ("cutout",))
    whole = 0
    columns = set()
    for before, after in zip(image, cut, strict=True):
        hole = (after == 0).all(dim=0)
        assert torch.equal(after, before * ~hole)
        rows, cols = hole.any(dim=1).nonzero().flatten(), hole.any(dim=0).nonzero().flatten()
        assert hole.sum() == len(rows) * len(cols), "one rectangle"
        assert len(rows) == rows[-1] - rows[0] + 1 <= 8
        assert len(cols) == cols[-1] - cols[0] + 1 <= 4
        whole += len(rows) == 8 and len(cols) == 4
        columns |= set(cols.tolist())
    assert whole > 50, "8 rows and 4 columns, but where it hangs over the border"
    assert columns == set(range(8)), "anywhere"


def test_colour_changes_brightness_saturation_and_contrast_within_the_papers_ranges():
    torch.manual_seed(0)
    count = 2000
    # Two grey pixels, −1 and 1: their mean moves with the brightness, half of their distance is the contrast.
    grey = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2).expand(count, 3, 1, 2)
    seen = augment(grey, ("color",))
    assert torch.allclose(seen[:, :1].expand_as(seen), seen, atol=1e-6), "grey stays grey"
    brightness, contrast = seen[:, 0].mean(dim=(1, 2)), (seen[:, 0, 0, 1] - seen[:, 0, 0, 0]) / 2
    assert -0.5 <= brightness.min() < -0.48
    assert 0.48 < brightness.max() <= 0.5
    assert 0.5 <= contrast.min() < 0.52
    assert 1.48 < contrast.max() <= 1.5
    # One colour everywhere, grey on average: its distance to grey is saturation × contrast.
    colour = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(count, 3, 2, 2)
    seen = augment(colour, ("color",))
    strength = (seen[:, 0, 0, 0] - seen[:, 2, 0, 0]) / 2
    assert 0 <= strength.min() < 0.02
    assert 2.5 < strength.max() <= 3
    assert strength.mean().item() == pytest.approx(1, abs=0.05)


def test_a_pair_is_moved_and_cut_together_and_the_source_keeps_its_colours():
    torch.manual_seed(0)
    image = torch.rand(8, 3, 16, 16) + 1
    for policy in (("translation",), ("cutout",), ("translation", "cutout")):
        pair = augment(image, policy, condition=image)
        assert torch.equal(pair[:, :3], pair[:, 3:])
        assert not torch.equal(pair[:, 3:], image)
    pair = augment(image, ("color",), condition=image)
    assert torch.equal(pair[:, :3], image)
    assert not torch.allclose(pair[:, 3:], image)
    holes = augment(image, ALL, condition=image)
    assert torch.equal(holes[:, :3] == 0, holes[:, 3:] == 0)


@pytest.mark.parametrize("policy", [(word,) for word in POLICIES])
def test_draws_are_torchs_own_and_one_a_sample(policy):
    image = torch.rand(1, 3, 16, 16).expand(8, -1, -1, -1) + 1
    torch.manual_seed(3)
    first, second = augment(image, policy), augment(image, policy)
    assert not torch.equal(first, second)
    assert not torch.equal(first[:1].expand_as(first), first)
    torch.manual_seed(3)
    assert torch.equal(augment(image, policy), first)
    state = torch.get_rng_state()  # what a checkpoint holds
    torch.manual_seed(99)
    torch.set_rng_state(state)
    assert torch.equal(augment(image, policy), second)


def test_it_can_be_differentiated_twice():
    """Once for the generator, twice for R1."""
    image = torch.rand(1, 2, 8, 4, dtype=torch.float64, requires_grad=True)

    def seen(x):
        torch.manual_seed(1)
        return augment(x, ALL).square()

    assert torch.autograd.gradcheck(seen, image)
    assert torch.autograd.gradgradcheck(seen, image)


def test_batches_that_shall_be_alike_get_the_same_draws_and_samples_their_own():
    torch.manual_seed(0)
    image, condition = torch.rand(3, 3, 16, 16), torch.rand(3, 1, 16, 16)
    first, second = augment(torch.cat([image] * 2), ALL, condition=torch.cat([condition] * 2), alike=2).chunk(2)
    assert torch.equal(first, second)
    (one, two) = augment(image[:1].expand(2, -1, -1, -1), ALL)
    assert not torch.equal(one, two)
