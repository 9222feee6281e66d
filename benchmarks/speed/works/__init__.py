"""What is timed: every module here has `WORKS`, functions of a `Plan` by the name of the work."""
