"""A discriminator that judges the whole picture and its patches by common first layers, after Demir and Unal 2018.

python -c "from img2img_hub.networks import TwoBranchDiscriminator; print(TwoBranchDiscriminator().parameter_count)"

"Patch-Based Image Inpainting with Generative Adversarial Networks", arXiv 1803.07422. No code of the authors' is known.
"""

from torch import Tensor, nn

from img2img_hub.errors import check_range
from img2img_hub.networks.base import Discriminator, Stages
from img2img_hub.networks.blocks import Conv2d, Norm, conv_has_bias, initialise, make_norm
from img2img_hub.networks.patchgan import judge

SHARED = 2
"""Halving layers of both branches."""
DEEPER = 2
"""Halvings that the global branch has and the patch branch has not."""


class TwoBranchDiscriminator(Discriminator):
    """Two verdicts on one picture: (N, in_channels, H, W) -> ((N, 1, 1, 1) of the whole, (N, 1, h, w) of its patches),
    logits both.

    Any H and W from `min_size` on, 32 at three layers; 256² then gives 30×30 patches of 70×70 pixels. The paper's are
    the shared layers and the two branches, each of which has an adversarial loss of its own. Their sizes are open here:
    shared layers and patch branch together are a `PatchDiscriminator`, and the global branch goes on halving, up to
    8 × width channels, whose means over all places the one verdict is made of. So it takes pictures of any size, where
    a dense layer on all places would take one.

    Args:
        in_channels: bands judged.
        layers: stride-2 layers up to the patches, 1 to 6, the first two of which are shared; receptive fields of a
            patch's verdict 16, 34, 70, 142, 286, 574. The global branch has two more.
        width: channels of the first layer; doubled up to 8 × width.
        norm: "batch", "instance" or "none"; never on the first layer, the last ones, and the smallest map, which may
            be one pixel.
    """

    def __init__(self, *, in_channels: int = 3, layers: int = 3, width: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        check_range(in_channels=(in_channels, 1, 8192), layers=(layers, 1, 6), width=(width, 1, 512))
        self.in_channels = in_channels
        self.out_channels = 1
        deepest = layers + DEEPER
        self.min_size = 2**deepest
        channels = [in_channels, *(width * min(2**level, 8) for level in range(deepest))]

        def layer(level: int, *, stride: int = 2) -> list[nn.Module]:
            inner, out = channels[level : level + 2]
            normed = 0 < level < deepest - 1
            made: list[nn.Module] = [
                Conv2d(inner, out, 4, stride=stride, padding=1, bias=conv_has_bias(norm) or not normed)
            ]
            return [*made, *([make_norm(norm, out)] if normed else []), nn.LeakyReLU(0.2)]

        first = min(SHARED, layers)
        self.shared = nn.Sequential(*(part for level in range(first) for part in layer(level)))
        self.whole = nn.Sequential(
            *(part for level in range(first, deepest) for part in layer(level)),
            nn.AdaptiveAvgPool2d(1),
            Conv2d(channels[-1], 1, 1),
        )
        self.patches = nn.Sequential(
            *(part for level in range(first, layers) for part in layer(level)),
            *layer(layers, stride=1),
            Conv2d(channels[layers + 1], 1, 4, padding=1),
        )
        initialise(self.modules())

    def forward(self, image: Tensor, features: bool = False) -> tuple[Tensor, ...] | tuple[tuple[Tensor, ...], Stages]:
        """Logits, of the whole and of the patches; with `features` also the stages of each branch, what is behind each
        LeakyReLU. Those of the shared layers are at the beginning of both, so that the mean of the two has them once.
        """
        if not features:
            seen = self.shared(image)
            return self.whole(seen), self.patches(seen)
        seen, (common,) = judge(self.shared, image, features=True)
        logits, stages = [], []
        for branch in (self.whole, self.patches):
            verdict, (own,) = judge(branch, seen, features=True)
            assert isinstance(verdict, Tensor)
            logits.append(verdict)
            stages.append((*common, *own))
        return tuple(logits), tuple(stages)
