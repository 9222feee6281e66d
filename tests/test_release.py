"""What is released: versions and metadata agree, and the wheel has every file and runs."""

import email
import importlib
import itertools
import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import oddgan
import wheel_check

ROOT = Path(__file__).resolve().parents[1]
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = TOOLS["project"]


def test_changelog_and_version_agree():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M)
    assert next(one for one in headings if one != "Unreleased") == oddgan.__version__
    assert headings.index(oddgan.__version__) <= 1, "only what is not released yet may stand above"


def test_all_extras_are_those_that_a_user_may_want():
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    listed = set(re.fullmatch(r"oddgan\[(.*)\]", everything)[1].split(","))
    assert listed == extras.keys() - {"all", "docs", "dev", "ray"}  # Ray is large, and for clusters


def test_the_oldest_python_is_the_same_everywhere():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    listed = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert min(listed, key=lambda version: int(version[2:])) == oldest == TOOLS["tool"]["mypy"]["python_version"]
    assert f"v < ({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text("utf-8")


def test_every_dependency_has_a_pin_that_it_allows():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").split())
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    lists = (TOOLS["build-system"]["requires"], PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    needed = [one for one in map(Requirement, itertools.chain(*lists)) if one.name != "oddgan"]
    assert not [str(one) for one in needed if pins.get(canonicalize_name(one.name), "") not in one.specifier]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return wheel_check.build(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_every_file_of_the_package(wheel):
    assert wheel_check.held(wheel) == wheel_check.expected()


def test_the_wheel_has_the_projects_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        place = f"oddgan-{oddgan.__version__}.dist-info"
        metadata = email.message_from_bytes(archive.read(f"{place}/METADATA"))
        scripts = archive.read(f"{place}/entry_points.txt").decode()
        assert f"{place}/licenses/LICENSE" in archive.namelist()
    assert metadata["Name"] == PROJECT["name"]
    assert metadata["Version"] == oddgan.__version__
    assert metadata["Summary"] == PROJECT["description"]
    assert metadata["License-Expression"] == PROJECT["license"]
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(PROJECT["requires-python"])
    assert set(metadata.get_all("Provides-Extra")) == PROJECT["optional-dependencies"].keys()
    assert dict(re.findall(r"^(\S+) = (\S+)$", scripts, flags=re.M)) == PROJECT["scripts"]


def test_the_console_script_exists():
    module, function = PROJECT["scripts"]["oddgan"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_wheel_runs_in_an_environment_of_its_own(wheel, tmp_path):
    """Its own files alone, beside the libraries that are installed here. `make wheel` runs the demo as well."""
    commands = wheel_check.installed(wheel, tmp_path / "environment")
    assert wheel_check.run(commands, "oddgan", "--version", folder=tmp_path) == f"oddgan {oddgan.__version__}\n"
