"""Weights divided by their largest singular value (Miyato et al. 2018, arXiv 1802.05957).

python -c "from torch import nn; from img2img_hub.networks.spectral_norm import SpectralNorm; \
layer = nn.Conv2d(3, 8, 3); nn.utils.parametrize.register_parametrization(layer, 'weight', SpectralNorm(layer.weight))"
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FIRST = 15  # steps of power iteration at the start


class SpectralNorm(nn.Module):
    """A parametrisation W -> W / σ(W) of a convolution's weight, (out, …) seen as a matrix of `out` rows.

    σ is estimated by one step of power iteration a call in training mode, none in eval mode. To the bit and by the
    names of its tensors it is PyTorch's `torch.nn.utils.parametrizations.spectral_norm`; but on the meta device, where
    a network is built to be loaded, it calculates nothing (PyTorch's takes ten seconds for a SPADE generator there),
    and under autocast it stays in float32.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self._u: Tensor
        self._v: Tensor
        self.register_buffer("_u", matrix.new_empty(matrix.shape[0]))
        self.register_buffer("_v", matrix.new_empty(matrix.shape[1]))
        if not matrix.is_meta:
            for vector in (self._u.normal_(), self._v.normal_()):
                _normalise(vector, out=vector)
            self._iterate(matrix, steps=_FIRST)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor, *, steps: int) -> None:
        for _ in range(steps):  # in place, for processes that share these vectors
            _normalise(torch.mv(matrix, self._v), out=self._u)
            _normalise(torch.mv(matrix.H, self._u), out=self._v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.is_meta:
            return weight
        with torch.autocast(weight.device.type, enabled=False):  # what is small next to the convolution, in full
            matrix = weight.flatten(1)
            if self.training:
                self._iterate(matrix, steps=1)
            # Copies, for a second call changes the vectors before the gradient of the first one has been computed.
            return weight / torch.vdot(self._u.clone(), torch.mv(matrix, self._v.clone()))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def _normalise(vector: Tensor, *, out: Tensor) -> None:
    F.normalize(vector, dim=0, eps=1e-12, out=out)
