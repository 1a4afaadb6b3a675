"""Which images of a labelled set are for validation."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray


def validation_images(contents: Sequence[Collection[int]], share: float) -> NDArray[np.bool_]:
    """Which images are for validation, so that each category has about the same share of its images there.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011) for two parts and without chance: the
    category of the fewest images first, then the next, at last the images as a whole. Each takes as many of its images
    that are not yet given away as are missing to its share, evenly spread over their order. Of two images or more one
    goes to each side, unless rarer categories have given them all away.

    Args:
        contents: the categories that each image shows.
        share: between 0 and 1.

    Returns: shape (number of images,).
    """
    members = {
        category: np.array([index for index, shown in enumerate(contents) if category in shown])
        for category in sorted({category for shown in contents for category in shown})
    }
    groups = sorted(members.values(), key=len)  # of categories with as many images the first one goes first
    is_validation = np.zeros(len(contents), dtype=bool)
    is_given = np.zeros(len(contents), dtype=bool)
    for group in [*groups, np.arange(len(contents))]:
        free = group[~is_given[group]]
        wanted = min(max(round(share * len(group)), 1), len(group) - 1) - is_validation[group].sum()
        taken = np.clip(wanted, 0, len(free))
        steps = np.arange(len(free) + 1) * taken // max(len(free), 1)
        is_validation[free] = np.diff(steps) > 0
        is_given[free] = True
    return is_validation
