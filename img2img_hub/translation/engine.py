"""A generator run on batches of tensors: any height and width, one call at a time, fixed or varied by a seed.

    python -c "import torch; from img2img_hub import UNetGenerator as U; from img2img_hub.translation.engine import \
    Engine; print(Engine(U(width=8))(torch.zeros(1, 3, 300, 200)).shape)"

What images become before and after is the Translator's business.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from img2img_hub.images import crop, pad_to_multiple
from img2img_hub.networks import Network
from img2img_hub.networks.blocks import set_variation


class Engine:
    """A generator in eval mode, on one device, safe to call from several threads.

    Args:
        network: a generator. It stays on its device unless `device` is given, and in its mode between calls.
        device: "cpu", "cuda", "cuda:1", "mps" …

    Raises:
        ValueError: the device is not there.
    """

    def __init__(self, network: Network, *, device: str | torch.device | None = None) -> None:
        self.network = network if device is None else _moved(network, device)
        self.device = next(network.parameters()).device
        self._lock = threading.Lock()

    def __call__(self, batch: Tensor, *, seed: int | None = None) -> Tensor:
        """(N, in_channels, H, W) float in [-1, 1] of any size to (N, out_channels, H, W), on the batch's device.

        The batch is reflected up to the network's multiple and cropped back.

        Args:
            seed: None: the one deterministic output. A number: dropout and noise act as in training.

        Raises:
            ValueError: another shape, a bad seed, or not enough memory for that size.
        """
        if batch.ndim != 4 or batch.shape[1] != self.network.in_channels or 0 in batch.shape:
            raise ValueError(f"a batch (N, {self.network.in_channels}, H, W) is needed, got {tuple(batch.shape)}")
        if seed is not None and (not isinstance(seed, int) or not 0 <= seed < 2**63):
            raise ValueError(f"a seed is a whole number from 0 on, got {seed!r}")
        height, width = batch.shape[-2:]
        multiple, smallest = int(self.network.multiple), int(self.network.min_size)  # type: ignore[arg-type]
        multiple = smallest if min(height, width) < smallest else multiple  # a smallest size is such a multiple too
        padded, (top, left) = pad_to_multiple(batch.to(self.device, torch.float32), multiple=multiple)
        try:
            with self._lock, torch.no_grad(), self._evaluating():
                if seed is None:
                    output = self.network(padded)
                else:  # one by one, so that an image's noise does not depend on its batch-mates
                    output = torch.cat([self._vary(image[None], seed=seed) for image in padded])
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            raise ValueError(
                f"not enough memory to translate {width}×{height} pixels at once on {self.device}: "
                "use resize='fit' (--resize fit) or a smaller image"
            ) from None
        return crop(output, top=top, left=left, height=height, width=width).to(batch.device)

    # --- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Eval mode for the call: a network that is being trained is left in training mode."""
        training = self.network.training
        self.network.eval()
        try:
            yield
        finally:
            self.network.train(training)

    def _vary(self, source: Tensor, *, seed: int) -> Tensor:
        """One padded image with dropout and noise drawn from `seed`; the global generators are left as they were."""
        on_cpu = self.device.type == "cpu"
        devices = [] if on_cpu else list(range(torch.get_device_module(self.device).device_count()))
        set_variation(self.network, True)
        try:
            with torch.random.fork_rng(devices=devices, device_type="cuda" if on_cpu else self.device.type):
                if on_cpu:
                    torch.default_generator.manual_seed(seed)
                else:
                    torch.manual_seed(seed)  # of all devices; all of them are forked
                bands = int(getattr(self.network, "noise_channels", 0))
                if not bands:
                    return self.network(source)
                noise = torch.randn(1, bands, *source.shape[-2:])  # on the CPU: the same on every device
                return self.network(source, noise=noise.to(self.device))
        finally:
            set_variation(self.network, False)


def _moved(network: Network, device: str | torch.device) -> Network:
    try:
        return network.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"device {str(device)!r} cannot be used ({reason}); cpu always can") from None
