"""Spectral norm, several scales, self-attention, coarse to fine: each is its paper's, and off it changes nothing.

python -m pytest tests/test_network_options.py
"""

import copy
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from img2img_hub import (
    CoarseToFineGenerator,
    MultiScaleDiscriminator,
    Network,
    PatchDiscriminator,
    PixelDiscriminator,
    ResNetGenerator,
    UNetGenerator,
)
from img2img_hub.families.options import Architecture
from img2img_hub.networks import DISCRIMINATORS, GENERATORS
from img2img_hub.networks.attention import SelfAttention

# Small ones of each option, and a size that they take.
OPTIONS: dict[str, Callable[..., Network]] = {
    "patch": lambda **more: PatchDiscriminator(**{"width": 4, "layers": 2, "spectral_norm": True, **more}),
    "pixel": lambda **more: PixelDiscriminator(**{"width": 4, "spectral_norm": True, **more}),
    "multiscale": lambda **more: MultiScaleDiscriminator(**{"width": 4, "layers": 1, "scales": 2, **more}),
    "multiscale, spectral": lambda **more: MultiScaleDiscriminator(
        **{"width": 4, "layers": 1, "spectral_norm": True, **more}
    ),
    "resnet": lambda **more: ResNetGenerator(**{"width": 4, "blocks": 2, "self_attention": True, **more}),
    "coarse_to_fine": lambda **more: CoarseToFineGenerator(**{"width": 2, "blocks": 1, "enhancer_blocks": 1, **more}),
    "coarse_to_fine, resize": lambda **more: CoarseToFineGenerator(
        **{"width": 2, "blocks": 1, "enhancer_blocks": 1, "enhancers": 2, "dropout": 0.5, "upsample": "resize", **more}
    ),
}
SIZE = 128
SPECTRAL = ["patch", "pixel", "multiscale, spectral"]


