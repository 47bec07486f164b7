"""Folders on a CPU by several networks that share their weights, each with its share of PyTorch's threads."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2img_hub import Network, ResNetGenerator, Translator, UNetGenerator
from img2img_hub.demo.batch_tab import translate_batch
from img2img_hub.demo.models import find_models
from img2img_hub.translation.folders import translate_folder
from img2img_hub.translation.seats import number_of_seats, use_threads
from img2img_hub.translation.settings import TranslationSettings
from tests.browser.serving import as_upload, write_model
from tests.conftest import picture


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(12):
        picture(seed=index, size=(20, 16) if index % 4 else (9, 31)).save(folder / f"{index:02}.png")
    return folder


def resnet(**options: object) -> Translator:
    return Translator(ResNetGenerator(width=4, blocks=1), TranslationSettings(working_size=32), **options)


def in_new_thread(function) -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def watched(translator: Translator) -> list[tuple[Network, int]]:
    """(the network, PyTorch's threads where it computes) of each call that comes."""
    calls: list[tuple[Network, int]] = []
    translator.network.register_forward_pre_hook(lambda network, _: calls.append((network, torch.get_num_threads())))
    return calls


@pytest.mark.parametrize("statistics", ["image", "running"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_two_networks_make_what_one_makes_with_as_many_threads(photos, tmp_path, batch_size, statistics):
    network = UNetGenerator(width=4, levels=3)
    translator = Translator(network, TranslationSettings(norm_statistics=statistics, working_size=16))
    places = [tensor.data_ptr() for tensor in network.state_dict().values()]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.set_num_threads(1)
    one = translate_folder(translator, photos, output=tmp_path / "one", batch_size=batch_size)
    torch.set_num_threads(2)
    calls = watched(translator)
    two = translate_folder(translator, photos, output=tmp_path / "two", batch_size=batch_size)
    assert {threads for _, threads in calls} == {1}
    networks = {id(each): each for each, _ in calls if each is not network}
    assert len(networks) == 2
    for each in networks.values():  # they take no memory for weights of their own
        assert [tensor.data_ptr() for tensor in each.state_dict().values()] == places
    assert not one.failures
    assert not two.failures
    for (_, first), (_, second) in zip(one.written, two.written, strict=True):
        assert first.read_bytes() == second.read_bytes()
    if batch_size == 1:
        for source, made in two.written:
            with Image.open(made) as image:
                assert np.abs(np.asarray(image).astype(int) - np.asarray(translator(source))).max() <= 1
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_the_threads_of_others_stay_as_many_as_they_were(photos, tmp_path):
    translator = resnet()
    calls = watched(translator)
    during: list[int] = []
    report = translate_folder(
        translator, photos, output=tmp_path / "out", batch_size=1,
        progress=lambda *_: during.append(in_new_thread(torch.get_num_threads)),
    )  # fmt: skip
    assert len(report.written) == 12
    assert {threads for _, threads in calls} == {1}
    assert set(during) == {2}
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 2


def test_a_thread_takes_its_share_alone():
    def share() -> int:
        use_threads(1)
        return torch.get_num_threads()

    assert in_new_thread(share) == 1
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 2


def test_a_bad_image_is_reported_and_the_rest_of_its_batch_is_done(photos, tmp_path):
    (photos / "05.png").write_bytes((photos / "05.png").read_bytes()[:60])
    translator = resnet()
    calls = watched(translator)
    report = translate_folder(translator, photos, output=tmp_path / "out", batch_size=3)
    assert {threads for _, threads in calls} == {1}
    assert [source.name for source, _ in report.failures] == ["05.png"]
    assert len(report.written) == 11 == len(list((tmp_path / "out").iterdir()))


def test_what_does_not_fit_into_the_memory_twice_goes_by_the_one_network_with_all_threads(photos, tmp_path):
    picture(seed=99, size=(600, 500)).save(photos / "99.png")
    translator = resnet()
    translator.engine.memory = 1.5 * translator.engine.bytes_a_pixel * 600 * 500 / 2**30
    calls = watched(translator)
    report = translate_folder(translator, photos, output=tmp_path / "out", batch_size=1)
    assert not report.failures
    assert sorted(threads for _, threads in calls) == [1] * 12 + [2]
    assert [network for network, threads in calls if threads == 2] == [translator.network]


def test_seats_are_for_pytorch_on_a_cpu_with_threads_and_work_for_each(photos, tmp_path):
    assert number_of_seats(resnet(), images=16, batch_size=4) == 2
    assert number_of_seats(resnet(), images=15, batch_size=4) == 1
    assert number_of_seats(resnet(forward=torch.tanh), images=16, batch_size=4) == 1
    assert number_of_seats(resnet(device="meta"), images=16, batch_size=4) == 1
    torch.set_num_threads(1)
    assert number_of_seats(resnet(), images=16, batch_size=4) == 1
    torch.set_num_threads(2)
    for index, options in enumerate(({"seats": 1}, {"seed": 1}, {"resize": "fit", "batch_size": 8})):
        translator = resnet()
        calls = watched(translator)
        translate_folder(translator, photos, output=tmp_path / str(index), **options)
        assert {threads for _, threads in calls} == {2}


def test_the_page_leaves_the_processor_to_one_network(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("IMG2IMG_BACKEND", "torch")
    models = find_models(str(write_model(tmp_path / "model")))
    calls = watched(models.translator("model"))
    translate_batch(models, "model", [as_upload(path) for path in sorted(photos.iterdir())], "fit")
    assert len(calls) == 12
    assert {threads for _, threads in calls} == {2}
