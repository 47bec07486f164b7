"""What makes a module a Hub model that describes itself: config.json, model.safetensors, strict in both directions.

    python -c "from img2img_hub import Network as N; print(N.from_pretrained('model_cards/facades-label2photo').config)"

A config from the Hub is data, never code: it names one of the classes registered here, its values are checked against
the class's limits on the meta device, and the shapes are compared with the file's header, all before memory is taken.
"""

import inspect
import json
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub import HfApi, ModelCard, ModelCardData, PyTorchModelHubMixin
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from img2img_hub.files import write_tensors
from img2img_hub.networks.fetch import commit_of, fetch

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
SAVE_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# 2 billion parameters, five times the largest translator published: past that it is a mistake or an attack.
MAX_PARAMETERS = 2_000_000_000


class Network(nn.Module, PyTorchModelHubMixin, library_name="img2img_hub", pipeline_tag="image-to-image"):
    """Base of all generators and discriminators.

    A subclass takes keyword-only scalars and nothing else; they are what config.json holds, beside `architecture`
    (the class's name) and `format_version`. `Network.from_pretrained` builds whatever class the config names; a
    subclass's refuses any other.
    """

    registry: ClassVar[dict[str, type["Network"]]] = {}
    # Arguments that came after models had been published: a config without one means its default.
    later_arguments: ClassVar[frozenset[str]] = frozenset()
    in_channels: int
    out_channels: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ != __name__:  # the contracts below are no architectures
            Network.registry[cls.__name__] = cls

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json: flat scalars that rebuild this network."""
        return {
            "architecture": type(self).__name__,
            "format_version": FORMAT_VERSION,
            **self._hub_mixin_config,  # type: ignore[dict-item]
        }

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def take_over(self, smaller: "Network") -> str | None:
        """Begin with a network of another config inside, where the paper grows one out of another.

        Returns:
            What was taken over, in words for a log line; None where nothing can be, as of most networks.
        """
        return None

    def forget(self) -> None:
        """Begin anew what it keeps of a training's images beside its weights, for another training; most keep none."""

    # --- saving -----------------------------------------------------------------------------------------------------

    def save_weights(self, folder: str | Path, *, dtype: str = "float32") -> None:
        """Write config.json and model.safetensors into `folder`, made if need be; floating-point weights as `dtype`."""
        if dtype not in SAVE_DTYPES:
            raise ValueError(f"weights can be saved as {', '.join(SAVE_DTYPES)}, got {dtype!r}")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: value.to(SAVE_DTYPES[dtype]) if value.is_floating_point() else value
            for name, value in self.state_dict().items()
        }
        (folder / CONFIG_FILE).write_text(json.dumps(self.config, indent=2) + "\n", encoding="utf-8")
        write_tensors(folder / WEIGHTS_FILE, tensors, metadata={"format": "pt"})

    def copy_as_saved(self, *, dtype: str, state: dict[str, Tensor] | None = None) -> Self:
        """A copy in eval mode, on the CPU, whose weights (or `state` in their place) went through `dtype`."""
        state = self.state_dict() if state is None else state
        rounded = {
            name: (value.to(SAVE_DTYPES[dtype]).float() if value.is_floating_point() else value).detach().cpu().clone()
            for name, value in state.items()
        }
        copy = type(self)._from_config(self.config, where="copy")
        copy.load_state_dict(rounded, strict=True, assign=True)
        return copy.eval()

    def _save_pretrained(self, save_directory: Path) -> None:  # called by the mixin's save_pretrained
        self.save_weights(save_directory)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """A minimal true card for a network saved by hand; runs write the full one (hub/card.py)."""
        data = ModelCardData(library_name="img2img_hub", pipeline_tag="image-to-image", tags=["img2img_hub"])
        text = (
            f"# {type(self).__name__}\n\nAn image-to-image network of img2img_hub.\n\n"
            "```python\nfrom img2img_hub import Network\n\n"
            'network = Network.from_pretrained("the id of this repo")\n```\n\n'
            f"```json\n{json.dumps(self.config, indent=2)}\n```\n"
        )
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Upload config and weights; a card that already stands in the repo is left as it is.

        Keyword arguments are those of `PyTorchModelHubMixin.push_to_hub` (private, token, branch, commit_message …).
        """
        api = HfApi(token=kwargs.get("token"))
        repo_id = api.create_repo(repo_id, private=kwargs.get("private"), exist_ok=True).repo_id  # now with its user
        # A Hub that fails to say raises here: what people wrote would be overwritten after "there is none".
        if api.file_exists(repo_id, "README.md", revision=kwargs.get("branch")):
            ignored = kwargs.get("ignore_patterns") or []
            kwargs["ignore_patterns"] = [*([ignored] if isinstance(ignored, str) else ignored), "README.md"]
        return super().push_to_hub(repo_id, **kwargs)

    # --- loading ----------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        map_location: str | torch.device = "cpu",
    ) -> Self:
        """Load a network from a Hub repo or a folder, in eval mode, float32, on `map_location`.

        Raises:
            ValueError: a missing, foreign or absurd config, weights that do not fit it, another architecture.
            huggingface_hub.errors.HfHubHTTPError: what the Hub answered.
        """
        where = str(pretrained_model_name_or_path)
        download = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
        }
        config_file = fetch(where, CONFIG_FILE, **download)
        config = read_config(config_file, where=where)
        network = cls._from_config(config, where=where)
        download["revision"] = commit_of(config_file) or revision  # a push in between must not give a mixture
        network._load_strictly(fetch(where, WEIGHTS_FILE, **download), where=where)
        return network.to(map_location).eval()

    @classmethod
    def _from_config(cls, config: dict[str, Any], *, where: str) -> Self:
        """Build the network that `config` names, on the meta device: shapes without memory."""
        architecture = config["architecture"]
        known = Network.registry.get(architecture) if isinstance(architecture, str) else None
        if known is None:
            raise ValueError(
                f"{where}: config.json names the architecture {architecture!r}; "
                f"this version knows {', '.join(sorted(Network.registry))}. Update img2img_hub, or check the repo."
            )
        if not issubclass(known, cls):
            raise ValueError(
                f"{where} holds a {architecture}, not a {cls.__name__}: load it with {architecture}.from_pretrained "
                "or Network.from_pretrained"
            )
        arguments = {key: value for key, value in config.items() if key not in ("architecture", "format_version")}
        expected = set(inspect.signature(known).parameters)
        if missing := sorted(expected - known.later_arguments - set(arguments)):
            raise ValueError(
                f"{where}: config.json lacks {', '.join(missing)} of a {architecture}: it cannot be rebuilt"
            )
        if unknown := sorted(set(arguments) - expected):
            raise ValueError(
                f"{where}: config.json has {', '.join(unknown)}, which a {architecture} of this version does not know. "
                "Update img2img_hub, or check the repo."
            )
        try:
            with torch.device("meta"):
                network = known(**arguments)
        except ValueError as error:
            raise ValueError(f"{where}: config.json: {error}") from None
        except TypeError:  # a list cannot be looked up where a name belongs
            key = next((key for key, value in arguments.items() if isinstance(value, list | dict)), None)
            if key is None:
                raise
            raise ValueError(
                f"{where}: config.json: {key} must be a number or a text, true or false, got {arguments[key]!r:.60}"
            ) from None
        if network.parameter_count > MAX_PARAMETERS:
            raise ValueError(
                f"{where}: config.json asks for {network.parameter_count:,} parameters; "
                f"more than {MAX_PARAMETERS:,} are refused"
            )
        return network

    def _load_strictly(self, file: Path, *, where: str) -> None:
        """Compare names and shapes with the file's header, then take the tensors as float32."""
        try:
            with safe_open(file, framework="pt") as weights:
                expected = {name: tuple(value.shape) for name, value in self.state_dict().items()}
                found = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
                if expected != found:
                    raise ValueError(f"{where}: {_describe_mismatch(expected, found)}")
                state = {name: weights.get_tensor(name) for name in expected}
                for name, value in self.state_dict().items():
                    if value.is_floating_point() != state[name].is_floating_point():
                        raise ValueError(
                            f"{where}: {WEIGHTS_FILE} does not fit config.json: {name} is of type {state[name].dtype}"
                        )
        except SafetensorError as error:
            raise ValueError(
                f"{where}: {WEIGHTS_FILE} is no readable safetensors file ({error}); get it anew"
            ) from None
        state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        self.load_state_dict(state, strict=True, assign=True)


