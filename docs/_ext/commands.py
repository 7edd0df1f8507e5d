"""The directive `commands`: what each command of a typer application prints with ``--help``."""

from importlib import import_module

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from typer.testing import CliRunner

WIDTH = "92"  # columns of the help texts


def help_texts(application: str, program: str) -> dict[str, str]:
    """Command -> its help, from "module:attribute" and what is typed in front of a command."""
    module, _, attribute = application.partition(":")
    app = getattr(import_module(module), attribute)
    style, app.rich_markup_mode = app.rich_markup_mode, None  # plain text, no boxes
    try:
        names = [one.name or one.callback.__name__ for one in app.registered_commands]
        return {name.replace("_", "-"): printed(app, program, name) for name in names}
    finally:
        app.rich_markup_mode = style


def printed(app, program: str, name: str) -> str:
    """What one command prints."""
    environment = {"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    command = name.replace("_", "-")
    result = CliRunner().invoke(app, [command, "--help"], prog_name=program, env=environment)
    if result.exit_code:
        raise RuntimeError(f"{program} {command} --help failed: {result.output}")
    return result.output.strip()


class Commands(SphinxDirective):
    """A section a command, with its help."""

    required_arguments = 2  # module:application, and what to type in front of a command
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        application, program = self.arguments
        short = program.split()[-1]
        return [
            self.section(f"{short} {name}", text)
            for name, text in help_texts(application, program).items()
        ]

    def section(self, title: str, text: str) -> nodes.section:
        """Everything about one command."""
        made = nodes.section(ids=[nodes.make_id(title)], names=[nodes.fully_normalize_name(title)])
        made += nodes.title("", "", nodes.literal("", title))
        made += nodes.literal_block(text, text, language="text", classes=["help"])
        return made


def setup(app) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
