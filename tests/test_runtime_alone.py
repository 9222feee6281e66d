"""oddgan-runtime: the same files with fewer dependencies. What scores an export runs on them."""

import ast
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import oddgan
import wheel_check
from oddgan import installed
from oddgan.errors import LeftOut, MissingExtra
from oddgan.export import export

SOURCE = Path(oddgan.__file__).parents[1]
WHOLE = tomllib.loads((wheel_check.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ALONE = tomllib.loads((wheel_check.RUNTIME / "pyproject.toml").read_text("utf-8"))["project"]
ROOTS = ("oddgan.__main__", "oddgan.cli.app", "oddgan.runtime", "oddgan.model.monitor", "oddgan.data")
"""What `Scorer` and the commands score, info and monitor begin with. Commands import more as they go; the test below
runs them."""


def file_of(module: str) -> Path | None:
    """Its file in the source, None where it has none."""
    place = SOURCE.joinpath(*module.split("."))
    return next((one for one in (place / "__init__.py", place.with_suffix(".py")) if one.is_file()), None)


def imported_at_once(body: list[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """The imports that run when these statements do: neither in functions, nor for type checkers, nor those that a
    `try` allows to fail."""
    found: list[ast.Import | ast.ImportFrom] = []
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            found += imported_at_once([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            spared = "NotFoundError" in "".join(map(ast.unparse, node.handlers))
            found += [] if spared else imported_at_once(node.body)
        elif isinstance(node, ast.ClassDef | ast.With):
            found += imported_at_once(node.body)
    return found


def closure(roots: tuple[str, ...]) -> tuple[set[str], dict[str, str]]:
    """The package's modules that importing these loads, and the other modules, each with one that imports it."""
    own, others, todo = set(), {}, list(roots)
    while todo:
        module = todo.pop()
        if module in own:
            continue
        own.add(module)
        path = file_of(module)
        assert path is not None, f"{module} is imported and has no file"
        todo += [module.rpartition(".")[0]] * ("." in module)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in imported_at_once(ast.parse(path.read_text("utf-8")).body):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                names = [
                    f"{base}.{alias.name}" if base.startswith("oddgan") and file_of(f"{base}.{alias.name}") else base
                    for alias in node.names
                ]
            for name in names:
                if name.partition(".")[0] == "oddgan":
                    todo.append(name)
                elif name.partition(".")[0] not in sys.stdlib_module_names:
                    others[name.partition(".")[0]] = module
    return own, others


def test_what_scoring_imports_is_there_and_declared():
    own, others = closure(ROOTS)
    assert {"oddgan.verdict.calibration", "oddgan.rows.door", "oddgan.cli.score"} <= own
    homes = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(Requirement(one).name) for one in ALONE["dependencies"]}
    undeclared = {
        f"{name}, by {by}" for name, by in others.items() if not declared & set(map(canonicalize_name, homes[name]))
    }
    assert not undeclared


def test_it_differs_from_oddgan_in_its_dependencies_alone():
    same = ("requires-python", "license", "authors", "scripts", "dynamic")
    assert {name: ALONE[name] for name in same} == {name: WHOLE[name] for name in same}
    extras = WHOLE["optional-dependencies"]
    assert set(ALONE["dependencies"]) <= {*WHOLE["dependencies"], *extras["onnx"]}
    assert set(ALONE["optional-dependencies"]) == set(installed.RUNTIME_EXTRAS)
    for name, wanted in ALONE["optional-dependencies"].items():
        assert set(wanted) <= set(extras[name])
    gone = {Requirement(one).name for one in WHOLE["dependencies"]} - {
        Requirement(one).name for one in ALONE["dependencies"]
    }
    assert gone == {name.lower() for name in installed.LEFT_OUT.values()}
    assert not gone & wheel_check.needed(ALONE["dependencies"])
    assert (wheel_check.RUNTIME / "LICENSE").read_bytes() == (wheel_check.ROOT / "LICENSE").read_bytes()


# --- with the dependencies of oddgan-runtime alone ------------------------------------------------------------------

ALONE_HERE = """
import sys
allowed = set({allowed!r})
class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Only())
sys.path.insert(0, {source!r})
import json
import oddgan
from oddgan.cli import main
codes = [main(words) for words in {commands!r}]
try:
    oddgan.GANomaly
except oddgan.errors.LeftOut as error:
    print(error, file=sys.stderr)
from oddgan.runtime import Scorer
scorer = Scorer({export!r})
found = scorer.explain({pictures!r})
print(json.dumps([codes, found.score.tolist(), [one.shape for one in found.anomaly_map]]))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory, digits):
    """A detector with maps, its export, and six pictures as files."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("exported")
    train = digits[0][:300]
    detector = oddgan.PCA(random_state=0, score_by="map_max").fit(train)
    export(detector, folder / "digits-onnx", train)
    detector.save(folder / "digits.oddgan")
    (folder / "new").mkdir()
    for i, picture in enumerate(digits[0][300:306]):
        Image.fromarray(picture).save(folder / "new" / f"{i}.png")
    return detector, folder


def test_an_export_is_scored_without_what_is_left_out(exported, tmp_path):
    detector, folder = exported
    export_folder, pictures = str(folder / "digits-onnx"), str(folder / "new")
    score = ["score", export_folder, pictures, "-q"]
    state = str(tmp_path / "state.json")
    homes = importlib.metadata.packages_distributions()
    wanted = wheel_check.needed(ALONE["dependencies"])
    allowed = {name for name, of in homes.items() if wanted & set(map(canonicalize_name, of))} | {"oddgan"}
    commands = [
        [*score, "-o", str(tmp_path / "a.csv"), "--regions", "--maps", str(tmp_path / "maps")],
        [*score, "-o", str(tmp_path / "b.csv"), "--monitor", state],
        [*score, "-o", str(tmp_path / "c.jsonl"), "--fdr", "0.2"],
        ["monitor", state],
        ["info", export_folder],
        ["--version"],
        ["train", pictures],
        ["score", str(folder / "digits.oddgan"), pictures],
    ]
    code = ALONE_HERE.format(
        allowed=sorted(allowed), source=str(SOURCE), commands=commands, export=export_folder,
        pictures=sorted(str(one) for one in (folder / "new").iterdir()),
    )  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    codes, scores, shapes = json.loads(run.stdout.splitlines()[-1])
    assert codes == [0, 0, 0, 0, 0, 0, 2, 2], run.stderr
    np.testing.assert_allclose(scores, detector.anomaly_score(pictures), rtol=1e-3)
    assert shapes == [[8, 8]] * 6
    assert "oddgan train" in run.stderr
    assert "digits.oddgan: a model file, not what oddgan export writes, needs " in run.stderr
    assert "oddgan.GANomaly needs scikit-learn, which is not installed: pip install oddgan" in run.stderr


# --- which of the two is there --------------------------------------------------------------------------------------


def records(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / f"{name}.dist-info").mkdir()
    return folder


def test_distributions_are_found_by_their_records(tmp_path):
    records(tmp_path, "oddgan-1.2.0", "oddgan_runtime-1.3.0", "oddgan_other-1.0", "numpy-2.0")
    assert installed.distributions(tmp_path) == {"oddgan": "1.2.0", "oddgan-runtime": "1.3.0"}
    assert installed.distributions(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("names", "warned"),
    [
        (["oddgan-1.2.0"], False),
        (["oddgan-1.2.0", "oddgan_runtime-1.2.0"], False),
        (["oddgan-1.2.0", "oddgan_runtime-1.3.0"], True),
    ],
)
def test_two_versions_in_one_place_are_a_conflict(tmp_path, names, warned):
    said = installed.conflict(records(tmp_path, *names))
    assert bool(said) == warned
    assert not warned or ("oddgan 1.2.0 and oddgan-runtime 1.3.0" in said and "pip uninstall oddgan" in said)


def test_the_command_line_warns_of_two_versions(monkeypatch, capsys):
    from oddgan.cli import main

    monkeypatch.setattr(installed, "distributions", lambda folder=None: {"oddgan": "1", "oddgan-runtime": "2"})
    assert main(["--version"]) == 0
    assert "warning: oddgan 1 and oddgan-runtime 2 are both installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("there", "extra", "line"),
    [
        ({"oddgan": "1"}, "openvino", 'pip install "oddgan[openvino]"'),
        ({"oddgan-runtime": "1"}, "openvino", 'pip install "oddgan-runtime[openvino]"'),
        ({"oddgan-runtime": "1"}, "plot", 'pip install "oddgan[plot]"'),
        ({"oddgan-runtime": "1"}, "onnx", "pip install oddgan-runtime"),
        ({}, "serve", 'pip install "oddgan[serve]"'),
    ],
)
def test_a_missing_extra_is_one_of_the_distribution_that_is_there(monkeypatch, there, extra, line):
    monkeypatch.setattr(installed, "distributions", lambda folder=None: there)
    assert str(MissingExtra("it", extra, "this")) == f"this needs it: {line}"


def test_what_is_left_out_is_named_with_what_to_install(monkeypatch):
    error = ModuleNotFoundError("No module named 'sklearn.base'", name="sklearn.base")
    monkeypatch.setattr(installed, "distributions", lambda folder=None: {"oddgan-runtime": "1"})
    assert str(LeftOut.of("training", error)) == (
        "training needs scikit-learn, which oddgan-runtime leaves out: "
        "pip uninstall oddgan-runtime, then pip install oddgan"
    )
    assert LeftOut.of("training", ModuleNotFoundError("No module named 'mine'", name="mine")) is None
    assert LeftOut.of("training", ModuleNotFoundError("without a name")) is None


# --- the wheel ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_runtime_wheel_scores_in_an_environment_of_its_own(exported, tmp_path):
    """An environment that holds what pip would install, and nothing else."""
    _, folder = exported
    wheel = wheel_check.build(tmp_path / "wheel", wheel_check.RUNTIME)
    assert wheel_check.held(wheel) == wheel_check.expected()
    commands = wheel_check.installed(wheel, tmp_path / "environment", wheel_check.needed(ALONE["dependencies"]))
    wheel_check.check_runtime(commands, folder / "digits-onnx", folder / "new", 6, tmp_path)
