"""Read compose files as what a swarm is to run, from text to service specs."""
