"""The part of a table's preprocessing that an exported model carries: tensor operations on one row's numbers alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .table_columns import Categories, Numbers

FAR = 1e18  # deviations; beyond, float32 cannot square a value, and how far beyond makes no difference


class TableEncoder(nn.Module):
    """(b, k) float64 -> (b, d) float32.

    What comes in has one column for each of the user's, in their order: a number, NaN where it is missing, or a
    category's code (`Categories`). What goes out: scaled numbers, then indicators of missing numbers, then each
    category's columns of 0 and 1. `owner` (d,): the user's column that each of them belongs to. How: `table_columns`.
    """

    number: Tensor
    indicated: Tensor
    category: Tensor
    source: Tensor
    owner: Tensor
    expected: Tensor
    center: Tensor
    scale: Tensor
    blank: Tensor
    log_center: Tensor
    log_scale: Tensor
    knots: Tensor
    ranks: Tensor
    last: Tensor
    start: Tensor

    def __init__(self, numbers: Numbers, categories: Sequence[Categories | None]) -> None:
        """`categories`: one for each of the user's columns, None for a number."""
        super().__init__()
        number = [i for i, one in enumerate(categories) if one is None]
        category = [(i, one) for i, one in enumerate(categories) if one is not None]
        indicated = [i for i, missed in zip(number, numbers.missed, strict=True) if missed]
        source = [j for j, (_, one) in enumerate(category) for _ in range(one.size)]
        self.all_numbers = not category
        self.logged, self.ranked = numbers.log_scale is not None, numbers.knots is not None
        self._keep("number", number)
        self._keep("indicated", indicated)
        self._keep("category", [i for i, _ in category])
        self._keep("source", source)
        self._keep("owner", [*number, *indicated, *(category[j][0] for j in source)])
        self._keep("expected", [float(c) for _, one in category for c in range(one.size)], np.float64)
        for name in ("center", "scale", "blank"):
            self._keep(name, getattr(numbers, name), np.float64)
        if self.logged:
            self._keep("log_center", numbers.log_center, np.float64)
            self._keep("log_scale", numbers.log_scale, np.float64)
        if numbers.knots is not None:
            self._keep("knots", numbers.knots, np.float64)
            self._keep("ranks", numbers.ranks, np.float64)
            self._keep("last", np.isfinite(numbers.knots).sum(axis=1) - 2)
            self._keep("start", np.arange(len(numbers.knots)) * numbers.knots.shape[1])

    def _keep(self, name: str, values: Any, dtype: Any = np.int64) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(values, dtype)))

    def forward(self, raw: Tensor) -> Tensor:
        x = self.numbers(raw)
        return x if self.all_numbers else torch.cat([x, self.one_hot(raw.index_select(1, self.category))], dim=1)

    def numbers(self, raw: Tensor) -> Tensor:
        """The scaled numbers and the indicators, (b, e) float32, of (b, k) float64."""
        found = raw if self.all_numbers else raw.index_select(1, self.number)
        x = torch.where(torch.isnan(found), self.blank, self.scaled(found)).clamp(-FAR, FAR).to(torch.float32)
        if not len(self.indicated):
            return x
        return torch.cat([x, torch.isnan(raw.index_select(1, self.indicated)).to(torch.float32)], dim=1)

    def one_hot(self, codes: Tensor) -> Tensor:
        """(b, m) codes of the categories -> (b, c) float32 of 0 and 1."""
        return (codes.index_select(1, self.source) == self.expected).to(torch.float32)

    def scaled(self, x: Tensor) -> Tensor:
        """(b, numbers) float64 on the networks' scale; NaN stays."""
        if self.logged:
            heavy = self.log_scale > 0
            u = (x - self.log_center) / torch.where(heavy, self.log_scale, 1.0)
            x = torch.where(heavy, torch.sign(u) * torch.log1p(torch.abs(u)), x)
        if not self.ranked:
            return (x - self.center) / self.scale
        return self._along(x, self.knots, self.ranks)

    def unscaled(self, x: Tensor) -> Tensor:
        """The inverse of `scaled`."""
        x = self._along(x, self.ranks, self.knots) if self.ranked else x * self.scale + self.center
        if not self.logged:
            return x
        u = torch.sign(x) * torch.expm1(x.abs().clamp_max(600.0))  # beyond, float64 overflows
        return torch.where(self.log_scale > 0, u * self.log_scale + self.log_center, x)

    def _along(self, x: Tensor, knots: Tensor, ranks: Tensor) -> Tensor:
        """Where x (b, numbers) lies on the straight lines from knot to knot; beyond the ends, on the outermost ones."""
        # The knot below is found by comparing with all: exports have no search in sorted lists. Counted in float32:
        # OpenVINO 2026.4 gets sums of whole numbers wrong to which something is added.
        below = (x[:, :, None] >= knots).to(torch.float32).sum(dim=2).to(torch.int64) - 1
        low = torch.minimum(below.clamp_min(0), self.last) + self.start
        knots, ranks = knots.flatten(), ranks.flatten()
        share = (x - knots[low]) / (knots[low + 1] - knots[low])
        return ranks[low] + share * (ranks[low + 1] - ranks[low])
