"""Eight toys and tools of our own design, of the kinds that LINEMOD has.

Millimetres; z is up, the front looks along -y.
"""

from __future__ import annotations

from math import cos, pi, sin

from autosimulate_pipeline.simulators.photoreal.sculpting import (
    Colour,
    Cut,
    Paint,
    Part,
    Sculpture,
    Vector,
    box,
    common,
    cylinder,
    ellipsoid,
    limb,
    mirrored,
    ring,
    stripes,
    without,
)

BLACK: Colour = (24, 23, 26)
WHITE: Colour = (244, 241, 232)
STEEL: Colour = (168, 172, 178)


def _eyes(position: Vector, radius: float, iris: Colour, pupil: float) -> tuple[Paint, ...]:
    """Two eyes that look along -y, with a glint each."""
    x, y, z = position
    return (
        Paint(mirrored(ellipsoid(position, radius)), WHITE),
        Paint(mirrored(ellipsoid((x * 0.94, y - radius, z), (pupil, radius * 1.5, pupil))), iris),
        Paint(mirrored(ellipsoid((x * 0.94, y - radius, z), (pupil * 0.6, radius * 1.5, pupil * 0.6))), BLACK),
        Paint(ellipsoid((x * 0.94 + pupil * 0.4, y - radius, z + pupil * 0.5), (0.9, radius * 1.5, 0.9)), WHITE),
        Paint(ellipsoid((-x * 0.94 + pupil * 0.4, y - radius, z + pupil * 0.5), (0.9, radius * 1.5, 0.9)), WHITE),
    )


def ape() -> Sculpture:
    """A monkey that sits, scratches its head and holds a banana."""
    fur, skin = (116, 58, 34), (226, 180, 136)
    return Sculpture(
        parts=(
            Part(ellipsoid((0, 5, -14), (25, 22, 29)), fur),
            Part(ellipsoid((0, -3, 26), (23, 20, 20)), fur, 8),
            Part(ellipsoid((0, -17, 19), (14, 11, 10.5)), skin, 4),
            Part(mirrored(ellipsoid((23, 0, 28), (6, 4, 9))), fur, 3),
            Part(limb([(20, 3, 6), (41, 2, 14), (33, 1, 34), (20, -2, 44)], [8.5, 7.5, 6.5, 6]), fur, 5),
            Part(limb([(-20, 3, 6), (-34, -6, -10), (-24, -27, -13)], [8.5, 7.5, 6.5]), fur, 5),
            Part(ellipsoid((-22, -30, -12), (7.5, 7, 7)), skin, 2),
            Part(ellipsoid((17, -4, 45), (7, 6, 5)), skin, 2),
            Part(mirrored(limb([(14, 8, -33), (25, -20, -22), (19, -25, -40)], [12, 9, 7])), fur, 4),
            Part(mirrored(ellipsoid((19, -33, -41), (8.5, 14, 6.5))), skin, 2),
            Part(limb([(0, 22, -36), (16, 36, -38), (28, 35, -24), (20, 36, -8)], [5, 4.5, 4, 3.5]), fur, 5),
            Part(
                limb([(-25, -35, -30), (-21, -40, -12), (-27, -38, 6), (-33, -33, 12)], [3, 6, 5, 2]), (246, 208, 52), 1
            ),
        ),
        paints=(
            Paint(mirrored(ellipsoid((8, -22, 31), (10.5, 9, 9.5))), skin),
            Paint(mirrored(ellipsoid((25, -5, 28), (4, 5, 6))), skin),
            Paint(ellipsoid((0, -17, -12), (14, 10, 19)), skin),
            *_eyes((7.5, -20.5, 31), 4.2, (80, 44, 20), 2.6),
            Paint(mirrored(ellipsoid((3, -28, 22), (1.8, 3, 1.3))), BLACK),
            Paint(limb([(-8, -25, 15), (-4, -27, 12.5), (4, -27, 12.5), (8, -25, 15)], [1.1] * 4), (96, 34, 30)),
            Paint(ellipsoid((-34, -33, 13), 3.5), (88, 62, 30)),
            Paint(common(stripes((0, 0, 1), 3.2, 0.35, 1), ellipsoid((0, 8, 44), (9, 22, 9))), (74, 34, 20)),
        ),
        grain=0.07,
    )


