"""PhysX really settles bodies; how they lie is compared with what is known of them without PhysX and fcl."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from autosimulate_pipeline.cad_models.models import CadModel, diameter, read_models, vertex_normals
from autosimulate_pipeline.records import ignore_progress
from autosimulate_pipeline.simulators.photoreal.furniture import SUPPORTS
from autosimulate_pipeline.simulators.photoreal.physics import arrangement as arrangement_module
from autosimulate_pipeline.simulators.photoreal.physics.arrangement import Arrangement, arrange
from autosimulate_pipeline.simulators.photoreal.physics.bodies import (
    DistractorShape,
    LooseBody,
    Settled,
    SettleJob,
    Support,
    box_piece,
    cylinder_piece,
)
from autosimulate_pipeline.simulators.photoreal.physics.convex_parts import MADE, MAX_POINTS, convex_parts
from autosimulate_pipeline.simulators.photoreal.physics.drops import ArrangementRequest
from autosimulate_pipeline.simulators.photoreal.physics.penetration import Pose, Solid, convex_solid, penetration_bound
from autosimulate_pipeline.workers.pool import ParallelSettings, run_in_workers

LMO = Path(os.environ.get("AUTOSIMULATE_LMO", Path(__file__).parents[1] / "data" / "01_raw" / "lmo"))
ONE = ParallelSettings(num_workers=1)
WORKER = "autosimulate_pipeline.simulators.photoreal.physics.worker:settle"
STILL = np.eye(3)
BOXES_MM = {1: (60.0, 80.0, 100.0), 2: (50.0, 50.0, 140.0), 3: (110.0, 70.0, 40.0)}
BOOK = DistractorShape("book", (box_piece((0.0, 0.0, 0.0), (60.0, 85.0, 12.0)),))
TIN = DistractorShape("tin", (cylinder_piece((0.0, 0.0, 0.0), 35.0, 50.0),))
REQUESTS = tuple(ArrangementRequest(seed, (1, 2, 3, 3), 0.05, Support((0.5, 0.5)), (BOOK, TIN)) for seed in range(8))

SETTLE_IN_FRESH_PROCESS = """
import numpy as np
from autosimulate_pipeline.simulators.photoreal.physics.bodies import LooseBody, SettleJob, Support, box_piece
from autosimulate_pipeline.simulators.photoreal.physics.worker import settle
parts = (np.array(box_piece((0, 0, 0), (20, 30, 40))),)
bodies = tuple(LooseBody(parts, np.eye(3), np.array([0.01 * n, 0.005 * n, 0.06 + 0.09 * n])) for n in range(5))
settled = settle(SettleJob(bodies, Support((0.5, 0.5))))
print(settled.rotations.tobytes().hex(), settled.translations_m.tobytes().hex(), settled.has_settled)
"""
BLENDER_AFTER_PHYSICS = SETTLE_IN_FRESH_PROCESS + "import bpy; print(bpy.app.version_string)"


def model_of(mesh: trimesh.Trimesh, object_id: int, name: str) -> CadModel:
    vertices, faces = np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int64)
    normals = vertex_normals(vertices, faces)
    return CadModel(object_id, name, vertices, faces, normals, None, None, None, diameter(vertices, name))


BOXES = tuple(model_of(trimesh.creation.box(size), id_, f"box{id_}") for id_, size in BOXES_MM.items())


def ell() -> CadModel:
    """Two slabs at a right angle, 60 mm wide; what the corner leaves free is x > 20, z > 20."""
    outline = [(0, 0), (100, 0), (100, 20), (20, 20), (20, 80), (0, 80)]
    triangles = [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5)]
    rims = np.array([(x, y, z) for y in (0.0, 60.0) for x, z in outline])
    sides = [(k, (k + 1) % 6, (k + 1) % 6 + 6) for k in range(6)] + [(k, (k + 1) % 6 + 6, k + 6) for k in range(6)]
    faces = np.array([*triangles, *((a + 6, c + 6, b + 6) for a, b, c in triangles), *sides])
    mesh = trimesh.Trimesh(rims, faces, process=False)
    mesh.fix_normals()
    return model_of(mesh, 9, "ell")


def settle(bodies: Sequence[LooseBody], support: Support) -> Settled:
    settled: Settled = run_in_workers(WORKER, [SettleJob(tuple(bodies), support)], ONE, ignore_progress)[0]
    return settled


def ball(radius: float) -> Solid:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Solid(np.array(mesh.vertices), np.array(mesh.faces), (np.array(mesh.vertices),))


def cube(half: float) -> Solid:
    return convex_solid((np.array(box_piece((0, 0, 0), (half, half, half)), dtype=float),))


def at(x: float, y: float = 0.0, z: float = 0.0) -> Pose:
    return STILL, np.array([x, y, z])


def test_bound_is_tight_for_overlaps_of_known_depth() -> None:
    for depth in (0.2, 0.6, 0.9):
        # along a diagonal; facets of the icosphere lie up to 0.05 mm inside the sphere
        direction = np.array([1.0, 1.0, 0.0]) / np.sqrt(2) * (60 - depth)
        bound = penetration_bound(ball(30), at(0), ball(30), (STILL, direction), 1.0)
        assert depth - 0.12 <= bound <= depth + 0.03
        # a cube with a smaller one pressed into a face: least shift = depth; the tolerance is a step of the halving
        bound = penetration_bound(cube(20), at(0), cube(10), at(3, 30 - depth, 5), 1.0)
        assert depth - 1e-6 <= bound <= depth + 1 / 64


def test_deep_overlaps_and_enclosures_are_not_bounded_and_gaps_are_zero() -> None:
    assert penetration_bound(cube(20), at(0), cube(10), at(0, 27), 1.0) == np.inf
    assert penetration_bound(ball(30), at(0), ball(30), at(55), 1.0) == np.inf
    assert penetration_bound(cube(20), at(0), cube(5), at(1, 2, 3), 1.0) == np.inf  # no two surfaces touch
    assert penetration_bound(cube(5), at(1, 2, 3), cube(20), at(0), 1.0) == np.inf
    assert penetration_bound(cube(20), at(0), cube(10), at(0, 30.01), 1.0) == 0
    assert penetration_bound(ball(30), at(0), ball(30), at(35, 35, 35), 1.0) == 0  # their boxes overlap


def test_bound_lets_a_ball_lie_in_a_corner() -> None:
    """The free corner of an L is inside its hull and its box, but not inside the L."""
    model = ell()
    parts = convex_parts([model], ONE, None)[0]
    solid = Solid(model.vertices_mm, model.faces, parts)
    assert penetration_bound(ball(15), at(36, 30, 36), solid, at(0), 1.0) == 0
    assert 0.4 <= penetration_bound(ball(15), at(34.5, 30, 36), solid, at(0), 1.0) <= 0.55


def test_convex_parts_cover_the_model_and_leave_its_corner_free(tmp_path: Path) -> None:
    model = ell()
    (parts,) = convex_parts([model], ONE, tmp_path)
    hulls = [ConvexHull(part) for part in parts]
    assert all(len(part) <= MAX_POINTS and len(hull.simplices) <= 255 for part, hull in zip(parts, hulls, strict=True))
    assert sum(hull.volume for hull in hulls) == pytest.approx(60 * (100 * 20 + 20 * 60), rel=0.03)

    def depth(point: NDArray[np.float64]) -> float:
        return max(float(-(hull.equations[:, :3] @ point + hull.equations[:, 3]).max()) for hull in hulls)

    assert min(depth(vertex) for vertex in model.vertices_mm) > -0.1
    assert depth(np.array([24.0, 30.0, 24.0])) < 0
    carelessly_wound = replace(model, faces=np.where(np.arange(20)[:, None] % 3, model.faces, model.faces[:, ::-1]))
    (same,) = convex_parts([carelessly_wound], ONE, None)
    assert sum(ConvexHull(part).volume for part in same) == pytest.approx(60 * (100 * 20 + 20 * 60), rel=0.03)
    (file,) = tmp_path.glob("*.npz")
    made = file.stat().st_mtime_ns
    again = convex_parts([ell()], ONE, tmp_path)[0]
    assert file.stat().st_mtime_ns == made
    assert all(np.array_equal(first, second) for first, second in zip(parts, again, strict=True))
    file.write_bytes(b"half a fi")
    MADE.clear()  # as in another process
    anew = convex_parts([ell()], ONE, tmp_path)[0]
    assert all(np.array_equal(first, second) for first, second in zip(parts, anew, strict=True))


def test_round_solid_is_reduced_to_what_physx_takes() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=40)
    (parts,) = convex_parts([model_of(mesh, 1, "ball")], ONE, None)
    assert sum(ConvexHull(part).volume for part in parts) == pytest.approx(4 / 3 * np.pi * 40**3, rel=0.03)
    for part in parts:
        assert len(ConvexHull(part).simplices) <= 255
        assert np.linalg.norm(part, axis=1).max() < 41  # corners stand out by half of what they leave out


def test_box_comes_to_rest_where_it_must() -> None:
    part = np.array(box_piece((0, 0, 0), (20, 30, 40)), dtype=float)
    settled = settle([LooseBody((part,), STILL, np.array([0.1, -0.05, 0.05]))], Support((0.4, 0.4)))
    assert settled.has_settled
    # 40 mm above the support, plus the gaps that both keep (0.3 mm each); it fell straight
    np.testing.assert_allclose(settled.translations_m[0], [0.1, -0.05, 0.0406], atol=2e-4)
    np.testing.assert_allclose(settled.rotations[0], STILL, atol=2e-3)


def test_box_that_stands_on_its_edge_tips_onto_a_face() -> None:
    part = np.array(box_piece((0, 0, 0), (15, 30, 60)), dtype=float)
    angle = np.radians(50)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    settled = settle([LooseBody((part,), rotation, np.array([0, 0, 0.08]))], Support((0.4, 0.4)))
    assert settled.has_settled
    assert settled.translations_m[0, 2] == pytest.approx(0.0156, abs=3e-4)  # on its largest face
    np.testing.assert_allclose(settled.rotations[0] @ settled.rotations[0].T, STILL, atol=1e-12)


def test_wall_stops_a_body_and_an_edge_does_not() -> None:
    part = np.array(cylinder_piece((0, 0, 0), 20, 20), dtype=float)
    tilted = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # its axis along x: it can roll along y
    slope = box_piece((0.0, -0.2, 0.0), (0.1, 0.1, 0.1))
    wall = box_piece((0.0, 0.14, 0.05), (0.3, 0.01, 0.05))
    above_edge = LooseBody((part,), tilted, np.array([0, -0.094, 0.13]))  # it leans over the edge of the block
    stopped = settle([above_edge], Support((0.3, 0.13), (slope, wall)))
    assert stopped.has_settled
    assert stopped.translations_m[0, 1] < 0.11
    assert stopped.translations_m[0, 2] == pytest.approx(0.0206, abs=5e-4)
    fallen = settle([LooseBody((part,), STILL, np.array([0.31, 0, 0.05]))], Support((0.3, 0.3)))
    assert not fallen.has_settled
    assert fallen.translations_m[0, 2] < -0.2


def test_same_job_gives_same_poses_in_separate_processes() -> None:
    def run() -> list[str]:
        command = [sys.executable, "-c", SETTLE_IN_FRESH_PROCESS]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    first, second = run(), run()
    assert first == second
    assert first[2] == "True"
    places = np.frombuffer(bytes.fromhex(first[1])).reshape(5, 3)
    assert len(np.unique(places[:, 0].round(3))) > 2  # the tower fell over: chance would show


def test_blender_can_be_loaded_into_a_process_that_has_settled_bodies() -> None:
    command = [sys.executable, "-c", BLENDER_AFTER_PHYSICS]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[-1].startswith("5.")


def depth_in_box(points: NDArray[np.float64], size: Sequence[float]) -> float:
    return float((np.array(size) / 2 - np.abs(points)).min(axis=1).max())


def surface_points(size: Sequence[float]) -> NDArray[np.float64]:
    """A grid of 5 mm on the faces of a box, its edges and corners included."""
    points = []
    for axis in range(3):
        spans = [np.linspace(-s / 2, s / 2, int(s / 5) + 1) for s in size]
        spans[axis] = np.array([-size[axis] / 2, size[axis] / 2])
        points.append(np.stack(np.meshgrid(*spans), axis=-1).reshape(-1, 3))
    return np.concatenate(points)


def test_arranged_boxes_lie_on_the_support_and_not_in_each_other() -> None:
    """Depths from the boxes' own half spaces, not from fcl."""
    sizes = [*(BOXES_MM[id_] for id_ in (1, 2, 3, 3)), (120.0, 170.0, 24.0)]
    for found in arrange(BOXES, REQUESTS, ONE):
        assert found.object_ids == (1, 2, 3, 3)
        assert found.distractor_poses.shape == (2, 4, 4)
        poses = [*found.object_poses, found.distractor_poses[0]]
        world = [
            (surface_points(size) / 1000) @ pose[:3, :3].T + pose[:3, 3]
            for size, pose in zip(sizes, poses, strict=True)
        ]
        assert min(points[:, 2].min() for points in world) > -0.001
        assert max(np.abs(points[:, :2]).max() for points in world) < 0.6
        for first, points in enumerate(world):
            for second, pose in enumerate(poses):
                if first != second:
                    local = (points - pose[:3, 3]) @ pose[:3, :3] * 1000
                    assert depth_in_box(local, sizes[second]) < 1
        assert found.checks.lowest_mm == pytest.approx(
            min(1000 * points[:, 2].min() for points in world), abs=1.0
        )  # the tin may be lower


