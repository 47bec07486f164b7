"""Images that do not fit into memory: strip by strip as at once, statistics of the whole image, little memory."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import Tensor

from img2img_hub import CoarseToFineGenerator, ResNetGenerator, SpadeGenerator, Translator, UNetGenerator
from img2img_hub.images.picture import to_tensor
from img2img_hub.networks import Generator, Network
from img2img_hub.networks.blocks import BatchNorm2d, set_norm_statistics
from img2img_hub.networks.encoders import FrozenBatchNorm2d
from img2img_hub.strips import stages as strips
from img2img_hub.strips import translate as tiling
from img2img_hub.strips.feature_maps import FeatureMap
from img2img_hub.strips.layers import Border, Normalise
from img2img_hub.strips.recording import NotByRows, record
from img2img_hub.translation import engine as engine_module
from img2img_hub.translation.engine import Engine
from img2img_hub.translation.settings import TranslationSettings
from tests.originals import original_unet

WIDTH, HEIGHT = 260, 394  # neither divides by the multiples of the U-Nets
MIB = 1 / 1024


@pytest.fixture(autouse=True)
def small_images_count_too(monkeypatch):
    monkeypatch.setattr(engine_module, "_ALWAYS_FITS", 0)


def photo(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """A bright, smooth sky above dark ground with detail: no part of it has the statistics of the whole."""
    generator = np.random.default_rng(0)
    made = np.linspace(210, 70, height)[:, None, None] + np.zeros((height, width, 3))
    for size, strength in ((4, 50), (32, 30), (256, 20)):
        noise = Image.fromarray(generator.integers(0, 256, (size, size, 3), dtype=np.uint8))
        grown = np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64) / 127.5 - 1
        made += strength * grown * np.linspace(0.1, 1, height)[:, None, None]
    return Image.fromarray(made.clip(0, 255).astype(np.uint8))


def is_of_values(layer: torch.nn.Module) -> bool:
    """Whether it is what an encoder's input is normalised by, which is a fact and not learnt."""
    return isinstance(layer, FrozenBatchNorm2d) and layer.weight is None


