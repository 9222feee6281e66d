"""What can be read of a fitted detector: views of its model, under scikit-learn's names."""

from typing import Any

import numpy as np
from sklearn.utils import estimator_html_repr

from . import show
from .model import Judge
from .verdict import Guarantee
from .verdict.guarantee import percent


class Fitted:
    """Views of `model_`, the value that a fit has made."""

    model_: Judge

    @property
    def threshold_(self) -> float:
        """A row scored above it is an anomaly."""
        return self.model_.calibration.threshold

    @property
    def offset_(self) -> float:
        """scikit-learn's: -threshold_."""
        return -self.threshold_

    @property
    def false_alarm_rate_(self) -> float:
        """The false-alarm rate in force."""
        return self.model_.calibration.rate

    @property
    def guarantee_(self) -> Guarantee:
        """What the threshold guarantees, and what was found that speaks against it; `str` gives a sentence."""
        codes = {one["code"] for one in self.model_.facts.get("warnings", ())}
        return Guarantee.of(self.model_.calibration, codes)

    @property
    def n_calibrate_(self) -> int:
        """The number of calibration rows, or of groups of them."""
        return self.model_.calibration.count

    @property
    def history_(self) -> dict[str, list[Any]]:
        """Every loss term by epoch."""
        return self.model_.history

    @property
    def training_(self) -> dict[str, Any]:
        """Facts about the training."""
        return dict(self.model_.facts)

    @property
    def net_(self) -> Any:
        """The networks by name."""
        return self.model_.net

    @property
    def preprocessor_(self) -> Any:
        """The preprocessing."""
        return self.model_.preprocessor

    @property
    def title_(self) -> str:
        """What it is, in a line for a user."""
        return type(self).__name__

    @property
    def n_features_in_(self) -> int:
        """The number of columns of the table that the model was fitted on."""
        return len(self._table_columns())

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of these columns, where they have names."""
        if self.model_.preprocessor.columns is None:
            raise AttributeError("feature_names_in_: the model was fitted on rows without column names")
        return np.array(self.model_.preprocessor.columns, dtype=object)

    # --- what is seen of it -----------------------------------------------------------------------------------------

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # as scikit-learn has it
        line = super().__repr__(N_CHAR_MAX)  # type: ignore[call-arg]
        if "model_" not in self.__dict__:
            return line
        warnings, facts = self._summary()
        facts.pop("guarantee")
        return show.text(line, warnings, facts)

    def _repr_html_inner(self) -> str:
        """scikit-learn's diagram, and before it, of a fitted detector, what was warned of and what it is."""
        diagram = str(estimator_html_repr(self))
        return diagram if "model_" not in self.__dict__ else show.html(self.title_, *self._summary()) + diagram

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        return {**found, "text/html": self._repr_html_inner()} if "text/html" in found else found

    def _summary(self) -> tuple[list[str], dict[str, Any]]:
        """What a fit warned of, and facts about the model."""
        facts, guarantee = self.model_.facts, self.guarantee_
        warnings = [f"{one['code']}: {one['message']}" for one in facts.get("warnings", ())]
        rows = f"{facts['rows']:,} rows, " if "rows" in facts else ""
        return warnings, {
            "fitted on": f"{rows}{self.model_.preprocessor.describe()}",
            "threshold": f"{self.threshold_:.4g} at {percent(guarantee.rate)} false alarms, by {guarantee.by}",
            "guarantee": str(guarantee),
        }

    def _table_columns(self) -> tuple[Any, ...]:
        if self.model_.preprocessor.kind != "table":
            raise AttributeError("n_features_in_: the model was fitted on pictures")
        return self.model_.preprocessor.kinds
