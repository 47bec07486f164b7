"""The built wheel outside of a checkout: each command in a bare environment, on several Pythons, and by the lowest
versions that pyproject.toml admits.

    make check-install
    python tests/check_install.py --pythons python3.12 --keep

It prints what it typed and how long that took, and ends with status 1 where something did not hold. torch is the pinned
one everywhere: a lower one would be another download of gigabytes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("torch=="))
PICTURES = """
from pathlib import Path
from PIL import Image
for split, count in (("train", 4), ("val", 2)):
    for side in "AB":
        folder = Path("pairs", split, side)
        folder.mkdir(parents=True)
        for number in range(count):
            Image.effect_noise((24, 24), 40 + 20 * number).convert("RGB").save(folder / f"{number}.png")
"""
TINY = "--image_size 16 --width 4 --discriminator_layers 1 --cpu --num_workers 0 --max_steps 2"


class Bare:
    """A virtual environment in a folder of its own, in which nothing of the checkout is seen."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.run(python, "-m", "venv", "env")
        self.run("env/bin/python", "-m", "pip", "install", "--quiet", TORCH)

    def run(self, *words: str, expect: int = 0, input: str | None = None) -> str:
        """What a command says. Raises SystemExit where it ends otherwise than expected."""
        shown = " ".join(word if len(word) < 60 else f"{word[:50]} …" for word in words)
        began = time.monotonic()
        path = f"{self.folder / 'env/bin'}{os.pathsep}{os.environ['PATH']}"
        env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=env | {"PATH": path, "XDG_CACHE_HOME": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            input=input,
        )
        print(f"{self.folder.name}: {shown}  [{time.monotonic() - began:.0f} s, status {done.returncode}]", flush=True)
        if done.returncode != expect:
            sys.exit(f"status {expect} was expected:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def check(self, words: str, *says: str, expect: int = 0) -> str:
        """That a command line says so."""
        said = self.run(*words.split(), expect=expect)
        for text in says:
            if text not in said:
                sys.exit(f"it was to say {text!r}, and said:\n{said[-3000:]}")
        return said


def check_commands(bare: Bare) -> None:
    """A newcomer's first commands."""
    bare.run("env/bin/python", "-c", PICTURES)
    bare.check("img2img_hub --version", "img2img_hub ")
    bare.check("img2img_hub train pix2pix --dataset x", "error: pix2pix needs --output_dir (Folder", expect=2)
    bare.check("img2img_hub check-data --dataset pairs", "4 pairs")
    bare.check(f"img2img_hub train pix2pix --dataset pairs --output_dir run {TINY}", "Finished: run")
    bare.check("img2img_hub translate pairs/val/A --model run --output out", "2 of 2 images translated")
    bare.check("img2img_hub evaluate --model run --dataset pairs --split val", "SSIM")
    check_page(bare)


def check_page(bare: Bare) -> None:
    port = "7899"
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = ["env/bin/img2img_hub", "demo", "run", "--port", port]
    page = subprocess.Popen(command, cwd=bare.folder, env=env, stdout=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=5) as answer:
                    if b"translate" in answer.read():
                        print(f"{bare.folder.name}: img2img_hub demo run --port {port}  [answers]", flush=True)
                        return
            except OSError:
                time.sleep(0.5)
        sys.exit("the page did not answer in a minute")
    finally:
        page.terminate()
        page.wait()


def wanted() -> list[str]:
    """What pyproject.toml asks for, with its lowest versions, but torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [each for each in (*project["dependencies"], *extras["train"], *extras["demo"]) if "torch>=" not in each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", default=["python3.11", "python3.13"])
    parser.add_argument("--only", choices=["bare", "lowest"], help="one part of it (default: both)")
    parser.add_argument("--keep", action="store_true", help="leave the environments where they are")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="check-install-"))
    try:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "build", "uv"], check=True)
        subprocess.run(
            [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(ROOT)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (wheel,) = (folder / "dist").glob("*.whl")
        (sources,) = (folder / "dist").glob("*.tar.gz")
        if arguments.only != "lowest":
            for python in arguments.pythons:
                bare = Bare(folder / Path(python).name, python)
                bare.run("env/bin/python", "-m", "pip", "install", "--quiet", str(wheel))
                bare.check("img2img_hub train pix2pix --dataset x --output_dir y", "img2img_hub[train]'", expect=2)
                bare.check("img2img_hub demo", "img2img_hub[demo]'", expect=2)
                bare.run("env/bin/python", "-m", "pip", "install", "--quiet", f"{wheel}[train,demo]")
                check_commands(bare)
            bare.run("tar", "-xzf", str(sources))
            bare.run("env/bin/python", "-m", "pip", "install", "--quiet", "-r", str(ROOT / "requirements-dev.txt"))
            unpacked = next(bare.folder.glob("img2img_hub-*"))
            bare.check(f"env/bin/python -m pytest --collect-only -q {unpacked}/tests", "tests collected")
        if arguments.only != "bare":
            lowest = Bare(folder / "lowest", arguments.pythons[0])
            install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", "env/bin/python"]
            lowest.run(*install, "--resolution", "lowest-direct", *wanted(), TORCH)  # of what the wheel names itself
            lowest.run(*install, "--no-deps", str(wheel))
            print(lowest.run("env/bin/python", "-m", "pip", "list", "--format", "freeze"))
            check_commands(lowest)
        print("all of it holds")
    finally:
        if not arguments.keep:
            subprocess.run(["rm", "-rf", str(folder)], check=True)


if __name__ == "__main__":
    main()
