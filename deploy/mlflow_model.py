"""An export as an MLflow model, from code: nothing is pickled, and loading it takes oddgan-runtime and no torch.

mlflow.pyfunc.save_model("bottle-mlflow", python_model="mlflow_model.py", artifacts={"export": "bottle-onnx"},
                         pip_requirements=["oddgan-runtime"])
mlflow.pyfunc.load_model("bottle-mlflow").predict(pictures)      # score, p_value, is_anomaly of each
"""

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class Export(PythonModel):
    """What `oddgan export` wrote, the artifact `export`."""

    def load_context(self, context: Any) -> None:
        """Read it."""
        from oddgan.runtime import Scorer

        self.scorer = Scorer(context.artifacts["export"])

    def predict(self, context, model_input, params=None):  # MLflow reads hints, and none of its own says this
        """Rows as `Scorer` takes them, such as a DataFrame or pictures (n, H, W[, C]) -> a line of results each."""
        score = self.scorer.anomaly_score(model_input)
        p_value = self.scorer.p_value_of(score)
        is_anomaly = score > self.scorer.threshold_
        return pd.DataFrame({"score": score, "p_value": p_value, "is_anomaly": is_anomaly})


mlflow.models.set_model(Export())