def outputs(network: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    made = network(image)
    return made if isinstance(made, tuple) else (made,)


def same_state(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(v, states[1][k]) for k, v in states[0].items())


def conv(kernel: int, inner: int, outer: int) -> int:
    """Parameters of a convolution with bias."""
    return kernel * kernel * inner * outer + outer


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_saved_is_loaded(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = OPTIONS[name]().train()
    image = torch.rand(2, network.in_channels, SIZE, SIZE)
    for _ in range(3):
        network(image)  # moves running averages and power iterations
    network.save_pretrained(tmp_path)
    loaded = Network.from_pretrained(tmp_path)
    assert type(loaded) is type(network)
    assert loaded.config == network.config == json.loads((tmp_path / "config.json").read_text())
    assert same_state(loaded, network)
    network.eval()
    # Not to the bit: what lies in a file's memory at odd addresses is summed in another order.
    for one, other in zip(outputs(network, image), outputs(loaded, image), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_resumed_network_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    """As checkpoints do it: files hold the states, which are copied into networks that were built anew."""
    torch.manual_seed(1)
    network = OPTIONS[name]().train()
    image = torch.rand(2, network.in_channels, SIZE, SIZE)

    def step(network: Network) -> None:
        torch.manual_seed(2)  # dropout
        sum(made.mean() for made in outputs(network, image)).backward()  # type: ignore[union-attr]
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= parameter.grad  # type: ignore[operator]
                parameter.grad = None

    step(network)
    save_file(network.state_dict(), tmp_path / "state.safetensors")
    torch.manual_seed(3)
    resumed = OPTIONS[name]().train()
    assert not same_state(resumed, network)
    resumed.load_state_dict(load_file(tmp_path / "state.safetensors"))
    for made in (network, resumed):
        step(made)
        step(made)
    assert same_state(resumed, network)


@pytest.mark.parametrize("name", OPTIONS)
def test_half_precision_is_rounding_and_nothing_else(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = OPTIONS[name]().eval()
    network.save_weights(tmp_path, dtype="float16")
    assert {v.dtype for v in load_file(tmp_path / "model.safetensors").values()} <= {torch.float16, torch.int64}
    loaded = Network.from_pretrained(tmp_path)
    assert same_state(loaded, network.copy_as_saved(dtype="float16"))
    image = torch.rand(1, network.in_channels, SIZE, SIZE)
    for one, other in zip(outputs(network, image), outputs(loaded, image), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=2e-2 * one.abs().max().item())


@pytest.mark.parametrize("name", OPTIONS)
def test_every_parameter_learns(name: str) -> None:
    """After one step, for until γ has left 0 nothing inside the attention has a gradient. Without norms: before one, a
    bias has none."""
    torch.manual_seed(0)
    network = OPTIONS[name](norm="none").double().train()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data.mul_(10)  # with the papers' small weights nothing arrives through so many layers
    image = torch.rand(2, network.in_channels, SIZE, SIZE, dtype=torch.float64)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        sum(made.square().mean() for made in outputs(network, image)).backward()  # type: ignore[union-attr]
        optimizer.step()
    lacking = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not lacking
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", OPTIONS)
def test_channels_last_and_autocast_give_nearly_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = OPTIONS[name]().eval()
    # Smooth: of noise the coarse levels see next to nothing, and an instance norm would blow up what they round.
    image = F.interpolate(torch.rand(1, network.in_channels, 16, 16) * 2 - 1, SIZE, mode="bilinear")
    plain = outputs(network, image)
    last = outputs(copy.deepcopy(network).to(memory_format=torch.channels_last), image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = outputs(network, image)
    for one, two, three in zip(plain, last, half, strict=True):
        assert torch.allclose(one, two, atol=1e-5)
        assert (one - three.float()).norm() < 0.15 * one.norm()


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        (lambda: PatchDiscriminator(width=4), {"spectral_norm": True}),
        (lambda: PixelDiscriminator(width=4, spectral_norm=True), {"spectral_norm": False}),
        (lambda: ResNetGenerator(width=4, blocks=1), {"self_attention": True}),
        (lambda: ResNetGenerator(width=4, blocks=1, self_attention=True), {"self_attention": False}),
        (lambda: UNetGenerator(levels=3, width=4), {"refine_channels": 4}),
        (lambda: MultiScaleDiscriminator(width=4, layers=1), {"scales": 2}),
        (lambda: MultiScaleDiscriminator(width=4, layers=1), {"architecture": "PatchDiscriminator"}),
        (lambda: CoarseToFineGenerator(width=1, blocks=1), {"enhancers": 2}),
        (lambda: CoarseToFineGenerator(width=1, blocks=1), {"enhancer_blocks": 2}),
        (lambda: CoarseToFineGenerator(width=1, blocks=1), {"blocks": 2}),
    ],
)
def test_weights_of_another_config_are_refused(
    network: Callable[[], Network], changes: dict[str, Any], tmp_path: Path
) -> None:
    network().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    if "architecture" in changes:
        del config["scales"]
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit config\.json"):
        Network.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PatchDiscriminator(spectral_norm="no"), "spectral_norm must be true or false, got 'no'"),  # type: ignore[arg-type]
        (lambda: PixelDiscriminator(spectral_norm=1), "spectral_norm must be true or false, got 1"),  # type: ignore[arg-type]
        (lambda: ResNetGenerator(self_attention=None), "self_attention must be true or false, got None"),  # type: ignore[arg-type]
        (lambda: MultiScaleDiscriminator(spectral_norm=0), "spectral_norm must be true or false"),  # type: ignore[arg-type]
        (lambda: MultiScaleDiscriminator(scales=0), "scales must be a whole number from 1 to 6, got 0"),
        (lambda: MultiScaleDiscriminator(layers=7), "layers must be a whole number from 1 to 6, got 7"),
        (lambda: MultiScaleDiscriminator(width=2, norm="group"), "'batch', 'instance' or 'none', got 'group'"),  # type: ignore[arg-type]
        (lambda: CoarseToFineGenerator(enhancers=3), "enhancers must be a whole number from 0 to 2, got 3"),
        (lambda: CoarseToFineGenerator(layout="spade"), "layout must be one of pix2pix, pix2pixhd, got 'spade'"),  # type: ignore[arg-type]
        (lambda: CoarseToFineGenerator(enhancer_blocks=-1), "enhancer_blocks must be"),
        (lambda: CoarseToFineGenerator(blocks=65), "blocks must be"),
        (lambda: CoarseToFineGenerator(dropout=1.0), "dropout must be"),
        (lambda: CoarseToFineGenerator(width=1, upsample="cubic"), "'transpose', 'resize' or 'bilinear'"),  # type: ignore[arg-type]
        (
            lambda: CoarseToFineGenerator(width=1)(torch.zeros(1, 3, 80, 64)),
            "multiples of 32 and at least 64, got 80×64",
        ),
        (lambda: CoarseToFineGenerator(width=1)(torch.zeros(1, 3, 64, 32)), "at least 64, got 64×32"),
        (
            lambda: CoarseToFineGenerator(width=1, blocks=1, enhancers=2)(torch.zeros(1, 3, 96, 128)),
            "multiples of 64 and at least 128, got 96×128; pad the image",
        ),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_config_from_before_the_options_means_that_they_are_off(tmp_path: Path) -> None:
    for network, option in (
        (PatchDiscriminator(width=4, layers=1), "spectral_norm"),
        (PixelDiscriminator(width=4), "spectral_norm"),
        (ResNetGenerator(width=4, blocks=1), "self_attention"),
        (UNetGenerator(levels=3, width=4), "refine_channels"),
    ):
        network.save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        assert config.pop(option) in (False, 0)
        (tmp_path / "config.json").write_text(json.dumps(config))
        loaded = Network.from_pretrained(tmp_path)
        assert same_state(loaded, network)
        assert loaded.config == network.config


def test_each_option_is_a_flag_with_a_help_text() -> None:
    texts = {option.name: option.metadata["help"] for option in fields(Architecture)}
    assert texts["self_attention"].startswith("[resnet] ")
    assert texts["refine_channels"].startswith("[unet] ")
    assert texts["enhancers"].startswith("[coarse_to_fine] ")
    assert texts["enhancer_blocks"].startswith("[coarse_to_fine] ")
    assert texts["discriminator_scales"].startswith("[multiscale] ")
    assert texts["discriminator_spectral_norm"].startswith("[patch, pixel, multiscale] ")
    for network in (*GENERATORS.values(), *DISCRIMINATORS.values()):
        assert network.registry[network.__name__] is network


@pytest.mark.parametrize(
    "make",
    [
        lambda: PatchDiscriminator(spectral_norm=True),  # which would otherwise set the quotient, not the weight
        lambda: MultiScaleDiscriminator(width=32, scales=2),
        lambda: ResNetGenerator(blocks=0, self_attention=True),
        lambda: CoarseToFineGenerator(width=8, blocks=0),
    ],
)
def test_weights_start_as_in_the_papers(make: Callable[[], Network]) -> None:
    torch.manual_seed(0)
    weights = {name: value for name, value in make().named_parameters() if value.ndim == 4 and value.numel() > 5_000}
    assert len(weights) > 3
    for name, value in weights.items():
        assert abs(value.std().item() - 0.02) < 1e-3, name


# --- spectral norm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("name", SPECTRAL)
def test_the_largest_singular_value_of_every_convolution_is_one(name: str, norm: str) -> None:
    torch.manual_seed(0)
    network = OPTIONS[name](norm=norm, in_channels=3).train()
    plain = OPTIONS[name](norm=norm, in_channels=3, spectral_norm=False)
    count = sum(isinstance(layer, nn.Conv2d) for layer in plain.modules())
    image = torch.rand(2, 3, SIZE, SIZE)
    for _ in range(50):
        network(image)
    network.eval()
    normed = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(normed) == count > 0
    for layer in normed:
        original = layer.parametrizations.weight.original  # type: ignore[union-attr, index]
        largest = torch.linalg.matrix_norm(original.flatten(1), ord=2)
        assert torch.allclose(layer.weight, original / largest, rtol=0.02, atol=1e-4)
        assert abs(torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() - 1) < 0.02
    assert network.parameter_count == plain.parameter_count
    assert not any("parametrizations" in key for key in plain.state_dict())


@pytest.mark.parametrize("name", SPECTRAL)
def test_power_iteration_advances_in_training_and_rests_in_eval_mode(name: str) -> None:
    torch.manual_seed(0)
    network = OPTIONS[name](norm="instance").eval()
    image = torch.rand(1, 6, SIZE, SIZE)
    before = copy.deepcopy(network)
    assert all(map(torch.equal, outputs(network, image), outputs(network, image)))
    assert same_state(network, before)
    twin = copy.deepcopy(network)
    network.train()(image)
    moved = [k for k, v in network.state_dict().items() if not torch.equal(v, before.state_dict()[k])]
    assert moved
    assert all(key.endswith(("._u", "._v")) for key in moved)
    assert same_state(twin, before), "a copy has vectors of its own"


def test_a_critic_is_called_twice_before_it_is_differentiated() -> None:
    """As in D(real) - D(fake), and again in the gradient of a penalty; the norm itself takes part in the gradient: the
    output does not change with the length of the weight, so no gradient points along it."""
    torch.manual_seed(0)
    network = PatchDiscriminator(width=4, layers=1, norm="instance", spectral_norm=True).double().train()
    real, fake = torch.rand(2, 2, 6, 32, 32, dtype=torch.float64)
    real.requires_grad_(True)
    judged = network(real)
    loss = judged.mean() - network(fake).mean()
    (slope,) = torch.autograd.grad(judged.sum(), real, create_graph=True)
    (loss + slope.square().sum()).backward()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            weight = layer.parametrizations.weight.original  # type: ignore[union-attr, index]
            assert weight.grad.any()
            assert abs((weight * weight.grad).sum() / weight.norm() / weight.grad.norm()) < 1e-10


def test_compiled_it_computes_the_same() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(in_channels=3, width=2, layers=1, norm="none", spectral_norm=True).train()
    plain = copy.deepcopy(network)
    compiled = torch.compile(network, backend="aot_eager")
    image = torch.rand(1, 3, 16, 16)
    for _ in range(2):
        for critic in (compiled, plain):
            (critic(image).mean() - critic(image.flip(3)).square().mean()).backward()
    for key, value in plain.state_dict().items():
        assert torch.allclose(value, network.state_dict()[key], atol=1e-6), key
    for one, other in zip(plain.parameters(), network.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)  # type: ignore[arg-type]


def _train_on_a_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    states = [_trained(rank, broadcast_buffers=broadcast) for broadcast in (True, False)]
    torch.save(states, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def _trained(rank: int, *, broadcast_buffers: bool) -> dict[str, Tensor]:
    """Steps on images of this rank's own: the critic twice behind DDP, then once more as it is read by a generator."""
    torch.manual_seed(0)  # networks are built alike
    network = PatchDiscriminator(width=2, layers=1, norm="instance", spectral_norm=True).train()
    wrapped = DistributedDataParallel(network, broadcast_buffers=broadcast_buffers)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    torch.manual_seed(rank + 1)  # images are not
    for _ in range(5):
        optimizer.zero_grad()
        real, fake = torch.rand(2, 1, 6, 16, 16)
        (wrapped(real).square().mean() - wrapped(fake).mean()).backward()
        optimizer.step()
        network.requires_grad_(False)
        network(torch.rand(1, 6, 16, 16))
        network.requires_grad_(True)
    return network.state_dict()


def test_two_processes_keep_equal_power_iterations(tmp_path: Path) -> None:
    """With the buffers sent from the first to the second at every step, as is usual, and left alone."""
    torch.multiprocessing.spawn(_train_on_a_rank, args=(str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for one, other in zip(*ranks, strict=True):
        assert sum(key.endswith("._u") for key in one) == 3
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key]), key


# --- several scales ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scales", "layers", "field"), [(1, 3, 70), (2, 1, 33), (3, 1, 67), (3, 2, 139), (3, 3, 283)])
def test_receptive_field_of_the_coarsest_scale(scales: int, layers: int, field: int) -> None:
    network = MultiScaleDiscriminator(in_channels=1, scales=scales, layers=layers, width=1, norm="none").double()
    assert network.receptive_field == field
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1e-2)
    image = torch.ones(1, 1, 720, 720, dtype=torch.float64, requires_grad=True)
    logits = network(image)[-1]
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [field, field]


def test_scales_judge_the_image_and_its_halves() -> None:
    torch.manual_seed(0)
    network = MultiScaleDiscriminator(in_channels=3, width=4)
    image = torch.randn(2, 3, 256, 256)
    logits = network(image)
    assert isinstance(logits, tuple)
    assert [tuple(scale.shape) for scale in logits] == [(2, 1, 30, 30), (2, 1, 14, 14), (2, 1, 6, 6)]
    # The halves, pixel by pixel: the mean of the up to nine neighbours that lie inside the image.
    ones = torch.ones(1, 1, 3, 3)
    for scale, judge in enumerate(network.judges):
        assert isinstance(judge, PatchDiscriminator)
        assert torch.allclose(logits[scale], judge(image), atol=1e-5)
        total = F.conv2d(image.flatten(0, 1)[:, None], ones, stride=2, padding=1)
        inside = F.conv2d(torch.ones_like(image[:1, :1]), ones, stride=2, padding=1)
        image = (total / inside).view(2, 3, *inside.shape[2:])


def test_each_scale_has_weights_of_its_own() -> None:
    """2,765,633 parameters each, as many as the original PatchGAN has at three channels."""
    with torch.device("meta"):
        network = MultiScaleDiscriminator(in_channels=3)
        assert network.parameter_count == 3 * 2_765_633
        assert len(network.state_dict()) == 3 * 22
        w = 8
        small = MultiScaleDiscriminator(in_channels=5, scales=2, layers=2, width=w, norm="none")
    assert small.parameter_count == 2 * (conv(4, 5, w) + conv(4, w, 2 * w) + conv(4, 2 * w, 4 * w) + conv(4, 4 * w, 1))


@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_smallest_image_has_one_logit_at_the_coarsest_scale(scales: int, layers: int) -> None:
    network = MultiScaleDiscriminator(in_channels=1, scales=scales, layers=layers, width=1, norm="none")
    smallest = network.min_size
    assert isinstance(smallest, int)
    assert network(torch.zeros(1, 1, smallest, smallest))[-1].shape == (1, 1, 1, 1)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 1, smallest - 1, smallest - 1))


