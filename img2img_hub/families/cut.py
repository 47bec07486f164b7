"""CUT and FastCUT: unpaired translation in one direction, by contrast of patches (Park et al. 2020, arXiv 2007.15651).

    accelerate launch train_accelerate.py cut --help

A patch of the output shall be more like the patch of the source at its place than like those at other places: the
generator's own encoder, with a small head on each of five of its layers, is what compares them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from img2img_hub.families.adversarial import AdversarialFamily
from img2img_hub.families.base import Batch, Direction, Networks, Outputs, Phase, Terms
from img2img_hub.images.resize import Size
from img2img_hub.images.slots import Slot
from img2img_hub.networks import Network, ResNetGenerator
from img2img_hub.networks.blocks import initialise_xavier
from img2img_hub.networks.heads import PatchHeads
from img2img_hub.objectives.calls import call_each, unwrapped
from img2img_hub.objectives.contrastive import draw_places, patch_nce
from img2img_hub.objectives.losses import AdversarialLoss, fooling, with_data


@dataclass(frozen=True, kw_only=True)
class CUT(AdversarialFamily):
    """Unpaired translation in one direction, by contrast of patches (arXiv 2007.15651)."""

    name: ClassVar[str] = "cut"
    title: ClassVar[str] = "CUT"
    paper: ClassVar[str] = (
        "Park, Efros, Zhang, Zhu: Contrastive Learning for Unpaired Image-to-Image Translation. ECCV 2020, "
        "arXiv:2007.15651"
    )
    paired: ClassVar[bool] = False
    network_defaults: ClassVar[dict[str, Any]] = {"norm": "instance", "dropout": 0.0, "antialias": True}
    directions: ClassVar[tuple[Direction, ...]] = (
        Direction(generator="generator", judges=("discriminator",), auxiliaries=("heads",)),
    )
    run_defaults: ClassVar[dict[str, Any]] = {"num_epochs": 400, "decay_epochs": 200}
    jitter_in_decay: ClassVar[bool] = False

    generator: Literal["resnet"] = "resnet"
    """resnet (paper): its encoder is compared by, and a U-Net's features are not its output's alone."""
    discriminator: Literal["patch", "pixel", "multiscale"] = "patch"
    """patch (paper), pixel, or multiscale: patches on several sizes of the image (pix2pixHD)."""
    adversarial_loss: AdversarialLoss = "lsgan"
    """lsgan: least squares (paper); vanilla: cross-entropy on logits; wgangp: Wasserstein with gradient penalty;
    hinge: as SPADE."""
    lambda_adversarial: float = 1.0
    """Weight of the adversarial loss (section 3)."""
    lambda_nce: float = 1.0
    """Weight of the contrast of patches (section 3; FastCUT: 10)."""
    nce_identity: bool = True
    """Contrast targets with what the generator makes of them, too, both at half the weight (section 3; FastCUT: no)."""
    nce_patches: int = 256
    """Places of each layer that are compared, drawn anew every time; all of them where there are fewer."""
    nce_temperature: float = 0.07
    """By which likenesses are divided before the softmax (section 3.1)."""
    head_width: int = 256
    """Channels of the heads."""
    flip_equivariance: bool = False
    """Let the generator see mirrored sources half of the time, and compare at the mirrored places (FastCUT)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("nce_patches", "head_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be 1 or more, got {getattr(self, name)}")
        if not self.nce_temperature > 0:
            raise ValueError(f"--nce_temperature must be above 0, got {self.nce_temperature}")

    def build(
        self, architecture: Any, *, in_channels: int, out_channels: int, image_size: int | Size
    ) -> dict[str, Network]:
        if in_channels != out_channels:
            raise ValueError(
                f"{self.title} compares outputs ({out_channels} channels) with sources ({in_channels} channels) by the "
                "generator's own encoder, which reads both: give data of equal channels, such as by --in_channels "
                f"{out_channels}, or train cyclegan with --lambda_identity 0"
            )
        generator = self.make_generator(
            architecture, in_channels=in_channels, out_channels=out_channels, image_size=image_size
        )
        assert isinstance(generator, ResNetGenerator)
        channels = ",".join(map(str, generator.feature_channels))
        networks: dict[str, Network] = {
            "generator": generator,
            "discriminator": self.make_discriminator(architecture, in_channels=out_channels, image_size=image_size),
            "heads": PatchHeads(channels=channels, width=self.head_width),
        }
        for network in networks.values():
            initialise_xavier(network.modules())
        return networks

    def check_inputs(self, inputs: Sequence[Slot]) -> None:
        """Refuse sources that the encoder could not read beside outputs. Raises ValueError."""
        super().check_inputs(inputs)
        if any(slot.by_nearest for slot in inputs):
            said = ", ".join(slot.describe() for slot in inputs)
            raise ValueError(
                f"{self.title} compares outputs with sources by the generator's own encoder, which would have to read "
                f"pictures and {said}: leave out --labels, --palette and --masks, so that sources are pictures, or "
                "train pix2pix on pairs"
            )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The discriminator first, then the generator with the heads against it, on the same fakes."""
        return (
            self.discriminator_phase("discriminator"),
            Phase(
                name="generator", trains=("generator", "heads"), freezes=("discriminator",), loss=self.generator_loss
            ),
        )

    def prepare(self, batch: Batch) -> Batch:
        """With "mirrored" where this batch's images are seen from behind by the generator: half of the time."""
        if self.flip_equivariance and torch.rand(()) < 0.5:
            return batch | {"mirrored": torch.ones(())}
        return batch

    def discriminator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """Half of least squares on targets and fakes, without a pool of past ones."""
        with torch.set_grad_enabled(outputs.keep_graph):
            fakes = self._fakes(networks, batch, outputs)
        if outputs.keep_graph:
            outputs.fakes |= fakes
        fake = with_data(fakes["target"].detach(), _seen(batch, "source_valid"))
        return self.discriminator_terms(networks["discriminator"], real=batch["target"], fake=fake)

    def generator_loss(self, networks: Networks, batch: Batch, outputs: Outputs) -> Terms:
        """Fool the (just updated, frozen) discriminator, and keep each patch like that of the source at its place."""
        fakes = dict(outputs.fakes) or self._fakes(networks, batch, outputs)
        outputs.fakes.clear()
        # By what each was made of.
        made = {"source": with_data(fakes["target"], _seen(batch, "source_valid"))}
        if "same" in fakes:
            made["target"] = with_data(fakes["same"], _seen(batch, "target_valid"))
        logits = networks["discriminator"](self.shown(made["source"]))
        terms: Terms = {"adversarial": (fooling(logits, kind=self.adversarial_loss), self.lambda_adversarial)}
        if self.lambda_nce:
            taps = unwrapped(networks["generator"]).feature_taps
            queries = call_each(networks["generator"], *made.values(), taps=taps)
            for side, query in zip(made, queries, strict=True):
                name = "nce" if side == "source" else "nce_identity"
                terms[name] = (self._contrast(networks, batch, outputs, query, of=side), self.lambda_nce / len(made))
        outputs.features.clear()
        return terms

    def _fakes(self, networks: Networks, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
        """{"target"} of the sources and, with the identity, {"same"} of the targets. What the encoder sees in both on
        the way stays in `outputs`, for they are what it is going to compare with."""
        sides = ("source", "target") if self.nce_identity and self.lambda_nce else ("source",)
        taps = unwrapped(networks["generator"]).feature_taps
        images = [_seen(batch, side) for side in sides]
        made = call_each(networks["generator"], *(each for each in images if each is not None), taps=taps, whole=True)
        if "mirrored" not in batch:  # nobody compares with what is seen from behind
            outputs.features |= {
                side: tuple(map(Tensor.detach, seen)) for side, (_, seen) in zip(sides, made, strict=True)
            }
        return dict(zip(("target", "same"), (image for image, _ in made), strict=False))

    def _contrast(
        self, networks: Networks, batch: Batch, outputs: Outputs, queries: tuple[Tensor, ...], *, of: str
    ) -> Tensor:
        """How unlike the features of an output are to those of what it was made of, the mean over layers (section 3.1).

        Keys teach nobody: the encoder and the heads learn by the queries alone.
        """
        generator, heads = networks["generator"], networks["heads"]
        if "mirrored" in batch:
            queries = tuple(features.flip(-1) for features in queries)
        places = draw_places(queries, count=self.nce_patches, valid=batch.get(f"{of}_valid"))
        with torch.no_grad():
            seen = outputs.features.get(of)
            if seen is None:
                seen = generator(batch[of], taps=unwrapped(generator).feature_taps)
            keys = heads(seen, places)
        losses = [
            patch_nce(query, key, temperature=self.nce_temperature)
            for query, key in zip(heads(queries, places), keys, strict=True)
        ]
        return torch.stack(losses).mean()


@dataclass(frozen=True, kw_only=True)
class FastCUT(CUT):
    """CUT at half the cost: no identity, ten times the contrast, mirrored sources (arXiv 2007.15651)."""

    name: ClassVar[str] = "fastcut"
    title: ClassVar[str] = "FastCUT"
    run_defaults: ClassVar[dict[str, Any]] = {"num_epochs": 200, "decay_epochs": 50}

    lambda_nce: float = 10.0
    nce_identity: bool = False
    flip_equivariance: bool = True


def _seen(batch: Batch, key: str) -> Tensor | None:
    """An image of the batch, or where it has data, as the generator sees it in this step; None where there is none."""
    image = batch.get(key)
    return image.flip(-1) if image is not None and "mirrored" in batch else image
