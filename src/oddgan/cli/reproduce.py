"""oddgan reproduce."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import OutputError, ParameterError
from . import terminal
from .options import Address, Engine, Reports, Threads, Workers, classes, engine_of
from .outputs import check_reports, check_writable, write_reports, write_text
from .process import loading


def reproduce(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="Which table; --list names them.")] = None,
    *,
    list_them: Annotated[bool, typer.Option("--list", help="List the tables and what they take.")] = False,
    protocol: Annotated[
        Literal["exact", "clean", "both"],
        typer.Option(help="As the source did it, leaks included; without them; or both."),
    ] = "both",
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Seeds 0 to N-1.", show_default="as the budget says")
    ] = None,
    chosen: Annotated[
        str | None, typer.Option("--classes", metavar="NAME,...", help="Some of the table's classes.")
    ] = None,
    runs: Annotated[str | None, typer.Option(metavar="NAME,...", help="Some of the table's trainings.")] = None,
    budget: Annotated[
        str, typer.Option(help="What a run may spend: fast (minutes), paper (what the source spends); --list has all.")
    ] = "fast",
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Where finished runs are kept; what is there is not run again.",
            show_default="TABLE.jsonl",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the results that there are, or refuse to.")] = True,
    report: Reports = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    threads: Threads = None,
    engine: Engine = None,
    workers: Workers = None,
    address: Address = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds from one checkpoint of a run to the next.")
    ] = 60.0,
) -> None:
    """Run a paper's table: its own protocol, the clean one beside it, and what was published.

    Every training is kept as a line of FILE.jsonl when it is done. A run that is interrupted or killed goes on where it
    was when the command is given again.
    """
    with loading():
        from .. import papers
    if list_them:
        _list()
        return
    if table is None:
        raise ParameterError(f"say which TABLE: {', '.join(papers.tables())}")
    from ..report import reproduction as page
    from ..report.reproduction_notes import notes
    from .train import set_threads

    wanted, on = papers.table(table), engine_of(engine, workers, address, threads)
    kept = results or Path(f"{table}.jsonl")
    if not resume and kept.exists():
        raise OutputError(f"{kept}: is there already; remove it, choose another --results, or go on with --resume")
    reports = check_reports(report)
    check_writable(kept, *reports, markdown)
    if threads is not None or on is not None:
        set_threads(threads or 1)
    with terminal.resumable() as hooks:
        found = papers.reproduce(
            table,
            protocol=protocol,
            seeds=seeds,
            classes=classes(chosen),
            runs=classes(runs),
            budget=budget,
            results=kept,
            checkpoint_seconds=checkpoint_seconds,
            hooks=hooks,
            report=terminal.note,
            engine=on,
        )
    terminal.say(wanted.title)
    terminal.say(wanted.source)
    for title, head, lines in page.methods(wanted, found.cells):
        terminal.say()
        if title:
            terminal.say(title)
        terminal.table(head, lines)
    terminal.say()
    for note in notes(wanted, found.cells):
        terminal.say(note)
    write_reports(reports, found)
    write_text(markdown, lambda: page.page(wanted, found.cells))
    terminal.written(kept, *reports, markdown)


def _list() -> None:
    from .. import papers

    lines = []
    for one in papers.tables().values():
        budgets = ", ".join(f"{name} ({papers.trainings(one, name)})" for name in one.budgets)
        lines.append((one.name, one.title, one.data, budgets))
    terminal.table(("table", "what it is", "data", "budgets (trainings)"), lines, numbers_from=4)