# --- self-attention ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [0, 1, 6])
def test_with_attention_a_resnet_starts_equal_to_the_one_without(blocks: int) -> None:
    torch.manual_seed(0)
    network = ResNetGenerator(width=4, blocks=blocks, self_attention=True)
    plain = ResNetGenerator(width=4, blocks=blocks)
    # strict but for the attention: the other layers are called the same
    missing, foreign = plain.load_state_dict(network.state_dict(), strict=False)
    assert not missing
    names = ["query.weight", "key.weight", "value.weight", "output.weight", "gamma"]
    assert sorted(foreign) == sorted(f"layers.attention.{name}" for name in names)
    image = torch.rand(2, 3, 32, 40) * 2 - 1
    assert torch.equal(network(image), plain(image))
    network.layers.attention.gamma.data.fill_(1.0)  # type: ignore[union-attr]
    assert not torch.allclose(network(image), plain(image), atol=1e-4) or blocks == 0
    children = [type(layer).__name__ for layer in network.layers]
    assert children.index("SelfAttention") == 10 + blocks // 2
    assert children.count("SelfAttention") == 1
    # an eighth of the 16 channels: three convolutions down to 2, one back up, and γ
    assert network.parameter_count - plain.parameter_count == 4 * 16 * 2 + 1


def test_attention_is_the_papers() -> None:
    """Every pair of positions, one by one: o_j = v(Σ_i softmax_i(f(x_i)·g(x_j)) h(x_i)), y = γ o + x."""
    torch.manual_seed(0)
    attention = SelfAttention(32).double()
    attention.gamma.data.fill_(0.7)
    x = torch.randn(2, 32, 3, 5, dtype=torch.float64)
    key, query, value, back = (
        layer.weight[:, :, 0, 0] for layer in (attention.key, attention.query, attention.value, attention.output)
    )
    columns = []
    for image in x.flatten(2):
        for j in range(15):
            scores = torch.stack([(key @ image[:, i]) @ (query @ image[:, j]) for i in range(15)])
            shares = scores.exp() / scores.exp().sum()
            seen = sum(shares[i] * (value @ image[:, i]) for i in range(15))
            columns.append(0.7 * (back @ seen) + image[:, j])
    expected = torch.stack(columns).view(2, 15, 32).transpose(1, 2).view(x.shape)
    assert torch.allclose(attention(x), expected, atol=1e-12)


