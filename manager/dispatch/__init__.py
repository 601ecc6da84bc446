"""Tell each node what it has to do, and believe what it says of itself."""
