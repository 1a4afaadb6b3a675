"""The tables in a PLY file, ASCII or binary (Turk, The PLY Polygon File Format 1994)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_KINDS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "int64": "i8", "uint64": "u8",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "ascii", "binary_little_endian": "<", "binary_big_endian": ">"}
_MAX_HEADER_BYTES = 1_000_000
_MAX_LIST = 100_000  # numbers in one list


@dataclass(frozen=True)
class Property:
    """A number, or where `count_kind` is given a list, of each row of an element; kinds are NumPy's."""

    name: str
    kind: str
    count_kind: str | None = None


@dataclass
class Element:
    """Rows of the file; values of its properties: a number of each row, or of a list the sizes and all its numbers."""

    name: str
    num_rows: int
    properties: list[Property] = field(default_factory=list)
    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    lists: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=dict)


def read_tables(content: bytes) -> tuple[dict[str, Element], list[str]]:
    """The elements of the file by name, and the pictures that its comments name.

    Raises:
        ValueError, LookupError: if it is malformed or cut off.
    """
    elements, pictures, order, start = _read_header(content)
    if order == "ascii":
        _read_ascii(elements, content[start:].split())
    else:
        _read_binary(elements, content, start, order)
    return {element.name: element for element in elements}, pictures


def _read_header(content: bytes) -> tuple[list[Element], list[str], str, int]:
    """Elements, pictures, `ascii` or NumPy's mark of the bytes' order, and where the values begin."""
    lines = content[:_MAX_HEADER_BYTES].split(b"\n")
    if lines[0].strip() != b"ply":
        raise ValueError("it must begin with a line 'ply'")
    elements: list[Element] = []
    pictures: list[str] = []
    order, start = "", len(lines[0]) + 1
    for line in lines[1:]:
        start += len(line) + 1
        text = line.decode("utf-8", errors="replace").strip()
        words = text.split()
        if words[:1] == ["end_header"]:
            return elements, pictures, _ORDERS[order], start
        if words[:1] == ["format"]:
            order = words[1]
        elif words[:1] == ["element"]:
            elements.append(Element(words[1], int(words[2])))
        elif words[:2] == ["property", "list"]:
            elements[-1].properties.append(Property(words[4], _KINDS[words[3]], _KINDS[words[2]]))
        elif words[:1] == ["property"]:
            elements[-1].properties.append(Property(words[2], _KINDS[words[1]]))
        elif words[:1] == ["comment"] and len(words) > 2 and words[1].lower() == "texturefile":
            pictures.append(text.split(maxsplit=2)[2])
    raise ValueError("its header has no end")


def _read_ascii(elements: list[Element], words: list[bytes]) -> None:
    """Fills the elements with the numbers of the words."""
    numbers = np.fromiter(map(float, words), np.float64, len(words))
    position = 0
    for element in elements:
        sizes = {prop.name: np.zeros(element.num_rows, dtype=np.int64) for prop in element.properties}
        _check_rows(element, len(numbers) - position, len(element.properties))
        if not any(prop.count_kind for prop in element.properties):
            end = position + element.num_rows * len(element.properties)
            table = numbers[position:end].reshape(element.num_rows, len(element.properties))
            element.values = {prop.name: table[:, index] for index, prop in enumerate(element.properties)}
            position = end
            continue
        slices: dict[str, list[NDArray[np.float64]]] = {prop.name: [] for prop in element.properties}
        for row in range(element.num_rows):
            for prop in element.properties:
                size = 1
                if prop.count_kind:
                    size, position = _size(numbers[position]), position + 1
                sizes[prop.name][row] = size
                slices[prop.name].append(numbers[position : position + size])
                position += size
            if position > len(numbers):
                raise ValueError(f"it must have {element.num_rows} rows of {element.name}, and ends after {row}")
        _take(element, sizes, slices)


