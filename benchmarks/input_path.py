"""Images a second and worker, from the data set to training tensors: a warm cache against decoding anew.

    python -m benchmarks.input_path
    python -m benchmarks.input_path --data facades --unpaired_data summer2winter_yosemite

Label maps with instances: the plain path makes a channel for each class and the edges on the CPU, ours a byte and an
instance's number for each pixel; the channels, made with each step, are held against the step itself.

The plain path is the original's, step by step: open, resize to 286, crop 256, flip, to a tensor, normalise; for pairs
both halves of a 512 x 256 file get the same crop and flip. One thread, as in a worker process of a DataLoader.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.harness import Case, compare, report
from img2img_hub.data.cache.resized import open_cache
from img2img_hub.data.find.search import images_below
from img2img_hub.data.find.sources import DataConfig, open_data
from img2img_hub.data.samples.transforms import TrainingDataset
from img2img_hub.families.base import Outputs
from img2img_hub.families.options import Architecture
from img2img_hub.families.pix2pix import Pix2Pix

TARGET, TARGET_OF_CHANNELS = 5.0, 0.02
LOAD_SIZE, IMAGE_SIZE = 286, 256
A_TURN = 32  # samples
CLASSES = 35  # of label maps, as Cityscapes has
FILES = 64  # synthetic ones in a folder
MOST = 400  # images a side that are used of a real data set, so that the cache is filled soon


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="pairs side by side in DIR/train (default: synthetic)")
    parser.add_argument("--unpaired_data", type=Path, help="images in DIR/trainA and DIR/trainB (default: synthetic)")
    parser.add_argument("--turns", type=int, default=15, help="how often both paths take turns")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = arguments.data or draw_pairs(folder / "pairs")
        domains = arguments.unpaired_data or draw_domains(folder / "domains")
        cases = [
            measure("paired", pairs, PlainPairs(pairs / "train"), cache=folder, turns=arguments.turns),
            measure("unpaired", domains, PlainDomains(domains), cache=folder, turns=arguments.turns),
            *measure_labels(draw_street(folder / "street"), cache=folder, turns=arguments.turns),
        ]
    return report("input_path", cases)


def measure(case: str, root: Path, plain: Callable[[int], object], *, cache: Path, turns: int) -> Case:
    """Both paths on the same files, which the system has in its memory; for ours they are in the cache too."""
    paired = case == "paired"
    config = DataConfig(dataset=str(root), side_by_side=paired, max_samples=MOST)
    data = open_data(config, paired=paired, split="train")
    images = open_cache(data, load_size=LOAD_SIZE, folder=cache)
    ours = TrainingDataset(data, image_size=IMAGE_SIZE, load_size=LOAD_SIZE, flip=True, seed=0, cache=images)
    length = len(ours)
    for index in range(length):
        if paired:
            images.pair(index)
        else:
            images.source(index)
            images.target(index)
    print(open_cache(data, load_size=LOAD_SIZE, folder=cache).description, file=sys.stderr)

    # Each path goes through its epochs, so that every sample is another file and another crop.
    plain_places, our_places = count(), count()

    def a_plain_turn() -> None:
        for _ in range(A_TURN):
            plain(next(plain_places) % length)

    def a_turn_of_ours() -> None:
        for _ in range(A_TURN):
            ours[divmod(next(our_places), length)]

    return compare(f"{case}, warm cache", plain=a_plain_turn, ours=a_turn_of_ours, target=TARGET, turns=turns)


def measure_labels(root: Path, *, cache: Path, turns: int) -> list[Case]:
    """Samples with label maps and instances, and what their channels take of a step of pix2pix."""
    config = DataConfig(
        dataset=str(root),
        source_column=("map", "ids"),
        target_column="photo",
        labels=(f"map={CLASSES}",),
        instances=("ids",),
    )
    data = open_data(config, paired=True, split="train")
    images = open_cache(data, load_size=LOAD_SIZE, folder=cache)
    ours = TrainingDataset(data, image_size=IMAGE_SIZE, load_size=LOAD_SIZE, flip=True, seed=0, cache=images)
    plain = PlainStreet(root / "train")
    for index in range(len(ours)):
        images.pair(index)
    plain_places, our_places = count(), count()

    def a_plain_turn() -> None:
        for _ in range(A_TURN):
            plain(next(plain_places))

    def a_turn_of_ours() -> None:
        for _ in range(A_TURN):
            ours[divmod(next(our_places), len(ours))]

    sample = {name: value[None] for name, value in ours[(0, 0)].items()}
    family = Pix2Pix()
    networks: dict[str, nn.Module] = dict(
        family.build(Architecture(), in_channels=CLASSES + 1, out_channels=3, image_size=IMAGE_SIZE)
    )
    batch = ours.joined(dict(sample))

    def a_step() -> None:  # without the optimizers, which would make it longer
        for phase in family.phases:
            terms = phase.loss(networks, batch, Outputs(keep_graph=False, pools=family.make_pools(seed=0)))
            torch.stack([value * weight for value, weight in terms.values()]).sum().backward()

    return [
        compare(
            "labels and instances, warm cache", plain=a_plain_turn, ours=a_turn_of_ours, target=TARGET, turns=turns
        ),
        compare(
            "channels of a step with labels",
            plain=a_step,
            ours=lambda: ours.joined(dict(sample)),
            target=TARGET_OF_CHANNELS,
            at_most=True,
            turns=turns,
        ),
    ]


class PlainStreet:
    """A label map, its instances and the photo: three files, with one crop and flip; channels and edges by NumPy."""

    def __init__(self, folder: Path) -> None:
        self.paths = {name: images_below(folder / name)[0] for name in ("map", "ids", "photo")}

    def __call__(self, index: int) -> tuple[Tensor, Tensor]:
        index, draw = index % FILES, drawn()
        labels, ids = (numbers(Image.open(self.paths[name][index]), *draw) for name in ("map", "ids"))
        channels = (labels[None] == np.arange(CLASSES)[:, None, None]).astype(np.float32)
        edges = np.zeros(ids.shape, dtype=bool)
        for one, other in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
            border = ids[one] != ids[other]
            edges[one] |= border
            edges[other] |= border
        source = torch.from_numpy(np.concatenate([channels, edges[None].astype(np.float32)]))
        return source, prepared(Image.open(self.paths["photo"][index]).convert("RGB"), *draw)


class PlainPairs:
    """Aligned pairs: both halves of one file, with one crop and flip."""

    def __init__(self, folder: Path) -> None:
        self.paths = images_below(folder)[0][:MOST]

    def __call__(self, index: int) -> tuple[Tensor, Tensor]:
        both = Image.open(self.paths[index % len(self.paths)]).convert("RGB")
        middle = both.width // 2
        draw = drawn()
        left = both.crop((0, 0, middle, both.height))
        right = both.crop((middle, 0, both.width, both.height))
        return prepared(left, *draw), prepared(right, *draw)


class PlainDomains:
    """Two folders: the source by index, the target at random, each with a crop and flip of its own."""

    def __init__(self, root: Path) -> None:
        self.sources, self.targets = (images_below(root / name)[0][:MOST] for name in ("trainA", "trainB"))

    def __call__(self, index: int) -> tuple[Tensor, Tensor]:
        source = Image.open(self.sources[index % len(self.sources)]).convert("RGB")
        target = Image.open(random.choice(self.targets)).convert("RGB")
        return prepared(source, *drawn()), prepared(target, *drawn())


def drawn() -> tuple[int, int, bool]:
    room = LOAD_SIZE - IMAGE_SIZE
    return random.randint(0, room), random.randint(0, room), random.random() > 0.5


def prepared(image: Image.Image, x: int, y: int, flip: bool) -> Tensor:
    """Resized, cropped and flipped by Pillow, then ToTensor and Normalize(0.5, 0.5) as torchvision does them."""
    image = image.resize((LOAD_SIZE, LOAD_SIZE), Image.Resampling.BICUBIC)
    image = image.crop((x, y, x + IMAGE_SIZE, y + IMAGE_SIZE))
    if flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tensor = torch.from_numpy(np.array(image, copy=True)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    mean, deviation = (torch.tensor([0.5, 0.5, 0.5]).view(-1, 1, 1) for _ in range(2))
    return tensor.clone().sub_(mean).div_(deviation)


def numbers(image: Image.Image, x: int, y: int, flip: bool) -> np.ndarray:
    """A map resized, cropped and flipped by Pillow, by nearest neighbours."""
    image = image.resize((LOAD_SIZE, LOAD_SIZE), Image.Resampling.NEAREST)
    image = image.crop((x, y, x + IMAGE_SIZE, y + IMAGE_SIZE))
    return np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image)


def draw_street(root: Path) -> Path:
    """Label maps of 35 classes, instances of 16 bits and photos, of 256 × 256."""
    for name in ("map", "ids", "photo"):
        (root / "train" / name).mkdir(parents=True)
    for index in range(FILES):
        generator = np.random.default_rng([4, index])
        classes, ids = np.zeros((256, 256), np.uint8), np.zeros((256, 256), np.uint16)
        for thing in range(60):
            x, y, width, height = generator.integers(0, 240), generator.integers(0, 240), *generator.integers(6, 60, 2)
            classes[y : y + height, x : x + width] = label = generator.integers(CLASSES)
            ids[y : y + height, x : x + width] = label * 1000 + thing
        Image.fromarray(classes).save(root / f"train/map/{index}.png")
        Image.fromarray(ids).save(root / f"train/ids/{index}.png")
        photo(generator).save(root / f"train/photo/{index}.jpg", quality=93)
    return root


def draw_pairs(root: Path) -> Path:
    """Label map and photo side by side, 512 x 256; files of about 50 kB, as the facades have."""
    (root / "train").mkdir(parents=True)
    for index in range(FILES):
        generator = np.random.default_rng([1, index])
        both = Image.new("RGB", (512, 256))
        both.paste(label_map(generator), (0, 0))
        both.paste(photo(generator), (256, 0))
        both.save(root / "train" / f"{index}.jpg", quality=93)
    return root


def draw_domains(root: Path) -> Path:
    """Photos of 256 x 256; files of about 45 kB, as summer2winter_yosemite has."""
    for number, name in enumerate(("trainA", "trainB")):
        (root / name).mkdir(parents=True)
        for index in range(FILES):
            generator = np.random.default_rng([2 + number, index])
            photo(generator).save(root / name / f"{index}.jpg", quality=91, subsampling=0)
    return root


def photo(generator: np.random.Generator) -> Image.Image:
    """Noise with the spectrum of photos: the amplitude falls with the frequency, down to the grain."""
    total = np.zeros((256, 256, 3))
    for octave in range(2, 9):
        size = 2**octave
        coarse = generator.normal(size=(size, size, 1)) + 0.4 * generator.normal(size=(size, size, 3))
        for band in range(3):
            layer = Image.fromarray(coarse[:, :, band].astype(np.float32))
            total[:, :, band] += np.asarray(layer.resize((256, 256), Image.Resampling.BICUBIC)) * 2.0 ** (
                -0.35 * octave
            )
    total = 128 + 55 * (total - total.mean()) / total.std()
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def label_map(generator: np.random.Generator) -> Image.Image:
    """Flat rectangles on a flat ground."""
    colours = generator.integers(0, 256, (12, 3), dtype=np.uint8)
    canvas = np.broadcast_to(colours[0], (256, 256, 3)).copy()
    for _ in range(60):
        x, y, width, height = generator.integers(0, 240), generator.integers(0, 240), *generator.integers(6, 60, 2)
        canvas[y : y + height, x : x + width] = colours[generator.integers(12)]
    return Image.fromarray(canvas)


if __name__ == "__main__":
    sys.exit(main())