def can() -> Sculpture:
    """An enamelled watering can with daisies."""
    enamel, trim = (96, 178, 168), (240, 122, 56)
    inside = cylinder((0, 0, -16), (38.5, 32.5), 64, 4)
    flowers: list[Paint] = []
    places = ((205, -52, 11), (245, -22, 9), (160, -18, 11), (335, -48, 12), (20, -18, 10), (65, -56, 9))
    for azimuth, height, size in places:
        x, y = 43 * cos(azimuth * pi / 180), 43 * sin(azimuth * pi / 180)
        petals = []
        for petal in range(6):
            across, up = size * cos(petal * pi / 3), size * sin(petal * pi / 3)
            turned = (azimuth + across / 43 * 180 / pi) * pi / 180
            petals.append(ellipsoid((43 * cos(turned), 43 * sin(turned), height + up), (size * 0.52,) * 3))
        flowers += [Paint(petal, WHITE) for petal in petals]
        flowers.append(Paint(ellipsoid((x, y, height), size * 0.5), (244, 190, 40)))
    return Sculpture(
        parts=(
            Part(without(cylinder((0, 0, -38), (46, 40), 52, 4), inside), enamel),
            Part(ring((0, 0, 12), 37, 4.4), trim, 1),
            Part(ring((0, 0, -86), 44, 4.2), trim, 1),
            Part(limb([(0, -36, -68), (0, -66, -40), (0, -104, 34)], [13, 9, 6]), enamel, 6),
            Part(cylinder((0, -110, 45), (7, 20), 9, 2, (37, 0, 0)), trim, 3),
            Part(limb([(0, 38, -62), (0, 68, -58), (0, 80, -24), (0, 66, 6), (0, 38, 8)], [5.5] * 5), trim, 4),
            Part(limb([(0, 38, 10), (0, 30, 48), (0, 0, 62), (0, -26, 46), (0, -36, 12)], [5] * 5), trim, 4),
            Part(limb([(0, -38, -20), (0, -72, -26)], [3, 3]), enamel, 3),
        ),
        paints=(
            *flowers,
            Paint(cylinder((0, 0, -37), (39.8, 35.2), 46, 0), (228, 224, 208)),
            Paint(common(ring((0, 0, -78), 44.5, 4), stripes((1, 0.3, 0), 9, 0.5)), WHITE),
            *(
                Paint(ellipsoid((r * cos(a), -115.4 - 0.6 * r * sin(a), 52.4 - 0.8 * r * sin(a)), 2.5), BLACK)
                for r, n in ((0, 1), (10.5, 7))
                for a in (2 * pi * k / n for k in range(n))
            ),
        ),
        grain=0.03,
    )


def cat() -> Sculpture:
    """A ginger cat that sits, its tail around its feet, with a collar and a bell."""
    ginger, dark, cream, pink = (222, 134, 54), (150, 76, 26), (247, 234, 212), (230, 140, 136)
    coat = without(ellipsoid((0, 20, 0), (60, 60, 80)), ellipsoid((0, -34, -6), (16, 24, 52)))
    return Sculpture(
        parts=(
            Part(ellipsoid((0, 18, -34), (31, 34, 25)), ginger),
            Part(limb([(0, 12, -28), (0, -8, 2), (0, -16, 20)], [25, 19, 14]), ginger, 8),
            Part(ellipsoid((0, -20, 36), (23, 19, 18.5)), ginger, 4),
            Part(mirrored(ellipsoid((5, -36, 29), (7.5, 6, 6))), cream, 4),
            Part(mirrored(limb([(14, -17, 46), (18.5, -15, 62)], [9, 1.5])), ginger, 3),
            Part(mirrored(limb([(11, -18, 4), (11, -27, -28), (10.5, -29, -52)], [9, 7, 6.5])), ginger, 4),
            Part(mirrored(ellipsoid((10.5, -34, -54), (8, 11, 6))), cream, 2),
            Part(mirrored(ellipsoid((26, 6, -40), (11, 22, 19))), ginger, 5),
            Part(mirrored(ellipsoid((26, -14, -54), (9, 15, 6))), ginger, 3),
            Part(
                limb([(6, 48, -50), (32, 48, -52), (46, 26, -53), (45, -4, -53), (34, -22, -52)], [8, 8, 7.5, 7, 5]),
                ginger,
                6,
            ),
            Part(ring((0, -16.5, 19), 16.5, 2.6, (12, 0, 0)), (40, 88, 176), 0.5),
            Part(ellipsoid((2, -35, 12.5), 4.6), (236, 190, 56), 0.5),
        ),
        paints=(
            Paint(common(stripes((0, 1, 0.35), 13, 0.36, 2.5), coat), dark, 0.85),
            Paint(common(stripes((1, 0, 0), 7, 0.4), ellipsoid((0, -20, 56), (13, 18, 12))), dark, 0.85),
            Paint(ellipsoid((0, -31, -6), (12, 14, 22)), cream),
            Paint(ellipsoid((30, -26, -52), 10), cream),
            Paint(mirrored(limb([(14.5, -22, 47), (18.3, -17.5, 58)], [5.5, 1.5])), pink),
            *_eyes((9, -34, 39), 5, (92, 160, 62), 3.6),
            Paint(ellipsoid((0, -42, 33), (3, 3, 2.2)), pink),
            Paint(limb([(0, -43, 31), (0, -43, 27)], [0.7, 0.7]), dark),
            Paint(mirrored(limb([(0, -43, 27), (4, -42, 24.5), (8, -39, 26)], [0.7] * 3)), dark),
            Paint(limb([(2, -40, 9.5), (2, -40, 12.5)], [0.9, 1.2]), BLACK),
            *(
                Paint(mirrored(limb([(8.5 + 4 * k, -50, -56), (8.5 + 4 * k, -42, -53)], [0.7, 0.7])), dark)
                for k in (0, 1)
            ),
        ),
        grain=0.06,
    )


