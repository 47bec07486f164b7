"""RunContext: what a run consists of, put together once by the loop, for whoever draws, measures, writes or logs it.

run = RunContext(folder=folder, accelerator=accelerator, state=state, plan=plan, …); run.config.image_size
"""

from dataclasses import dataclass

from accelerate import Accelerator

from img2img_hub.data.find.sources import ImageData, StreamedData
from img2img_hub.families import Family
from img2img_hub.training.run.config import TrainConfig
from img2img_hub.training.run.folder import RunFolder
from img2img_hub.training.run.plan import Plan
from img2img_hub.training.state.checkpoints import RunState


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """A run under way. Of all this the steps change `state` alone."""

    folder: RunFolder
    accelerator: Accelerator
    state: RunState
    plan: Plan
    train_data: ImageData | StreamedData
    validation_data: ImageData | None
    repo_ids: dict[str, str]
    """{folder of a generator: where it is pushed to}; {} for no push."""

    @property
    def family(self) -> Family:
        return self.folder.family

    @property
    def config(self) -> TrainConfig:
        """With the family's defaults in the place of what was not given."""
        return self.folder.config
