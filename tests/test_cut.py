"""CUT and FastCUT against the paper written out plainly (arXiv 2007.15651): python -m pytest tests/test_cut.py"""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from img2img_hub import CUT, Architecture, CycleGAN, DataConfig, FastCUT, TrainConfig
from img2img_hub.data.find.sources import open_data
from img2img_hub.families import Outputs
from img2img_hub.training.batches import open_samples, stop_cropping
from img2img_hub.training.run.plan import Plan
from tests.test_families import adam, assert_same_weights, batches, run

pytest_plugins = ["tests.starting"]
SMALL = Architecture(width=4, blocks=1, discriminator_layers=1)
ALL = 10_000  # places: all there are, so that nothing depends on which are drawn


def build(family):
    torch.manual_seed(0)
    networks = family.build(SMALL, in_channels=3, out_channels=3, image_size=16)
    for network in networks.values():
        network.double()
        for parameter in network.parameters():
            parameter.data.mul_(20)  # what they start with is too small to tell one patch from another
    return networks, copy.deepcopy(networks)


def contrast(networks, image, made, *, mirrored=False):
    """Section 3.1, by loops: each place of each layer against all places of the same image."""
    generator, (heads, taps) = networks["generator"], (networks["heads"].heads, networks["generator"].feature_taps)
    queries, keys = generator(made, taps=taps), generator(image, taps=taps)
    losses = []
    for head, query, key in zip(heads, queries, keys, strict=True):
        query = query.flip(-1) if mirrored else query
        q, k = (head(feature.flatten(2)[0].T) for feature in (query, key))
        q, k = q / q.norm(dim=1, keepdim=True), (k / k.norm(dim=1, keepdim=True)).detach()
        place_losses = []
        for place in range(len(q)):
            others = torch.cat([k[:place], k[place + 1 :]])
            # Its own key first; among the others the authors leave a -10 in its place.
            likenesses = torch.cat([(q[place] @ k[place])[None], others @ q[place], q.new_tensor([-10.0])]) / 0.07
            place_losses.append(-F.log_softmax(likenesses, dim=0)[0])
        losses.append(torch.stack(place_losses).mean())
    return torch.stack(losses).mean()


def plain_step(family, networks, optimizers, batch, *, mirrored):
    """One step as the authors' code has it: G once, D, then G and the heads on the same fakes."""
    source, target = batch["source"], batch["target"]
    seen = source.flip(-1) if mirrored else source
    fake = networks["generator"](seen)
    judge = networks["discriminator"]
    optimizers[0].zero_grad()
    half = ((judge(fake.detach()) ** 2).mean() + ((judge(target) - 1) ** 2).mean()) / 2
    half.backward()
    optimizers[0].step()

    optimizers[1].zero_grad()
    loss = ((judge(fake) - 1) ** 2).mean()
    nce = contrast(networks, source, fake, mirrored=mirrored)
    if family.nce_identity:
        same = networks["generator"](target.flip(-1) if mirrored else target)
        nce = (nce + contrast(networks, target, same, mirrored=mirrored)) / 2
    (loss + family.lambda_nce * nce).backward()
    optimizers[1].step()
    return nce.item()


@pytest.mark.parametrize("family", [CUT(nce_patches=ALL), FastCUT(nce_patches=ALL)], ids=lambda family: family.name)
def test_a_step_is_the_papers(family):
    networks, plain = build(family)
    data = batches(3)
    torch.manual_seed(7)
    logs = run(family, networks, data)
    torch.manual_seed(7)
    optimizers = [adam(plain["discriminator"]), adam(plain["generator"], plain["heads"])]
    mirrors, contrasts = [], []
    for batch in data:
        mirrored = family.flip_equivariance and bool(torch.rand(()) < 0.5)
        for layer in plain["generator"](batch["source"], taps=plain["generator"].feature_taps):
            torch.randperm(layer.shape[-2:].numel())  # the product draws places, of which all are taken
            if family.nce_identity:
                torch.randperm(layer.shape[-2:].numel())
        mirrors.append(mirrored)
        contrasts.append(plain_step(family, plain, optimizers, batch, mirrored=mirrored))
    assert_same_weights(networks, plain)
    told = [terms for phase, terms in logs.terms if phase == "generator"]
    ours = [(terms["nce"] + terms.get("nce_identity", terms["nce"])) / 2 for terms in told]
    assert ours == pytest.approx(contrasts, rel=1e-6)
    assert len(set(mirrors)) == (2 if family.flip_equivariance else 1), "both ways are seen"


def test_the_generator_is_called_once_for_fakes_that_both_phases_see():
    family = CUT()
    networks, _ = build(family)
    sizes = []
    networks["generator"].register_forward_hook(
        lambda module, inputs, options, made: sizes.append((len(inputs[0]), bool(options.get("taps")))),
        with_kwargs=True,
    )
    run(family, networks, batches(1))
    assert sizes == [(2, True), (2, True)], "once on both, with their features; then those of what was made"


