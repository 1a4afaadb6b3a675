"""Where objects lie: PhysX drops them, in worker processes."""
