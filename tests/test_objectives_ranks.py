"""The objectives where gradients are exchanged between processes, and where networks compute in bfloat16."""

import copy
from collections import Counter

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from img2img_hub import CycleGAN, Pix2Pix, Spade
from img2img_hub.families import Family, Outputs
from img2img_hub.families.options import Architecture
from tests.families import smallest_size

RANKS = 2
# All that differentiates a discriminator twice, calls it several times or gives more than one tensor.
OBJECTIVES: list[Family] = [
    Pix2Pix(lambda_r1=10.0, discriminator="multiscale", diff_augment="color,translation,cutout"),
    Pix2Pix(adversarial_loss="wgangp"),
    CycleGAN(lambda_r1=10.0, label_smoothing=0.1),
    CycleGAN(adversarial_loss="wgangp", discriminator="multiscale"),
]
EXCHANGED: list[Family] = [
    *OBJECTIVES,
    Spade(perceptual="none", diff_augment="color,translation,cutout"),
    Pix2Pix(projected="lite0", projected_width=4, adversarial_loss="hinge"),
]


def networks_of(family):
    torch.manual_seed(0)
    scales = {"discriminator_scales": 2} if family.discriminator == "multiscale" else {}
    own = {"hidden": 4} if family.name == "spade" else {"dropout": 0.0}
    architecture = Architecture(width=4, discriminator_layers=1, norm="instance", **scales, **own)
    return family.build(architecture, in_channels=3, out_channels=3, image_size=side_of(family))


def side_of(family):
    return smallest_size(family) if getattr(family, "projected", "none") == "none" else 64


def batch_of(family, rank, dtype=torch.float64):
    generator, side = torch.Generator().manual_seed(rank), side_of(family)
    return {name: torch.rand(1, 3, side, side, generator=generator, dtype=dtype) for name in ("source", "target")}


def learn(family, phase, networks, rank):
    """Gradients of one phase on the batch of one rank, with the draws of that rank."""
    torch.manual_seed(rank)
    outputs = Outputs(keep_graph=False, pools=family.make_pools(seed=rank))
    terms = phase.loss(networks | family.make_helpers(), batch_of(family, rank), outputs)
    torch.stack([value * weight for value, weight in terms.values()]).sum().backward()


def exchange_gradients(rank, port_file):
    """Each process learns on its own batch; the gradients are the mean of what each batch gives by itself."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{port_file}", rank=rank, world_size=RANKS)
    for family in EXCHANGED:
        for phase in family.phases:
            plain = {name: network.double() for name, network in networks_of(family).items()}
            wrapped = {
                name: copy.deepcopy(network)
                if name in phase.freezes
                else DistributedDataParallel(copy.deepcopy(network), broadcast_buffers=False)
                for name, network in plain.items()
            }
            for name in phase.freezes:
                plain[name].requires_grad_(False)
                wrapped[name].requires_grad_(False)
            learn(family, phase, wrapped, rank)
            before = {name: copy.deepcopy(network.state_dict()) for name, network in plain.items()}
            for every in range(RANKS):
                for name, state in before.items():  # spectral norm's vectors move in each call
                    plain[name].load_state_dict(state)
                learn(family, phase, plain, every)
            for name in phase.trains:
                for ours, alone in zip(wrapped[name].parameters(), plain[name].parameters(), strict=True):
                    assert torch.allclose(ours.grad, alone.grad / RANKS, atol=1e-10), f"{family}: {phase.name} {name}"
    distributed.destroy_process_group()


def test_penalties_and_scales_exchange_their_gradients(tmp_path):
    multiprocessing.spawn(exchange_gradients, args=(tmp_path / "port",), nprocs=RANKS)


@pytest.mark.parametrize("family", OBJECTIVES, ids=lambda family: f"{family.name}-{family.adversarial_loss}")
def test_penalties_hold_in_bfloat16(family):
    """As `--mixed_precision bf16` has it: networks compute in half precision, what is made of their verdicts does not.
    The draws are the same, so the numbers are too, up to what three digits can say: as means over many pictures, for on
    one alone a penalty, the square of a small difference, is off by a tenth with some seeds."""
    draws = 64
    means: dict[str, Counter[str]] = {"no": Counter(), "bf16": Counter()}
    for precision in ("no", "bf16"):
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = Accelerator(cpu=True, mixed_precision=precision)
        networks = {name: accelerator.prepare(network) for name, network in networks_of(family).items()}
        for seed in range(draws):
            torch.manual_seed(seed)
            outputs = Outputs(keep_graph=False, pools=family.make_pools(seed=0))
            terms = family.discriminator_loss(networks, batch_of(family, seed, torch.float32), outputs)
            torch.stack([value * weight for value, weight in terms.values()]).sum().backward()
            assert all(value.dtype == torch.float32 for value, _ in terms.values())
            for name, (value, _) in terms.items():
                means[precision][name] += value.item() / draws
        for phase in family.phases:
            if phase.name == "discriminator":
                gradients = [p.grad for name in phase.trains for p in networks[name].parameters()]
                assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients)
    AcceleratorState._reset_state(reset_partial_state=True)
    for name, value in means["bf16"].items():
        assert value == pytest.approx(means["no"][name], rel=0.05), name
