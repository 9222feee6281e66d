"""What oddgan is compared with: plain loops in the published order of steps, and PyOD in an environment of its own."""