class Generator(Network):
    """A network that makes images: (N, in_channels, H, W) float in [-1, 1] -> (N, out_channels, scale · H, scale · W).

    H and W are multiples of `multiple` and at least `min_size`; whoever has other images pads and crops them, as
    `Translator` does. A subclass sets what differs from here, in its class or in `__init__`.
    """

    multiple: int = 1
    min_size: int = 1
    scale: int = 1
    """Output pixels for one of the input, a side."""
    knows_one_size: bool = False
    """Whether an image of another size than those of training is another picture to it: then it is better resized."""
    noise_channels: int = 0
    """Bands of noise that `forward` takes as `noise`, 0 for none."""
    latent: int = 0
    """Length of the style vector that `forward` takes as `latent`, (N, latent), 0 for none."""
    styles: int = 0
    """Styles that each class can be drawn in: `draw_features` makes what `forward` takes as `features`; 0 for none."""

    def check_size(self, source: Tensor, *, called: str, cure: str = "") -> None:
        """Refuse images (N, C, H, W) of another size than this network takes. Raises ValueError."""
        height, width = source.shape[-2:]
        if height % self.multiple or width % self.multiple or min(height, width) < self.min_size:
            least = f" and at least {self.min_size}" if self.min_size > self.multiple else ""
            raise ValueError(
                f"this {called} needs height and width to be multiples of {self.multiple}{least}, "
                f"got {height}×{width}; pad the image (Translator does it){cure}"
            )

    def draw_features(self, source: Tensor, things: Tensor | None = None) -> Tensor:
        """Features of `styles` that are drawn for a source (N, in_channels, H, W), from PyTorch's generator of the CPU:
        one for each of `things`, whole numbers (N, 1, H, W); None: one for each class."""
        raise NotImplementedError