def equal(first: Arrangement, second: Arrangement) -> bool:
    return (
        first.object_ids == second.object_ids
        and first.checks == second.checks
        and np.array_equal(first.object_poses, second.object_poses)
        and np.array_equal(first.distractor_poses, second.distractor_poses)
    )


def test_arrangements_are_cached_exactly_and_spoilt_files_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = arrange(BOXES, REQUESTS[:2], ONE, tmp_path)
    assert not equal(*first)
    with monkeypatch.context() as patch:
        patch.setattr(arrangement_module, "run_in_workers", None)  # whoever calls it fails
        cached = arrange(BOXES, REQUESTS[:2], ONE, tmp_path)
        with pytest.raises(TypeError):
            arrange(BOXES[::-1], REQUESTS[2:3], ONE, tmp_path)
    assert all(equal(a, b) for a, b in zip(first, cached, strict=True))
    for file in tmp_path.glob("*.json"):
        file.write_text(file.read_text()[:-30])
    anew = arrange(BOXES, REQUESTS[:2], ONE, tmp_path)
    assert all(equal(a, b) for a, b in zip(first, anew, strict=True))
    assert not list(tmp_path.glob("*.part"))
    assert all(equal(a, b) for a, b in zip(first, arrange(BOXES, REQUESTS[:2], ONE), strict=True))


