"""A simulator to start from: a ball and a box, drawn with NumPy. Replace the scene and what `render_scene` does."""

import numpy as np
from pydantic import Field

from autosimulate_pipeline.records import AnnotatedImage
from autosimulate_pipeline.simulators.base import owners_by_prefix
from autosimulate_pipeline.simulators.own import SceneParameters, SceneRenderer


class Scene(SceneParameters):
    """Everything that p_ψ in conf can vary, with default and bounds."""

    brightness: float = Field(50, ge=0, le=100, description="50 is well lit")
    ball_x: float = Field(0, ge=-1, le=1, description="-1 and 1 are the edges of the image")
    box_x: float = Field(0, ge=-1, le=1)


class NewSimulator(SceneRenderer):
    categories = ("ball", "box")
    scene_model = Scene
    owners = owners_by_prefix(Scene, categories)  # ball_x moves the ball alone

    def __init__(self, image_size: int = 48) -> None:
        self.axis = np.linspace(-1, 1, image_size)

    def render_scene(self, scene: Scene, generator: np.random.Generator) -> AnnotatedImage:
        x, y = np.meshgrid(self.axis, self.axis)
        ball = (x - scene.ball_x) ** 2 + (y + 0.3) ** 2 < 0.09
        box = np.maximum(abs(x - scene.box_x), abs(y - 0.3)) < 0.27
        colours = np.full((*x.shape, 3), 0.4)
        colours[ball], colours[box] = generator.random((2, 3))
        lit = colours * scene.brightness / 50 + generator.normal(0, 0.05, colours.shape)
        image = (lit.clip(0, 1) * 255).astype(np.uint8)
        return self.annotated(image, [("ball", ball), ("box", box)])  # the farthest first
