"""From a fitted detector to a folder that scores without torch.

    from oddgan.export import export
    export(detector, "bottle-onnx", train, to="onnx")      # threshold set anew, in the runtime; compared; written

`oddgan.runtime.Scorer` scores with it. How: `graph` makes one ONNX graph of preprocessing, networks and score terms;
`calibrating` finds the held-out rows again and scores them in the runtime; `parity` compares both, and an export that
does not answer as the detector does is not written.
"""

from .exporting import export

__all__ = ["export"]
