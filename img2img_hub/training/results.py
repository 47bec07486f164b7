"""What a run shows and leaves behind: sample sheets, numbers, and finished generators in Hub layout.

    OUTPUT_DIR/{config.json, model.safetensors, translation.json, training_config.json, sample_sheet.png, README.md}

Everything is drawn and measured with the weights as they are saved (their type, the average if there is one).
"""

import json
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn

from img2img_hub.data.sources import ImageData, PairedData
from img2img_hub.data.transforms import evaluation_image
from img2img_hub.networks import Network, UNetGenerator
from img2img_hub.networks.blocks import BatchNorm2d, NormStatistics
from img2img_hub.training.card import write_card
from img2img_hub.training.checkpoints import RunState
from img2img_hub.training.finetune import discriminators_beside
from img2img_hub.training.logs import Logs
from img2img_hub.training.plan import Plan
from img2img_hub.training.push import push_all
from img2img_hub.training.run_folder import RunFolder
from img2img_hub.translation.evaluation import evaluate_paired, evaluate_unpaired
from img2img_hub.translation.settings import Resize, TranslationSettings
from img2img_hub.translation.sheets import sample_sheet
from img2img_hub.translation.translator import Translator

# Validation images measured at sample steps; the end measures all of them.
_MEASURED_ON_THE_WAY = 32