Stages = tuple[tuple[Tensor, ...], ...]
"""By scale what a discriminator's layers before the logits made of the image, (N, C, h, w) each."""


class Discriminator(Network):
    """A network that judges images: (N, in_channels, H, W) -> logits, or a tuple of them; H, W at least `min_size`.

    For feature matching, `forward(image, features=True)` gives (logits, stages), the stages as in `Stages`: of several
    scales in the logits' order, of one alone a tuple of one tuple.
    """

    min_size: int = 1


def _describe_mismatch(expected: dict[str, tuple], found: dict[str, tuple]) -> str:
    missing = sorted(expected.keys() - found.keys())
    foreign = sorted(found.keys() - expected.keys())
    wrong = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    parts = []
    if missing:
        parts.append(f"{len(missing)} tensors are missing (first: {missing[0]})")
    if foreign:
        parts.append(f"{len(foreign)} are not of this network (first: {foreign[0]})")
    if wrong:
        name = wrong[0]
        parts.append(
            f"{len(wrong)} have another shape (first: {name} is {found[name]}, config.json asks {expected[name]})"
        )
    return f"{WEIGHTS_FILE} does not fit config.json: " + "; ".join(parts)


def _of_another(config: Any) -> str:
    """Which library's it seems to be, as far as it says."""
    said = [f"{key} {config[key]!r:.60}" for key in ("model_type", "_class_name") if key in config] if config else []
    return f" (it has {', '.join(said)})" if said and isinstance(config, dict) else ""


def read_config(path: Path, *, where: str) -> dict[str, Any]:
    """Read and check a config.json: an object of scalars with a known format_version and an architecture."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of Unicode, JSON, numbers and nesting without end
        raise ValueError(f"{where}: {CONFIG_FILE} is not JSON ({error})") from None
    if not isinstance(config, dict) or "architecture" not in config or "format_version" not in config:
        raise ValueError(
            f"{where}: {CONFIG_FILE} names no 'architecture' and 'format_version', so it was not written by img2img_hub"
            f"{_of_another(config)}: name a model of img2img_hub; for a .pth of the original code type "
            "python -m img2img_hub convert"
        )
    if config["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"{where}: {CONFIG_FILE} has format_version {config['format_version']!r}, this version reads "
            f"{FORMAT_VERSION}: update img2img_hub"
        )
    return config