def lively(network: Network, *, statistics: str = "image") -> Network:
    """Weights of some size, so that every layer counts, and running statistics unlike any image's."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "parametrizations" in name:  # spectral norm has measured what there is
                continue
            parameter.normal_(0.2 if name.endswith("bias") else 0.0, 0.1, generator=generator)
        for layer in network.modules():
            if isinstance(layer, BatchNorm2d | FrozenBatchNorm2d) and not is_of_values(layer):
                if layer.weight is not None:
                    layer.weight.normal_(1.0, 0.1, generator=generator)
                layer.running_mean.normal_(generator=generator)  # type: ignore[union-attr]
                layer.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
    set_norm_statistics(network, statistics)  # type: ignore[arg-type]
    return network.eval()


NETWORKS = {
    "resnet instance": lambda: lively(ResNetGenerator(width=8, blocks=4)),
    "resnet batch, resize": lambda: lively(ResNetGenerator(width=8, blocks=2, norm="batch", upsample="resize")),
    "resnet running": lambda: lively(ResNetGenerator(width=8, blocks=2, norm="batch"), statistics="running"),
    "resnet none": lambda: lively(ResNetGenerator(width=8, blocks=2, norm="none")),
    "resnet antialiased": lambda: lively(ResNetGenerator(width=8, blocks=2, antialias=True)),
    "resnet antialiased, running": lambda: lively(
        ResNetGenerator(width=8, blocks=1, norm="batch", antialias=True), statistics="running"
    ),
    "unet": lambda: lively(UNetGenerator(width=8, levels=5)),
    "unet 8 levels, noise": lambda: lively(UNetGenerator(width=4, noise_channels=2, norm="instance", dropout=0.0)),
    "unet bilinear": lambda: lively(UNetGenerator(width=8, levels=4, upsample="bilinear")),
    "unet refined": lambda: lively(UNetGenerator(width=8, levels=4, upsample="bilinear", refine_channels=4)),
    "unet resize, 1 band": lambda: lively(UNetGenerator(width=8, levels=4, upsample="resize", in_channels=1)),
    "unet on lite0": lambda: lively(UNetGenerator(width=4, levels=5, encoder="lite0")),
    "unet on resnet18, 2 bands": lambda: lively(UNetGenerator(width=4, levels=5, encoder="resnet18", in_channels=2)),
    "unet on vgg16": lambda: lively(UNetGenerator(width=4, levels=5, encoder="vgg16", norm="instance")),
    "coarse to fine": lambda: lively(CoarseToFineGenerator(width=4, blocks=1, enhancers=2, enhancer_blocks=1)),
    "spade running": lambda: lively(SpadeGenerator(width=2, hidden=4), statistics="running"),
    "spade instance": lambda: lively(SpadeGenerator(width=2, hidden=4, norm="instance", spectral_norm=False)),
    "spade style, batch": lambda: lively(
        SpadeGenerator(width=2, hidden=4, latent=3, latent_side=4, spectral_norm=False)
    ),
    "global generator, features": lambda: lively(
        CoarseToFineGenerator(width=4, blocks=1, enhancers=0, feature_channels=2, layout="pix2pixhd")
    ),
}


def batch_for(network: Network, width: int = WIDTH, height: int = HEIGHT) -> Tensor:
    return to_tensor(photo(width, height))[None, : network.in_channels]


def part_of(network: Network, share: float) -> float:
    """That share of the GiB which the photo takes at once."""
    return share * Engine(network).bytes_a_pixel * WIDTH * HEIGHT / 2**30


@pytest.mark.parametrize("share", [1 / 4, 2 / 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_strips_give_what_the_image_at_once_gives(name, share):
    network = NETWORKS[name]()
    batch = batch_for(network)
    engine = Engine(network, tiles="exact", memory=part_of(network, share))
    assert not engine.fits(HEIGHT, WIDTH)
    at_once = Engine(network, memory=100)(batch)
    assert float(at_once.std()) > 0.02
    assert float((engine(batch) - at_once).abs().max()) < 1e-4


@pytest.mark.parametrize("name", ["resnet running", "resnet none", "spade running"])
def test_without_statistics_of_the_image_fast_is_exact(name):
    network = NETWORKS[name]()
    batch = batch_for(network)
    made = Engine(network, memory=part_of(network, 1 / 4))(batch)
    torch.testing.assert_close(made, Engine(network, memory=100)(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet instance", "unet"])
def test_fast_is_nearer_to_the_image_at_once_than_tiles_by_themselves(name):
    network = NETWORKS[name]()
    batch = batch_for(network)
    whole = Engine(network, memory=100)
    at_once = whole(batch)
    fast = float((Engine(network, memory=part_of(network, 2 / 3))(batch) - at_once).abs().mean())
    tiles = [whole(batch[:, :, top : top + 64]) for top in range(0, HEIGHT, 64)]
    by_itself = float((torch.cat(tiles, dim=2) - at_once).abs().mean())
    print(f"{name}: fast {fast:.2g}, tiles normalised by themselves {by_itself:.2g} from the image at once")
    assert 0 < fast < by_itself / 2


def test_fast_has_no_seams():
    """Rows on both sides of each strip's edge differ as much as the same rows of the image at once, no more."""
    network = NETWORKS["resnet instance"]()
    batch = batch_for(network)
    edges = []
    made = torch.empty(3, HEIGHT, WIDTH)

    def write(first: int, rows: Tensor) -> None:
        edges.append(first)
        made[:, first : first + rows.shape[1]] = rows

    engine = Engine(network, memory=part_of(network, 1 / 12))
    engine.translate_rows(lambda first, last: batch[0, :, first:last], write, height=HEIGHT, width=WIDTH)
    assert edges == sorted(edges)
    assert len(edges) > 3

    def steps(image: Tensor) -> Tensor:
        """The mean difference of each of these rows from the one above it."""
        return torch.stack([(image[:, edge] - image[:, edge - 1]).abs().mean() for edge in edges[1:]])

    at_once = Engine(network, memory=100)(batch)[0]
    assert float((steps(made) / steps(at_once)).max()) < 1.3


def test_what_is_kept_in_a_file_is_what_is_kept_in_memory():
    values = torch.randn(1, 3, 10, 7)
    for in_memory in (True, False):
        kept = FeatureMap((3, 10, 7), device=torch.device("cpu"), in_memory=in_memory)
        for first, last in ((4, 10), (0, 4)):
            kept.write(first, values[:, :, first:last])
        torch.testing.assert_close(kept.read(0, 10), values, rtol=0, atol=0)
        torch.testing.assert_close(kept.read(3, 6), values[:, :, 3:6], rtol=0, atol=0)
        assert kept.in_memory == in_memory