def driller() -> Sculpture:
    """A cordless drill."""
    yellow, rubber, red = (240, 182, 24), (44, 44, 48), (200, 40, 34)
    return Sculpture(
        parts=(
            Part(cylinder((-22, 0, 62), 31, 48, 9, (0, 90, 0)), yellow),
            Part(cylinder((36, 0, 62), (28, 23), 20, 3, (0, 90, 0)), rubber, 1),
            Part(cylinder((66, 0, 62), (17, 19), 11, 2, (0, 90, 0)), rubber, 1),
            Part(cylinder((86, 0, 62), (19, 9), 12, 2, (0, 90, 0)), STEEL, 1),
            Part(limb([(90, 0, 62), (128, 0, 62), (134, 0, 62)], [4.5, 4.5, 1]), STEEL, 1),
            Part(box((-34, 0, 2), (21, 17, 52), 14, (0, 10, 0)), rubber, 8),
            Part(box((-4, 0, 28), (11, 8.5, 11), 4, (0, 12, 0)), red, 1),
            Part(box((-36, 0, -58), (54, 35, 12), 6), rubber, 4),
            Part(box((-36, 0, -78), (56, 37, 14), 6), yellow, 1),
            Part(cylinder((-38, 0, 90), 5, 7, 2), red, 2),
            Part(box((-14, 22, 42), (9, 4, 4), 2), rubber, 1),
            Part(box((-70, 12, 62), (4, 3, 16), 2), rubber, 1),
            Part(box((-70, -12, 62), (4, 3, 16), 2), rubber, 1),
        ),
        cuts=tuple(Cut(box((-54 + 8 * k, 0, 74), (1.6, 40, 9), 1), BLACK, 0.3) for k in range(3)),
        paints=(
            Paint(common(stripes((1, 0, 0), 5, 0.3), cylinder((66, 0, 62), 25, 9, 0, (0, 90, 0))), (92, 92, 96)),
            Paint(box((-36, 0, -78), (60, 40, 3.5), 0), rubber),
            Paint(box((-8, -32, 64), (24, 8, 8), 2), WHITE),
            Paint(common(stripes((1, 0, 0.4), 6.5, 0.5), box((-8, -32, 64), (19, 8, 3.5), 0)), red),
            Paint(box((-8, 32, 64), (18, 8, 10), 6), rubber),
            Paint(ellipsoid((-8, 32, 64), (7, 8, 7)), red),
            Paint(common(stripes((0, 0.2, 1), 6, 0.4), box((-60, 0, 0), (20, 30, 34), 0)), (70, 70, 76)),
            Paint(common(stripes((1, 0, 0.9), 5.2, 0.45), cylinder((112, 0, 62), 8, 20, 0, (0, 90, 0))), (92, 96, 104)),
            *(Paint(box((18, -30 + k * 3, -78), (3, 12, 3), 1), (60, 190, 80)) for k in (0, 1)),
        ),
        grain=0.03,
    )


