"""A fitted model, as a value: how it scores, explains, and is kept in a file."""
