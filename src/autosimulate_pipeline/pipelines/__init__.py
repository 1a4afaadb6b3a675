"""The Kedro pipelines: thin nodes around the domain packages."""
