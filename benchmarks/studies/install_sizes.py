"""How large installations are, with torch and without: benchmarks/results/install_sizes.jsonl.

    python -m benchmarks.studies.install_sizes      # some minutes; installs into environments of its own

Each is installed from this checkout into a new environment, with the versions of constraints.txt, and its site-packages
are added up, without compiled Python files and without pip. On Linux torch's builds differ by gigabytes: the line names
the one that was installed.
"""

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from . import RESULTS, say

FILE = RESULTS / "install_sizes.jsonl"
ROOT = Path(__file__).resolve().parents[2]
RUNTIME = "./packaging/runtime"
INSTALLS = {
    "oddgan-runtime": RUNTIME,
    "oddgan-runtime[serve]": f"{RUNTIME}[serve]",
    "oddgan-runtime[serve,openvino]": f"{RUNTIME}[serve,openvino]",
    "oddgan[onnx]": ".[onnx]",
}
TOOLS = ("pip", "setuptools")


def size(asked: str) -> dict[str, object]:
    """Megabytes of what is installed, and how many distributions they are."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile", "-c", "constraints.txt"]
        subprocess.run([*pip, asked], cwd=ROOT, check=True)
        (site,) = (Path(folder) / "lib").glob("python*/site-packages")
        parts = [one for one in site.iterdir() if one.name.split("-")[0] not in TOOLS]
        files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*"))]
        held = sum(f.stat().st_size for f in files if f.is_file() and not f.is_symlink() and f.suffix != ".pyc")
        found = {one.name.rsplit(".", 1)[0].rpartition("-") for one in parts if one.name.endswith(".dist-info")}
        torch = [version for name, _, version in found if name == "torch"]
    return {"megabytes": round(held / 1e6), "distributions": len(found), "torch": torch[0] if torch else None}


def main() -> None:
    """Measure all of them anew."""
    machine = {"system": platform.system(), "machine": platform.machine(), "python": platform.python_version()}
    lines = []
    for name, asked in INSTALLS.items():
        lines.append({"install": name, **size(asked), **machine})
        say(f"{lines[-1]}")
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
