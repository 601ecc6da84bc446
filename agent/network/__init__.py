"""Put containers on networks: what the kernel shall hold, and how it is told."""
