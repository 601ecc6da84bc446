"""Programs that run in containers of the tests; the standard library is all they have."""
