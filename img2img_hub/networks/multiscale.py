"""Patch discriminators on several sizes of one image (pix2pixHD, arXiv 1711.11585, section 3.2).

python -c "from img2img_hub import MultiScaleDiscriminator; print(MultiScaleDiscriminator().receptive_field)"
"""

from torch import Tensor, nn

from img2img_hub.errors import check_range, counted
from img2img_hub.networks.base import Discriminator, Network, Stages
from img2img_hub.networks.blocks import Norm, halve
from img2img_hub.networks.patchgan import Layout, PatchDiscriminator


class MultiScaleDiscriminator(Discriminator):
    """PatchGANs of equal shape on an image and its halves: (N, in_channels, H, W) -> a tuple of logits, one a scale.

    The tuple goes from the finest scale to the coarsest, each (N, 1, h, w). The coarse ones judge the whole, the fine
    ones details. 256² gives 30×30, 14×14 and 6×6 logits at three scales and layers; 35×35, 19×19 and 11×11 in the
    layouts "pix2pixhd" and "spade".

    Args:
        in_channels: bands judged; source and target together for a conditional discriminator.
        scales: discriminators, 1 to 6, each on half the size of the one before (paper: 3; authors' code: 2, and 3 for
            2048×1024).
        layers: stride-2 layers of each, 1 to 6.
        width: channels of the first layer of each; doubled up to 8 × width, or as the layout has it.
        norm: "batch", "instance" (authors' code) or "none", never on the first and the last layer.
        spectral_norm: divide each convolution's weight by its largest singular value (Miyato et al. 2018, arXiv
            1802.05957), beside whatever norm there is.
        layout: "pix2pix": a border of one pixel, no biases beside batch norm, all of them 0 at the start. "pix2pixhd"
            (the authors' code): a border of two, at most 512 channels, biases everywhere, which start as PyTorch draws
            them. "spade" (arXiv 1903.07291): as that, but no biases in the middle layers, and spectral norm on these
            alone.
    """

    later_arguments = frozenset({"layout"})

    def __init__(
        self,
        *,
        in_channels: int = 6,
        scales: int = 3,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "batch",
        spectral_norm: bool = False,
        layout: Layout = "pix2pix",
    ) -> None:
        super().__init__()
        check_range(scales=(scales, 1, 6))
        judges = [
            PatchDiscriminator(
                in_channels=in_channels,
                layers=layers,
                width=width,
                norm=norm,
                spectral_norm=spectral_norm,
                layout=layout,
            )
            for _ in range(scales)
        ]
        self.judges = nn.ModuleList(judges)
        self.in_channels = in_channels
        self.out_channels = 1
        self.min_size = 2 ** (scales - 1) * (judges[-1].min_size - 1) + 1  # an odd side is halved upwards

    @property
    def receptive_field(self) -> int:
        """Pixels of the full image (one side) that one logit of the coarsest scale sees."""
        coarsest = self.judges[-1]
        assert isinstance(coarsest, PatchDiscriminator)
        field = coarsest.receptive_field
        for _ in self.judges[1:]:
            field = 2 * (field - 1) + 3  # what a 3×3 average at a stride of 2 adds
        return field

    def take_over(self, smaller: Network) -> str | None:
        """Begin with the discriminators of fewer scales: what judged an image judges its halves, as in pix2pixHD's
        second stage, whose images are twice as large. The finest scales are new.

        Returns:
            What was taken over, in words; None where `smaller` is none that fits, and then nothing was.
        """
        if not isinstance(smaller, MultiScaleDiscriminator) or len(smaller.judges) >= len(self.judges):
            return None
        if any(smaller.config[key] != value for key, value in self.config.items() if key != "scales"):
            return None
        new = len(self.judges) - len(smaller.judges)
        for own, known in zip(self.judges[new:], smaller.judges, strict=True):
            own.load_state_dict(known.state_dict())
        return f"its {counted(len(smaller.judges), 'scale')} as the coarser ones; the finest {new} of all start afresh"

    def forward(self, image: Tensor, features: bool = False) -> tuple[Tensor, ...] | tuple[tuple[Tensor, ...], Stages]:
        """Logits, a tensor a scale; with `features` also the stages of each scale, as `PatchDiscriminator` has them."""
        logits, stages = [], []
        for scale, judge in enumerate(self.judges):
            if scale:
                image = halve(image)
            if features:
                verdict, own = judge(image, features=True)
                stages += own
            else:
                verdict = judge(image)
            logits.append(verdict)
        return (tuple(logits), tuple(stages)) if features else tuple(logits)