def test_number_of_objects_is_drawn_without_repetition_while_there_are_enough() -> None:
    requests = [ArrangementRequest(seed, 2, 0.2, Support((0.5, 0.5))) for seed in range(4)]
    drawn = [found.object_ids for found in arrange(BOXES, requests, ONE)]
    assert all(len(set(ids)) == 2 for ids in drawn)
    assert len(set(drawn)) > 1
    (all_and_more,) = arrange(BOXES, [ArrangementRequest(0, 4, 0.2, Support((0.5, 0.5)))], ONE)
    assert set(all_and_more.object_ids) == {1, 2, 3}


def test_upright_objects_stand_and_spread_moves_them_apart() -> None:
    upright = [ArrangementRequest(seed, (1, 3), 0.2, Support((0.6, 0.6)), (), 1.0) for seed in range(6)]
    assert all((found.object_poses[:, 2, 2] > 0.999).all() for found in arrange(BOXES, upright, ONE))
    distances = []
    for spread in (0.03, 0.25):
        requests = [ArrangementRequest(seed, (1, 2, 3), spread, Support((0.7, 0.7))) for seed in range(6)]
        places = np.array([found.object_poses[:, :2, 3] for found in arrange(BOXES, requests, ONE)])
        distances.append(np.abs(places).mean())
    assert distances[1] > 2 * distances[0]


