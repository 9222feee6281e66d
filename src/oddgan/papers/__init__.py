"""The papers' own configurations and tables, by name.

    oddgan.papers.detector("ganomaly", "mnist", random_state=0)

returns the estimator as the paper configured it. Where the authors' code disagrees with the paper, there are both:
`variant="paper"` and `variant="code"`. The values are data (`configurations/DETECTOR.toml`), each with its source;
values that no available source confirms are listed there as remembered.

    oddgan.papers.reproduce("egbad-kdd99")

runs a table of a paper (`tables/NAME.toml`) by its own protocol and by a clean one, beside the published values;
`oddgan.report.to_markdown` shows the result.
"""

from .configured import configurations, detector
from .published import Table, table, tables
from .reproduction import Reproduction, plan, reproduce, trainings

__all__ = ["Reproduction", "Table", "configurations", "detector", "plan", "reproduce", "table", "tables", "trainings"]
