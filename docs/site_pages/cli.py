"""The reference of the command line, from the commands themselves."""

import re
from typing import Any

import typer
import typer.main

from oddgan.cli.app import app_for

HEAD = """Command line
============

``oddgan COMMAND --help`` shows the same. ``--debug``, ``--quiet`` and ``-q`` may stand before or after the command.
Flags of `train` and `compare` that set a detector's parameters are not repeated here: each parameter is a flag, with
dashes for underscores (``false_alarm_rate``: ``--false-alarm-rate``). Those that all detectors have are in
:doc:`parameters`, a detector's own on :doc:`its page </detectors/index>`.
"""

EXITS = """
Exit codes
----------

.. list-table::
   :header-rows: 1
   :widths: auto

   * - code
     - meaning
   * - 0
     - done
   * - 1
     - it failed
   * - 2
     - something that you can fix: the message says what
   * - 3
     - ``--fail-on-anomaly``, and there are anomalies; ``oddgan monitor --fail-on-alarm``, and there is an alarm
   * - 4
     - done, except for what could not be used (``--skip-bad``)
   * - 130, 143, 129
     - interrupted by Ctrl-C, SIGTERM, SIGHUP: unfinished files are removed, a checkpoint stays
"""


def files() -> dict[str, str]:
    """The page."""
    return {"reference/cli.rst": text()}


def text() -> str:
    """Every command with every option."""
    group = typer.main.get_command(app_for(["score"]))
    listed = "\n".join(f"* :ref:`oddgan {name} <command-{name}>`" for name in group.commands)
    parts = [HEAD, f"{listed}\n\n.. program:: oddgan\n", *map(_entry, group.params)]
    for name, command in group.commands.items():
        title = f"oddgan {name}"
        usage = [one.metavar for one in command.params if one.param_type_name == "argument"]
        parts += [f"\n.. _command-{name}:\n\n{title}\n{'-' * len(title)}\n", f".. program:: {title}\n"]
        parts += ["::\n", f"    {title} [OPTIONS] {' '.join(usage)}\n", f"{_plain(command.help or '')}\n"]
        parts += map(_entry, command.params)
    return "\n".join([*parts, EXITS])


def _entry(one: Any) -> str:
    """An option or argument, as an entry that can be linked to."""
    help_ = _plain(one.help or "")
    if one.param_type_name == "argument":
        return f".. option:: {one.metavar}\n\n{_indented(help_)}\n"
    value = f" {one.metavar}" if one.metavar else ""
    names = ", ".join(f"{name}{value}" for name in [*one.opts, *one.secondary_opts])
    facts = ["required"] if one.required else []
    if isinstance(one.show_default, str):
        facts += [f"default: {one.show_default}"]
    elif one.default not in (None, False, True, (), []):
        facts += [f"default: {one.default}"]
    if facts:
        help_ += f" ({'; '.join(facts)})"
    return f".. option:: {names}\n\n{_indented(help_)}\n"


def _plain(text: str) -> str:
    """Help as reStructuredText: nothing in it is markup but options, which are code."""
    escaped = re.sub(r"([*`|\\]|_(?=\W|$))", r"\\\1", text)
    return re.sub(r"(?<![\w-])(--[a-z][a-z-]*[a-z])", r"``\1``", escaped)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