def duck() -> Sculpture:
    """A rubber duck with a sailor's cap and a red scarf."""
    yellow, orange, navy, red = (250, 206, 40), (240, 124, 28), (36, 58, 122), (204, 44, 44)
    return Sculpture(
        parts=(
            Part(ellipsoid((0, 8, -17), (35, 45, 25)), yellow),
            Part(limb([(0, 38, -10), (0, 54, 10)], [15, 3.5]), yellow, 14),
            Part(ellipsoid((0, -20, 18), (23.5, 23, 22)), yellow, 8),
            Part(mirrored(ellipsoid((31, 12, -11), (8, 25, 13), (12, 0, -8))), yellow, 3),
            Part(mirrored(limb([(33, 30, -6), (34, 40, 2)], [6, 2.5])), yellow, 5),
            Part(ellipsoid((0, -46, 15.5), (13, 13, 4)), orange, 3),
            Part(ellipsoid((0, -42, 10.5), (10, 11, 3.6)), orange, 1.5),
            Part(ring((0, -16, 1), 22, 4.2, (-12, 0, 0)), red, 1),
            Part(limb([(14, -33, -2), (20, -36, -12), (22, -34, -22)], [4.5, 6, 5]), red, 2),
            Part(cylinder((5, -17, 40), (14, 16), 6, 2, (-6, 14, 0)), WHITE, 1),
            Part(cylinder((6, -16.5, 46.5), (18, 17), 3.4, 2.6, (-6, 14, 0)), WHITE, 1.5),
            Part(ellipsoid((7.3, -16.3, 51), 3.4), navy, 1),
        ),
        cuts=(Cut(box((0, 0, -60), (80, 80, 20), 0), None, 3),),
        paints=(
            Paint(cylinder((4.6, -17, 38.4), 25, 3, 0, (-6, 14, 0)), navy),
            *_eyes((10, -38, 24), 5.5, (40, 84, 160), 3.6),
            Paint(mirrored(limb([(6, -40, 31.5), (10, -38, 33), (14, -35, 31.5)], [0.9] * 3)), (170, 110, 20)),
            Paint(mirrored(ellipsoid((3.5, -54, 18.5), (1.2, 2, 1.2))), (150, 66, 16)),
            Paint(mirrored(ellipsoid((17, -36, 12), (4.5, 6, 4))), (250, 160, 70), 0.8),
            Paint(
                common(stripes((0, 1, -0.4), 9, 0.18), mirrored(ellipsoid((36, 14, -12), (9, 22, 10)))), (214, 158, 22)
            ),
            Paint(common(stripes((1, 1, 1), 7, 0.3), ellipsoid((20, -35, -12), (8, 8, 16))), WHITE),
        ),
        grain=0.025,
    )


def eggbox() -> Sculpture:
    """A carton for six eggs, with a label."""
    pulp, green, yolk = (172, 164, 150), (70, 132, 74), (244, 190, 60)
    cups = [(x, y) for x in (-47, 0, 47) for y in (-24, 24)]
    return Sculpture(
        parts=(
            Part(box((0, 0, -8), (73, 50, 5), 4), pulp),
            *(Part(cylinder((x, y, -21), (17, 24), 14, 6), pulp, 4) for x, y in cups),
            *(Part(ellipsoid((x, y, 2), (24, 24, 26)), pulp, 7) for x, y in cups),
            Part(box((0, 0, 10), (60, 38, 14), 6), pulp, 6),
            Part(box((14, -51, -3), (15, 4, 10), 3), pulp, 3),
            Part(limb([(-66, 50, -7), (66, 50, -7)], [4, 4]), pulp, 2),
        ),
        cuts=(
            Cut(without(box((0, 0, -3.4), (90, 70, 1.3), 0), box((0, 0, -3.4), (70, 47, 9), 4)), (92, 86, 78), 0.6),
            Cut(ellipsoid((14, -55, -1), (8, 3.5, 2.5)), (92, 86, 78), 1),
        ),
        paints=(
            Paint(box((-8, 0, 26), (46, 24, 14), 3), green),
            Paint(box((-8, 0, 26), (43, 21, 14), 3), WHITE),
            Paint(ellipsoid((-32, 0, 26), (11, 14, 20)), (214, 150, 96)),
            Paint(ellipsoid((-14, 0, 26), (11, 14, 20)), WHITE),
            Paint(without(ellipsoid((-14, 0, 26), (10, 13, 20)), ellipsoid((-14, 0, 26), (8.8, 11.8, 22))), green),
            Paint(ellipsoid((-14, -2, 26), (5, 5, 20)), yolk),
            Paint(common(stripes((0, 1, 0), 7, 0.4), box((16, 1, 26), (15, 16, 14), 0)), (52, 56, 60)),
            Paint(box((16, 12.5, 26), (15, 4, 14), 0), (190, 44, 40)),
            Paint(box((62, 0, 4), (5, 9, 9), 1), (206, 60, 50), 0.85),
        ),
        grain=0.11,
    )


