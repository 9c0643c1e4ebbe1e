"""Two small things for Sphinx: docstrings as reStructuredText, and the help of the commands.

The docstrings are written to be read in a terminal: formulas are indented, arrays have shapes
such as (B, C, *space). Here a formula becomes a literal block and * | _ lose their meaning.
"""

import re
from typing import Any

CODE = re.compile(r"(``.+?``|:\w+:`.+?`)")
SPECIAL = re.compile(r"(?<!\\)([*|])|(?<=\w)(_)(?=\W|$)")
INDENTED = re.compile(r"\s{4}")
PARAMETER = re.compile(r"(\w+(?:, \w+)*) : (.*)")  # "rank : number of modes, or ..."
SECTION = re.compile(r"-{3,}$")


def escape(line: str) -> str:
    """``line`` with * | and a trailing _ as text, outside code."""
    parts = CODE.split(line)
    parts[::2] = [SPECIAL.sub(lambda m: "\\" + m.group(0), part) for part in parts[::2]]
    return "".join(parts)


def described(lines: list[str]) -> list[str]:
    """Parameters as "name", and what stands after the colon as the beginning of the text.

    Our docstrings put the description right after the colon, where numpydoc has a type.
    """
    result: list[str] = []
    inside = False
    for i, line in enumerate(lines):
        if SECTION.match(line):
            inside = lines[i - 1].strip() == "Parameters"
        found = PARAMETER.match(line) if inside else None
        result += [found[1], f"    {found[2]}"] if found else [line]
    return result


def readable(lines: list[str]) -> list[str]:
    """Formulas, which are indented after a blank line, as literal blocks."""
    result: list[str] = []
    literal = False
    for i, line in enumerate(lines):
        after_blank = i > 0 and not lines[i - 1].strip()
        if literal and line.strip() and not INDENTED.match(line):
            literal = False
        if not literal and INDENTED.match(line) and line.strip() and after_blank:
            result += ["::", ""]
            literal = True
        result.append(line if literal or line.startswith(">>>") else escape(line))
    return result


def on_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon: the lines of one docstring, changed in place."""
    lines[:] = readable(described(lines))
    if what in ("property", "attribute") and lines:
        lines[0] = lines[0].replace(": ", "; ")  # napoleon takes what is before a colon for a type


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx; imports it only here, so that tests can collect this file without it."""
    import click
    from docutils import nodes
    from docutils.parsers.rst import Directive

    import romae.cli

    class RomaeHelp(Directive):
        """``{romae-help} fit``: what ``romae fit --help`` prints."""

        optional_arguments = 2

        def run(self) -> list[nodes.Node]:
            command: Any = romae.cli.main
            context = click.Context(command, info_name="romae", terminal_width=88)
            for name in self.arguments:
                command = command.get_command(context, name)
                context = click.Context(command, context, name, terminal_width=88)
            text = command.get_help(context)
            return [nodes.literal_block(text, text, language="none")]

    app.add_directive("romae-help", RomaeHelp)
    app.connect("autodoc-process-docstring", on_docstring, priority=100)
    return {"parallel_read_safe": True}
