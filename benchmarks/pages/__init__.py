"""Pages of docs/, written from committed results: `python -m benchmarks.pages.NAME`. Nothing is measured here."""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
