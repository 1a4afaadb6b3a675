"""What all simulators in Blender share; it runs in worker processes."""
