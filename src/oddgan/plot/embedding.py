"""Where rows are in a detector's features, in two dimensions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from ..errors import DataError, ParameterError
from ..rows import open_rows
from . import palette
from .figures import Display

MOST = 1000  # rows of each group, drawn by the seed: t-SNE of more takes minutes
PERPLEXITY = 30.0


@dataclass(eq=False, kw_only=True, repr=False)
class EmbeddingDisplay(Display):
    """Groups of rows in the detector's features, brought to two dimensions by t-SNE or by principal components.

    What t-SNE shows is who is near whom. Sizes of groups and distances between them mean little.

    Attributes
    ----------
    embedding : (n, 2) float64
    features : (n, k) float32
        The detector's features of the rows.
    group : (n,) int64
        The number of each row's group in `names`.
    names : tuple of str
    method : {"tsne", "pca"}
    explained : (float, float) or None
        The shares of the variance along the two principal components.
    """

    embedding: np.ndarray
    features: np.ndarray
    group: np.ndarray
    names: tuple[str, ...]
    method: str
    explained: tuple[float, float] | None = None
    title: str = ""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        groups: Mapping[str, Any],
        *,
        method: Literal["tsne", "pca"] = "tsne",
        random_state: int = 0,
        most: int = MOST,
        ax: Any = None,
    ) -> Self:
        """Embed rows by group, `{"normal": X, "anomalous": Y, "pure noise": Z}`, each as for `fit`; of groups with more
        than `most` rows, as many, drawn by `random_state`. Raises `ParameterError` for another method, `DataError`
        without groups or with fewer than three rows."""
        if not isinstance(groups, Mapping) or not groups:
            raise DataError('groups: give rows by name, for instance {"normal": X, "anomalous": Y}')
        found = []
        random = np.random.default_rng(random_state)
        for X in groups.values():
            rows = open_rows(X, like=estimator.preprocessor_)
            if len(rows) > most:
                rows = rows.some(np.sort(random.choice(len(rows), most, replace=False)))
            found.append(estimator.features(rows))
        return cls.from_features(
            dict(zip(map(str, groups), found, strict=True)),
            method=method,
            random_state=random_state,
            title=f"{type(estimator).__name__}'s features",
            ax=ax,
        )

    @classmethod
    def from_features(
        cls,
        groups: Mapping[str, np.ndarray],
        *,
        method: Literal["tsne", "pca"] = "tsne",
        random_state: int = 0,
        title: str = "features",
        ax: Any = None,
    ) -> Self:
        """Embed vectors (n, k) by group. Raises as `from_estimator` does."""
        if method not in ("tsne", "pca"):
            raise ParameterError(f"method={method!r}: must be 'tsne' or 'pca'")
        parts = [np.asarray(one, np.float32) for one in groups.values()]
        features = np.concatenate(parts)
        if len(features) < 3:
            raise DataError(f"groups: there are {len(features)} rows, and an embedding takes three at least")
        group = np.repeat(np.arange(len(parts)), list(map(len, parts)))
        explained = None
        if method == "pca":
            embedding, explained = principal(features)
        else:
            from sklearn.manifold import TSNE

            perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
            embedding = TSNE(perplexity=perplexity, init="pca", random_state=random_state).fit_transform(features)
        return cls(
            embedding=np.asarray(embedding, np.float64),
            features=features,
            group=group,
            names=tuple(groups),
            method=method,
            explained=explained,
            title=title,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, or in a new figure."""
        ax = self._single(ax, (5.6, 4.8))
        self.points_ = {}
        for i, name in enumerate(self.names):
            mine = self.embedding[self.group == i]
            self.points_[name] = ax.scatter(
                mine[:, 0], mine[:, 1], s=22, marker=palette.MARKERS[i % len(palette.MARKERS)], alpha=0.75,
                color=palette.of_group(name, i), linewidths=0.3, edgecolors="white", label=f"{name} ({len(mine):,})",
            )  # fmt: skip
        if self.explained is not None:
            labels = [f"principal component {i + 1} ({100 * share:.0f} % of the variance)"
                      for i, share in enumerate(self.explained)]  # fmt: skip
        else:
            labels = ["t-SNE, first coordinate (no unit)", "t-SNE, second coordinate (no unit)"]
            ax.set(xticks=[], yticks=[])
        ax.set(xlabel=labels[0], ylabel=labels[1])
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
        ax.set_title(self.title, loc="left", fontsize="medium")
        return self


def principal(features: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The first two principal components of vectors (n, k), (n, 2), and their shares of the variance."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    found = np.zeros((len(features), 2))
    found[:, : min(2, len(s))] = (u * s)[:, :2]
    total = float((s**2).sum()) or 1.0
    shares = [*(float(one) for one in s[:2] ** 2 / total), 0.0, 0.0]
    return found, (shares[0], shares[1])
