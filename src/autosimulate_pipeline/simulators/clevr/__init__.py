"""CLEVR: coloured shapes on a plane, rendered by Blender."""
