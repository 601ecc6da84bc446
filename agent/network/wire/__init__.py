"""Speak netlink: every message is a pure function of values, and every answer becomes values."""
