"""Rules that say what went wrong in a training, from its indicators (`oddgan.model.indicators`).

Their limits were set on trainings that went well and on trainings broken on purpose; docs/results/health.md has what
they catch and how often they are wrong, on others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

GROWN = 300.0  # times that a loss term grew
LARGEST = 1e6  # of a loss term
LOST = 4.0  # of a discriminator's cross-entropies; 1.39 is guessing
WON = 0.02
UPWARDS, AWAY = 2.0, 100.0  # times that adversarial losses grew since the first quarter
UNMOVED = 1e-3  # of the norm of a player's weights at the start
SHORT = 0.035  # learning rate times updates: how far Adam could take a weight
EARLY = 0.1  # up to which networks cannot be expected to have learned everything
FALLING = 0.2  # share of a loss's fall that came in the last fifth
RISEN = 1.0  # of its fall that the held-out loss took back
NARROW, WIDE = 0.22, 3.0  # distances among generated rows, relative to those among training rows
NARROW_EARLY = 0.08
COVERED, UNCOVERED = 0.5, 0.02  # share of training rows near generated ones, of what held-out rows cover
COPIED, FAR = 0.25, 10.0  # distance of generated rows to training rows, relative to held-out rows'
GUESSED = 0.6  # pairs of rows distinguished by their reconstructions; one half is guessing
SAME, WILD = 1e-3, 10.0  # variance of reconstructions, relative to that of rows
KEPT, ALL = 0.95, 0.99  # of the variance of rows that are none
ALIKE = 3.0  # how much more of such rows' variance is lost than of held-out rows'
CONSTANT = 1e-6  # range of scores, relative to the largest
FOUND = 0.62  # AUROC of simulated anomalies, with one standard error to spare
RAISED = 0.72  # share of them that score above the rows that they were made of


@dataclass(frozen=True)
class Symptom:
    """What a training suffers from: a `code` for programs, and a `message` that says what to try."""

    code: str
    message: str


def of(health: Mapping[str, float]) -> list[Symptom]:
    """The symptoms that the indicators of a training show, causes first. A detector that trains no network has those of
    its scores alone. What follows from an earlier one is left out: of networks that diverged or hardly moved, no more
    is said than what their scores find. That training was broken off has been said."""
    trained, said = health.get("trained", 1.0) > 0, health.get("broken_off", 0.0) > 0
    causes = [found for rule in (_CAUSES if not said else (_unmoved,)) if (found := rule(health))] if trained else []
    others = [found for rule in _OTHERS if (found := rule(health))] if trained and not (causes or said) else []
    return [*causes, *others, *(found for rule in _SCORES if (found := rule(health)))]


def _of(health: Mapping[str, float], name: str) -> dict[str, float]:
    """An indicator by player."""
    return {key.partition(".")[2]: value for key, value in health.items() if key.startswith(f"{name}.")}


def _exploded(health: Mapping[str, float]) -> Symptom | None:
    largest, growth = health.get("largest_term", 0.0), health.get("growth", 0.0)
    lost, fooled = max(_of(health, "won").values(), default=0.0), health.get("fooled", 0.0)
    if growth > GROWN or largest > LARGEST:
        what = f"a loss term ended at {largest:.3g}"
    elif lost > LOST:
        what = f"a discriminator's cross-entropy rose to {lost:.3g}, where 1.39 is guessing"
    elif fooled > AWAY:
        what = f"an adversarial loss grew to {fooled:.3g} times its first values"
    else:
        return None
    return Symptom("exploded", f"training diverged: {what}; lower lr, ten times to begin with")


def _unmoved(health: Mapping[str, float]) -> Symptom | None:
    still = [player for player, moved in _of(health, "moved").items() if moved < UNMOVED]
    still += [player for player, constant in _of(health, "constant").items() if constant and player not in still]
    if not still:
        return None
    return Symptom(
        "not-learning",
        f"{' and '.join(sorted(still))} did not learn: weights or losses are as they were at the start; raise lr, "
        "which may be given by player, or see whether rows are constant",
    )


def _short(health: Mapping[str, float]) -> Symptom | None:
    updates, epochs = int(health.get("updates", 0)), health.get("epochs", 1.0)
    if (health.get("travel", 1.0) >= SHORT and epochs >= 1) or _unmoved(health):
        return None
    what = f"{updates:,} updates" + (" are less than one pass over the rows" if epochs < 1 else " at this lr are few")
    return Symptom("few-updates", f"{what}: the networks are hardly trained; raise updates, epochs or minutes")


def _won(health: Mapping[str, float]) -> Symptom | None:
    winners = [player for player, loss in _of(health, "won").items() if loss < WON]
    if not winners or health.get("fooled", 0.0) < UPWARDS:
        return None
    return Symptom(
        "discriminator-wins",
        f"{' and '.join(sorted(winners))} knows every generated row, and the generator's loss keeps rising; lower its "
        "lr, as in lr={'G': 2e-4, 'D': 5e-5}, or raise the width of the others",
    )


def _collapsed(health: Mapping[str, float]) -> Symptom | None:
    spread, early = health.get("spread", 1.0), health.get("travel", 1.0) < EARLY
    if spread >= (NARROW_EARLY if early else NARROW) or health.get("coverage", 0.0) > COVERED:
        return None
    return Symptom(
        "collapsed",
        f"generated rows are {spread:.2g} times as far from each other as training rows: the generator makes few "
        "different rows; lower lr, raise updates, or raise latent_dim and width",
    )


def _unlike(health: Mapping[str, float]) -> Symptom | None:
    spread, far = health.get("spread", 1.0), health.get("copies", 1.0)
    if spread <= WIDE and (far <= FAR or health.get("coverage", 0.0) > UNCOVERED):
        return None
    return Symptom(
        "unlike-training",
        f"generated rows are {max(spread, far):.3g} times as far from training rows, or from each other, as normal "
        "rows are: the generator makes nothing that is normal; lower lr, or raise updates",
    )


def _copies(health: Mapping[str, float]) -> Symptom | None:
    copies = health.get("copies", 1.0)
    if copies >= COPIED or health.get("spread", 1.0) < NARROW:
        return None
    return Symptom(
        "copies-rows",
        f"generated rows are {copies:.2g} times as far from training rows as held-out rows are: the generator repeats "
        "what it was trained on; give more rows, lower updates, width or latent_dim",
    )


def _ignores(health: Mapping[str, float]) -> Symptom | None:
    answer, spread = health.get("answer", 1.0), health.get("answer_spread", 1.0)
    early = health.get("travel", 1.0) < EARLY and SAME <= spread <= WILD
    if answer >= GUESSED or early:
        return None
    return Symptom(
        "ignores-input",
        f"a reconstruction is nearer to its own row than another row's in {100 * answer:.0f} % of pairs, where 50 % is "
        "guessing: rows are hardly reconstructed; raise updates, latent_dim or width, or lower lr",
    )


def _passes(health: Mapping[str, float]) -> Symptom | None:
    kept = health.get("kept_other", 0.0)
    alike = 1 - kept <= ALIKE * (1 - health.get("kept", 1.0))
    if kept < (KEPT if alike else ALL):
        return None
    return Symptom(
        "copies-input",
        f"rows whose values do not belong together are reconstructed as well, {100 * kept:.0f} % of their variance: "
        "the networks copy what they are given, anomalies too; lower latent_dim or width",
    )


def _unfinished(health: Mapping[str, float]) -> Symptom | None:
    falling = health.get("falling", 0.0)
    if falling < FALLING or health.get("travel", 1.0) >= EARLY:
        return None
    return Symptom(
        "still-learning",
        f"{100 * min(falling, 1.0):.0f} % of the fall of a loss came in the last fifth of training, which is not at "
        "its end; raise updates, epochs or minutes",
    )


def _overfitted(health: Mapping[str, float]) -> Symptom | None:
    rising = health.get("rising", 0.0)
    if rising < RISEN:
        return None
    return Symptom(
        "overfitting",
        f"a loss of held-out rows rose again, by {100 * rising:.0f} % of its fall: the networks learn the training "
        "rows by heart; give more rows, lower updates or width, or set early_stopping where there is one",
    )


def _constant(health: Mapping[str, float]) -> Symptom | None:
    if not 0 < health.get("score_range", 1.0) < CONSTANT:  # scores that are equal tie, which is said elsewhere
        return None
    return Symptom(
        "constant-scores",
        "scores of held-out rows differ by less than a millionth: the score says nothing of a row; choose another "
        "score_by, or another detector",
    )


def _finds(health: Mapping[str, float]) -> Symptom | None:
    found = health.get("finds", 1.0)
    if found + health.get("finds_error", 0.0) >= FOUND or health.get("responds", 0.0) >= RAISED:
        return None
    return Symptom(
        "finds-nothing",
        f"simulated anomalies of held-out rows score like other held-out rows (AUROC {found:.2f}, where 0.5 is "
        "guessing): expect little of this model; train longer, choose another score_by, or another detector",
    )


Rule = Callable[[Mapping[str, float]], Symptom | None]
_CAUSES: tuple[Rule, ...] = (_exploded, _unmoved, _short)
_OTHERS: tuple[Rule, ...] = (_won, _collapsed, _unlike, _copies, _ignores, _passes, _unfinished, _overfitted)
_SCORES: tuple[Rule, ...] = (_constant, _finds)
