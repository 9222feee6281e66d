"""docs/results/health.md, from benchmarks/results/health.jsonl, and the table of docs/explanation/health.md:
`python -m benchmarks.pages.health`."""

from oddgan.model import symptoms
from oddgan.report import markdown

from ..studies import health
from . import DOCS, RESULTS

PAGE, EXPLANATION = RESULTS / "health.md", DOCS / "explanation" / "health.md"

SIGNS = (
    (
        "exploded",
        "a loss term ended beyond all measure, or a discriminator errs ever more",
        "a tenth of the learning rate",
    ),
    ("not-learning", "the weights of a player did not move, or its losses are constant", "a higher learning rate"),
    ("few-updates", "less than one pass over the rows, or learning rate times updates under {SHORT:g}", "more updates"),
    (
        "discriminator-wins",
        "its cross-entropy is nearly 0 and the generator's loss rises",
        "a lower learning rate for it",
    ),
    (
        "collapsed",
        "generated rows are nearly alike: under {NARROW:g} of the distances among training rows",
        "a lower learning rate, more updates, larger networks",
    ),
    ("unlike-training", "generated rows lie far from all training rows", "a lower learning rate, more updates"),
    (
        "copies-rows",
        "generated rows are much nearer to training rows than held-out rows are",
        "more rows, small networks",
    ),
    ("ignores-input", "a reconstruction is no nearer to its own row than to others", "more updates, larger networks"),
    ("copies-input", "rows whose values do not belong together are reconstructed just as well", "a smaller latent"),
    ("still-learning", "a loss was still falling at the end of a short training", "more updates"),
    ("overfitting", "a loss of held-out rows rose again", "fewer updates, more rows"),
    ("constant-scores", "scores of held-out rows hardly differ (equal ones are `tied-scores`)", "another score"),
    (
        "finds-nothing",
        "simulated anomalies of held-out rows score like held-out rows: AUROC under {FOUND:g}",
        "longer training, another score or detector",
    ),
)

START, END = "<!-- signs -->", "<!-- /signs -->"


def signs() -> str:
    """What is looked for, as a table."""
    limits = {name: getattr(symptoms, name) for name in ("SHORT", "NARROW", "FOUND")}
    rows = [[f"`{code}`", seen.format(**limits), hint] for code, seen, hint in SIGNS]
    return markdown.table(["code", "what was seen", "what to try"], rows, numbers_from=3)


def explained(page: str) -> str:
    """The page that explains them, with that table."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n\n{signs()}\n\n{END}{rest.partition(END)[2]}"


def text() -> str:
    """The page."""
    lines = {part: health.found(part) for part in health.DATA}
    line = (lines["test"] or lines["development"])[0]
    parts = markdown.table(
        ["part", "data", "seeds", "broken", "good"],
        [
            [
                part,
                ", ".join((*health.DATA[part], *health.NARROW[part])),
                " and ".join(map(str, health.SEEDS[part])),
                str(sum(one["kind"] in health.BROKEN for one in some)),
                str(sum(map(health.good, some))),
            ]
            for part, some in lines.items()
        ],
        numbers_from=3,
    )
    return f"""# How often warnings of training are right

[What is looked for](../explanation/health.md), tried on trainings of {len(health.DETECTORS)} detectors that take
seconds, good ones and ones broken on purpose. The runs are made by `python -m benchmarks.studies.health`, this page by
`python -m benchmarks.pages.health` from `benchmarks/results/health.jsonl`, which holds all indicators, so that other
limits can be tried without training. oddgan {line["versions"]["oddgan"]},
torch {line["versions"]["torch"]}. A training with usual settings counts as good if its AUROC on labelled test rows is
at least {health.FAIR:g}; one that was broken did harm if its AUROC is lower by more than {health.HARMED:g} than that of
the good training of the same detector, data and seed, or below 0.6. Labels serve this table and nothing else.

Limits were set on the part *development* and corrected once on the part *correction*, where the first ones were wrong
on tables of three columns and of 53 rows. The part *test* has other data and other seeds; it was run last, changed
nothing, and is what counts.

{parts}

## test

{health.table("test")}

## correction

{health.table("correction")}

## development

{health.table("development")}

How to read this: a learning rate that is 100 times too high does no harm to many small trainings, and is then rarely
warned of, which is as it should be. Rows that are anomalous among the training rows leave hardly a trace in these
numbers: nothing here protects from contamination. Few training rows have a warning of their own (`few-rows`), which is
not counted here. `overfitting` follows the losses of held-out rows, where the history has them (`val.*`); it is in no
line of this study, and its limit is a cautious guess.
"""


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
    EXPLANATION.write_text(explained(EXPLANATION.read_text("utf-8")), "utf-8")
