"""ONNX Runtime is loaded at one place, which tells it to send nothing."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import oddgan
from oddgan.onnx_runtime import TELEMETRY

pytest.importorskip("onnxruntime")
HERE = "onnx_runtime.py"


def test_nothing_else_loads_it_first():
    """Functions that need a part of it call `onnxruntime` before."""
    source = Path(oddgan.__file__).parent
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert path.name == HERE or "onnxruntime" not in names, path
        text = path.read_text("utf-8")
        if path.name != HERE and "from onnxruntime." in text:
            assert "    onnxruntime()\n    from onnxruntime." in text, path


@pytest.mark.parametrize("given", [None, "0"])
def test_it_is_told_unless_the_user_has_said_otherwise(given, tmp_path):
    variables = {name: value for name, value in os.environ.items() if name not in (TELEMETRY, "CI")}
    variables |= {"HOME": str(tmp_path)} | ({} if given is None else {TELEMETRY: given})
    code = f"import os; from oddgan.onnx_runtime import onnxruntime; onnxruntime(); print(os.environ[{TELEMETRY!r}])"
    run = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == (given or "1")
    assert given is not None or not list(tmp_path.rglob("*"))  # no identifier was kept