def test_a_folder_for_temporary_files_that_cannot_be_used_is_said_in_one_line(monkeypatch, tmp_path):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"temporary file .*nowhere.* \(No such file .* TMPDIR .*--memory"):
        FeatureMap((3, 10, 7), device=torch.device("cpu"), in_memory=False)


def test_a_temporary_file_that_ends_too_early_is_no_endless_loop():
    kept = FeatureMap((3, 10, 7), device=torch.device("cpu"), in_memory=False)
    kept.write(0, torch.zeros(1, 3, 5, 7))
    with pytest.raises(ValueError, match="ends too early"):
        kept.read(0, 10)


def test_a_full_disk_is_said_in_one_line(monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "wb", buffering=0))  # noqa: SIM115
    network = NETWORKS["resnet instance"]()
    engine = Engine(network, tiles="exact", memory=part_of(network, 1 / 8))
    with pytest.raises(ValueError, match=r"temporary file .* \(No space left .* TMPDIR .*--tiles fast"):
        engine(batch_for(network))


def test_memory_decides_what_is_kept_and_how_high_strips_are():
    network = lively(ResNetGenerator(width=16, blocks=9))
    heights, kept = [], []
    for memory in (2**27, 2**30):
        layers = record(network, height=4096, width=4096)
        stages = strips.best_stages(layers, memory=memory)
        for stage in stages:
            for rows in stage.strips[:: max(len(stage.strips) - 1, 1)]:
                assert strips.cost(layers, stage.target, rows).bytes <= memory
            assert stage.strips[0][0] == 0
            assert stage.strips[-1][1] == stage.target.height
            assert all(one[1] == two[0] for one, two in zip(stage.strips, stage.strips[1:], strict=False))
        heights.append(stages[-1].strips[0][1])
        kept.append(sum(4 * layer.values for layer in layers if layer.kept and stages[0].in_memory))
    assert heights[0] < heights[1]
    # Each kept map is let go: never more than three of them (a block's input and its two convolutions) at a time.
    alive, most = 0, 0
    for stage in stages:
        alive += stage.target.kept
        most = max(most, alive)
        alive -= len(stage.done)
    assert most <= 3
    assert alive == 0


