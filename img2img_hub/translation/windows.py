"""Windows around holes: what a network has to see of a large image to fill a few places of it.

    python -c "import numpy as np; from img2img_hub.translation.windows import windows; \\
        print(windows(np.eye(2000, dtype=bool)[:, :1500], least=256))"

The work is bounded whatever a mask looks like: holes are found on a grid of at most 256 × 256 cells.
"""

from __future__ import annotations

import numpy as np

Box = tuple[int, int, int, int]
"""(left, top, right, bottom)."""
_CELLS = 8  # to a window's smallest side: holes that lie no further apart are one …
_SMALLEST, _MOST_CELLS = 4, 256  # … of so many pixels at least, and so many a side of the image
_AROUND = 2  # times a hole's own sides a window has at least


def windows(hole: np.ndarray, *, least: int, square: bool = False) -> list[Box]:
    """Windows that together hold all of a hole, (H, W) bool, and none of which overlaps another.

    Each is at least `least` pixels a side and twice as wide and high as what it holds of the hole, as far as the image
    reaches.

    Args:
        square: whether what becomes of a window is a square, so that it should be one.
    """
    height, width = hole.shape
    cell = max(least // _CELLS, _SMALLEST, -(-max(height, width) // _MOST_CELLS))
    boxes = [_around(box, width, height, least=least, square=square) for box in _parts(hole, cell)]
    while len(joined := _joined(boxes, (height, width), cell)) < len(boxes):  # which may overlap others
        boxes = joined
    return sorted(boxes, key=lambda box: (box[1], box[0]))


def _parts(hole: np.ndarray, cell: int) -> list[Box]:
    """The boxes around what of a hole hangs together, or nearly so."""
    height, width = hole.shape
    rows, columns = -(-height // cell), -(-width // cell)
    padded = np.zeros((rows * cell, columns * cell), dtype=bool)
    padded[:height, :width] = hole
    cells = padded.reshape(rows, cell, columns, cell).any(axis=(1, 3))
    left = {(int(row), int(column)) for row, column in np.argwhere(cells)}
    boxes = []
    while left:
        waiting, part = [left.pop()], []
        while waiting:
            row, column = waiting.pop()
            part.append((row, column))
            near = [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
            found = [each for each in near if each in left]
            left.difference_update(found)
            waiting += found
        top, first = min(row for row, _ in part) * cell, min(column for _, column in part) * cell
        bottom, last = (max(row for row, _ in part) + 1) * cell, (max(column for _, column in part) + 1) * cell
        own = hole[top:bottom, first:last]
        across, down = np.flatnonzero(own.any(axis=0)), np.flatnonzero(own.any(axis=1))
        boxes.append((first + int(across[0]), top + int(down[0]), first + int(across[-1]) + 1, top + int(down[-1]) + 1))
    return boxes


def _around(box: Box, width: int, height: int, *, least: int, square: bool) -> Box:
    sides = [max(least, _AROUND * (box[axis + 2] - box[axis])) for axis in (0, 1)]
    sides = [max(sides)] * 2 if square else sides
    begins, ends = [], []
    for axis, (side, whole) in enumerate(zip(sides, (width, height), strict=True)):
        side = min(side, whole)
        begin = min(max((box[axis] + box[axis + 2] - side) // 2, 0), whole - side)
        begins.append(begin)
        ends.append(begin + side)
    return begins[0], begins[1], ends[0], ends[1]


def _joined(boxes: list[Box], size: tuple[int, int], cell: int) -> list[Box]:
    """Boxes with one in the place of those that have a cell in common."""
    owners = np.full([-(-side // cell) for side in size], -1, dtype=np.int64)
    parents = list(range(len(boxes)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = number = parents[parents[number]]
        return number

    for number, (left, top, right, bottom) in enumerate(boxes):
        place = slice(top // cell, -(-bottom // cell)), slice(left // cell, -(-right // cell))
        for other in np.unique(owners[place]).tolist():
            if other >= 0:
                parents[root(other)] = root(number)
        owners[place] = number
    together: dict[int, list[Box]] = {}
    for number, box in enumerate(boxes):
        together.setdefault(root(number), []).append(box)
    lefts_first = (list(zip(*group, strict=True)) for group in together.values())
    return [(min(each[0]), min(each[1]), max(each[2]), max(each[3])) for each in lefts_first]
