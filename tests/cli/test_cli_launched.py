"""What the command line takes from the variables of a launcher; tests/training/test_ranks.py has the processes."""

import socket

import pytest

from oddgan.cli import launched
from oddgan.errors import DistributedError, ParameterError


@pytest.fixture
def torchrun(monkeypatch):
    def start(rank, size, restarts=0):
        given = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "localhost", "MASTER_PORT": 1}
        for name, value in {**given, "TORCHELASTIC_RESTART_COUNT": restarts}.items():
            monkeypatch.setenv(name, str(value))

    for name in launched.NEEDED:
        monkeypatch.delenv(name, raising=False)
    return start


def test_a_command_alone_speaks_and_writes(torchrun):
    assert not launched.launched()
    assert launched.leads()
    assert launched.command() == ["oddgan"]
    torchrun(0, 1, restarts=1)
    assert not launched.launched()
    assert not launched.restarted()


def test_of_several_the_first_speaks_and_a_restart_is_known(torchrun):
    torchrun(1, 2)
    assert launched.launched()
    assert not launched.leads()
    assert not launched.restarted()
    assert launched.command()[0] == "torchrun"
    torchrun(0, 2, restarts=1)
    assert launched.leads()
    assert launched.restarted()


def test_a_port_that_is_taken_is_an_error_of_one_line(torchrun, monkeypatch):
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        torchrun(0, 2)
        monkeypatch.setenv("MASTER_PORT", str(port))
        match = f"cannot meet at localhost:{port}: .*another MASTER_PORT"
        with pytest.raises(DistributedError, match=match), launched.together("cpu"):
            pass


def test_restarts_of_several_machines_are_refused(torchrun, monkeypatch):
    torchrun(0, 2)
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with pytest.raises(ParameterError, match=r"--max-restarts: .* one machine"), launched.together("cpu"):
        pass


def test_commands_that_write_one_file_are_not_for_several_processes(torchrun, monkeypatch, oddgan):
    torchrun(0, 2)
    launched.check("compare")  # a cluster may set these variables for commands that have nothing to do with each other
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    launched.check("score")
    for words in (["compare", "x.csv"], ["--quiet", "reproduce", "alad-arrhythmia"]):
        ran = oddgan(*words)
        assert ran.code == 2
        assert "torchrun starts 2 processes" in ran.complaint
