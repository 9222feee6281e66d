"""What the score of a detector is made of, of the rows at hand."""

from .. import preprocessing
from ..errors import ParameterError
from ..kit.recipe import AUTO, Recipe
from ..rows import Rows
from ..verdict import ALONE, MAP_TERMS

MAP = "map_max"  # the score of pictures that a detector locates anomalies in, unless score_by says otherwise
SMALL_PICTURES = 32  # pixels a side up to which a picture shows one thing, as a digit, and not a mark on it


def score_terms(recipe: Recipe) -> tuple[str, ...]:
    """The terms that the score is made of."""
    if recipe.local in ALONE:
        return ()
    chosen = recipe.own_score if recipe.score_by == AUTO else recipe.score_by
    return recipe.combined_terms if chosen == "combined" else (chosen,)


def scored_by(recipe: Recipe, rows: Rows) -> str:
    """What `score_by` stands for, of these rows. Raises `ParameterError` for a term that they do not have."""
    chosen = recipe.score_by
    if recipe.local == "patches" and (rows.kind != "pictures" or not recipe.locates):
        what = "this is a table" if rows.kind != "pictures" else f"{type(recipe).__name__} locates nothing"
        raise ParameterError(f"local=patches: is for detectors that locate anomalies in pictures, and {what}")
    if chosen == AUTO:
        return MAP if _map_decides(recipe, rows) else recipe.own_score
    by_map = chosen in MAP_TERMS or (chosen == "combined" and not set(MAP_TERMS).isdisjoint(recipe.combined_terms))
    if by_map and rows.kind != "pictures":
        raise ParameterError(f"score_by={chosen}: is pooled from the anomaly map of a picture, and this is a table")
    if by_map and recipe.local not in ("off", "patches"):
        raise ParameterError(
            f"local={recipe.local}: compares the detector's own terms, and score_by={chosen} is pooled from the "
            "anomaly map; set local to off, or score_by to one of them"
        )
    return chosen


def _map_decides(recipe: Recipe, rows: Rows) -> bool:
    """Whether "auto" stands for the peak of the anomaly map."""
    if not recipe.locates or recipe.local not in ("off", "patches"):
        return False
    if recipe.local == "patches" or recipe.tile is not None:
        return rows.kind == "pictures"
    return (preprocessing.longest_side(rows, recipe) or 0) > SMALL_PICTURES
