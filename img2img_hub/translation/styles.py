"""The styles of photos, which a generator with styles can translate in (GauGAN, Park et al. 2019, arXiv 1903.07291).

    python -m img2img_hub translate maps/ --model runs/gaugan --style photo.jpg --output translated/

Which z a style is, and how it is drawn, is in `variation`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from img2img_hub.images.read import ImageLike
from img2img_hub.networks import Network, StyleEncoder
from img2img_hub.networks.fetch import fetch
from img2img_hub.networks.style_encoder import STYLE_ENCODER
from img2img_hub.translation.pixels import Pixels
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.variation import Style

_PLACE = f"training/{STYLE_ENCODER}"


class Styles:
    """The styles of photos, by the encoder that is published with a generator; it is loaded for the first of them.

    Args:
        name: what messages call the model; with `download` the folder or the Hub id that the encoder is in.
        download: as `networks.base.fetch` takes it; None: there is no encoder.
    """

    def __init__(
        self,
        network: Network,
        settings: TranslationSettings,
        *,
        name: str,
        download: dict[str, Any] | None = None,
    ) -> None:
        self._length = int(getattr(network, "latent", 0))
        self._drawn = int(getattr(network, "styles", 0)) > 0
        self._side = settings.working_size
        # A photo is what the generator makes.
        self._pixels = Pixels(
            replace(settings, inputs=(), source_channels=settings.target_channels, source_values=settings.target_values)
        )
        self._name = name
        self._download = download
        self._encoder: StyleEncoder | None = None

    @property
    def known(self) -> bool:
        """Whether a photo's style can be read: the generator has styles, and an encoder is with it, of which no more is
        fetched for this than its config."""
        if not self._length or self._download is None:
            return False
        try:
            self._fetch("config.json")
        except ValueError:
            return False
        return True

    def of(self, photo: ImageLike) -> Style:
        """The style of a photo, which is seen at the size of training.

        Raises:
            ImageError: it is no readable image, or not of the bands that the generator makes.
            ValueError: the generator has no styles, or no encoder is with it.
        """
        if self._drawn:
            raise ValueError(
                f"{self._name} takes no style of a photo: leave style (--style) out; a seed (--seed) draws styles"
            )
        if not self._length:
            raise ValueError(f"{self._name} has no styles: leave style (--style) out, or train one with --latent 256")
        if self._encoder is None:
            self._encoder = self._load()
        seen = self._pixels.tensor(self._pixels.read(photo), size=(self._side, self._side))
        with torch.no_grad():
            mean, log_variance = self._encoder(seen[None])
        return Style(mean, (0.5 * log_variance).exp())

    def _load(self) -> StyleEncoder:
        if self._download is None:
            raise ValueError(
                f"{self._name} was not loaded with its {_PLACE}, which reads a photo's style: use "
                "Translator.from_pretrained, or draw a style by a seed"
            )
        try:
            config, _ = (self._fetch(file) for file in ("config.json", "model.safetensors"))
        except ValueError:
            raise ValueError(
                f"{self._name} has no {_PLACE}, which reads a photo's style: draw a style by a seed (--seed) instead"
            ) from None
        encoder = StyleEncoder.from_pretrained(config.parent)
        made, expected = (encoder.in_channels, encoder.latent), (self._pixels.settings.source_channels, self._length)
        if made != expected:
            raise ValueError(
                f"{self._name}: {_PLACE} makes {made[1]} numbers of {made[0]} bands, and the generator has "
                f"{expected[1]} and {expected[0]}: they are of two trainings"
            )
        return encoder

    def _fetch(self, file: str) -> Path:
        assert self._download is not None
        return fetch(self._name, f"{_PLACE}/{file}", **self._download)
