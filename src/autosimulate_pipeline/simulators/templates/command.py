"""A render command to start from: a ball and a box, drawn with NumPy. Any program in any language may take its place.

Its last argument is the path of the request; it writes annotations.json (COCO) and images/ to the request's folder.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

request = json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8"))
assert request["protocol_version"] == 1, f"protocol version 1 is wanted, got {request['protocol_version']}"
folder, images, annotations = Path(request["output_folder"]), [], []
(folder / "images").mkdir()
x, y = np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48))
for scene in request["scenes"]:
    parameters, generator = scene["parameters"], np.random.default_rng(scene["seed"])
    assert parameters.keys() == {"brightness", "ball_x", "box_x"}, f"other scene parameters than mine: {parameters}"
    ball = (x - parameters["ball_x"]) ** 2 + (y + 0.3) ** 2 < 0.09
    box = np.maximum(abs(x - parameters["box_x"]), abs(y - 0.3)) < 0.27
    colours = np.full((48, 48, 3), 0.4)
    colours[ball], colours[box] = generator.random((2, 3))
    lit = colours * parameters["brightness"] / 50 + generator.normal(0, 0.05, colours.shape)
    images.append({"id": scene["id"], "file_name": f"{scene['id']}.png", "width": 48, "height": 48})
    Image.fromarray((lit.clip(0, 1) * 255).astype(np.uint8)).save(folder / "images" / images[-1]["file_name"])
    for category_id, mask in enumerate([ball & ~box, box], start=1):  # the box hides the ball
        rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        about = {"id": 2 * scene["id"] + category_id, "image_id": scene["id"], "category_id": category_id}
        segmentation = {"size": [48, 48], "counts": rle["counts"].decode()}
        annotations.append(about | {"segmentation": segmentation, "bbox": coco_mask.toBbox(rle).tolist()})
categories = [{"id": number, "name": name} for number, name in enumerate(request["categories"], start=1)]
content = {"info": {"protocol_version": 1}, "images": images, "annotations": annotations, "categories": categories}
(folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
