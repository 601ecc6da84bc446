"""Keep images on one node: what they hold, what to believe, what to forget."""