def test_keys_teach_nobody_and_frozen_judges_stay():
    family = FastCUT(nce_patches=ALL, flip_equivariance=False)
    networks, _ = build(family)
    (batch,) = batches(1)
    made = Outputs(keep_graph=False, pools={})
    terms = family.generator_loss(dict(networks), batch, made)
    value, _ = terms["nce"]
    features = networks["generator"](batch["source"], taps=(0,))
    assert not features[0].requires_grad, "the image itself is no parameter's"
    value.backward()
    assert all(parameter.grad is not None for parameter in networks["heads"].parameters())
    assert all(parameter.grad is None for parameter in networks["discriminator"].parameters())


def test_networks_start_as_the_authors_have_it():
    torch.manual_seed(0)
    networks = CUT().build(Architecture(blocks=1), in_channels=3, out_channels=3, image_size=64)
    assert networks["generator"].config["antialias"] is True
    assert networks["discriminator"].config["antialias"] is True
    assert networks["discriminator"].config["norm"] == "instance"
    weight = networks["generator"].layers[12].layers[1].weight
    assert weight.shape == (256, 256, 3, 3)
    assert weight.std().item() == pytest.approx(4.2e-4, rel=0.02)


def test_other_bands_in_the_output_are_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"compares outputs \(1 channels\) with sources \(3 channels\)"):
        CUT().build(Architecture(), in_channels=3, out_channels=1, image_size=64)
    with pytest.raises(ValueError, match="--generator must be one of resnet, got 'unet'"):
        CUT(generator="unet")
    for knobs, says in (({"nce_patches": 0}, "--nce_patches must be 1"), ({"nce_temperature": 0}, "above 0")):
        with pytest.raises(ValueError, match=says):
            CUT(**knobs)


def test_places_without_data_are_compared_by_nobody():
    family = FastCUT(flip_equivariance=False, nce_patches=ALL)
    networks, _ = build(family)
    (batch,) = batches(1)
    valid = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    valid[..., :8] = 0
    batch = {name: image * valid for name, image in batch.items()} | {"source_valid": valid, "target_valid": valid}
    places = []
    networks["heads"].register_forward_pre_hook(lambda module, inputs: places.append(inputs[1]))
    family.generator_loss(dict(networks), batch, Outputs(keep_graph=False, pools={}))
    padded, *_ = (set(each.tolist()) for each in places[0])
    assert padded
    columns = {place % 22 for place in padded}  # of the reflected image, three pixels wider on each side
    assert min(columns) == 3 + 8, "not a pixel of the left half, nor its reflection"


# --- the run ----------------------------------------------------------------------------------------------------------


def test_in_the_decay_half_images_are_resized_straight(unpaired_folder):
    """Authors' code: the crop ends where the learning rate begins to fall."""
    config = TrainConfig(output_dir="x", image_size=16, num_epochs=4, decay_epochs=2, cache=False).of(CUT())
    data = open_data(DataConfig(dataset=str(unpaired_folder)), paired=False, split="train")
    dataset = open_samples(data, config=config)
    plan = Plan.make(CUT(), config, num_samples=len(dataset), world_size=1)
    assert plan.steps_before_decay(config) == 2 * len(dataset)
    before = {epoch: dataset[(epoch, 1)]["source"] for epoch in range(4)}
    stop_cropping(dataset, config=config, from_sample=plan.steps_before_decay(config) * plan.samples_per_step)
    after = {epoch: dataset[(epoch, 1)]["source"] for epoch in range(4)}
    assert all(torch.equal(before[epoch], after[epoch]) for epoch in (0, 1))
    whole = np.asarray(data.source(1).resize((16, 16), 3)).transpose(2, 0, 1) / 127.5 - 1
    for epoch in (2, 3):
        image = after[epoch].numpy()
        assert min(np.abs(image - whole).max(), np.abs(image[:, :, ::-1] - whole).max()) < 1e-5


def test_cut_crops_no_more_in_a_run_and_cyclegan_does(start, monkeypatch):
    asked = []
    monkeypatch.setattr("img2img_hub.training.loop.stop_cropping", lambda dataset, **how: asked.append(how))
    start(CycleGAN(pool_size=2), "cyclegan", max_steps=4)
    assert asked == []
    start(CUT(head_width=8), "cut", max_steps=4)
    assert [how["from_sample"] for how in asked] == [2], "half of the steps of one image each"
    start(CUT(head_width=8), "scaled", max_steps=4, load_size=20)
    assert len(asked) == 1, "a given load_size is the scale to train at"
