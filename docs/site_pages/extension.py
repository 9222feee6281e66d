"""What the site does beyond Sphinx: names in text lead to their reference, docstrings become reStructuredText."""

import inspect
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

import oddgan
from oddgan.face import Face

from . import api, docstrings

NAME = re.compile(r"^(oddgan(?:\.\w+)+)(?:\(.*\))?$")
METHOD = re.compile(r"^det\.(\w+)(?:\(.*\))?$")
COMMAND = re.compile(r"^oddgan ([a-z]+)$")


def code_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = ()
) -> Any:
    """What single backquotes mean in docstrings: code."""
    return [nodes.literal(rawtext, text, classes=["py"])], []


class Linked(SphinxPostTransform):
    """Code in text that names something of the reference becomes a link to it; types in signatures that are not in the
    reference (arrays, letters for sizes) lose theirs."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        objects = {name for name, *_ in self.env.get_domain("py").get_objects()}
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link.get("refdomain") == "py":
                self._decide(link, objects)
        for node in list(self.document.findall(nodes.literal)):
            if not isinstance(node.parent, nodes.reference | addnodes.pending_xref):
                self._link(node, objects)

    def _decide(self, link: Any, objects: set[str]) -> None:
        """Keep a link to a public name, by its public path, and no other."""
        target = link["reftarget"].removeprefix("~")
        home = target if target in objects else api.homes().get(target.rpartition(".")[2])
        if home is not None and home in objects and home.rpartition(".")[2][:1].isupper():
            link["reftarget"] = home
        elif target not in objects or "." not in target:
            shown = [one for one in link.children if getattr(one, "attributes", {}).get("condition") != "*"]
            link.replace_self([inner for one in shown for inner in (one.children if "condition" in one else [one])])

    def _link(self, node: Any, objects: set[str]) -> None:
        text = node.astext()
        attributes = {"refdoc": self.env.docname, "refwarn": False, "refexplicit": True}
        found, method, command = NAME.match(text), METHOD.match(text), COMMAND.match(text)
        if found and found[1] in objects:
            attributes |= {"refdomain": "py", "reftype": "obj", "reftarget": found[1]}
        elif method and f"oddgan.Detector.{method[1]}" in objects:
            attributes |= {"refdomain": "py", "reftype": "obj", "reftarget": f"oddgan.Detector.{method[1]}"}
        elif command and command[1] in self.config.oddgan_commands:
            attributes |= {"refdomain": "std", "reftype": "ref", "reftarget": f"command-{command[1]}"}
        else:
            return
        node.replace_self(addnodes.pending_xref("", node.deepcopy(), **attributes))


def process_docstring(app: Sphinx, what: str, name: str, one: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon reads it."""
    if api.detector_of(one) and "Other Parameters" in lines:
        del lines[lines.index("Other Parameters") :]
    if one is oddgan.Detector:
        lines[:] = inspect.getdoc(Face).splitlines()  # which says what a fit leaves
    lines[:] = docstrings.restructured(lines)


def process_signature(
    app: Sphinx, what: str, name: str, one: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None] | None:
    """Of a detector no signature: it has dozens of keywords, which are listed below it."""
    if inspect.isclass(one) and api.detector_of(one):
        return "(**parameters)", None
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    from oddgan.cli.app import app_for

    app.add_role("oddgan", code_role)
    app.add_post_transform(Linked)
    app.add_config_value("oddgan_commands", sorted(one.name for one in app_for(["score"]).registered_commands), "env")
    app.connect("autodoc-process-docstring", process_docstring, priority=100)
    app.connect("autodoc-process-signature", process_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
