"""What conf says about inference."""

from __future__ import annotations

import pkgutil

from pydantic import BaseModel, ConfigDict, Field

from autosimulate_pipeline.inference.statistics import OwnStatistics


class InferenceSettings(BaseModel):
    """How the labelled images are asked for the scenes that they could have come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    statistics: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="a function of yours, `package.module:function`, that adds statistics: called with an image "
        "(AnnotatedImage) and the categories, it returns numbers by name",
    )
    num_trees: int = Field(100, ge=50, le=5000, description="trees of each forest")

    def own_statistics(self) -> OwnStatistics | None:
        """The user's function.

        Raises:
            ValueError: if it cannot be imported or called.
        """
        if self.statistics is None:
            return None
        try:
            function = pkgutil.resolve_name(self.statistics)
        except Exception as failure:  # whatever the user's module does when it is imported
            reason = " ".join(f"{type(failure).__name__}: {failure}".split())
            raise ValueError(f"inference.statistics: {self.statistics} cannot be imported: {reason}") from failure
        if not callable(function):
            raise ValueError(f"inference.statistics must name a function, got {self.statistics}, which is none")
        own: OwnStatistics = function
        return own