def test_attention_uses_a_fused_kernel() -> None:
    """Without one, memory grows with the square of the pixels: this image alone would take 4 GB."""
    network = SelfAttention(256)
    images = torch.rand(1, 256, 4, 6), torch.rand(1, 256, 4, 6).to(memory_format=torch.channels_last)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):  # no other is allowed
        for image in images:
            network(image).sum().backward()


# --- coarse to fine ---------------------------------------------------------------------------------------------------


def test_the_global_generator_is_as_large_as_the_original() -> None:
    """182,546,755 parameters are what the authors' log prints for 36 input channels; the last convolution, which makes
    an image of 64 channels, gives way to the enhancer here."""
    with torch.device("meta"):
        network = CoarseToFineGenerator(in_channels=36)
    coarse = sum(parameter.numel() for parameter in network.coarse.parameters())
    assert coarse + conv(7, 64, 3) == 182_546_755
    enhancer = conv(7, 36, 32) + conv(3, 32, 64) + 3 * 2 * conv(3, 64, 64) + conv(3, 64, 32) + conv(7, 32, 3)
    assert network.parameter_count == coarse + enhancer


def test_two_enhancers_are_counted_by_hand() -> None:
    w = 2
    with torch.device("meta"):
        network = CoarseToFineGenerator(out_channels=1, width=w, blocks=5, enhancers=2, enhancer_blocks=4)
    halvings = sum(conv(3, 2**n * w, 2 ** (n + 1) * w) for n in (2, 3, 4, 5))
    doublings = sum(conv(3, 2 ** (n + 1) * w, 2**n * w) for n in (2, 3, 4, 5))
    coarse = conv(7, 3, 4 * w) + halvings + 5 * 2 * conv(3, 64 * w, 64 * w) + doublings
    inner = conv(7, 3, 2 * w) + conv(3, 2 * w, 4 * w) + 4 * 2 * conv(3, 4 * w, 4 * w) + conv(3, 4 * w, 2 * w)
    outer = conv(7, 3, w) + conv(3, w, 2 * w) + 4 * 2 * conv(3, 2 * w, 2 * w) + conv(3, 2 * w, w)
    assert network.parameter_count == coarse + inner + outer + conv(7, w, 1)


