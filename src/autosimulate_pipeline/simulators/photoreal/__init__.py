"""Photorealistic images: CAD models dropped on furniture by PhysX, path-traced by Blender Cycles."""
