"""Run folders: record, provenance, lock."""
