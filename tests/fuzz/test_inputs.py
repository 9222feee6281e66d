"""Pictures, arrays and tables that are damaged: each is refused with an error of oddgan's, or is read. No other
exception, no endless work, no memory beyond a bound."""

import collections
import gzip
import io
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mutations import TookTooLong, mutants, within
from PIL import Image

from oddgan.errors import OddganError
from oddgan.rows import open_rows

SECONDS = 5.0
MEMORY = (
    600 << 20
)  # bytes beyond what was in use before the first mutant: a picture of the largest size that is decoded
PARQUET = 2 << 30  # pyarrow reserves what a page says that it unpacks to
EACH = 10_000


def _grey():
    ramp = np.add.outer(np.arange(20), np.arange(24)) * 5
    return (ramp + np.random.default_rng(0).integers(0, 20, (20, 24))).astype(np.uint8)


def _picture(form, mode="L", **how):
    def make():
        grey = _grey()
        image = Image.fromarray(grey)
        if mode == "I;16":
            image = Image.fromarray(grey.astype(np.uint16) * 200)
        elif mode == "F":
            image = Image.fromarray(grey.astype(np.float32))
        elif mode != "L":
            image = Image.fromarray(np.dstack([grey, 255 - grey, grey // 2])).convert(mode)
        file = io.BytesIO()
        image.save(file, form, **how)
        return file.getvalue()

    return make


def _pages():
    file, images = io.BytesIO(), [Image.fromarray(np.roll(_grey(), shift, 0)) for shift in range(4)]
    images[0].save(file, "TIFF", save_all=True, append_images=images[1:])
    return file.getvalue()


def _npy():
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).normal(size=(30, 5)))
    return file.getvalue()


def _npz(save):
    def make():
        file, random = io.BytesIO(), np.random.default_rng(0)
        save(file, x_train=random.normal(size=(20, 4)), x_test=random.normal(size=(9, 4)), y_test=np.arange(9) % 2)
        return file.getvalue()

    return make


def _lzma():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("X.npy", _npy())
    return file.getvalue()


def _idx():
    pictures = np.stack([_grey()] * 4)
    return struct.pack(">2xBB3I", 8, 3, *pictures.shape) + pictures.tobytes()


def _csv():
    random = np.random.default_rng(0)
    lines = ['a,b,"c, quoted",d']
    lines += [f'{random.normal():.4f},{i},"{random.choice(["x", "y, z"])}",{i % 7}' for i in range(40)]
    return "\n".join(lines).encode()


def _parquet():
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    random, file = np.random.default_rng(0), io.BytesIO()
    pq.write_table(
        pa.table({"n": random.normal(size=40), "i": np.arange(40), "c": ["x", "y"] * 20, "b": [True, False] * 20}), file
    )
    return file.getvalue()


FORMATS = {
    "grey.png": _picture("PNG"),
    "colour.png": _picture("PNG", "RGB"),
    "palette.png": _picture("PNG", "P"),
    "bits.png": _picture("PNG", "1"),
    "deep.png": _picture("PNG", "I;16"),
    "alpha.png": _picture("PNG", "RGBA"),
    "greyalpha.png": _picture("PNG", "LA"),
    "grey.jpg": _picture("JPEG"),
    "cmyk.jpg": _picture("JPEG", "CMYK"),
    "colour.bmp": _picture("BMP", "RGB"),
    "palette.bmp": _picture("BMP", "P"),
    "bits.bmp": _picture("BMP", "1"),
    "grey.tif": _picture("TIFF"),
    "packed.tif": _picture("TIFF", "RGB", compression="tiff_lzw"),
    "float.tif": _picture("TIFF", "F"),
    "deflated.tif": _picture("TIFF", "P", compression="tiff_adobe_deflate"),
    "fax.tif": _picture("TIFF", "1", compression="group4"),
    "jpeg.tif": _picture("TIFF", "RGB", compression="jpeg"),
    "deep.tif": _picture("TIFF", "I;16", compression="packbits", big_tiff=True),
    "pages.tif": _pages,
    "colour.webp": _picture("WEBP", "RGB"),
    "alpha.webp": _picture("WEBP", "RGBA", lossless=True),
    "rows.npy": _npy,
    "stored.npz": _npz(np.savez),
    "deflated.npz": _npz(np.savez_compressed),
    "lzma.npz": _lzma,
    "t10k-images-idx3-ubyte": _idx,
    "t10k-images-idx3-ubyte.gz": lambda: gzip.compress(_idx(), mtime=0),
    "rows.csv": _csv,
    "rows.csv.gz": lambda: gzip.compress(_csv(), mtime=0),
    "rows.parquet": _parquet,
}


def outcome(path):
    """What comes of reading all rows of the file: "read", "refused", or what must not be."""
    try:
        with within(SECONDS):
            rows = open_rows(path)
            for start in range(0, len(rows), 64):
                rows.taken(start, min(start + 64, len(rows)))
            if rows.kind == "pictures":
                rows.header(0)
        return "read"
    except OddganError as error:
        return "refused" if path.name.split(".")[0] in str(error) else f"no name of a file: {error}"
    except (Exception, TookTooLong) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"


def outcomes(name, folder, n, seed):
    """How often each outcome came, and those that must not be."""
    whole, mutant = FORMATS[name](), Path(folder) / name
    mutant.write_bytes(whole)
    assert outcome(mutant) == "read"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts, failed = collections.Counter(), []
    for i, data in enumerate(mutants(whole, n, seed)):
        mutant.write_bytes(data)
        result = outcome(mutant)
        counts[result if result in ("read", "refused") else "FAILED"] += 1
        if result not in ("read", "refused"):
            failed.append(f"{name}, seed {seed}, mutant {i} -> {result}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > (PARQUET if name.endswith("parquet") else MEMORY):
        failed.append(f"{name}: memory grew by {grown >> 20} MiB")
    return counts, failed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_refused_or_read(name, tmp_path):
    _, failed = outcomes(name, tmp_path, 300, seed=0)
    assert failed == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FORMATS)
def test_ten_thousand_of_each_format(name, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, name, tmp_path, str(EACH)], capture_output=True, text=True
    )
    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]


def main(name, folder, n, seed=1):
    counts, failed = outcomes(name, folder, int(n), int(seed))
    sys.stdout.write("\n".join([f"{name} {dict(sorted(counts.items()))}", *failed[:20], ""]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
