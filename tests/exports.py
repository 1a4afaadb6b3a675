"""Small COCO folders of our own making, in the shape in which labelling programs and public datasets come.

All show the toy simulator's categories: in each image a triangle on a square, and a disc at the right border. What
differs is what the programs do with them: their keys, ids, rounding and habits. Files lie where this project looks for
them, `annotations.json` beside `images/`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

WIDTH, HEIGHT = 64, 48
NUM_IMAGES = 3

Corners = list[tuple[float, float]]
Object = tuple[str, Corners]


def objects(number: int) -> list[Object]:
    """The objects of an image, in the order in which they were labelled: the triangle before the square below it."""
    x, y = 4 + 3 * number, 8 + 2 * number
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    disc = [(54.0 + 10 * np.cos(angle), 30.0 + 10 * np.sin(angle)) for angle in angles]
    return [
        ("triangle", [(x + 8, y + 22.0), (x + 13, y + 4.0), (x + 18, y + 22.0)]),
        ("square", [(x, y), (x + 26, y), (x + 26, y + 26), (x, y + 26)]),
        ("disc", [(float(column), float(row)) for column, row in disc]),
    ]


def picture(number: int, shapes: Sequence[Object], seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """The shapes, the last one first, on a noisy ground."""
    rng = np.random.default_rng([seed, number])
    image = Image.fromarray(rng.integers(90, 130, (size[1], size[0], 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    for _, corners in reversed(shapes):
        draw.polygon(corners, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def flat(corners: Corners) -> list[float]:
    return [float(number) for corner in corners for number in corner]


def around(corners: Corners) -> list[float]:
    """[x, y, width, height]"""
    columns, rows = zip(*corners, strict=True)
    return [min(columns), min(rows), max(columns) - min(columns), max(rows) - min(rows)]


def area(corners: Corners) -> float:
    x, y = np.array(corners).T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


def run_lengths(corners: Corners, size: tuple[int, int] = (HEIGHT, WIDTH)) -> dict[str, Any]:
    """The polygon's mask as plain run lengths."""
    mask: NDArray[np.uint8] = coco_mask.decode(coco_mask.frPyObjects([flat(corners)], *size))[..., 0]
    pixels = mask.T.ravel()
    counts = np.diff([0, *np.flatnonzero(np.diff(pixels, prepend=0)), pixels.size]).tolist()
    return {"size": list(size), "counts": counts}


def write(folder: Path, content: dict[str, Any], pictures: Sequence[Image.Image], encoding: str = "utf-8") -> None:
    (folder / "images").mkdir(parents=True)
    for entry, image in zip(content["images"], pictures, strict=True):
        image.save(folder / "images" / entry["file_name"])
    (folder / "annotations.json").write_text(json.dumps(content), encoding=encoding)


def numbered(labels: Sequence[tuple[int, Object]]) -> list[tuple[int, int, str, Corners]]:
    """Id from 0, number of the image from 0, category and corners of each label."""
    return [(index, number, category, corners) for index, (number, (category, corners)) in enumerate(labels)]


def labels() -> list[tuple[int, int, str, Corners]]:
    return numbered([(number, shape) for number in range(NUM_IMAGES) for shape in objects(number)])


def pictures(seed: int) -> list[Image.Image]:
    return [picture(number, objects(number), seed) for number in range(NUM_IMAGES)]


def cvat(folder: Path, seed: int = 0) -> None:
    """CVAT, COCO 1.0: discs by brush are run lengths with iscrowd 1, polygons have 0; rounded to hundredths."""
    ids = {"square": 1, "disc": 2, "triangle": 3}
    annotations = []
    for index, number, category, corners in labels():
        brushed = category == "disc"
        inside = [(min(x, WIDTH), y) for x, y in corners]
        bbox = [round(side, 2) for side in around(inside)]
        outline = [[round(value, 2) for value in flat(corners)]]
        annotations.append(
            {"id": index + 1, "image_id": number + 1, "category_id": ids[category], "area": area(corners), "bbox": bbox}
            | {"segmentation": run_lengths(corners) if brushed else outline, "iscrowd": int(brushed)}
            | {"attributes": {"occluded": False}}
        )
    images = [
        {"id": number + 1, "width": WIDTH, "height": HEIGHT, "file_name": f"frame {number:06d}.PNG", "license": 0}
        | {"flickr_url": "", "coco_url": "", "date_captured": 0}
        for number in range(NUM_IMAGES)
    ]
    content = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [{"id": key, "name": name, "supercategory": ""} for name, key in ids.items()],
        "images": images,
        "annotations": annotations,
    }
    write(folder, content, pictures(seed))


