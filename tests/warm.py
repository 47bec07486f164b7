"""Python processes that begin with the heavy libraries imported: forked from one that has done that once.

    python -m pytest tests/test_warm.py

Most of what a short client costs is the import of PyTorch. What reads its environment as it is imported (the Hub's
client and all that imports it) and all of this project each process imports by itself. Tests of imports, of signals and
of the launcher start plain processes.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Sequence
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path

LIBRARIES = ["torch", "torch._dynamo", "torch.distributed.tensor", "torch.utils.data", "safetensors.torch", "PIL.Image"]
LIBRARIES += ["pandas", "pyarrow.parquet", "jinja2", "psutil", "tqdm", "tyro", "yaml"]

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(LIBRARIES)


def start_python(
    arguments: Sequence[str], *, env: dict[str, str], cwd: str | Path, stdout: Path, stderr: Path
) -> BaseProcess:
    """`python ARGUMENTS`, a script and its own or what begins with -c or -m, whose outputs go to files."""
    outputs, words = [str(stdout), str(stderr)], [str(each) for each in arguments]
    child = _SERVER.Process(target=_become, args=(words, env, str(cwd), outputs, _plain_path()))
    child.start()
    return child


def run_python(
    arguments: Sequence[str], *, env: dict[str, str], cwd: str | Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `python ARGUMENTS` comes to."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        child = start_python(arguments, env=env, cwd=cwd or Path.cwd(), stdout=outputs[0], stderr=outputs[1])
        child.join(timeout)
        if child.is_alive():
            child.kill()
            child.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout, *(path.read_bytes() for path in outputs))
        said = [path.read_text(encoding="utf-8") for path in outputs]
        return subprocess.CompletedProcess(list(arguments), int(child.exitcode or 0), *said)


@cache
def _plain_path() -> list[str]:
    """Where a plain process looks for modules: libraries have added places to this one's since."""
    line = [sys.executable, "-I", "-c", "import sys; print(*sys.path, sep='\\n')"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()


def _become(arguments: list[str], env: dict[str, str], cwd: str, outputs: list[str], places: list[str]) -> None:
    """In the new process, to its end."""
    for number, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    assert not {"huggingface_hub", "img2img_hub"} & sys.modules.keys(), "they would have read another environment"
    multiprocessing.current_process().name = "MainProcess"
    multiprocessing.set_start_method(None, force=True)
    given = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = given + places
    status = 1
    try:
        _run(arguments)
        status = 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            status = end.code or 0
        else:
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _run(arguments: list[str]) -> None:
    first, *rest = arguments
    if first == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.path.insert(0, str(Path(first).parent))
        sys.argv = arguments
        runpy.run_path(first, run_name="__main__")
