"""PatchNCE: a patch of the output is more like the patch of the source at its place than like those at other places
(CUT, Park et al. 2020, arXiv 2007.15651, section 3).

    python -c "import torch; from img2img_hub.objectives.contrastive import patch_nce; \
    print(patch_nce(torch.eye(8)[None], torch.eye(8)[None]))"
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# In place of a patch's likeness to itself among the others; before the division by the temperature, as in the authors'
# code.
_ITSELF = -10.0


def patch_nce(query: Tensor, key: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Cross-entropy of finding, for each of the P places, its own key among those of the same image; the mean.

    Both (N, P, D), of length 1. The caller detaches the key, after its head (authors' code), so that the encoder and
    the heads learn by the queries alone. ln P where all are alike; 0 where there is no place at all.
    """
    if not query.shape[1]:
        return query.sum()  # of nothing, which an optimizer still sees
    with torch.autocast(query.device.type, enabled=False):  # a seventieth of a likeness counts as one
        exact = torch.promote_types(query.dtype, torch.float32)
        query, key = query.to(exact), key.to(exact)
        own = (query * key).sum(dim=-1, keepdim=True)
        others = query @ key.transpose(1, 2)
        itself = torch.eye(query.shape[1], dtype=torch.bool, device=query.device)
        logits = torch.cat([own, others.masked_fill(itself, _ITSELF)], dim=-1) / temperature
        first = torch.zeros(logits.shape[:2], dtype=torch.long, device=logits.device)
        return F.cross_entropy(logits.flatten(0, 1), first.flatten())


def draw_places(
    features: Sequence[Tensor],
    *,
    count: int = 256,
    valid: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, ...]:
    """For each feature (N, C, h, w) up to `count` of its h · w places, row by row, without repetition: (P,) each.

    All images of the batch share them, so that a query and its key do. `valid`, (N, 1, H, W) of 1 and 0, leaves out the
    places that cover a pixel without data in any of the images; where a feature is larger than that, it is taken for
    the image with its border reflected. Random numbers are those of the CPU (torch's own, or `generator`'s), which
    checkpoints hold, whatever the device.
    """
    drawn = []
    for feature in features:
        height, width = feature.shape[-2:]
        allowed = None if valid is None else _with_data(valid, height, width)
        total = height * width if allowed is None else len(allowed)
        chosen = torch.randperm(total, generator=generator)[:count]
        drawn.append((chosen if allowed is None else allowed[chosen]).to(feature.device))
    return tuple(drawn)


def _with_data(valid: Tensor, height: int, width: int) -> Tensor:
    """Numbers of the places, on the CPU, that have data in all images."""
    lacking = 1 - valid.detach().float().amin(dim=0, keepdim=True)
    rows, columns = max(height - lacking.shape[2], 0), max(width - lacking.shape[3], 0)
    if rows or columns:
        lacking = F.pad(lacking, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), mode="reflect")
    lacking = F.adaptive_max_pool2d(lacking, (height, width))
    return (lacking == 0).flatten().nonzero().flatten().cpu()