def label_studio(folder: Path, seed: int = 0) -> None:
    """Label Studio: ids from 0, corners from shares of the image in per cent, so that some lie beyond by a hair."""
    names = ["disc", "square", "triangle"]
    annotations = []
    for index, number, category, corners in labels():
        shares = [(round(100 * x / WIDTH, 1), round(100 * y / HEIGHT, 1)) for x, y in corners]
        shares = [(100.2 if x >= 100 else x, y) for x, y in shares]
        moved = [(x * WIDTH / 100, y * HEIGHT / 100) for x, y in shares]
        annotations.append(
            {"id": index, "image_id": number, "category_id": names.index(category), "segmentation": [flat(moved)]}
            | {"bbox": around(moved), "ignore": 0, "iscrowd": 0, "area": area(moved)}
        )
    content = {
        "images": [
            {"width": WIDTH, "height": HEIGHT, "id": number, "file_name": f"0b3f-{number}.jpg"}
            for number in range(NUM_IMAGES)
        ],
        "categories": [{"id": index, "name": name} for index, name in enumerate(names)],
        "annotations": annotations,
        "info": {"year": 2024, "version": "1.0", "description": "", "contributor": "Label Studio", "url": ""},
    }
    write(folder, content, pictures(seed))


def roboflow(folder: Path, seed: int = 0) -> None:
    """Roboflow: a root category with the name of a class, JPEG, boxes alone, ids from 0, boxes rounded when resized."""
    ids = {"square": 1, "disc": 2, "triangle": 3}
    annotations = []
    for index, number, category, corners in labels():
        x, y, width, height = around(corners)
        bbox = [round(x), round(y), round(width, 3) + (0.3 if category == "disc" else 0), round(height, 3)]
        annotations.append(
            {"id": index, "image_id": number, "category_id": ids[category], "bbox": bbox, "area": bbox[2] * bbox[3]}
            | {"segmentation": [], "iscrowd": 0}
        )
    content = {
        "info": {"year": "2024", "version": "1", "description": "Exported", "contributor": "", "url": ""},
        "licenses": [{"id": 1, "url": "", "name": "CC BY 4.0"}],
        "categories": [
            {"id": 0, "name": "square", "supercategory": "none"},
            *({"id": key, "name": name, "supercategory": "square"} for name, key in ids.items()),
        ],
        "images": [
            {"id": number, "license": 1, "file_name": f"photo-{number}_png.rf.9f{number}.jpg", "height": HEIGHT}
            | {"width": WIDTH, "date_captured": "2024-05-04T10:00:00+00:00"}
            for number in range(NUM_IMAGES)
        ],
        "annotations": annotations,
    }
    write(folder, content, pictures(seed))


def labelme(folder: Path, seed: int = 0) -> None:
    """labelme through its converter: a stroke of two points beside a polygon, an unused background, boxes of masks."""
    names = ["_background_", "square", "disc", "triangle"]
    annotations = []
    for index, number, category, corners in labels():
        outline = [flat(corners)] + ([[10.0, 12.0, 12.0, 14.0]] if category == "square" else [])
        rle = coco_mask.merge(coco_mask.frPyObjects([flat(corners)], HEIGHT, WIDTH))
        annotations.append(
            {"id": index, "image_id": number, "category_id": names.index(category), "segmentation": outline}
            | {"area": float(coco_mask.area(rle)), "bbox": coco_mask.toBbox(rle).tolist(), "iscrowd": 0}
        )
    content = {
        "info": {"description": None, "url": None, "version": None, "year": 2024, "contributor": None},
        "licenses": [{"url": None, "id": 0, "name": None}],
        "images": [
            {"license": 0, "url": None, "file_name": f"{number}.jpg", "height": HEIGHT, "width": WIDTH}
            | {"date_captured": None, "id": number}
            for number in range(NUM_IMAGES)
        ],
        "type": "instances",
        "annotations": annotations,
        "categories": [{"supercategory": None, "id": index, "name": name} for index, name in enumerate(names)],
    }
    write(folder, content, pictures(seed))


