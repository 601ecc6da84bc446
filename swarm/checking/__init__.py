"""The parts of `swarm.checks`, one subject each."""
