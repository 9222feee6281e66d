"""What the documentation shows, runs; and what it lists, is there."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oddgan.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text("utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_runs(path, tmp_path, monkeypatch):
    """The blocks of a page run one after the other, as a reader would type them; training is cut short."""
    monkeypatch.chdir(tmp_path)
    if '"parts' in "".join(blocks(path, "python")):
        draw_parts(tmp_path)
    page = type(sys)("page")
    monkeypatch.setitem(sys.modules, "page", page)  # dataclasses look their module up
    page.__dict__["__name__"] = "page"
    for block in blocks(path, "python"):
        short = re.sub(r"((?:encoder_)?updates|mining_after|steps)=(\d{2,})0\b", r"\1=\2", block)
        exec(compile(short, str(path), "exec"), page.__dict__)


@pytest.fixture
def few_washers(monkeypatch):
    """The drawn set, small."""
    from oddgan.data import drawn
    from oddgan.data.drawn import washers

    drawn.drawn.cache_clear()
    for name, n in {"TRAIN": 40, "GOOD": 6, "EACH": 2}.items():
        monkeypatch.setattr(washers, name, n)
    yield
    drawn.drawn.cache_clear()


@pytest.mark.usefixtures("few_washers")
@pytest.mark.parametrize("path", [p for p in PAGES if blocks(p, "console")], ids=lambda p: p.name)
def test_commands_run(path, tmp_path, monkeypatch, capfd):
    """Every command of a page, on pictures like those it speaks of or draws; training is cut short."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    commands = [shlex.split(line) for line in "".join(blocks(path, "console")).splitlines()]
    if not any(command[1] == "datasets" and "-o" in command for command in commands):
        draw_parts(tmp_path)
    for program, *arguments in commands:
        assert program == "oddgan"
        if arguments[0] == "train" and "pca" not in arguments:
            arguments += ["--updates", "5", "--width", "4"]
        if "new_parts" in arguments and not Path("new_parts").exists():
            shutil.copytree("parts/test/scratch", "new_parts")
        assert main(arguments) == 0, f"{arguments}\n{capfd.readouterr().err}"
    words = {word for command in commands for word in command}
    for made in {"parts.oddgan", "scores.csv", "report.html", "generated.png"} & words:
        assert (tmp_path / made).stat().st_size > 0
    scored = next(command[3] for command in commands if command[1] == "score")
    assert len(list((tmp_path / "maps").rglob("*.png"))) == len(list((tmp_path / scored).rglob("*.png")))


def draw_parts(folder):
    """Pictures in MVTec AD's layout, and new ones."""
    random = np.random.default_rng(0)
    for name, n in {"parts/train/good": 40, "parts/test/good": 8, "parts/test/scratch": 8, "new_parts": 5}.items():
        (folder / name).mkdir(parents=True)
        for i in range(n):
            picture = random.uniform(50, 90, size=(16, 16)) + np.linspace(0, 60, 16)
            picture[6:8] += 100 * ("scratch" in name)
            Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{i}.png")


@pytest.mark.parametrize("path", [*PAGES, *sorted(ROOT.glob("examples/*.ipynb"))], ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("index", sorted(ROOT.glob("docs/**/index.md")), ids=lambda p: p.parent.name)
def test_every_page_is_in_its_index(index):
    text = index.read_text("utf-8")
    beside = {path.name for path in index.parent.glob("*.md")} - {index.name}
    below = {f"{path.parent.name}/index.md" for path in index.parent.glob("*/index.md")}
    missing = [name for name in beside | below if f"]({name}" not in text]
    assert not missing, f"{index} does not list them"


def test_the_index_of_detectors_says_who_locates():
    from oddgan import detectors

    text = (ROOT / "docs" / "detectors" / "index.md").read_text("utf-8")
    found = dict(re.findall(r"^\| \[.+?\]\((\w+)\.md\).* \| (yes|no) \|$", text, flags=re.M))
    assert found == {name: "yes" if detectors.get(name).locates else "no" for name in detectors.names()}


def test_every_json_schema_is_documented():
    page = (ROOT / "docs" / "reference" / "json.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in (ROOT / "src" / "oddgan" / "report").glob("*.py"))
    schemas = set(re.findall(r'"schema": "(oddgan\.\w+)"', code))
    assert len(schemas) >= 6
    assert not [name for name in schemas if name not in page]


def test_changelog_and_version_agree():
    import oddgan

    newest = re.search(r"^## (?!Unreleased$)(\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M)
    assert newest
    assert newest[1] == oddgan.__version__


def test_every_detector_has_a_page_with_its_parameters():
    """Tables are the declarations': `python docs/parameters.py` writes them; shared ones stand once."""
    from oddgan import detectors

    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import parameters
    finally:
        sys.path.pop(0)
    assert parameters.PAGE.read_text("utf-8") == parameters.shared(), "run: python docs/parameters.py"
    for name in detectors.names():
        page = (ROOT / "docs" / "detectors" / f"{name}.md").read_text("utf-8")
        assert page == parameters.with_table(page, detectors.get(name)), f"run: python docs/parameters.py ({name})"


def test_the_evidence_for_the_defaults_is_current(monkeypatch):
    """`python -m benchmarks.studies.ganomaly_defaults --table` writes it."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.studies import ganomaly_defaults

    assert f"{ganomaly_defaults.table()}\n" in (ROOT / "docs" / "detectors" / "ganomaly.md").read_text("utf-8")


def test_the_readmes_figures_are_those_of_the_results_pages():
    section = (ROOT / "README.md").read_text("utf-8").split("## How good is it?")[1].split("\n## ")[0]
    results = "".join((ROOT / "docs" / "results" / page).read_text("utf-8") for page in ("public_sets.md", "papers.md"))
    figures = re.findall(r"\b[01]\.\d{3}\b", section)
    assert len(figures) >= 6
    assert not [figure for figure in figures if figure not in results]


def test_results_page_is_current(monkeypatch):
    """`python -m benchmarks.pages.quality` writes the page and the README's table from the committed runs."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.pages import quality

    assert quality.text() == quality.PAGE.read_text("utf-8")
    assert quality.short() in quality.README.read_text("utf-8")


def test_the_papers_tables_are_current(monkeypatch):
    """`python -m benchmarks.pages.papers` writes the page."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.pages import papers

    assert papers.text() == papers.PAGE.read_text("utf-8")


def test_the_comparison_is_current(monkeypatch):
    """`python -m benchmarks.pages.comparison` writes the page, and a section of every detector's page."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.pages import comparison as tables

    found = tables.all_runs()
    assert tables.comparison(found) == (ROOT / "docs" / "results" / "comparison.md").read_text("utf-8")
    for page in (ROOT / "docs" / "detectors").glob("*.md"):
        text = page.read_text("utf-8")
        if tables.START in text:
            assert tables.section(found, page.stem) in text, page.name
