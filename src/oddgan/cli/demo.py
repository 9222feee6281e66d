"""oddgan demo."""

import time
from pathlib import Path
from typing import Annotated

import typer

from . import terminal
from .outputs import check_folder
from .process import loading

HELD_OUT = "0"
RATE = 0.01


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the results go.")] = Path(
        "demo-output"
    ),
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Processor threads.")] = 1,
) -> None:
    """Try it: learn handwritten digits without the 0, then find the 0s. Takes less than two minutes."""
    with loading():
        from ..advice import recommended
    from .. import data as sources
    from ..evaluation import evaluate
    from ..report import heat_map_grid, shades_of, write
    from ..rows import open_rows
    from .figures import headline_figures
    from .scoring import Scoring, Source
    from .train import described, fit, set_threads

    check_folder(output)
    set_threads(threads)  # one: for pictures of 8x8 more gain nothing, and on a busy machine they lose much
    split = sources.load("digits", anomaly=[HELD_OUT])
    assert split.test is not None  # digits have a test part
    terminal.facts(("data", split.note))
    started = time.monotonic()
    detector = fit(recommended(split.train, random_state=0, false_alarm_rate=RATE), split, [])
    model, scores, maps, report = (output / name for name in ("digits.oddgan", "scores.csv", "maps.png", "report.html"))
    detector.save(model)
    terminal.facts(*described(detector, model, time.monotonic() - started))
    Scoring(detector, scores).run([Source("digits", open_rows(split.test))])
    with terminal.bar("evaluating") as progress:
        evaluation = evaluate(detector, split, progress=progress)
    shown = [one for one in evaluation.examples if one.group in ("most anomalous", "miss", "false alarm")]
    heat_map_grid(shown, maps, shades=shades_of(evaluation))
    write(evaluation, report, ["oddgan demo"])
    terminal.facts(
        ("test", headline_figures(evaluation)),
        (
            "look at",
            [
                f"{report}: figures, curves and examples, in a browser",
                f"{maps}: picture, reconstruction and heat map of the most anomalous digits, misses and false alarms",
                f"{scores}: score, p-value and verdict of each test digit",
            ],
        ),
    )
    terminal.commands(
        ["oddgan", "evaluate", str(model), "digits", "--anomaly", HELD_OUT],
        ["oddgan", "generate", str(model), "-o", str(output / "generated.png")],
        ["oddgan", "train", "FOLDER_OF_NORMAL_PICTURES", "-o", "model.oddgan"],
    )
