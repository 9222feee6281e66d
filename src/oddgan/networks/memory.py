"""Rows that a model keeps, as a network without weights: they are saved and moved with the others."""

from typing import Any

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """Rows (m, d) float32 and what belongs to them; none until `keep`, and any number of them in a saved model.

    `seed`: a whole number for what is fitted to the rows. `proof` (p,): scores of the first p rows, to tell whether it
    was fitted again as it was.
    """

    rows: Tensor
    seed: Tensor
    proof: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.empty(0, d))
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))
        self.register_buffer("proof", torch.empty(0))
        self.fitted: tuple[Tensor, Any] | None = None  # whose rows it was fitted to, and it

    def keep(self, rows: Tensor, seed: int = 0) -> None:
        """Hold these rows (m, d) in place of those before, and their seed."""
        self.rows = rows.to(self.rows).contiguous()  # a loaded model has them so; strides round products otherwise
        self.seed.fill_(seed)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """As any module, but with as many rows as the state has. Rows of another width are refused."""
        rows, proof = (state_dict.get(prefix + name) for name in ("rows", "proof"))
        if rows is not None and rows.ndim == 2 and rows.shape[1] == self.rows.shape[1]:
            self.rows = self.rows.new_empty(rows.shape)
        if proof is not None and proof.ndim == 1:
            self.proof = self.proof.new_empty(proof.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