def _read_binary(elements: list[Element], content: bytes, start: int, order: str) -> None:
    """Fills the elements with the numbers of the bytes from `start` on."""
    position = start
    for element in elements:
        _check_rows(element, len(content) - position, _row_type(element, order, {}).itemsize)
        row_sizes = _first_sizes(element, content, position, order)
        row = _row_type(element, order, row_sizes)
        if position + element.num_rows * row.itemsize <= len(content):
            table = np.frombuffer(content, row, element.num_rows, position)
            if all((table[f"#{name}"] == size).all() for name, size in row_sizes.items()):
                for prop in element.properties:
                    values = table[prop.name].astype(np.float64)
                    if prop.count_kind:
                        sizes = np.full(element.num_rows, row_sizes[prop.name], dtype=np.int64)
                        element.lists[prop.name] = sizes, values.reshape(-1)
                    else:
                        element.values[prop.name] = values
                position += element.num_rows * row.itemsize
                continue
        position = _read_rows(element, content, position, order)


def _read_rows(element: Element, content: bytes, position: int, order: str) -> int:
    """Fills an element whose lists differ in size; where its last row ends."""
    sizes = {prop.name: np.zeros(element.num_rows, dtype=np.int64) for prop in element.properties}
    slices: dict[str, list[NDArray[np.float64]]] = {prop.name: [] for prop in element.properties}
    for row in range(element.num_rows):
        for prop in element.properties:
            size = 1
            if prop.count_kind:
                kind = np.dtype(order + prop.count_kind)
                size, position = _size(_bytes(content, kind, 1, position)[0]), position + kind.itemsize
            kind = np.dtype(order + prop.kind)
            sizes[prop.name][row] = size
            slices[prop.name].append(_bytes(content, kind, size, position))
            position += size * kind.itemsize
    _take(element, sizes, slices)
    return position


def _bytes(content: bytes, kind: np.dtype[np.generic], size: int, position: int) -> NDArray[np.float64]:
    if position + size * kind.itemsize > len(content):
        raise ValueError("it is cut off")
    return np.frombuffer(content, kind, size, position)


def _take(element: Element, sizes: dict[str, NDArray[np.int64]], slices: dict[str, list[NDArray[np.float64]]]) -> None:
    for prop in element.properties:
        values = np.concatenate([np.empty(0), *slices[prop.name]])
        if prop.count_kind:
            element.lists[prop.name] = sizes[prop.name], values
        else:
            element.values[prop.name] = values


def _row_type(element: Element, order: str, sizes: dict[str, int]) -> np.dtype[np.void]:
    """A row whose lists have these sizes (0 where none is given); the size of the list x is the field #x."""
    fields: list[tuple[str, str, tuple[int, ...]]] = []
    for prop in element.properties:
        if prop.count_kind:
            fields.append((f"#{prop.name}", order + prop.count_kind, ()))
        fields.append((prop.name, order + prop.kind, (sizes.get(prop.name, 0),) if prop.count_kind else ()))
    return np.dtype(fields)


def _first_sizes(element: Element, content: bytes, position: int, order: str) -> dict[str, int]:
    """The sizes of the lists of the first row."""
    sizes: dict[str, int] = {}
    for prop in element.properties if element.num_rows else ():
        kind = np.dtype(order + prop.kind)
        if prop.count_kind:
            count_kind = np.dtype(order + prop.count_kind)
            sizes[prop.name] = _size(_bytes(content, count_kind, 1, position)[0])
            position += count_kind.itemsize
        position += kind.itemsize * sizes.get(prop.name, 1)
    return sizes


def _size(number: float) -> int:
    if not 0 <= number < _MAX_LIST:
        raise ValueError(f"lists must have 0 to {_MAX_LIST} numbers, got {number}")
    return int(number)


def _check_rows(element: Element, num_left: int, least: int) -> None:
    if not 0 <= element.num_rows <= num_left // max(least, 1):
        raise ValueError(f"it announces {element.num_rows} rows of {element.name}, and is too short for them")