def plain_coarse_to_fine(convs: list[Any], x: Tensor, *, enhancers: int, blocks: int) -> Tensor:
    """Section 3.1 written out under instance norm, around a generator of features that is written out as well."""

    def normed(x: Tensor) -> Tensor:
        return F.relu(F.instance_norm(x))

    def reflected(x: Tensor, border: int) -> Tensor:
        conv = convs.pop(0)
        return F.conv2d(F.pad(x, (border,) * 4, mode="reflect"), conv.weight, conv.bias)

    def front(x: Tensor, halvings: int) -> Tensor:
        x = normed(reflected(x, 3))
        for _ in range(halvings):
            conv = convs.pop(0)
            x = normed(F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1))
        return x

    def back(x: Tensor, count: int, doublings: int) -> Tensor:
        for _ in range(count):
            x = x + F.instance_norm(reflected(normed(reflected(x, 1)), 1))
        for _ in range(doublings):
            conv = convs.pop(0)
            x = F.conv_transpose2d(x, conv.weight, conv.bias, stride=2, padding=1, output_padding=1)
            x = normed(x)
        return x

    def features(x: Tensor, level: int) -> Tensor:
        """Of `level` enhancers around the global generator."""
        if level == 0:
            return back(front(x, 4), blocks, 4)
        smaller = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        inner = features(smaller, level - 1)
        return back(front(x, 1) + inner, 1, 1)

    return torch.tanh(reflected(features(x, enhancers), 3))


