"""A simulator that is a command in any language: docs/own_simulator.md has the protocol."""
