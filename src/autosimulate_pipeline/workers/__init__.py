"""A pool of worker processes, here or on a cluster; it knows no simulator."""
