"""--init_from: start a run on the weights of finished generators, and of the discriminators that stand beside them.

accelerate launch train_accelerate.py pix2pix --init_from user/facades-label2photo …
"""

from pathlib import Path

from torch import nn

from img2img_hub.families import Family
from img2img_hub.networks import Network
from img2img_hub.networks.base import fetch


def discriminators_beside(family: Family, folder: str) -> list[str]:
    """Names of the discriminators that stand under training/ of a published generator."""
    discriminators = [name for phase in family.phases for name in phase.freezes]
    return [name for name in discriminators if len(family.published) == 1 or name.endswith(folder.split("2")[-1])]


def initialise_from(networks: dict[str, nn.Module], *, family: Family, where: str) -> list[str]:
    """Load what `where` (an output folder, a generator's folder or a Hub id) holds; say what starts afresh.

    Raises:
        ValueError: no generator there, or one of another architecture.
    """
    said = []
    for folder, name in family.published.items():
        place = _place(where, folder)
        _copy(networks[name], Network.from_pretrained(place), where=place)
        said.append(f"{name} starts from {place}; its optimizer starts afresh.")
        for discriminator in discriminators_beside(family, folder):
            weights = _discriminator_place(place, discriminator)
            if weights is None:
                said.append(f"{discriminator} starts afresh: {place} has no training/{discriminator}.")
            else:
                _copy(networks[discriminator], Network.from_pretrained(weights), where=str(weights))
                said.append(f"{discriminator} starts from {weights}; its optimizer starts afresh.")
    return said


def _place(where: str, folder: str) -> str:
    """A local OUTPUT_DIR has one folder a generator; on the Hub they are repos with that ending."""
    if not folder:
        return where
    if not Path(where).is_dir():
        return f"{where}-{folder}"
    if not Path(where, folder).is_dir():
        raise ValueError(f"--init_from {where} holds no {folder}: name the output folder of a run, which has it inside")
    return str(Path(where) / folder)


def _discriminator_place(place: str, name: str) -> Path | None:
    files = []
    for file in ("config.json", "model.safetensors"):
        try:
            files.append(fetch(place, f"training/{name}/{file}"))
        except ValueError:
            return None
    return files[0].parent


def _copy(network: nn.Module, loaded: Network, *, where: str) -> None:
    assert isinstance(network, Network)
    if network.config != loaded.config:
        different = sorted(
            f"{key}: {loaded.config.get(key)} -> {network.config.get(key)}"
            for key in loaded.config.keys() | network.config.keys()
            if loaded.config.get(key) != network.config.get(key)
        )
        raise ValueError(
            f"--init_from {where}: its network differs from this run's ({'; '.join(different)}): "
            "give the flags that make them equal"
        )
    network.load_state_dict(loaded.state_dict())