@pytest.mark.parametrize("enhancers", [1, 2])
def test_coarse_to_fine_computes_what_the_paper_says_layer_by_layer(enhancers: int) -> None:
    torch.manual_seed(0)
    network = CoarseToFineGenerator(width=1, blocks=2, enhancers=enhancers, enhancer_blocks=1).double().train()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.1)
    parts = [network.coarse]
    for pair in zip(network.fronts, network.backs, strict=True):
        parts += pair  # type: ignore[arg-type]
    convs = [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    image = torch.randn(2, 3, 128, 192, dtype=torch.float64)
    expected = plain_coarse_to_fine(list(convs), image, enhancers=enhancers, blocks=2)
    assert expected.shape == image.shape
    assert expected.std() > 1e-2
    assert torch.allclose(network(image), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("upsample", ["transpose", "resize", "bilinear"])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("enhancers", [1, 2])
def test_coarse_to_fine_keeps_the_size_and_stays_in_range(enhancers: int, norm: Any, upsample: Any) -> None:
    network = CoarseToFineGenerator(
        in_channels=2, out_channels=1, width=1, blocks=1, enhancers=enhancers, norm=norm, upsample=upsample
    )
    smallest = {1: 64, 2: 128}[enhancers]
    assert (network.multiple, network.min_size) == (smallest // 2, smallest)
    made = network.train()(torch.randn(1, 2, smallest, smallest + smallest // 2))
    assert made.shape == (1, 1, smallest, smallest + smallest // 2)
    assert made.abs().max() <= 1
