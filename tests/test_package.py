"""The house itself: imports point downwards only, heavy libraries stay where they belong, the public names exist."""

import ast
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import img2img_hub
from img2img_hub.translation.settings import TranslationSettings

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "img2img_hub"

# From the top of the house to its ground. A module imports from its own floor and those below it.
FLOORS = [
    {"scripts", "cli", "demo", "__main__"},
    {"training"},
    {"evaluation"},
    {"translation", "official", "runtimes", "strips"},
    {"hub"},
    {"families", "data"},
    {"networks", "objectives", "images"},
    {"errors", "files"},
]
HOMES = {"accelerate": {"training"}, "datasets": {"data"}, "gradio": {"demo"}}


def floor(part: str) -> int:
    return next(number for number, parts in enumerate(FLOORS) if part in parts)


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        part = relative.parts[0].removesuffix(".py")
        if part != "__init__":
            yield pytest.param(path, part, id=str(relative))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names} if module == "img2img_hub" else {module}
    return names


@pytest.mark.parametrize(("path", "part"), list(modules()))
def test_imports_point_downwards_and_heavy_libraries_stay_at_home(path, part):
    for name in imported(path):
        head, *rest = name.split(".")
        if head == "img2img_hub" and rest and rest[0] != "__version__":
            assert floor(rest[0]) >= floor(part), f"{part} imports {name}, which stands above it"
        assert part in HOMES.get(head, {part}), f"{head} belongs to {HOMES.get(head)}, not to {part}"


MODULES = {
    ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
IMAGES = "img2img_hub.images"


def imports_of(module: str, *, also_in_functions: bool) -> set[str]:
    """Other modules of the package that importing this one imports; what is for type checkers alone is left out."""
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(MODULES[module].read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif also_in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return found & set(MODULES) - {module}


def circles(*, also_in_functions: bool) -> set[frozenset[str]]:
    """Modules each of which imports, by way of the others, itself."""
    imports = {module: imports_of(module, also_in_functions=also_in_functions) for module in MODULES}

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            new = imports[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    reach = {module: reached(module) for module in MODULES}
    return {
        frozenset(other for other in reach[module] if module in reach[other])
        for module in MODULES
        if module in reach[module]
    }


def test_no_import_goes_in_a_circle():
    assert circles(also_in_functions=False) == set()


def test_in_images_none_does_that_is_made_in_a_function_either():
    """An import there is no way out: a reader follows it all the same."""
    assert [
        circle for circle in circles(also_in_functions=True) if any(name.startswith(IMAGES) for name in circle)
    ] == []


def test_translating_one_image_imports_neither_accelerate_nor_datasets_nor_gradio():
    code = "import sys; from img2img_hub import Translator; print([m for m in sys.argv[1:] if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code, *HOMES], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    assert result.stdout.strip() == "[]"


# What PyTorch imports for a number drawn on the meta device, and what only other commands and other files need.
NOT_NEEDED = [
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "onnx",
    "onnxruntime",
    "openvino",
    "tifffile",
    "tyro",
    "docstring_parser",
    *HOMES,
]


@pytest.mark.parametrize("network", ["UNetGenerator", "ResNetGenerator", "CoarseToFineGenerator"])
def test_loading_a_model_and_translating_imports_no_compiler_and_nothing_of_others(network, tmp_path):
    getattr(img2img_hub, network)(norm="batch", width=4).save_weights(tmp_path)
    TranslationSettings(family="pix2pix").save(tmp_path)  # whose finish is asked for
    code = """
        import sys
        from PIL import Image
        from img2img_hub import Translator

        assert Translator.from_pretrained(sys.argv[1])(Image.new("RGB", (64, 48))).size == (64, 48)
        print([name for name in sys.argv[2:] if name in sys.modules])
    """
    line = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), *NOT_NEEDED]
    result = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    assert result.stdout.strip() == "[]"


def test_the_page_imports_no_compiler_until_it_has_answered(tmp_path):
    """Neither to be put together nor to load a model and translate."""
    code = """
        import sys
        from img2img_hub.demo.app import build_demo
        from img2img_hub.demo.models import find_models
        from img2img_hub.translation.holes import in_the_middle

        models = find_models("model_cards")
        build_demo(models)
        for key, model in models.models.items():
            translator, image = models.translator(key), model.examples[0]
            slots = translator.settings.inputs
            translator(image if translator.settings.hole is None else in_the_middle(image, slots))
        print([name for name in sys.argv[1:] if name in sys.modules])
    """
    names = [name for name in NOT_NEEDED if name != "gradio" and name != "tyro"]
    line = [sys.executable, "-c", textwrap.dedent(code), *names]
    result = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    assert result.stdout.strip() == "[]"


def test_the_page_searches_for_no_garbage_among_what_it_imports():
    code = """
        import gc

        searched = []
        gc.callbacks.append(lambda phase, info: searched.append(info["generation"]))
        import app

        print(max(searched, default=0), gc.isenabled(), gc.get_freeze_count() > 100_000)
    """
    line = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    assert result.stdout.strip() == "0 True True"


def test_a_command_searches_for_no_garbage_while_it_imports(tmp_path):
    code = """
        import gc
        import sys
        from img2img_hub.cli import main

        def note(phase, info):
            if "torch" in sys.modules:
                searched.append(info["generation"])

        searched = []
        gc.callbacks.append(note)
        assert main(["translate", "nothing.png", "--model", "none", "--output", sys.argv[1]]) == 2
        print(max(searched, default=0) < 2, gc.isenabled(), gc.get_freeze_count() > 100_000)
    """
    line = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "out")]
    result = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    assert result.stdout.strip() == "True True True"


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, img2img_hub; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", img2img_hub.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(img2img_hub, name).__doc__


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(AttributeError, match="Translator"):
        _ = img2img_hub.Pix3Pix


def test_requirements_pin_what_the_project_depends_on():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(p for name in ("train", "demo") for p in project["optional-dependencies"][name]),
    ]
    names = {line.split(">=")[0].lower() for line in wanted}
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all("==" in pin for pin in pins)
    assert names <= {pin.split("==")[0].lower() for pin in pins}


def test_no_file_of_the_package_is_long():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 350} == {}
