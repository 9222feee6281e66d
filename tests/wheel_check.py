"""Build the wheel, install it into an environment of its own, and run it there: `make wheel`.

The environment sees the libraries of the one that runs this, but not the oddgan that is installed there to be edited.
What fails here and nowhere else is a file that the wheel lacks.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = {"digits.oddgan", "scores.csv", "maps.png", "report.html"}


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    subprocess.run([*command, "--quiet", "--disable-pip-version-check"], check=True)


def build(folder: Path) -> Path:
    """The wheel, built from this checkout with the hatchling that is installed: nothing is fetched."""
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (wheel,) = folder.glob("oddgan-*.whl")
    return wheel


def held(wheel: Path) -> set[str]:
    """The package's files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith("oddgan/")}


def expected() -> set[str]:
    """The package's files in this checkout: modules, TOML, templates, py.typed."""
    source = ROOT / "src"
    files = (path for path in (source / "oddgan").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(source).as_posix() for path in files}


def installed(wheel: Path, folder: Path) -> Path:
    """The folder of commands of a new environment with this wheel."""
    venv.create(folder, with_pip=False)
    commands = folder / Path(sysconfig.get_path("scripts")).name
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    pip("--python", commands / "python", "install", "--no-deps", "--no-index", wheel)
    # Only now: pip would find the other oddgan. A folder named in a .pth file has its own .pth files ignored.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n", "utf-8")
    where = run(commands, "python", "-c", "import oddgan; print(oddgan.__file__)", folder=folder)
    assert Path(where.strip()).is_relative_to(site), f"oddgan was imported from {where}"
    return commands


def run(commands: Path, command: str, *arguments: str, folder: Path) -> str:
    """The standard output of a command of that environment, run in `folder`."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    call = [str(commands / command), *arguments]
    return subprocess.run(call, cwd=folder, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        wheel = build(place)
        if different := expected() ^ held(wheel):
            sys.exit(f"{wheel.name} and src/oddgan differ in {', '.join(sorted(different))}")
        commands = installed(wheel, place / "environment")
        empty = place / "empty"
        empty.mkdir()
        version = run(commands, "oddgan", "--version", folder=empty).strip()
        if version.replace(" ", "-") != "-".join(wheel.name.split("-")[:2]):
            sys.exit(f"{wheel.name} says that it is {version}")
        run(commands, "oddgan", "demo", folder=empty)
        if missing := RESULTS - {path.name for path in (empty / "demo-output").iterdir() if path.stat().st_size}:
            sys.exit(f"oddgan demo of {wheel.name} wrote no {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
