"""--init_from: start a run on the weights of finished generators and of the discriminators that stand beside them, or
on those of a checkpoint.

accelerate launch train_accelerate.py pix2pix --init_from user/facades-label2photo …
"""

from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from img2img_hub.families import Family
from img2img_hub.networks import Network
from img2img_hub.networks.base import commit_of, fetch
from img2img_hub.training.checkpoints import describe_last


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a fine-tuning begins with."""

    said: list[str] = field(default_factory=list)  # lines for the log
    missing: tuple[str, ...] = ()  # discriminators that have to start afresh


def discriminator_phases(family: Family) -> frozenset[str]:
    """Names of the phases that train no generator."""
    generators = set(family.published.values())
    return frozenset(phase.name for phase in family.phases if not generators & set(phase.trains))


def discriminators_beside(family: Family, folder: str) -> list[str]:
    """Names of the discriminators that stand under training/ of a published generator."""
    discriminators = [name for phase in family.phases for name in phase.freezes]
    return [name for name in discriminators if len(family.published) == 1 or name.endswith(folder.split("2")[-1])]


def initialise_from(networks: dict[str, nn.Module], *, family: Family, where: str) -> Start:
    """Load what `where` (an output folder, a generator's folder, a Hub id, or a checkpoint) holds.

    Raises:
        ValueError: no generator there, or one of another architecture.
    """
    if Path(where, "training_state.pt").exists():
        return _from_checkpoint(networks, Path(where))
    said, missing = [], []
    for folder, name in family.published.items():
        place = _place(where, folder)
        _copy(networks[name], Network.from_pretrained(place), where=place)
        said.append(f"{name} starts from {place}; its optimizer starts afresh.")
        for discriminator in discriminators_beside(family, folder):
            weights = _discriminator_place(place, discriminator)
            if weights is None:
                said.append(f"{discriminator} starts afresh: {place} has no training/{discriminator}.")
                missing.append(discriminator)
            else:
                _copy(networks[discriminator], Network.from_pretrained(weights), where=str(weights))
                said.append(f"{discriminator} starts from {weights}; its optimizer starts afresh.")
    return Start(said=said, missing=tuple(missing))


def _from_checkpoint(networks: dict[str, nn.Module], checkpoint: Path) -> Start:
    """All networks as they were trained there: not their averages, which the discriminators have never judged."""
    for name, network in networks.items():
        try:
            network.load_state_dict(load_file(checkpoint / f"{name}.safetensors"))
        except (OSError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]  # it may go through all layers
            raise ValueError(
                f"--init_from {checkpoint}: its {name} is not this run's ({reason}): give the flags of that run's "
                f"networks, which stand in {checkpoint / 'run.json'}"
            ) from None
    return Start(said=[f"All networks start from {checkpoint}; their optimizers start afresh."])


def _place(where: str, folder: str) -> str:
    """A local OUTPUT_DIR has one folder a generator; on the Hub they are repos with that ending."""
    if Path(where, "run.json").exists() and not Path(where, "finished.json").exists():
        last = describe_last(Path(where) / "checkpoints")
        raise ValueError(f"--init_from {where}: that run is not finished; {last}: name that, or --resume the run first")
    if not folder:
        return where
    if not Path(where).is_dir():
        return f"{where}-{folder}"
    if not Path(where, folder).is_dir():
        raise ValueError(f"--init_from {where} holds no {folder}: name the output folder of a run, which has it inside")
    return str(Path(where) / folder)


def _discriminator_place(place: str, name: str) -> Path | None:
    files = []
    commit = commit_of(fetch(place, "config.json"))  # the generator's: a push in between must not give a mixture
    for file in ("config.json", "model.safetensors"):
        try:
            files.append(fetch(place, f"training/{name}/{file}", revision=commit))
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
