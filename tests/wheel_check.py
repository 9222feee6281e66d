"""Build the wheels, install each into an environment of its own, and run it there: `make wheel`.

The environment sees the libraries of the one that runs this, but not the oddgan that is installed there to be edited.
What fails here and nowhere else is a file that the wheel lacks. That of oddgan-runtime sees no more than it asks for,
and scores there what the other one has exported.
"""

import email
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = ROOT / "packaging" / "runtime"
RESULTS = {"digits.oddgan", "scores.csv", "maps.png", "report.html"}


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    subprocess.run([*command, "--quiet", "--disable-pip-version-check"], check=True)


def build(folder: Path, project: Path = ROOT) -> Path:
    """A project's wheel, built from this checkout with the hatchling that is installed: nothing is fetched."""
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, project)
    (wheel,) = folder.glob("oddgan_runtime-*.whl" if project == RUNTIME else "oddgan-*.whl")
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


def installed(wheel: Path, folder: Path, needed: Iterable[str] | None = None) -> Path:
    """The folder of commands of a new environment with this wheel, which sees the libraries that are installed here, or
    the distributions `needed` alone."""
    venv.create(folder, with_pip=False)
    commands = folder / Path(sysconfig.get_path("scripts")).name
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    pip("--python", commands / "python", "install", "--no-deps", "--no-index", wheel)
    # Only now: pip would find the other oddgan. A folder named in a .pth file has its own .pth files ignored.
    if needed is None:
        libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (site / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n", "utf-8")
    else:
        link(needed, site)
    where = run(commands, "python", "-c", "import oddgan; print(oddgan.__file__)", folder=folder)
    assert Path(where.strip()).is_relative_to(site), f"oddgan was imported from {where}"
    return commands


def dependencies(wheel: Path) -> list[str]:
    """What the wheel requires, without extras."""
    with zipfile.ZipFile(wheel) as archive:
        (place,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        asked = email.message_from_bytes(archive.read(place)).get_all("Requires-Dist") or []
    return [one for one in asked if "extra ==" not in one]


def needed(requirements: Iterable[str]) -> set[str]:
    """The names of the distributions that these requirements and theirs bring, as pip would install them here."""
    found: set[str] = set()
    todo = [(Requirement(one), "") for one in requirements]
    while todo:
        one, extra = todo.pop()
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(one.name)
        if name not in found or one.extras:
            found.add(name)
            theirs = importlib.metadata.requires(name) or ()
            todo += [(Requirement(more), wanted) for more in theirs for wanted in ("", *one.extras)]
    return found


def link(distributions: Iterable[str], site: Path) -> None:
    """Link what these distributions have installed here into another folder of libraries."""
    for name in distributions:
        found = importlib.metadata.distribution(name)
        for top in {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))))


def run(commands: Path, command: str, *arguments: str, folder: Path) -> str:
    """The standard output of a command of that environment, run in `folder`."""
    call = [str(commands / command), *arguments]
    return subprocess.run(call, cwd=folder, env=alone(), check=True, stdout=subprocess.PIPE, text=True).stdout


def alone() -> dict[str, str]:
    """The environment's variables without what would let a process see this checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def check_runtime(commands: Path, export: Path, data: Path, rows: int, folder: Path) -> None:
    """Score so many rows in an environment of oddgan-runtime, and see that there is no torch."""
    assert run(commands, "oddgan", "--version", folder=folder).startswith("oddgan-runtime ")
    absent = "import importlib.util as u; print([n for n in ('torch', 'sklearn', 'scipy', 'jinja2') if u.find_spec(n)])"
    assert run(commands, "python", "-c", absent, folder=folder).strip() == "[]"
    lines = run(commands, "oddgan", "score", str(export), str(data), "--fdr", "0.5", folder=folder).splitlines()
    assert lines[0].endswith(",score,p_value,q_value,verdict"), lines[0]
    assert len(lines) == 1 + rows, lines
    train = [commands / "oddgan", "train", data]
    refused = subprocess.run(train, cwd=folder, env=alone(), capture_output=True, text=True)
    assert refused.returncode == 2, refused
    assert "which oddgan-runtime leaves out: pip uninstall oddgan-runtime" in refused.stderr, refused


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
        model = empty / "demo-output" / "digits.oddgan"
        run(commands, "oddgan", "export", str(model), "--keep-thresholds", "-o", "exported", folder=empty)
        save = "import numpy, oddgan; numpy.save('new.npy', oddgan.data.load('digits', anomaly={'0'}).train[:9])"
        run(commands, "python", "-c", save, folder=empty)
        runtime = build(place, RUNTIME)
        if different := expected() ^ held(runtime):
            sys.exit(f"{runtime.name} and src/oddgan differ in {', '.join(sorted(different))}")
        commands = installed(runtime, place / "environment-runtime", needed(dependencies(runtime)))
        check_runtime(commands, empty / "exported", empty / "new.npy", 9, empty)


if __name__ == "__main__":
    main()
