"""From score terms to a verdict, in NumPy alone."""
