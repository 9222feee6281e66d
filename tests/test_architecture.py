"""The structure, held by tests: imports point downwards, public names are documented, importing is cheap."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import oddgan

PACKAGE = Path(oddgan.__file__).parent

# From the bottom up. A module may import from rows below its own, and from its own package; never from its own row.
# A package stands in one row, unless its modules do so by themselves ("kit.recipe").
ROWS = [
    {"installed", "onnx_runtime"},
    {"errors"},
    {"ranks"},
    {
        "cautions",
        "strict_json",
        "engine",
        "show",
        "files",
        "parameters",
        "hooks",
        "machine",
        "metrics",
        "networks",
        "kit.registry",
        "kit.losses",
        "kit.augmentation",
    },
    {"rows", "verdict"},
    {"preprocessing", "simulate", "kit.declaration", "kit.search", "model.inference", "model.rowwise", "model.archive"},
    {"training", "colours", "model.explanation", "model.maps"},
    {"runtime"},
    {"kit.recipe", "kit.neural", "kit.games"},
    {"model"},
    {"fitted"},
    {"face"},
    {"detector"},
    {"kit.estimators", "ensemble"},
    {"detectors", "data"},
    {"evaluation", "advice", "testing", "export", "serve", "batches"},
    {"kit", "choosing"},
    {"papers"},
    {"report"},
    {"plot"},
    {"cli"},
    {"__main__"},
]
ROW = {name: i for i, row in enumerate(ROWS) for name in row}


def row_of(module: str) -> int | None:
    """The row of "kit.recipe": its own, or its package's."""
    return ROW.get(".".join(module.split(".")[:2]), ROW.get(module.split(".")[0]))


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def imports(path: Path) -> set[str]:
    """The oddgan modules that a file imports, as "training" or "networks.pictures"."""
    here = ("oddgan", *path.relative_to(PACKAGE).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            known = (PACKAGE / Path(*module.split(".")[1:])).is_dir()
            found |= {f"{module}.{alias.name}" if known else module for alias in node.names}
    return {name.removeprefix("oddgan.") for name in found if name.startswith("oddgan.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    for name in imports(path):
        if name == "__version__" or (name.split(".")[0] == parts[0] and row_of(name) == row_of(module)):
            continue
        below = row_of(name)
        assert below is not None, f"{path.name} imports {name}, which has no row"
        assert below < row_of(module), f"{'/'.join(parts)} imports {name}, which stands no lower"


@pytest.mark.parametrize("path", sorted((PACKAGE / "detectors").glob("[a-z]*.py")), ids=lambda p: p.name)
def test_detectors_know_neither_each_other_nor_data_nor_training(path):
    assert not {n for n in imports(path) if n.split(".")[0] in ("data", "training", "detectors")}


def test_every_module_has_a_row():
    assert all(row_of(".".join(p.relative_to(PACKAGE).with_suffix("").parts)) is not None for p in MODULES)


def test_files_can_be_read_in_one_sitting():
    assert not {p.name: n for p in MODULES if (n := len(p.read_text("utf-8").splitlines())) > 400}


ASKED_ELSEWHERE = {
    "preprocessing/__init__.py": 1,  # which preprocessing rows of this kind get
    "preprocessing/pictures.py": 2,  # whether a source has a cache; whether pictures are kept in memory or read again
    "preprocessing/tiles.py": 2,
    "face.py": 1,  # scikit-learn's checks are of tables alone
    "evaluation/run.py": 1,  # how many rows of a kind fit a chunk
    "evaluation/examples.py": 1,  # what of a kind of rows is shown
    "cli/reading.py": 5,  # a table file is read in parts, pictures in threads
    "cli/shards.py": 2,  # what tells whether shards are of the same data
    "data/layouts.py": 2,  # pictures in files are what --skip-bad looks through
    "data/arrays.py": 1,  # arrays in files are converted to types that pictures have
    "papers/speed.py": 1,
    "testing.py": 4,  # laws take some rows of whatever they are given; a fake batch gives rows or makes them
}
"""How often each module outside `rows/` asks what rows are, and why. Before adding to it, see `rows/door.py`."""


def questions(path: Path) -> int:
    """How many isinstance and hasattr calls of a file are about rows."""
    kinds = {"PictureRows", "TableRows", "TableFile", "Pictures", "ndarray", "Tensor", "DataFrame"}
    attributes = {"iloc", "columns", "shape", "ndim", "header", "cached", "paths", "parts", "dtype", "collect"}
    found = 0
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "hasattr"):
            about, what = (ast.unparse(argument) for argument in node.args)
            name = about.split(".")[0].split("[")[0]
            if name in {"X", "rows", "train", "test", "pictures", "self"} and (
                {word.split(".")[-1] for word in what.split(" | ")} & kinds or what.strip("'") in attributes
            ):
                found += 1
    return found


def test_what_x_is_gets_asked_at_one_door():
    asked = {str(p.relative_to(PACKAGE)): questions(p) for p in MODULES if "rows" not in p.relative_to(PACKAGE).parts}
    assert {name: count for name, count in asked.items() if count} == ASKED_ELSEWHERE


def test_packages_say_what_is_public():
    for folder in sorted(p.parent for p in PACKAGE.glob("*/__init__.py") if p.parent.name not in ("cli", "networks")):
        package = folder.name
        module = importlib.import_module(f"oddgan.{package}")
        assert module.__all__, package
        assert all(hasattr(module, name) for name in module.__all__), package


def public_names():
    for module in pkgutil.walk_packages(oddgan.__path__, "oddgan."):
        if any(part.startswith("_") for part in module.name.split(".")):
            continue
        loaded = importlib.import_module(module.name)
        yield module.name, loaded
        for name, value in vars(loaded).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.name:
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{module.name}.{name}", value
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    plain = getattr(function, "__func__", getattr(function, "fget", function))
                    if not method.startswith("_") and inspect.isfunction(plain) and method != "forward":
                        yield f"{module.name}.{name}.{method}", plain


def test_every_public_name_is_documented():
    assert not [name for name, value in public_names() if not (inspect.getdoc(value) or "").strip()]


def test_public_names_are_there_and_listed():
    for name in oddgan.__all__:
        assert getattr(oddgan, name)
        assert name in dir(oddgan)
    from oddgan import detectors

    classes = {detectors.get(name).__name__ for name in detectors.names()}
    assert classes <= set(oddgan.__all__), "a new detector belongs into oddgan.__all__ and its TYPE_CHECKING imports"
    with pytest.raises(AttributeError):
        _ = oddgan.Nonsense


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, oddgan, oddgan.data, oddgan.errors; "
        "print(sorted({'torch', 'sklearn', 'scipy', 'matplotlib', 'PIL', 'rich'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ast.literal_eval(run.stdout)) <= {"PIL"}


def test_nothing_names_the_place_it_was_made_in():
    root = PACKAGE.parents[1]
    words = ["/".join(["", "work", ""]), "pypi" + ".org", "../" + "shared"]
    for path in [*root.glob("*.*"), *root.glob("docs/**/*.md"), *PACKAGE.rglob("*.*"), *root.glob("tests/**/*.py")]:
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".txt", ".j2", ".html"):
            text = path.read_text("utf-8")
            assert not [w for w in words if w in text], path
