"""What was read in other people's files although it is not quite right: a line for each kind, with how often."""

from __future__ import annotations

import re
from collections import Counter

_COUNTED = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")


class Notices:
    """Counts of what was read with tolerance."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._most: dict[str, float] = {}

    def add(self, words: str, count: int = 1, amount: float = 0.0) -> None:
        """Counts more of a kind.

        Args:
            words: of the kind, with {box|boxes} for the count and what is counted, and {most} for the largest amount.
            amount: how much it was this time.
        """
        if count:
            self._counts[words] += count
            self._most[words] = max(self._most.get(words, 0.0), amount)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each kind, in the order in which they first came up."""
        return tuple(self._line(words, count) for words, count in self._counts.items())

    def _line(self, words: str, count: int) -> str:
        most = self._most[words]
        line = _COUNTED.sub(lambda nouns: f"{count:,} {nouns[1 if count == 1 else 2]}", words, count=1)
        return line.replace("{most}", f"{most:.2g}" if most < 100 else f"{most:.0f}", 1)