class Results:
    """Draws, measures and publishes the generators of a run; only the main process does, the others wait."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        accelerator: Accelerator,
        state: RunState,
        train_data: ImageData,
        validation_data: ImageData | None,
        plan: Plan,
        repo_ids: dict[str, str],
    ) -> None:
        self.folder = folder
        self.family = folder.family
        self.config = folder.config
        self.accelerator = accelerator
        self.state = state
        self.train_data = train_data
        self.validation_data = validation_data
        self.plan = plan
        self.repo_ids = repo_ids

    # --- on the way -------------------------------------------------------------------------------------------------

    def sample(self) -> tuple[Image.Image, dict[str, float]] | None:
        """A sheet of fixed images and numbers on the first validation images; None but in the main process."""
        result = None
        if self.accelerator.is_main_process:
            translators = self._translators()
            sheets = [self.draw(translators, name) for name in self.family.published.values()]
            numbers = self.measure(translators, limit=_MEASURED_ON_THE_WAY)
            result = (_stack(sheets), numbers)
        self.accelerator.wait_for_everyone()
        return result

    def draw(self, translators: dict[str, Translator], name: str) -> Image.Image:
        """source | output | target for pairs, source | output | back for cycles, on images spread over the split."""
        data = self.validation_data or self.train_data
        backwards = name == "target2source"
        count = len(data)
        if not isinstance(data, PairedData):
            count = data.num_target if backwards else data.num_source
        rows = []
        for index in sorted({round(place) for place in torch.linspace(0, count - 1, self.config.num_samples).tolist()}):
            source = data.target(index) if backwards else data.source(index)
            source = evaluation_image(source, image_size=self.config.image_size)
            output = translators[name](source)
            if isinstance(data, PairedData):
                third = evaluation_image(data.target(index), image_size=self.config.image_size)
            else:
                third = translators["source2target" if backwards else "target2source"](output)
            rows.append([source, output, third])
        first, last = self._names(backwards=backwards)
        return sample_sheet(rows, titles=[first, "output", last if self.family.paired else "back again"])

    def _names(self, *, backwards: bool) -> tuple[str, str]:
        names = self.config.source_name, self.config.target_name
        return (names[1], names[0]) if backwards else names

    def measure(self, translators: dict[str, Translator], *, limit: int | None) -> dict[str, float]:
        """Numbers on the validation split, {} without one."""
        if self.validation_data is None:
            return {}
        if self.family.paired:
            (translator,) = translators.values()
            return evaluate_paired(translator, self.validation_data, image_size=self.config.image_size, limit=limit)
        return evaluate_unpaired(
            translators["source2target"],
            translators["target2source"],
            self.validation_data,
            image_size=self.config.image_size,
            limit=limit,
        )

    def _translators(self) -> dict[str, Translator]:
        """The generators as they would be saved now."""
        made = {}
        for folder, name in self.family.published.items():
            network = self._as_saved(name)
            made[name] = Translator(network, self._settings(folder, network), device=self.accelerator.device)
        return made

    def _as_saved(self, name: str) -> Network:
        network = self.state.networks[name]
        assert isinstance(network, Network)
        average = self.state.averages.get(name)
        state = None if average is None else average.module.state_dict()  # type: ignore[union-attr]
        return network.copy_as_saved(dtype=self.config.save_dtype, state=state)

    def _settings(self, folder: str, network: Network, *, reverse: str | None = None) -> TranslationSettings:
        return TranslationSettings(
            family=self.family.name,
            source_channels=network.in_channels,
            target_channels=network.out_channels,
            norm_statistics=self._norm_statistics(network),
            working_size=self.config.working_size or self.config.image_size,
            # A U-Net's bottleneck sees the whole training image, and its statistics are that image's: larger ones are
            # another picture to it. A ResNet looks at a neighbourhood and takes any size.
            resize=_better_resize(network),
            reverse=reverse,
        )

    def _norm_statistics(self, network: nn.Module) -> NormStatistics:
        """Batch norm that saw one image at a time in training must see one image's statistics at test time too;
        one that saw batches is served better by its running averages."""
        if not any(isinstance(layer, BatchNorm2d | nn.SyncBatchNorm) for layer in network.modules()):
            return "image"
        synced = self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda"
        seen = self.config.batch_size * (self.accelerator.num_processes if synced else 1)
        return "image" if seen == 1 else "running"

    # --- at the end -------------------------------------------------------------------------------------------------

    def finish(self, logs: Logs) -> None:
        """Write the generators in Hub layout, measure them as loaded back from there, write their cards, push.

        Raises:
            ValueError: the push failed; everything else is done and says so.
        """
        if self.accelerator.is_main_process:
            root = self.folder.path
            for folder, name in self.family.published.items():
                self._save(root / folder, folder, name)
            translators = {
                name: Translator.from_pretrained(root / folder, device=self.accelerator.device)
                for folder, name in self.family.published.items()
            }
            numbers = self.measure(translators, limit=None)
            logs.write_final(self.state.step, numbers)
            for folder, name in self.family.published.items():
                self.draw(translators, name).save(root / folder / "sample_sheet.png")
                self._write_card(root / folder, folder, name, translators[name], numbers)
            self.folder.mark_finished(self.state.step)
            logs.say(f"Finished: {', '.join(str(root / folder) for folder in self.family.published)}")
            for url in push_all(root, self.repo_ids, config=self.config):
                logs.say(f"Pushed to {url}")
        self.accelerator.wait_for_everyone()

    def _save(self, destination: Path, folder: str, name: str) -> None:
        network = self._as_saved(name)
        network.save_weights(destination, dtype=self.config.save_dtype)
        self._settings(folder, network, reverse=self._reverse(folder)).save(destination)
        settings = json.dumps(self.folder.settings(), indent=2)
        (destination / "training_config.json").write_text(settings + "\n", encoding="utf-8")
        for discriminator in discriminators_beside(self.family, folder):
            judge = self.state.networks[discriminator]
            assert isinstance(judge, Network)
            judge.save_weights(destination / "training" / discriminator, dtype=self.config.save_dtype)

    def _reverse(self, folder: str) -> str | None:
        """The other direction: its repo if it is pushed, else the folder beside this one."""
        others = [other for other in self.family.published if other != folder]
        return self.repo_ids.get(others[0], others[0]) if others else None

    def _write_card(
        self, destination: Path, folder: str, name: str, translator: Translator, numbers: dict[str, float]
    ) -> None:
        repo_id = self.repo_ids.get(folder)
        names = self.config.source_name, self.config.target_name
        first, last = self._names(backwards=name == "target2source")
        run_name = self.folder.path.resolve().name
        write_card(
            destination,
            direction="" if names == ("source", "target") else f"{first} to {last}",
            name=repo_id.split("/")[-1] if repo_id else "-".join(part for part in (run_name, folder) if part),
            repo_id=repo_id,
            family=self.family,
            config=self.config,
            accelerator=self.accelerator,
            plan=self.plan,
            steps=self.state.step,
            seconds=self.state.seconds,
            train_data=self.train_data,
            validation_data=self.validation_data,
            metrics=numbers,
            network=translator.network,
            settings=translator.settings,
            reverse=self._reverse(folder) if self.repo_ids else None,
        )


def _better_resize(network: Network) -> Resize:
    return "fit" if isinstance(network, UNetGenerator) else "native"


def _stack(sheets: list[Image.Image]) -> Image.Image:
    """Sheets one below the other on white."""
    if len(sheets) == 1:
        return sheets[0]
    stacked = Image.new("RGB", (max(s.width for s in sheets), sum(s.height for s in sheets)), "white")
    top = 0
    for sheet in sheets:
        stacked.paste(sheet, (0, top))
        top += sheet.height
    return stacked
