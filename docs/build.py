"""Builds the documentation site: `make docs`, or

    python docs/build.py [FOLDER]         # by default build/docs; open FOLDER/index.html

The pages of docs/ are Markdown that reads well on GitHub. They are copied, changed where a site can do more (`site/`),
joined by the reference that is generated from the code, and built by Sphinx, for which every warning is an error.
"""

import sys
from pathlib import Path

from sphinx.cmd.build import main as sphinx

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from site_pages import api, checks, cli, pages  # noqa: E402  # found by the line above


def build(out: Path, arguments: list[str]) -> int:
    """Build the site into `out`, and return an exit code: Sphinx's, or 1 where `checks` finds a problem."""
    source = out.parent / f"{out.name}-source"
    files = pages.of(ROOT) | api.files() | cli.files()
    pages.write(source, files)
    options = ["-W", "--keep-going", "-n", "-q", "-a", "-j", "auto", "-c", str(HERE), *arguments]
    if code := sphinx([*options, str(source), str(out)]):
        return code
    found = checks.problems(out)
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    code = build(folder.resolve(), sys.argv[2:])
    if not code:
        sys.stdout.write(f"open {folder / 'index.html'}\n")
    sys.exit(code)
