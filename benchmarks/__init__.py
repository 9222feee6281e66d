"""What oddgan's figures rest on, in four rooms. Run everything from the repository's root.

    speed/      oddgan's speed beside its peers': `python -m benchmarks.speed`
    studies/    trainings and timings that a page or a default rests on: `python -m benchmarks.studies.NAME`
    pages/      the pages of docs/ that show results: `python -m benchmarks.pages.NAME`
    results/    what the other rooms write and read: lines of JSON, committed

Real data is read where ODDGAN_DATA points.
"""
