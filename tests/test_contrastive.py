"""CUT's heads, places and PatchNCE, against plain code.

python -m pytest tests/test_contrastive.py
"""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from img2img_hub import Network, ResNetGenerator
from img2img_hub.networks import PatchHeads
from img2img_hub.objectives.contrastive import draw_places, patch_nce


def unit(*shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


# --- PatchNCE ---------------------------------------------------------------------------------------------------------


def plain_patch_nce(query: Tensor, key: Tensor, temperature: float) -> float:
    """One place at a time."""
    losses = []
    for queries, keys in zip(query.tolist(), key.tolist(), strict=True):
        for place, vector in enumerate(queries):
            alike = [sum(a * b for a, b in zip(vector, other, strict=True)) for other in keys]
            own = alike[place]
            alike[place] = -10.0  # before the division
            logits = [own / temperature, *(one / temperature for one in alike)]
            losses.append(math.log(sum(math.exp(one - own / temperature) for one in logits)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_patch_nce_is_the_cross_entropy_against_the_other_places(temperature: float) -> None:
    torch.manual_seed(0)
    query, key = unit(3, 7, 5), unit(3, 7, 5)
    made = patch_nce(query, key, temperature=temperature)
    assert made.shape == ()
    assert made.item() == pytest.approx(plain_patch_nce(query, key, temperature), rel=1e-5)


def test_where_all_are_alike_it_is_the_logarithm_of_the_number_of_places() -> None:
    alike = unit(1, 1, 8).expand(2, 256, 8)
    assert patch_nce(alike, alike).item() == pytest.approx(math.log(256), abs=1e-5)
    assert patch_nce(torch.eye(16)[None], torch.eye(16)[None]).item() < 1e-4


def test_other_images_of_the_batch_are_no_negatives() -> None:
    torch.manual_seed(0)
    query, key = unit(2, 6, 4), unit(2, 6, 4)
    alone = [patch_nce(query[i : i + 1], key[i : i + 1]) for i in range(2)]
    assert torch.allclose(patch_nce(query, key), torch.stack(alone).mean())


def test_without_a_place_it_is_nothing_and_with_one_it_is_a_number() -> None:
    heads = PatchHeads(channels="2", width=4)
    nowhere = heads((torch.randn(1, 2, 3, 3),), (torch.empty(0, dtype=torch.long),))[0]
    loss = patch_nce(nowhere, nowhere.detach())
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in heads.parameters())
    assert 0 <= patch_nce(unit(1, 1, 4), unit(1, 1, 4)).item() < math.inf


def test_it_is_calculated_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    query, key = unit(1, 64, 32), unit(1, 64, 32)
    with torch.autocast("cpu", torch.bfloat16):
        half = patch_nce(query, key)
    assert half.dtype == torch.float32
    assert torch.equal(half, patch_nce(query, key))


# --- places -----------------------------------------------------------------------------------------------------------


def test_places_are_some_without_repetition_or_all() -> None:
    torch.manual_seed(0)
    many, few = draw_places((torch.zeros(2, 3, 40, 30), torch.zeros(2, 3, 5, 4)), count=256)
    assert many.shape == (256,)
    assert len(set(many.tolist())) == 256
    assert set(many.tolist()) <= set(range(1200))
    assert sorted(few.tolist()) == list(range(20))
    hit = torch.zeros(1200)
    for _ in range(200):
        hit[draw_places((torch.zeros(1, 1, 40, 30),))[0]] += 1
    assert hit.min() > 10, "each place has its turn: 43 of 200 on average"
    assert hit.max() < 80


def test_places_come_from_the_random_numbers_of_the_cpu_so_that_a_run_goes_on_with_the_same() -> None:
    features = (torch.zeros(1, 3, 40, 30), torch.zeros(1, 3, 20, 20))
    torch.manual_seed(5)
    draw_places(features)
    state = torch.get_rng_state()
    went_on = draw_places(features)
    torch.set_rng_state(state)
    resumed = draw_places(features)
    assert all(map(torch.equal, went_on, resumed))
    assert not torch.equal(went_on[0], draw_places(features)[0])
    one, other = (draw_places(features, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert all(map(torch.equal, one, other))


def test_places_without_data_in_any_image_are_left_out() -> None:
    valid = torch.ones(2, 1, 16, 16)
    valid[0, 0, :, :8] = 0  # the left half of one
    valid[1, 0, 15, 15] = 0  # a corner of the other
    padded, same, half = draw_places(
        (torch.zeros(2, 3, 22, 22), torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 8, 8)), count=1000, valid=valid
    )
    assert sorted(same.tolist()) == [16 * row + column for row in range(16) for column in range(8, 16)][:-1]
    assert sorted(half.tolist()) == [8 * row + column for row in range(8) for column in range(4, 8)][:-1]
    # The reflected border: exactly where the reflected pixels themselves are without data.
    lacking = torch.nn.functional.pad(1 - valid, (3,) * 4, mode="reflect").amax(dim=0).flatten()
    assert sorted(padded.tolist()) == (lacking == 0).nonzero().flatten().tolist()
    (none,) = draw_places((torch.zeros(2, 3, 8, 8),), valid=torch.zeros(2, 1, 16, 16))
    assert none.shape == (0,)


# --- heads ------------------------------------------------------------------------------------------------------------


def test_heads_are_the_papers_vector_by_vector() -> None:
    torch.manual_seed(0)
    heads = PatchHeads(channels="3,5", width=4).double()
    for parameter in heads.parameters():
        parameter.data.normal_()
    features = (
        torch.randn(2, 3, 6, 7, dtype=torch.float64),
        torch.randn(2, 5, 4, 3, dtype=torch.float64).to(memory_format=torch.channels_last),
    )
    places = (torch.tensor([0, 8, 41]), torch.tensor([11, 5]))
    made = heads(features, places)
    for number, (feature, chosen) in enumerate(zip(features, places, strict=True)):
        one, two = (heads.get_submodule(f"heads.{number}.{layer}") for layer in (0, 2))
        for image in range(2):
            for index, place in enumerate(chosen.tolist()):
                x = feature[image, :, place // feature.shape[3], place % feature.shape[3]]
                x = (one.weight @ x + one.bias).clamp(min=0)
                x = two.weight @ x + two.bias
                assert torch.allclose(made[number][image, index], x / (x.norm() + 1e-7), rtol=0, atol=1e-6)


def test_heads_are_as_large_as_the_authors_and_start_as_theirs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    heads = PatchHeads(channels="3,128,256,256,256")
    assert heads.parameter_count == 560_384
    assert len(heads.state_dict()) == 20
    for layer in heads.modules():
        if isinstance(layer, nn.Linear):
            expected = 0.02 * math.sqrt(2 / (layer.in_features + layer.out_features))
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.1)
            assert not layer.bias.any()
    heads.save_pretrained(tmp_path)
    loaded = Network.from_pretrained(tmp_path)
    assert type(loaded) is PatchHeads
    assert loaded.config == heads.config
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in heads.state_dict().items())


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("grey", [0.0, 0.5])
def test_a_constant_image_gives_finite_gradients(grey: float, antialias: bool) -> None:
    """Without biases all vectors of such an image are the same, and those of a zero one are zero."""
    network = ResNetGenerator(width=8, blocks=2, antialias=antialias)
    heads = PatchHeads(channels=",".join(map(str, network.feature_channels)), width=16)
    image = torch.full((2, 3, 32, 32), grey, requires_grad=True)
    features = network(image, taps=network.feature_taps)
    queries = heads(features, draw_places(features, count=64))
    sum(patch_nce(query, torch.randn_like(query)) for query in queries).backward()  # type: ignore[union-attr]
    assert image.grad is not None
    assert image.grad.isfinite().all()
    learnt = [
        parameter.grad for parameter in (*network.parameters(), *heads.parameters()) if parameter.grad is not None
    ]
    assert len(learnt) > 20
    assert all(gradient.isfinite().all() for gradient in learnt)


def test_heads_are_in_float32_under_autocast() -> None:
    heads = PatchHeads(channels="3", width=8)
    feature, places = torch.randn(1, 3, 4, 4), torch.arange(16)
    expected = heads((feature,), (places,))[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(heads((feature,), (places,))[0], expected)
        assert heads((feature.bfloat16(),), (places,))[0].dtype == torch.float32


@pytest.mark.parametrize("channels", ["", "3,", "3,x", "3;4", "-1", "1.5", "3,0", "99999999", 3, ",".join(["1"] * 65)])
def test_channels_that_are_none_are_refused(channels: str) -> None:
    with pytest.raises(ValueError, match="channels must be"):
        PatchHeads(channels=channels)


def test_the_wrong_number_of_features_is_refused() -> None:
    with pytest.raises(ValueError, match="these are 2 heads, got 1 features and 1 lists of places"):
        PatchHeads(channels="3,3", width=2)((torch.zeros(1, 3, 2, 2),), (torch.zeros(1, dtype=torch.long),))
