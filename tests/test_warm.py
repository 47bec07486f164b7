"""A warm process is what a plain one is: python -m pytest tests/test_warm.py"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm import LIBRARIES, run_python

# What a program sees of itself, and how it ends.
PROGRAM = """
import atexit, multiprocessing, os, sys, threading, time
print(sys.argv, os.getcwd(), sorted(os.environ.items()), sys.path)
print(__name__, sys.modules["__main__"].__dict__ is globals())
print(multiprocessing.get_start_method(allow_none=True), multiprocessing.current_process().name, "tests" in sys.modules)
print("é", file=sys.stderr)
atexit.register(print, "at the end")
threading.Thread(target=lambda: [time.sleep(0.2), print("in a thread")]).start()
if len(sys.argv) > 2:
    os._exit(7)
sys.exit({"0": 0, "3": 3, "none": None, "words": "a line"}[sys.argv[1]])
"""


@pytest.mark.parametrize("words", [["0"], ["3"], ["none"], ["words"], ["0", "at once"]], ids=" ".join)
@pytest.mark.parametrize("how", ["-c", "-m", "script"])
def test_a_warm_process_sees_and_says_what_a_plain_one_does(tmp_path: Path, how: str, words: list[str]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "here/program.py").write_text(PROGRAM)
    start = {"-c": ["-c", PROGRAM], "-m": ["-m", "program"], "script": [str(tmp_path / "program.py")]}[how]
    env = {"PATH": os.environ["PATH"], "LC_CTYPE": "C.UTF-8", "PYTHONPATH": str(tmp_path)}
    plain = subprocess.run(
        [sys.executable, *start, *words], env=env, cwd=tmp_path / "here", capture_output=True, text=True, check=False
    )
    warm = run_python([*start, *words], env=env, cwd=tmp_path / "here")
    assert warm.returncode == plain.returncode
    assert warm.stdout.splitlines() == plain.stdout.splitlines()
    assert warm.stderr == plain.stderr
    assert "é\n" in plain.stderr


def test_an_error_ends_in_its_traceback_and_status_1(tmp_path: Path) -> None:
    done = run_python(["-c", "raise ValueError('so')"], env={}, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: so\n")
    assert "Traceback" in done.stderr


def test_what_reads_its_environment_is_not_there_yet(tmp_path: Path) -> None:
    code = "import sys, huggingface_hub.constants as c; print(c.ENDPOINT, *(name in before for name in sys.argv[1:]))"
    code = f"import sys; before = set(sys.modules)\n{code}"
    done = run_python(["-c", code, *LIBRARIES], env={"HF_ENDPOINT": "http://127.0.0.1:1"}, cwd=tmp_path)
    assert done.stdout.split() == ["http://127.0.0.1:1", *["True"] * len(LIBRARIES)], done.stderr


def test_a_process_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_python(["-c", "import time; time.sleep(60)"], env={}, cwd=tmp_path, timeout=0.5)
