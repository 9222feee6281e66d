"""The notebooks in examples/ run from top to bottom, and what is committed of their outputs is small and clean."""

import ast
import base64
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHORT = {"updates": 2, "steps": 2, "rate": 0.4}  # in place of what the cell of parameters says
BYTES, PICTURE_BYTES = 300_000, 60_000
TRACES = re.compile(r"/(tmp|home|root|work|Users|usr)/|ipykernel_|0x[0-9a-f]{6,}")


def read(path: Path) -> Any:
    return nbformat.read(path, 4)


def code(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def shortened(source: str) -> str:
    """The cell of parameters with the values of a test after it."""
    assert "updates" in source
    lines = [f"{name} = {value}" for name, value in SHORT.items() if re.search(rf"\b{name}\b", source)]
    return "\n".join([source, *lines])


def is_parameters(cell: Any) -> bool:
    return "parameters" in cell.metadata.get("tags", ())


def test_there_are_notebooks() -> None:
    listed = re.findall(r"\]\((\w+\.ipynb)\)", (FOLDER / "README.md").read_text("utf-8"))
    assert sorted(listed) == [path.name for path in NOTEBOOKS]
    assert len(listed) >= 6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs(path: Path) -> None:
    """There, from one run from top to bottom, small, and without anything of the machine that made them."""
    assert path.stat().st_size <= BYTES
    cells = code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run: make examples"
    assert sum(map(is_parameters, cells)) == 1
    pictures = 0
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        data = dict(output.get("data", {}))
        if "image/png" in data:
            picture = base64.b64decode(data.pop("image/png"))
            assert len(picture) <= PICTURE_BYTES
            pictures += 1
        assert not TRACES.search(str(data) + output.get("text", "")), path.name
    assert pictures


def test_the_demonstration_is_short() -> None:
    lines = [line for cell in code(FOLDER / "digits.ipynb") for line in cell.source.splitlines() if line.strip()]
    assert len([line for line in lines if not line.startswith(("import ", "from "))]) <= 20


@pytest.fixture
def fewer_drawn(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Drawn sets of few pictures, and narrow networks for them; drift divides its sections by number."""
    from oddgan import advice
    from oddgan.data import drawn
    from oddgan.data.drawn import tissue, washers

    for module, train in ((washers, 20), (tissue, 352 if path.stem == "drift" else 40)):
        for name, value in {"TRAIN": train, "GOOD": 4, "EACH": 2}.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(advice, "LARGE_PARTS", {"width": 4, "batch_size": 8})
    drawn.drawn.cache_clear()
    yield
    drawn.drawn.cache_clear()


@pytest.mark.usefixtures("fewer_drawn")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_code_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, with training cut short: every cell, and what it would show."""
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    page = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)  # detectors look their module up
    try:
        for cell in code(path):
            source = shortened(cell.source) if is_parameters(cell) else cell.source
            tree = ast.parse(source)
            shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, path.name, "exec"), page.__dict__)
            if isinstance(shown, ast.Expr):
                value = eval(compile(ast.Expression(shown.value), path.name, "eval"), page.__dict__)
                if hasattr(value, "_repr_html_"):
                    value._repr_html_()
    finally:
        plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_kernel_runs_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `make examples` does, with training cut short."""
    spec = importlib.util.spec_from_file_location("examples_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    notebook = read(path)
    for cell in notebook.cells:
        if is_parameters(cell):
            cell.source = shortened(cell.source)
    outputs = [output for cell in run.tidied(run.executed(notebook)).cells for output in cell.get("outputs", ())]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]


def test_outputs_are_tidied() -> None:
    """Times go, pictures get few colours, and the rest stays."""
    import io

    from PIL import Image

    spec = importlib.util.spec_from_file_location("examples_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    picture = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": "<Figure size 640x480>"}
    cell = nbformat.v4.new_code_cell("1 + 1", outputs=[nbformat.v4.new_output("display_data", picture)])
    cell.metadata["execution"] = {"iopub.execute_input": "2024-01-01"}
    language = {"name": "python", "version": "3.11.2"}
    found = run.tidied(nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": language}))
    assert found.metadata["language_info"] == {"name": "python"}
    assert "execution" not in found.cells[0].metadata
    assert found.cells[0].source == "1 + 1"
    data = found.cells[0].outputs[0].data
    assert list(data) == ["image/png"]
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as small:
        assert (small.mode, small.size) == ("P", (40, 40))
