"""Give networks their subnets, and services and tasks their addresses."""
