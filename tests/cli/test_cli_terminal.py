"""What a person sees on a terminal, and what a file does not."""

import io
import re
import sys

import pytest

from oddgan.cli import terminal
from oddgan.hooks import Moment, Progress, clock


class Screen(io.StringIO):
    """Standard error, 80 columns wide."""

    def isatty(self):
        return True


def on_screen(monkeypatch):
    """Put standard error on a screen. Not a fixture: pytest puts its own in place when the test begins."""
    for name, value in (("COLUMNS", "80"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Screen())
    return sys.stderr


def moment(update, total=2000, **more):
    losses = {"G.con": 12.345, "D.real": 0.25}
    return Moment("game", update, total, 3, 85.2, seconds_left=9.0, losses=losses, **more)


def test_progress_shows_stage_updates_rate_time_left_and_losses(monkeypatch):
    screen = on_screen(monkeypatch)
    with Progress() as bar:
        bar.on_start(moment(0))
        bar.on_update(moment(1234))
        bar.on_end(moment(2000))
    said = screen.getvalue()
    for word in ("game", "1,234/2,000", "85/s", "0:09 left", "G.con 12.3  D.real 0.25", "2,000/2,000"):
        assert word in said
    lines = re.split("[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said))
    assert max(map(len, lines)) <= 80


def test_progress_without_a_total_and_with_brackets(monkeypatch):
    screen = on_screen(monkeypatch)
    bar = Progress()
    bar.on_start(Moment("[red]game", 7, None))
    bar.on_end(Moment("[red]game", 7, None))
    assert "[red]game" in screen.getvalue()
    assert "7 updates" in screen.getvalue()


def test_progress_redraws_a_few_times_a_second(monkeypatch):
    screen = on_screen(monkeypatch)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    bar = Progress()
    bar.on_start(moment(0))
    for update in range(1, 500):
        bar.on_update(moment(update))
    assert screen.getvalue().count("/2,000") <= 3
    bar.on_end(moment(500))


def fail(bar):
    bar.on_start(moment(0))
    raise ZeroDivisionError


def test_a_run_that_fails_leaves_the_terminal_in_order(monkeypatch):
    screen = on_screen(monkeypatch)
    bar = Progress()
    with pytest.raises(ZeroDivisionError), bar:
        fail(bar)
    shown = screen.getvalue()
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is back
    bar.on_update(moment(1))
    assert screen.getvalue() == shown


def test_progress_is_quiet_in_files(capsys):
    with Progress() as bar:
        bar.on_start(moment(0))
        bar.on_update(moment(1))
        bar.on_end(moment(2))
    assert capsys.readouterr() == ("", "")


def test_clock():
    assert [clock(s) for s in (6.6, 750, 11100)] == ["0:07", "12:30", "3:05:00"]


def test_a_bar_is_shown_on_a_terminal_and_gone_afterwards(monkeypatch):
    screen = on_screen(monkeypatch)
    with terminal.bar("scoring [b]") as progress:
        progress(10, 40)
    assert "scoring [b]" in screen.getvalue()
    shown = screen.getvalue()
    assert shown.endswith("\x1b[2K")  # its line is wiped


@pytest.mark.parametrize("why", ["file", "quiet"])
def test_a_bar_is_quiet_in_files_and_when_told_to_be(why, capsys, monkeypatch):
    if why == "quiet":
        monkeypatch.setattr(terminal, "quiet", True)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal.bar("scoring") as progress:
        progress(10, 40)
    assert capsys.readouterr() == ("", "")


def test_facts_and_tables_do_not_wrap_in_files_nor_read_markup(capsys):
    long = "[red]" + "word " * 60 + "end"
    terminal.facts(("what", [long, "more"]))
    terminal.table(("[b]head", "n"), [(long, "1")])
    first, second, head, _, row = capsys.readouterr().out.splitlines()
    assert first == f"what       {long}"
    assert second == "           more"
    assert head.startswith("[b]head")
    assert row.startswith(long)


def test_commands_are_quoted_and_never_wrap(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    terminal.commands(["oddgan", "score", "a b", "c" * 60], ["oddgan"])
    assert capsys.readouterr().out == f"next       oddgan score 'a b' {'c' * 60}\n           oddgan\n"


def test_facts_wrap_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    terminal.facts(("what", "word " * 20))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert all(line.startswith(" " * 11) or "what" in line for line in lines)
