"""Choose nodes for tasks: a table of nodes, filters that can say whom they refused, and a fill."""
