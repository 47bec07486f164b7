"""What a large image's feature maps are kept in: memory while it lasts, then a temporary file.

    python -c "import torch; from img2img_hub.strips.feature_maps import FeatureMap as M; \
    m = M((8, 64, 64), device=torch.device('cpu'), in_memory=False); m.write(0, torch.ones(1, 8, 2, 64)); \
    print(m.read(0, 2).mean())"
"""

import tempfile

import numpy as np
import torch
from torch import Tensor

BYTES = 4  # of a value, float32


class FeatureMap:
    """One image's (channels, height, width) values, written and read by rows.

    In a file the rows follow each other, so that some of them are one piece. It lies in the folder for temporary files
    (TMPDIR) and has no name: it is gone when nobody holds it any more, whatever ends the process.
    """

    def __init__(self, shape: tuple[int, int, int], *, device: torch.device, in_memory: bool) -> None:
        self.channels, self.height, self.width = shape
        self.device = device
        self.bytes = BYTES * self.channels * self.height * self.width
        self._values = torch.empty((1, *shape), device=device) if in_memory else None
        try:
            self._file = None if in_memory else tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # as long as the map
        except OSError as error:
            raise self._unusable(error.strerror) from None

    @property
    def in_memory(self) -> bool:
        return self._values is not None

    def write(self, first: int, rows: Tensor) -> None:
        """Put (1, channels, n, width) at the rows from `first` on.

        Raises:
            ValueError: the temporary file cannot grow.
        """
        if self._values is not None:
            self._values[:, :, first : first + rows.shape[2]] = rows
            return
        assert self._file is not None
        left = rows[0].transpose(0, 1).contiguous().cpu().numpy().data.cast("B")
        self._file.seek(first * self._row)
        try:
            while len(left):  # an unbuffered file may take a part
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._unusable(error.strerror) from None

    def read(self, first: int, last: int) -> Tensor:
        """(1, channels, last - first, width); not to be written to.

        Raises:
            ValueError: the temporary file cannot be read.
        """
        if self._values is not None:
            return self._values[:, :, first:last]
        assert self._file is not None
        rows = np.empty((last - first, self.channels, self.width), dtype=np.float32)
        self._file.seek(first * self._row)
        left = rows.data.cast("B")
        try:
            while len(left):
                if not (count := self._file.readinto(left)):
                    raise self._unusable("it ends too early")
                left = left[count:]
        except OSError as error:
            raise self._unusable(error.strerror) from None
        return torch.from_numpy(rows).to(self.device).transpose(0, 1).contiguous()[None]

    def _unusable(self, reason: str | None) -> ValueError:
        # Not gettempdir(), which raises again where no folder can be used.
        return ValueError(
            f"a temporary file in {tempfile.tempdir or 'the temporary folder'}, which has to grow to "
            f"{self.bytes / 2**30:.1f} GiB, cannot be used ({reason}): set TMPDIR to a folder with more space, allow "
            "more memory= (--memory), or use tiles='fast' (--tiles fast)"
        )

    @property
    def _row(self) -> int:
        return BYTES * self.channels * self.width
