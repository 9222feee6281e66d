"""Rows that are stored with a model, as a module without weights: saved and moved to devices like the networks."""

from typing import Any

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """Rows (m, d) float32; none until `keep` is called, and any number from `least` in a saved model.

    Attributes
    ----------
    rows : Tensor
        The rows (m, d).
    seed : Tensor
        A whole number, the seed of the estimator that is fitted to the rows.
    proof : Tensor
        Scores of the first rows (p,), to verify that an estimator fitted again equals the first.
    fitted : tuple, optional
        The rows that an estimator was fitted to, and the estimator; not saved.
    """

    rows: Tensor
    seed: Tensor
    proof: Tensor

    def __init__(self, d: int, least: int = 0) -> None:
        super().__init__()
        self.least = least
        self.register_buffer("rows", torch.empty(0, d))
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))
        self.register_buffer("proof", torch.empty(0))
        self.fitted: tuple[Tensor, Any] | None = None

    def keep(self, rows: Tensor, seed: int = 0) -> None:
        """Replace the rows by these (m, d), and their seed."""
        # With the strides of a loaded model, by which products round; `contiguous` leaves those of a single row.
        self.rows = self.rows.new_empty(rows.shape).copy_(rows)
        self.seed.fill_(seed)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """As in any module, but for any number of rows from `least`. Rows of another width are refused."""
        rows, proof = (state_dict.get(prefix + name) for name in ("rows", "proof"))
        if rows is not None and rows.ndim == 2 and rows.shape[1] == self.rows.shape[1]:
            if len(rows) < self.least:
                raise RuntimeError(f"{prefix}rows: holds {len(rows)} rows, and {self.least} are needed at least")
            self.rows = self.rows.new_empty(rows.shape)
        if proof is not None and proof.ndim == 1:
            self.proof = self.proof.new_empty(proof.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
