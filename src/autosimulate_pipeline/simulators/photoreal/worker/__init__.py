"""The photorealistic images: Blender's side, in worker processes."""
