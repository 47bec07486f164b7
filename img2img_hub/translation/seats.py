"""Several networks that compute side by side on a CPU, each with its share of PyTorch's threads.

    python -c "import torch; from img2img_hub.translation.seats import use_threads; use_threads(1); \
    print(torch.get_num_threads())"

Two networks with one thread each make more small images a second than one with both: between its layers, and in the
many small ones, the second thread of one network waits.
"""

import threading

import torch

from img2img_hub.translation.translator import Translator

MOST_SEATS = 8
_SETTING = threading.Lock()


def number_of_seats(translator: Translator, *, images: int, batch_size: int) -> int:
    """How many networks should share the threads of the caller's PyTorch; 1 where more would gain nothing.

    That is: on another device, with another runtime, which sees to its own threads, with one thread, or for so few
    images that some threads would be left without work.
    """
    seats = min(torch.get_num_threads(), MOST_SEATS)
    if translator.device.type != "cpu" or not translator.engine.runs_network or images < 2 * seats * batch_size:
        return 1
    return seats


def use_threads(count: int) -> None:
    """Let PyTorch compute with so many threads for the calling thread alone, which has not computed yet.

    torch.set_num_threads is for the calling thread and for every thread that computes for the first time later; the
    latter is set back, by another new thread.
    """
    with _SETTING:
        others = torch.get_num_threads()
        torch.set_num_threads(count)
        restoring = threading.Thread(target=torch.set_num_threads, args=(others,))
        restoring.start()
        restoring.join()
