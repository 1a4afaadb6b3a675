"""What was read in other people's files although it is not quite right: a line for each kind, with how often."""

from __future__ import annotations

from collections import Counter


class Notices:
    """Counts of what was read with tolerance."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._most: dict[str, float] = {}

    def add(self, words: str, count: int = 1, amount: float = 0.0) -> None:
        """Counts one more of a kind.

        Args:
            words: of the kind, with {} for the count, and {most} where the largest amount is said.
            amount: how much it was this time.
        """
        if count:
            self._counts[words] += count
            self._most[words] = max(self._most.get(words, 0.0), amount)

    @property
    def lines(self) -> tuple[str, ...]:
        """A sentence for each kind, in the order in which they first came up."""
        return tuple(self._line(words, count) for words, count in self._counts.items())

    def _line(self, words: str, count: int) -> str:
        most = self._most[words]  # not by str.format: names in the words may have braces
        return words.replace("{}", f"{count:,}", 1).replace("{most}", f"{most:.2g}" if most < 100 else f"{most:.0f}", 1)
