"""Grid searches: trials, one run each."""
