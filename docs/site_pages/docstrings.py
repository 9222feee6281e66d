"""The code's docstrings as reStructuredText. They are written to be read as they are, in an editor or by `help`."""

import re

ROW = re.compile(r"^( *)(\w+) {2,}(\S.*)$")
PAGE = re.compile(r"\bdocs/([\w/]+)\.md\b")
SECTION = re.compile(r"^-{3,}$")


def escaped(text: str) -> str:
    """Text in which nothing is markup but what stands between backquotes."""
    text = PAGE.sub(r":doc:`/\1`", text)
    parts = re.split(r"((?::doc:)?`[^`]+`|``.+?``)", text)
    return "".join(
        part if i % 2 else re.sub(r"([*|\\]|(?<=\w)_(?=\W|$))", r"\\\1", part) for i, part in enumerate(parts)
    )


def restructured(lines: list[str]) -> list[str]:
    """A docstring's lines: indented blocks become literal ones, lists get their blank line."""
    lines = defined(lines)
    out: list[str] = []
    block: int | None = None  # the indent of the literal block that is being read
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent < block:
            block = None
        if block is None and line.strip() and out and not out[-1].strip():
            before = next((one for one in reversed(out) if one.strip()), "")
            under = len(before) - len(before.lstrip())
            if before and indent >= under + 4 and not before.rstrip().endswith("::"):
                out += [f"{' ' * under}::", ""]
                block = indent
        if block is None and re.match(r"\s*- ", line) and out and out[-1].strip():
            previous = out[-1]
            if not re.match(r"\s*- ", previous) and not previous.startswith(" " * (indent + 2)):
                out.append("")
        heading = i + 1 < len(lines) and SECTION.match(lines[i + 1].strip())
        plain = block is not None or heading or SECTION.match(line.strip()) or _declares(line)
        out.append(line if plain else escaped(line))
    return out


def defined(lines: list[str]) -> list[str]:
    """Names in one column and what they mean in another become a list of definitions."""
    out: list[str] = []
    column: int | None = None  # where the meanings begin in the list that is being read
    for i, line in enumerate(lines):
        found = ROW.match(line)
        following = lines[i + 1] if i + 1 < len(lines) else ""
        if found and column is None:
            begins = found.start(3)
            again = ROW.match(following)
            continues = following[:begins].strip() == "" and following[begins : begins + 1].strip()
            column = begins if (again and again.start(3) == begins) or continues else None
        if column is not None and found and found.start(3) == column:
            out += [f"{found[1]}{found[2]}", f"{found[1]}    {found[3]}"]
        elif column is not None and line.strip() and not line[:column].strip():
            out[-1] += f" {line.strip()}"
        else:
            column = None
            out.append(line)
    return out


def _declares(line: str) -> bool:
    """Whether a line is `name : type`, which napoleon reads."""
    return re.match(r"^[\w*, ]+ : ", line) is not None or re.match(r"^[\w.]+(, [\w.]+)*$", line) is not None
