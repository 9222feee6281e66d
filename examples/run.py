"""Run the notebooks of this folder from top to bottom and keep what they show:

    python examples/run.py             # all of them (make examples)
    python examples/run.py digits      # these

What changes with every run, such as times, is left out, so that a difference in a committed notebook means something.
"""

import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
COLOURS = 255
TIMEOUT = 900  # seconds a cell


def executed(notebook: Any) -> Any:
    """The same notebook, run in an empty folder by a kernel of this interpreter."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as sockets:
        # Files in place of ports, which others on the machine could listen to.
        how = {"transport": "ipc", "ip": f"{sockets}/kernel"} if os.name == "posix" else {}
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=TIMEOUT,
            resources={"metadata": {"path": folder}},
            config=Config(KernelManager=how),
        )
        return client.execute()


def tidied(notebook: Any) -> Any:
    """The same notebook without times and versions, its pictures in few colours."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            output.pop("metadata", None) if output.output_type == "stream" else output.update(metadata={})
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = _small(data["image/png"])
                data.pop("text/plain", None)
    return notebook


def _small(png: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        few = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    found = io.BytesIO()
    few.save(found, "PNG", optimize=True)
    return base64.b64encode(found.getvalue()).decode("ascii")


def main(names: list[str]) -> None:
    """Run those notebooks, or all, and write them."""
    for path in [HERE / f"{name}.ipynb" for name in names] or sorted(HERE.glob("*.ipynb")):
        print(path.name, flush=True)
        notebook = tidied(executed(nbformat.read(path, 4)))
        path.write_text(nbformat.writes(notebook) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
