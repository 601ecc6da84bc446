"""One module per noun: flags and output. What talks is in `swarmctl.io`."""
