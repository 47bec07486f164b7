"""A run's generators as they would be published now: their type, the average if there is one, the test-time settings.

translator = Generators(run).translators()["generator"]
"""

import json
from pathlib import Path

from torch import distributed, nn

from img2img_hub.families import Direction
from img2img_hub.hub.local_paths import shortened_everywhere
from img2img_hub.networks import Generator, Network
from img2img_hub.networks.blocks import BatchNorm2d, NormStatistics
from img2img_hub.training.run.context import RunContext
from img2img_hub.translation.settings import TranslationSettings
from img2img_hub.translation.translator import Translator


class Generators:
    """Copies of the generators, as translators or as folders."""

    def __init__(self, run: RunContext) -> None:
        self.run = run
        self.family = run.family
        self.config = run.config
        self.accelerator = run.accelerator
        self.state = run.state

    def translators(self, *, alike: bool = False) -> dict[str, Translator]:
        """{name: translator} of every published generator.

        Args:
            alike: all processes call this together and have the same afterwards: the weights agree in any case, but
                batch norm's averages are each process's own, and those of the main process are the ones published.
        """
        made = {}
        for direction in self.family.directions:
            name = direction.generator
            made[name] = Translator(self._as_saved(name), self.settings(direction), device=self.accelerator.device)
            if alike and self.accelerator.num_processes > 1:
                for buffer in made[name].network.buffers():
                    distributed.broadcast(buffer, 0)
        return made

    def save(self, root: Path, *, repo_ids: dict[str, str]) -> None:
        """Write every generator below `root`, with its judges, auxiliaries and settings: all files but card and sheet.

        repo_ids: where the opposite directions will be; {} where they stand beside each other.
        """
        for direction in self.family.directions:
            destination = root / direction.folder
            self._as_saved(direction.generator).save_weights(destination, dtype=self.config.save_dtype)
            self.settings(direction, reverse=self.reverse(direction, repo_ids)).save(destination)
            text = json.dumps(shortened_everywhere(self.run.folder.settings()), indent=2)
            (destination / "training_config.json").write_text(text + "\n", encoding="utf-8")
            for name in direction.beside:
                network = self.state.networks[name]
                assert isinstance(network, Network)
                network.save_weights(destination / "training" / name, dtype=self.config.save_dtype)

    def reverse(self, direction: Direction, repo_ids: dict[str, str]) -> str | None:
        """The opposite direction, if there is one: its repo if it is pushed, else the folder beside this one."""
        back = [other.folder for other in self.family.directions if other.generator == direction.back]
        return repo_ids.get(back[0], back[0]) if back else None

    def settings(self, direction: Direction, *, reverse: str | None = None) -> TranslationSettings:
        """What translation.json says of this generator."""
        network = self.state.networks[direction.generator]
        assert isinstance(network, Generator)
        data = self.run.train_data
        inputs = data.about.inputs if direction.source == "source" else ()
        output = data.about.output if direction.source == "source" else None
        source_values, target_values = reversed(data.values) if direction.source == "target" else data.values
        return TranslationSettings(
            family=self.family.name,
            source_channels=network.in_channels,
            target_channels=network.out_channels,
            inputs=inputs,
            output=output,
            source_values=source_values,
            target_values=target_values,
            norm_statistics=self._norm_statistics(network),
            working_size=self.config.seen_size,
            crop="native" if self.config.measures_natively else "resize",
            resize="fit" if network.knows_one_size else "native",
            reverse=reverse,
        )

    def _as_saved(self, name: str) -> Network:
        network = self.state.networks[name]
        assert isinstance(network, Network)
        average = self.state.averages.get(name)
        state = None if average is None else average.module.state_dict()  # type: ignore[union-attr]
        copy = network.copy_as_saved(dtype=self.config.save_dtype, state=state)
        complete = self.family.complete(copy, dict(self.state.networks))
        return copy if complete is copy else complete.copy_as_saved(dtype=self.config.save_dtype)

    def _norm_statistics(self, network: nn.Module) -> NormStatistics:
        """Batch norm that saw one image at a time in training must see one image's statistics at test time too;
        one that saw batches is served better by its running averages; unless the family knows better."""
        if self.family.norm_statistics is not None:
            return self.family.norm_statistics
        if not any(isinstance(layer, BatchNorm2d | nn.SyncBatchNorm) for layer in network.modules()):
            return "image"
        synced = self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda"
        seen = self.config.batch_size * (self.accelerator.num_processes if synced else 1)
        return "image" if seen == 1 else "running"
