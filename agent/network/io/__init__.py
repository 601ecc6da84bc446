"""Talk to the kernel about networks."""
