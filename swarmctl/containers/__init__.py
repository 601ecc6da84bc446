"""Containers of one host: what flags ask for, and what is shown of them."""