def test_statistics_of_strips_are_those_of_the_whole():
    values = 100 + torch.randn(1, 5, 64, 32)
    gathered = tiling._Gathered()
    for rows in values.split([1, 40, 23], dim=2):
        gathered.add(rows)
    variance, mean = torch.var_mean(values.double(), dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(gathered.statistics[0].double(), mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(gathered.statistics[1].double(), variance, rtol=1e-4, atol=0)


def test_statistics_ask_no_device_for_float64():
    class Without(Tensor):
        """On a device like mps, as far as `double` goes."""

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function is Tensor.double:
                raise TypeError("no float64 on this device")
            made = super().__torch_function__(function, types, args, kwargs)
            return made.as_subclass(Tensor) if function is Tensor.cpu else made

    gathered = tiling._Gathered()
    for _ in range(2):
        gathered.add(torch.ones(1, 2, 4, 4).as_subclass(Without))
    assert gathered.statistics[0].tolist() == [1, 1]


def test_the_sample_of_fast_covers_the_image_and_not_more_memory_than_allowed():
    network = lively(ResNetGenerator(width=8, blocks=1))
    seen: set[int] = set()

    def read(first: int, last: int) -> Tensor:
        seen.update(range(first, last))
        return torch.randn(1, 3, last - first, 1024)

    tiling.estimate_statistics(network, read, height=2048, width=1024, memory=2**26)
    assert {0, 2047} <= seen
    assert len(seen) < 2048


def test_self_attention_is_never_cut_and_says_so():
    network = lively(ResNetGenerator(width=4, blocks=1, self_attention=True))
    with pytest.raises(NotByRows):
        record(network, height=64, width=64)
    small = batch_for(network, 64, 48)
    assert Engine(network, memory=100)(small).shape == (1, 3, 48, 64)
    with pytest.raises(ValueError, match=r"self-attention looks at the whole image: give it memory="):
        Engine(network, memory=1 * MIB)(batch_for(network))


class _Foreign(Generator):
    """A network of somebody else's: two convolutions, between them an operation of his."""

    in_channels = out_channels = 3

    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 3, 3, padding=1)
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.last(self.between(self.first(x), self.gain)).tanh()


@pytest.mark.parametrize(
    ("between", "operation"),
    [
        (lambda x, _: torch.nn.AvgPool2d(2)(torch.nn.Upsample(scale_factor=2, mode="bicubic")(x)), "interpolate"),
        (lambda x, _: torch.sigmoid(x), "sigmoid"),
        (lambda x, gain: x * gain, "mul"),
        (lambda x, gain: gain * x, "mul"),
        (lambda x, gain: x + gain, "add"),
        (lambda x, _: 1 - x, "rsub"),
        (lambda x, _: torch.cat([x[:, 2:], x[:, :2]], 1), "getitem"),
        (lambda x, _: torch.nn.CircularPad2d(0)(x), "pad"),
    ],
)
def test_what_strips_do_not_know_is_named_and_is_no_self_attention(between, operation):
    network = _Foreign()
    network.between = between
    small = batch_for(network, 64, 48)
    assert Engine(network, memory=100)(small).shape == (1, 3, 48, 64)
    with pytest.raises(ValueError, match=rf"strips do not know its operation '{operation}' as it uses it: give it mem"):
        Engine(network, memory=1 * MIB)(batch_for(network))


def test_a_recorded_network_has_the_shapes_of_the_real_one():
    for make in NETWORKS.values():
        network = make()
        layers = record(network, height=512, width=256)
        shapes: list[tuple[int, ...]] = []

        def note(_, inputs, __, into=shapes):
            into.append(tuple(inputs[0].shape[1:]))

        for module in network.modules():
            if isinstance(module, torch.nn.InstanceNorm2d | BatchNorm2d | FrozenBatchNorm2d):
                module.register_forward_hook(note)
        with torch.no_grad():
            network(torch.zeros(1, network.in_channels, 512, 256))
        norms = [layer for layer in layers if isinstance(layer, Normalise)]
        of_a_style = 1 if network.latent else 0  # its first features are no function of the image
        assert [(layer.channels, layer.height, layer.width) for layer in norms] == shapes[of_a_style:]


def test_borders_reflect_at_the_image_alone():
    layers = record(lively(ResNetGenerator(width=4, blocks=0, norm="none")), height=64, width=64)
    border = next(layer for layer in layers if isinstance(layer, Border))
    assert border.needs((0, 1)) == (3, 4)  # the first row of the border shows the fourth of the image
    assert border.needs((20, 30)) == (17, 27)
    assert border.needs((0, 70)) == (0, 64)


# --- through the door ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_large_picture_goes_through_row_by_row_with_its_alpha(mode):
    bands = 1 if mode == "L" else 3
    network = lively(UNetGenerator(width=8, levels=3, in_channels=bands, out_channels=bands))
    settings = TranslationSettings(source_channels=bands, target_channels=bands)
    image = photo().convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    at_once = np.asarray(Translator(network, settings, memory=100)(image)).astype(int)
    by_rows = Translator(network, settings, tiles="exact", memory=part_of(network, 1 / 4))(image)
    assert by_rows.mode == mode
    assert by_rows.size == image.size
    assert np.abs(np.asarray(by_rows).astype(int) - at_once).max() <= 1  # a value may round the other way


def test_a_large_raster_goes_through_row_by_row():
    network = lively(UNetGenerator(width=8, levels=3, in_channels=4, out_channels=2))
    array = np.stack([np.asarray(photo(), dtype=np.float32)[:, :, band % 3] / 127.5 - 1 for band in range(4)], axis=2)
    at_once = Translator(network, memory=100)(array)
    by_rows = Translator(network, tiles="exact", memory=part_of(network, 1 / 4))(array)
    np.testing.assert_allclose(by_rows.array, at_once.array, rtol=0, atol=1e-4)


def test_a_batch_that_does_not_fit_goes_one_by_one():
    network = NETWORKS["resnet instance"]()
    batch = batch_for(network)
    engine = Engine(network, memory=part_of(network, 1.5))
    assert engine.fits(HEIGHT, WIDTH)
    assert not engine.fits(HEIGHT, WIDTH, images=2)
    both = engine(torch.cat([batch, batch.flip(3)]))
    torch.testing.assert_close(both[:1], engine(batch), rtol=0, atol=1e-5)


def test_a_network_in_training_is_left_in_training():
    network = NETWORKS["unet"]().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Engine(network, memory=part_of(network, 1 / 4))(batch_for(network))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiles": "none"}, "'fast' or 'exact'"),
        ({"memory": 0}, "more than 0"),
        ({"memory": float("nan")}, "more than 0"),
        ({"memory": "2"}, "more than 0, got '2'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Engine(NETWORKS["unet"](), **options)


def test_what_an_image_is_padded_to_counts():
    engine = Engine(UNetGenerator(width=4), memory=1)  # of 8 levels: to multiples of 256
    assert engine.fits(256, 256)
    engine.memory = engine.bytes_a_pixel * 256 * 4096 / 2**30
    assert engine.fits(1, 4096)
    assert not engine.fits(1, 4097)
    assert not engine.fits(1, 4096, images=2)


def test_a_variation_that_does_not_fit_is_refused_with_what_it_takes():
    network = NETWORKS["unet"]()
    engine = Engine(network, memory=part_of(network, 1 / 2))
    says = r"variation \(seed, style\) of 260×394 .* about 0\.\d GiB: .*--memory.*--resize fit"
    with pytest.raises(ValueError, match=says):
        engine(batch_for(network), seed=1)
    assert engine(batch_for(network, 64, 64), seed=1).shape == (1, 3, 64, 64)


def test_each_translator_warns_of_estimated_statistics_once():
    network = NETWORKS["unet"]()

    def warned(network: Network, **options: Any) -> int:
        translator = Translator(network, **options)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            translator([photo(), photo()])
        assert all("--tiles exact" in str(one.message) for one in said)
        return len(said)

    little = part_of(network, 1 / 2)
    assert [warned(network, memory=little) for _ in range(2)] == [1, 1]
    assert not warned(network, memory=little, tiles="exact")
    assert not warned(network, memory=100)
    assert not warned(NETWORKS["resnet none"](), memory=part_of(NETWORKS["resnet none"](), 1 / 2))


def test_original_checkpoints_take_the_options_too(tmp_path):
    torch.save(original_unet(5, 4, 3, 3, "batch", dropout=False).state_dict(), tmp_path / "latest_net_G.pth")
    translator = Translator.from_official(tmp_path / "latest_net_G.pth", device="cpu", tiles="exact", memory=3)
    assert (translator.engine.tiles, translator.engine.memory) == ("exact", 3)


def test_the_memory_that_is_free_is_asked_for():
    assert 2**26 < tiling.available_memory(torch.device("cpu")) < 2**45


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the system tells of its memory in another way")
@pytest.mark.parametrize(("version", "prefix"), [(2, ""), (1, "total_")])
def test_a_containers_limit_counts_and_copies_of_files_are_free(version, prefix, tmp_path, monkeypatch):
    limit, used, stat, system = (tmp_path / name for name in ("limit", "used", "memory.stat", "meminfo"))
    monkeypatch.setattr(tiling, "_CGROUPS", ((tmp_path / "nowhere", "limit", "used"), (tmp_path, "limit", "used")))
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))

    def free() -> int:
        return tiling.available_memory(torch.device("cpu"))

    known = ["Buffers", "Cached", "Active", "Inactive", "Shmem"]
    lines = ["MemTotal: 9000 kB", "MemFree: 500 kB", "MemAvailable: 8000 kB", *(f"{name}: 0 kB" for name in known)]
    system.write_text("\n".join(lines))
    assert free() == 8000 * 1024
    limit.write_text("max\n" if version == 2 else "9223372036854771712\n")
    used.write_text("900000\n")
    stat.write_text(f"anon 100000\n{prefix}inactive_file 300000\n{prefix}active_file 500000\nfile 1\n")
    assert free() == 8000 * 1024
    limit.write_text("1000000\n")
    assert free() == 1000000 - 100000
    used.write_text("700000\n")  # between the two readings files were let go
    assert free() == 1000000
    stat.write_text("anon 700000\n")
    limit.write_text("600000\n")
    assert free() == 0


@pytest.mark.slow
@pytest.mark.parametrize("tiles", ["fast", "exact"])
def test_resident_memory_stays_near_the_budget(tiles):
    """2048² at once would take 0.8 GiB beside the program; the child reports its own peak."""
    code = (
        "import resource, torch, numpy as np; from img2img_hub import ResNetGenerator, Translator\n"
        "torch.set_num_threads(1); network = ResNetGenerator(width=16).eval()\n"
        f"translator = Translator(network, tiles='{tiles}', memory=0.15)\n"
        "translator(np.zeros((64, 64, 3), np.uint8))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "translator(np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), dtype=np.uint8))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    # glibc is told to give back what is freed. Left to itself it keeps up to 0.25 GiB more, another time less.
    own = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=own)
    assert int(answer.stdout.split()[-1]) / 2**20 < 0.15 + 0.06  # GiB; the images take 0.05