def glue() -> Sculpture:
    """A flat bottle of glue with a red nozzle."""
    plastic, blue, red = (240, 236, 222), (34, 86, 164), (214, 48, 40)
    front, back = box((-18, 0, -30), (9, 30, 38), 4), box((18, 0, -30), (9, 30, 38), 4)
    return Sculpture(
        parts=(
            Part(box((0, 0, -32), (17.5, 36, 53), 15), plastic),
            Part(limb([(0, 0, 10), (0, 0, 36)], [17, 12]), plastic, 12),
            Part(cylinder((0, 0, 38), 13.5, 10, 2), plastic, 2),
            Part(cylinder((0, 0, 52), 14.5, 7, 1.5), red, 0.5),
            Part(cylinder((0, 0, 70), (11, 5), 16, 2), red, 2),
            Part(cylinder((0, 0, 87), 3.6, 6, 1.5), WHITE, 1),
            Part(ring((0, 0, 44.5), 14, 1.6), plastic, 0.5),
        ),
        cuts=(Cut(mirrored(ellipsoid((0, 52, -6), (30, 20, 26))), None, 6),),
        paints=(
            Paint(front, blue),
            Paint(box((-18, 0, -30), (9, 27.5, 35.5), 3), (250, 206, 56)),
            Paint(ellipsoid((-18, 0, -18), (9, 20, 17)), blue),
            Paint(limb([(-18, 9, -10), (-18, -6, -12), (-18, 6, -20), (-18, -8, -26)], [2.4] * 4), WHITE),
            Paint(common(stripes((0, 0, 1), 6, 0.4), box((-18, 0, -54), (9, 22, 9), 0)), blue),
            Paint(back, blue),
            Paint(common(stripes((0, 0, 1), 5, 0.36), box((18, 0, -24), (9, 25, 25), 0)), WHITE),
            Paint(box((18, 12, -58), (9, 12, 6), 0), WHITE),
            Paint(common(stripes((0, 1, 0), 2.7, 0.5), box((18, 12, -58), (9, 10, 4.5), 0)), BLACK),
            Paint(common(stripes((1, 1, 0), 4, 0.3), cylinder((0, 0, 52), 17, 6.5, 0)), (150, 26, 24)),
        ),
        grain=0.03,
    )


def holepuncher() -> Sculpture:
    """A hole puncher with a paper guide that is pulled out on one side."""
    blue, rubber, light = (38, 82, 158), (36, 36, 40), (206, 210, 214)
    return Sculpture(
        parts=(
            Part(box((0, 0, -38), (38, 50, 6), 4), rubber),
            Part(box((0, -20, -27), (34, 28, 8), 3), STEEL, 1),
            Part(mirrored(box((31, 18, -14), (3.5, 24, 24), 3)), STEEL, 1),
            Part(cylinder((0, 30, -2), 6, 38, 2, (0, 90, 0)), STEEL, 1),
            Part(mirrored(cylinder((37, 30, -2), 9, 2.5, 1, (0, 90, 0))), rubber, 0.5),
            Part(box((0, 2, 16), (27, 50, 6), 5, (-22, 0, 0)), blue, 1),
            Part(box((0, 26, 4), (26, 12, 12), 6), blue, 4),
            Part(ellipsoid((0, -42, 35), (27, 12, 7), (-14, 0, 0)), blue, 5),
            Part(mirrored(cylinder((18, -22, -8), 5, 17, 1)), light, 1),
            *(Part(mirrored(ring((18, -22, height), 8, 2.1)), rubber, 0.5) for height in (-13, -7.5, -2)),
            Part(box((44, -14, -35), (34, 7, 2.6), 1.5), light, 0.5),
            Part(box((75, -14, -31), (3, 16, 6), 2), rubber, 1),
        ),
        cuts=(Cut(box((0, -46, -29.5), (60, 24, 1.6), 0.5), rubber, 0.4),),
        paints=(
            Paint(common(stripes((0, 1, -0.4), 5, 0.4), box((0, -40, 40), (20, 12, 14), 3)), rubber),
            Paint(box((0, 6, 20), (17, 10, 12), 3, (-22, 0, 0)), WHITE),
            Paint(ellipsoid((-7, 6, 20), (5.5, 5.5, 14), (-22, 0, 0)), (204, 52, 44)),
            Paint(ellipsoid((7, 6, 20), (5.5, 5.5, 14), (-22, 0, 0)), blue),
            Paint(common(stripes((1, 0, 0), 5, 0.2), box((50, -18, -32), (24, 3.5, 3), 0)), BLACK),
            Paint(box((0, -48.5, -38), (1, 4, 3), 0), WHITE),
            Paint(mirrored(ellipsoid((40, 30, -2), (4, 3, 3))), STEEL),
        ),
        grain=0.035,
    )
