"""What holds for every command: help, exit codes, errors of one line, quiet imports."""

import subprocess
import sys

import pytest
from cli_small import SMALL

import oddgan as package
from oddgan.cli import score, train
from oddgan.errors import TrainingError


def one_line(ran):
    return len(ran.err.splitlines()) == 1 and ran.err.startswith("oddgan: error: ")


def test_help_needs_neither_torch_nor_numpy():
    code = (
        "import sys; from oddgan.cli import main; main(['--help']); "
        "sys.exit(' '.join({'torch', 'numpy', 'sklearn', 'PIL'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    for name in ("train", "score", "merge", "monitor", "evaluate", "compare", "generate", "info", "datasets", "demo"):
        assert f" {name} " in ran.stdout


def test_the_module_runs():
    ran = subprocess.run([sys.executable, "-m", "oddgan", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"oddgan {package.__version__}\n", "")


def test_without_a_command_there_is_help(oddgan):
    ran = oddgan()
    assert ran.code == 0
    assert "COMMAND" in ran.out


@pytest.mark.parametrize(
    "command", ["train", "score", "merge", "monitor", "evaluate", "compare", "generate", "info", "datasets", "demo"]
)
def test_every_command_has_help(oddgan, command):
    ran = oddgan(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert f"oddgan {command}" in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "No such command 'trian'"),
        (["train"], "Missing argument 'DATA'"),
        (["train", "digits", "--nonsense"], "No such option: --nonsense"),
        (["train", "digits", "--threads", "0"], "--threads"),
        (["train", "digits", "--epochs", "many"], "--epochs 'many': expected a whole number or none"),
        (["train", "digits", "--detector", "nonsense"], "detector 'nonsense' is unknown"),
        (["train", "digits"], "say which are normal"),
        (["train", "digits", "--normal", "1", "--anomaly", "2"], "give one of them"),
        (["train", "no[red]where"], "no[red]where: there is no such file or folder"),
        (["train", "digits", "--anomaly", "0", "--resume", "--fresh"], "choose one"),
        (["score", "nothing.oddgan", "digits"], "nothing.oddgan: no such file"),
        (["score", "x.oddgan", "digits", "-o", "x.xlsx"], "results are .csv, .jsonl or .parquet"),
        (["score", "x.oddgan", "digits", "--map-scale", "0"], "must be a number above 0.5"),
        (["info", "nothing.oddgan"], "nothing.oddgan: no such file"),
    ],
)
def test_a_users_mistake_is_one_line_and_code_2(oddgan, words, said):
    ran = oddgan(*words)
    assert (ran.code, ran.out) == (2, "")
    assert one_line(ran), ran.err
    assert said in ran.err


def test_a_place_that_cannot_be_written_is_told_before_training(oddgan, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "fit", None)  # would fail
    (tmp_path / "file").touch()
    ran = oddgan("train", folder, "-o", "file/model.oddgan")
    assert ran.code == 2
    assert one_line(ran)
    assert "nothing can be written there" in ran.err
    assert oddgan("train", folder, "-o", ".").complaint.endswith("is a folder; give the name of a file")


def test_training_that_breaks_down_is_code_1(oddgan, folder, monkeypatch):
    def fit(*_, **__):
        raise TrainingError("training broke down\nby update 7")

    monkeypatch.setattr(train, "fit", fit)
    ran = oddgan("train", folder, *SMALL)
    assert (ran.code, ran.complaint) == (1, "oddgan: error: training broke down by update 7")


def test_the_unforeseen_is_one_line_and_a_traceback_on_demand(oddgan, model, folder, monkeypatch):
    monkeypatch.setattr(score.Scoring, "run", lambda *_, **__: 1 // 0)
    ran = oddgan("score", model, folder)
    assert ran.code == 1
    assert one_line(ran)
    assert "ZeroDivisionError" in ran.err
    assert "--debug" in ran.err
    for words in (["--debug", "score", model, folder], ["score", model, folder, "--debug"]):
        ran = oddgan(*words)
        assert ran.code == 1
        assert ran.err.startswith("Traceback")


def test_ctrl_c_is_code_130(oddgan, model, folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(score.Scoring, "run", interrupted)
    ran = oddgan("score", model, folder)
    assert (ran.code, ran.err) == (130, "oddgan: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="has no /dev/full")
def test_a_full_disk_and_a_closed_pipe_end_without_a_traceback():
    shell = f"{sys.executable} -m oddgan datasets"
    full = subprocess.run(f"{shell} > /dev/full", shell=True, capture_output=True, text=True)
    assert full.returncode == 1
    assert full.stderr.count("\n") == 1
    assert "No space left" in full.stderr
    closed = subprocess.run(f"{shell} | true", shell=True, capture_output=True, text=True)
    assert closed.stderr == ""


def test_quiet_leaves_results_and_errors_only(oddgan, model, folder):
    ran = oddgan("score", model, folder, "--quiet")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out.startswith("path,score")
    assert oddgan("-q", "info", "nothing").code == 2
