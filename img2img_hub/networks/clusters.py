"""k-means, by which pix2pixHD's styles are found among what its encoder made of things (arXiv 1711.11585, section 3.4).

python -c "import torch; from img2img_hub.networks.clusters import clusters; print(clusters(torch.rand(99, 3), 10))"
"""

import torch
from torch import Tensor

_ROUNDS = 100  # of Lloyd's; some 10 are usual


def clusters(rows: Tensor, count: int) -> Tensor:
    """The centres of at most `count` clusters of (N, C) rows, (K, C) float32, that of most rows first.

    Lloyd's algorithm, begun as k-means++ does (Arthur & Vassilvitskii 2007), always by the same draws. K is less than
    `count` where fewer rows differ.
    """
    rows = rows.detach().float().cpu()
    centres = _begin(rows, count)
    nearest = torch.full((len(rows),), -1)
    for _ in range(_ROUNDS):
        before, nearest = nearest, torch.cdist(rows, centres).argmin(dim=1)
        if torch.equal(before, nearest):
            break
        sizes = nearest.bincount(minlength=len(centres))
        sums = torch.zeros_like(centres).index_add(0, nearest, rows)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    order = nearest.bincount(minlength=len(centres)).argsort(descending=True, stable=True)
    return centres[order]


def _begin(rows: Tensor, count: int) -> Tensor:
    """Rows far apart: each is drawn by its squared distance to the nearest that was drawn before."""
    draws = torch.Generator().manual_seed(0)
    chosen = rows[torch.randint(len(rows), (1,), generator=draws)]
    while len(chosen) < count:
        distance = torch.cdist(rows, chosen).amin(dim=1) ** 2
        if not distance.any():
            break
        chosen = torch.cat([chosen, rows[torch.multinomial(distance, 1, generator=draws)]])
    return chosen
