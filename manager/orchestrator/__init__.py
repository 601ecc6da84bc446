"""Plan services: compare what is wanted with what there is, and say what to change."""
