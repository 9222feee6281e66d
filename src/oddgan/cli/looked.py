"""What is seen of rows beside their results: whether they are like training rows, and the state of a stream."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import terminal

if TYPE_CHECKING:
    from ..detector import Detector
    from ..evaluation.judged import Judged
    from ..model.drift import Watch
    from ..model.monitor import Monitor
    from .reading import Chunk
    from .scores import Results


class Looked:
    """How rows compare with training rows, beside their results; and the state of a stream, where there is one."""

    def __init__(self, detector: "Detector", monitor: Path | None, reported: str | None = None) -> None:
        self.judged: Judged | None = None
        if reported is not None:
            from ..evaluation import judged

            self.judged = judged.Judged(detector, reported)
        self.model, self.path = detector.model_, monitor
        self.watch: Watch | None = None
        if not hasattr(detector, "pipeline"):  # an export does not hold what training rows looked like
            from ..model import drift

            self.watch = drift.Watch(detector.model_)
        self.pending: list[Any] = []
        self.state: Monitor | None = None
        if monitor is not None:
            from ..model import monitor as states

            self.state = states.Monitor.of(monitor, self.model)  # one of another model is refused now

    def add(self, chunk: "Chunk", results: "Results", names: Sequence[str]) -> None:
        """These rows, and the results and names of them and of unusable ones."""
        if not len(chunk.numbers):
            return
        at = [number - chunk.start for number in chunk.numbers]
        score = results.score[at]
        if self.watch is not None:
            self.watch.add(chunk.rows, score)
        if self.judged is not None:
            self.judged.add(chunk.rows, [names[i] for i in at], (score, results.p_value[at], results.is_anomaly[at]))
        if self.path is not None:
            self.pending.append(score)

    def keep(self) -> None:
        """Write down what was added since."""
        if self.path is not None and self.pending:
            import numpy as np

            from ..model.monitor import update

            self.state = update(self.path, self.model, np.concatenate(self.pending))
            self.pending = []

    def warn(self) -> None:
        """Say what differs."""
        if self.watch is not None:
            self.watch.drift().warn()
        if self.state is not None:
            from ..cautions import DriftWarning, warn

            if finding := self.state.finding:
                warn(DriftWarning, finding.code, f"{self.path}: {finding.message}")
            terminal.note(f"{self.path}: {self.state.describe()}")

    def report(
        self,
        paths: Sequence[Path],
        warned: Sequence[str],
        bad: Sequence[tuple[str, str]],
        fdr: float | None,
        held: "Sequence[Results]",
        rates: Sequence[float],
        counts: Sequence[int],
    ) -> None:
        """Write the reports, where there are any. `held`: all results, where verdicts are by a false discovery rate."""
        import numpy as np

        from .outputs import write_reports

        if self.judged is None or self.watch is None:
            return
        self.judged.skipped += bad
        more: dict[str, Any] = {}
        if fdr is not None and held:
            usable = [~np.isnan(results.score) for results in held]
            pairs = list(zip(held, usable, strict=True))
            more["flagged"] = np.concatenate([results.is_anomaly[there] for results, there in pairs])
            more["q_values"] = np.concatenate([np.asarray(results.q_value)[there] for results, there in pairs])
        at_rates = tuple(zip(rates, counts, strict=True))
        found = self.judged.found(
            self.watch.drift(), warned=warned, fdr=fdr, monitor=self.state, at_rates=at_rates, **more
        )
        write_reports(paths, found)
