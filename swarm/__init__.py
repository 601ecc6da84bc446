"""The language that all parts of the swarm share."""

__version__ = "0.1.0"