def test_impossible_requests_end_in_one_clear_error() -> None:
    with pytest.raises(ValueError, match="among the models' ids .*, got .7.") as caught:
        arrange(BOXES, [ArrangementRequest(0, (1, 7), 0.1, Support((0.5, 0.5)))], ONE)
    assert "\n" not in str(caught.value)
    crowded = ArrangementRequest(0, (1, 2, 3, 1, 2, 3), 0.05, Support((0.01, 0.01)), (), 0.0)
    with pytest.raises(RuntimeError, match="all rejected: a body fell off.*larger support") as failed:
        arrange(BOXES, [crowded], ONE)
    assert "\n" not in str(failed.value)
    for wrong in ({"spread_m": 0.0}, {"spread_m": np.nan}, {"upright_fraction": 1.5}, {"objects": ()}, {"objects": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ArrangementRequest(**{"seed": 0, "objects": 1, "spread_m": 0.1, "support": Support((1.0, 1.0)), **wrong})
    with pytest.raises(ValueError, match="half_extents_m"):
        Support((0.0, 1.0))


@pytest.mark.skipif(not (LMO / "models").is_dir(), reason=f"LineMOD-Occluded is not at {LMO} (set AUTOSIMULATE_LMO)")
def test_linemod_models_come_to_rest_clear_of_each_other() -> None:
    models = read_models(LMO / "models", {9: "duck", 11: "glue"})
    requests = [ArrangementRequest(seed, (9, 11, 9, 11), 0.05, Support((0.4, 0.4))) for seed in range(10)]
    vertices = {model.object_id: model.vertices_mm / 1000 for model in models}
    solids = {model.object_id: trimesh.Trimesh(model.vertices_mm, model.faces, process=False) for model in models}
    for found in arrange(models, requests, ONE):
        assert found.checks.penetration_mm <= 1
        world = [
            vertices[id_] @ pose[:3, :3].T + pose[:3, 3]
            for id_, pose in zip(found.object_ids, found.object_poses, strict=True)
        ]
        assert min(points[:, 2].min() for points in world) == pytest.approx(found.checks.lowest_mm / 1000, abs=1e-9)
        for first, second in permutations(range(4), 2):
            pose = found.object_poses[second]
            local = (world[first][::7] - pose[:3, 3]) @ pose[:3, :3] * 1000
            assert not solids[found.object_ids[second]].contains(local).any()  # by rays, not by fcl


def test_what_stands_behind_the_objects_leaves_the_place_where_they_are_dropped_free() -> None:
    for support in SUPPORTS.values():
        for piece in support.pieces:
            assert min(y for _, y, _ in piece) >= support.half_extents_m[1]
            assert min(z for *_, z in piece) <= 0.0 < max(z for *_, z in piece)
