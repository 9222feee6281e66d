"""Many texts in little memory: the names of a million files take as many bytes as they have letters, and eight more."""

import operator
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray


class Names(Sequence[str]):
    """A sequence of texts, each made when it is asked for. `before` is put before each of them."""

    def __init__(self, texts: Iterable[str] = (), before: str = "") -> None:
        self._before, letters, ends = before, bytearray(), array("q", [0])
        for text in texts:
            letters += text.encode("utf-8", "surrogatepass")
            ends.append(len(letters))
        self._letters, self._ends = bytes(letters), np.frombuffer(ends, np.int64)

    @classmethod
    def of(cls, letters: bytes, ends: NDArray[np.int64]) -> "Names":
        """The texts that `held` gave."""
        found = Names()
        found._letters, found._ends = letters, ends
        return found

    def held(self) -> tuple[bytes, NDArray[np.int64]]:
        """All texts in UTF-8, one after the other, and where each begins and the last ends (n + 1,)."""
        return self._letters, self._ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> str: ...
    @overload
    def __getitem__(self, index: slice, /) -> "Names": ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> "str | Names":
        if isinstance(index, slice):
            return self.some(np.arange(len(self))[index])
        i = operator.index(index)
        i += len(self) * (i < 0)
        if not 0 <= i < len(self):
            raise IndexError(f"name {i} of {len(self):,}")
        return self._before + self._text(i)

    def _text(self, i: int) -> str:
        return self._letters[self._ends[i] : self._ends[i + 1]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self._before + self._text(i) for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def some(self, numbers: NDArray[np.int64]) -> "Names":
        """The texts with these numbers (m,), in that order."""
        return Names(map(self._text, np.asarray(numbers).tolist()), self._before)
