"""What is released: versions agree, and the wheel has every file."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import oddgan

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_changelog_and_version_agree():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M)
    assert next(one for one in headings if one != "Unreleased") == oddgan.__version__
    assert headings.index(oddgan.__version__) <= 1, "only what is not released yet may stand above"


def test_all_extras_are_those_that_a_user_may_want():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    listed = set(re.fullmatch(r"oddgan\[(.*)\]", everything)[1].split(","))
    assert listed == extras.keys() - {"all", "dev"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    (built,) = folder.glob("oddgan-*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_package(wheel):
    package = ROOT / "src" / "oddgan"
    files = {p.relative_to(package.parent).as_posix() for p in package.rglob("*") if p.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("oddgan/")}
    assert held == {name for name in files if "__pycache__" not in name}


def test_the_wheel_runs_in_an_environment_of_its_own(wheel, tmp_path):
    """Its own files alone, beside the libraries that are installed here."""
    place = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    code = f"import sys; sys.path.insert(0, {str(place)!r}); import oddgan; from oddgan.cli import main; "
    code += f"assert oddgan.__file__.startswith({str(place)!r}); sys.exit(main(['--version']))"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout == f"oddgan {oddgan.__version__}\n"


@pytest.mark.slow
def test_the_wheel_runs_the_demo(wheel, tmp_path):
    place = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    code = f"import sys; sys.path.insert(0, {str(place)!r}); from oddgan.cli import main; sys.exit(main(['demo']))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "demo-output" / "report.html").stat().st_size > 10_000
