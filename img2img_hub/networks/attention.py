"""Self-attention over an image's features (SAGAN, Zhang et al. 2018, arXiv 1805.08318, section 3).

python -c "from img2img_hub.networks.attention import SelfAttention; print(SelfAttention(256))"
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """x + γ · attention(x): (N, channels, H, W) -> the same; each position looks at all others.

    Queries, keys and values have an eighth of the channels (section 3: C/8 lost nothing) and are made by 1×1
    convolutions without bias. γ is learnt and starts at 0, so that at first this is the identity. Time grows with the
    square of H·W; memory does not, where PyTorch has a fused kernel (CPU, CUDA).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 8, 1)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, inner, 1, bias=False)
        self.output = nn.Conv2d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        # (N, one head, H·W, inner): fused kernels want four axes, with the last one contiguous.
        query, key, value = (
            layer(x).flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
            for layer in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # the paper does not divide by √inner
        return x + self.gamma * self.output(seen.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:]))
