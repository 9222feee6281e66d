"""Simulated anomalies of normal rows: to train detectors that learn from them, and to see without a
labelled anomaly which configuration would find some.

- `pictures`: `pictures.anomalous`, and what it is made of: Perlin noise (`noise`) and textures (`colours`); NumPy alone
- `tables`: `tables.anomalous`; NumPy alone
"""

from . import pictures, tables

__all__ = ["pictures", "tables"]
