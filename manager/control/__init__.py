"""Turn an operator's request into one commit, or say why not."""
