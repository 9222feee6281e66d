"""oddgan reproduce, and fetching."""

import json

import pytest

from oddgan import papers


def test_tables_are_listed(oddgan):
    ran = oddgan("reproduce", "--list")
    assert ran.code == 0
    for name in papers.tables():
        assert name in ran.out
    assert "fast (" in ran.out


@pytest.mark.usefixtures("arrhythmia")
def test_a_table_is_run_and_gone_on_with(oddgan, tmp_path):
    command = ("reproduce", "alad-arrhythmia", "--runs", "iforest,knn", "--markdown", "t.md")
    ran = oddgan(*command)
    assert ran.code == 0, ran.err
    assert "[4/4] knn, clean, seed 0: " in ran.err
    assert "ALAD on Arrhythmia" in ran.out
    assert "isolation forest" in ran.out
    assert "0.530†" in ran.out
    assert len((tmp_path / "alad-arrhythmia.jsonl").read_text().splitlines()) == 4
    assert (tmp_path / "t.md").read_text().startswith("# ALAD on Arrhythmia\n")
    again = oddgan(*command)
    assert again.err.count("(done before)") == 4
    assert again.out == ran.out
    more = oddgan(*command, "--seeds", 2)
    assert more.err.count("(done before)") == 4
    lines = (tmp_path / "alad-arrhythmia.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0] * 4 + [1] * 4
    refused = oddgan(*command, "--no-resume")
    assert refused.code == 2
    assert "alad-arrhythmia.jsonl: is there already" in refused.complaint


def test_mistakes(oddgan, tmp_path, monkeypatch):
    for words, said in (
        ((), "say which TABLE: alad-arrhythmia, "),
        (("egbad",), "no table is called 'egbad'"),
        (("egbad-kdd99", "--budget", "huge"), "has no budget 'huge'; it has paper, fast"),
        (("egbad-mnist", "--classes", "11"), "has no class '11'"),
        (("egbad-mnist", "--runs", "wgan"), "has no run 'wgan'"),
        (("egbad-mnist",), "mnist: no folder of data sets is set"),
    ):
        ran = oddgan("reproduce", *words)
        assert ran.code == 2
        assert said in ran.complaint
    monkeypatch.setenv("ODDGAN_DATA", str(tmp_path))
    ran = oddgan("reproduce", "alad-cifar10")
    assert ran.code == 2
    assert "get cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html" in ran.complaint
    assert "oddgan datasets --fetch cifar10" in ran.complaint


def test_an_interrupted_table_says_how_to_go_on(oddgan, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(papers, "reproduce", interrupted)
    ran = oddgan("reproduce", "egbad-kdd99")
    assert ran.code == 130
    assert "the same command goes on from here" in ran.complaint


def test_what_cannot_be_fetched(oddgan):
    ran = oddgan("datasets", "--fetch", "nsl-kdd")
    assert ran.code == 2
    assert "nsl-kdd: cannot be fetched by its name; mnist" in ran.complaint
