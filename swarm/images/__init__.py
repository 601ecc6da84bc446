"""Name, describe and trust container images, without touching a disk or a network."""