def via(folder: Path, seed: int = 0) -> None:
    """VIA: ids as text, polygons without the list around them, no area, a byte order mark from a Windows editor."""
    ids = {"square": 1, "disc": 2, "triangle": 3}
    annotations = [
        {"id": str(index), "image_id": str(number), "category_id": ids[category], "segmentation": flat(corners)}
        | {"bbox": around(corners), "iscrowd": False}
        for index, number, category, corners in labels()
    ]
    content = {
        "info": {"year": 2024, "version": "1.0", "description": "VIA project exported to COCO format"},
        "images": [
            {"id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"{number}.jpeg", "license": 1}
            for number in range(NUM_IMAGES)
        ],
        "annotations": annotations,
        "licenses": [{"id": 1, "name": "Unknown", "url": ""}],
        "categories": [{"supercategory": "type", "id": key, "name": name} for name, key in ids.items()],
    }
    write(folder, content, pictures(seed), encoding="utf-8-sig")


TOOLS: dict[str, Callable[[Path, int], None]] = {
    "CVAT": cvat,
    "Label Studio": label_studio,
    "Roboflow": roboflow,
    "labelme": labelme,
    "VIA": via,
}


def public(
    folder: Path, names: Sequence[str], shapes: Sequence[Object], size: tuple[int, int], **more: dict[str, Any]
) -> None:
    """A public dataset's folder with one image; `more` are further keys of the annotations of a category."""
    annotations = [
        {"id": index, "image_id": 1, "category_id": names.index(category) + 1, "segmentation": [flat(corners)]}
        | {"bbox": around(corners), "area": area(corners), "iscrowd": 0, **more.get(category, {})}
        for index, (category, corners) in enumerate(shapes, start=1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": size[0], "height": size[1]}],
        "categories": [{"id": index, "name": name} for index, name in enumerate(names, start=1)],
        "annotations": annotations,
    }
    write(folder, content, [picture(0, shapes, 0, size)])


def facades(folder: Path) -> None:
    """A façade with a pointed gable, listed last; its 12 windows and its door lie on it."""
    windows: list[Object] = [
        ("window", [(x, y), (x + 8, y), (x + 8, y + 10), (x, y + 10)])
        for y in (30.0, 50, 70)
        for x in (12.0, 32, 52, 72)
    ]
    gable = [(6.0, 100.0), (6.0, 24.0), (48.0, 20.0), (48.5, 2.0), (49.0, 20.0), (94.0, 24.0), (94.0, 100.0)]
    door: Object = ("door", [(44.0, 86.0), (54.0, 86.0), (54.0, 100.0), (44.0, 100.0)])
    public(folder, ["facade", "window", "door"], [*windows, door, ("facade", gable)], (100, 100))


def solar_panels(folder: Path) -> None:
    """300 slanted panels with sharp corners, in rows; the last of each row sticks out by half a pixel."""
    panels: list[Object] = []
    for row in range(15):
        for column in range(20):
            x, y = 20.5 * column + (0.0 if column < 19 else 1.0), 12.0 * row + 1
            panels.append(("panel", [(x, y), (x + 18, y + 3), (x + 20, y + 9), (x + 3, y + 7)]))
    public(folder, ["panel"], panels, (410, 190))


def instance_set(folder: Path) -> None:
    """Apples, of which two lie on one another, and a heap of them that is one crowd; a leaf too thin for a pixel."""
    apples: list[Object] = [
        ("apple", [(x, y), (x + 9.0, y - 4.0), (x + 18.0, y), (x + 9.0, y + 14.0)])
        for x, y in ((5, 6), (15, 8), (40, 6))
    ]
    heap = [(10.0, 30.0), (60.0, 30.0), (60.0, 46.0), (10.0, 46.0)]
    leaf: Object = ("leaf", [(50.2, 20.2), (50.4, 20.2), (50.4, 26.4)])
    public(folder, ["apple", "leaf"], [*apples, ("apple", heap), leaf], (WIDTH, HEIGHT))
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][3] |= {"iscrowd": 1, "segmentation": run_lengths(heap)}
    path.write_text(json.dumps(content))
