"""The pages of docs/ with what the code alone knows: `python docs/reference.py FOLDER` writes the site's source there.

The hand-written pages are copied. Beside them, in generated/, come tables that are read from the schema of routes.yaml,
the built-in plugins, the table of failures, the commands and the places where metrics are registered, so that they
cannot be wrong.
"""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import click

from gateway.cli.main import main as main_command
from gateway.config.schema import json_schema
from gateway.dry_run import phases_of
from gateway.errors import ANSWERS
from gateway.library import BUILT_IN, Library

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REGISTERS = ("counter", "gauge", "histogram")
ROOTS = ("ConfigSpec", "FrontendSpec")
Schema = Mapping[str, Any]


def main(folder: Path) -> None:
    """Write everything into `folder`, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    generated = folder / "generated"
    generated.mkdir(parents=True)
    for page in (*DOCS.glob("*.md"), *DOCS.glob("*.svg"), *DOCS.glob("*.yaml")):
        shutil.copy(page, folder)
    reference = Reference(Library())
    for name, lines in (
        ("configuration", reference.configuration()),
        ("plugins", reference.plugins()),
        ("errors", errors()),
        ("metrics", metrics(ROOT)),
        ("commands", commands()),
    ):
        (generated / f"{name}.md").write_text("\n".join(lines) + "\n")


class Reference:
    """The schema of routes.yaml as tables: one section a mapping, one row a key."""

    def __init__(self, library: Library) -> None:
        self._library = library
        schema = json_schema({name: library.find(name).Options for name in BUILT_IN})
        self._mappings: Schema = schema["$defs"]
        uses = next(form for form in self._mappings["PluginUse"]["anyOf"] if "properties" in form)
        self._options: Schema = uses["properties"]

    def configuration(self) -> Iterator[str]:
        """Every mapping of the file, in the order in which they are met."""
        for name in self._reached(ROOTS):
            yield from self._section(name)

    def plugins(self) -> Iterator[str]:
        """Every built-in plugin, with its options and their mappings behind them."""
        told = set(self._reached(ROOTS))
        for name in BUILT_IN:
            plugin = self._library.find(name)
            yield from ("", f"(plugin-{name})=", f"## {name}", "")
            yield inspect.cleandoc(inspect.getmodule(plugin).__doc__ or "")
            yield from ("", "Phases: " + ", ".join(f"`{phase}`" for phase in phases_of(plugin)) + ".")
            reached = self._reached(self._named(self._options[name]))
            if not reached:
                yield from ("", "No options.")
            elif reached[0] in told:
                yield from ("", f"Options: {self._link(reached[0])}.")
            else:
                yield from self._rows(reached[0])
                for mapping in reached[1:]:
                    yield from self._section(mapping) if mapping not in told else ()
            told.update(reached)

    def _reached(self, names: Iterable[str]) -> list[str]:
        """These mappings and those that they name, each once; `PluginUse` is a page of its own."""
        reached: dict[str, None] = {}
        todo = list(names)
        while todo:
            name = todo.pop(0)
            if name not in reached and name != "PluginUse":
                reached[name] = None
                todo = [*self._named(self._mappings[name]), *todo]
        return list(reached)

    def _named(self, schema: Any) -> list[str]:
        if isinstance(schema, list):
            return [name for item in schema for name in self._named(item)]
        if not isinstance(schema, dict):
            return []
        here = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
        return here + [name for key, item in schema.items() if key != "default" for name in self._named(item)]

    def _section(self, name: str) -> Iterator[str]:
        yield from ("", f"({target(name)})=", f"### {title(name)}", "")
        yield one_line(self._mappings[name].get("description", ""))
        yield from self._rows(name)

    def _rows(self, name: str) -> Iterator[str]:
        schema = self._mappings[name]
        if "properties" not in schema:
            yield from ("", f"Takes {self.takes(schema)}.")
        # Many a mapping may also be written as one word or text.
        for form in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
            if form.get("properties"):
                yield from self._keys(form["properties"], form.get("required", ()))

    def _keys(self, properties: Schema, required: Sequence[str]) -> Iterator[str]:
        rows = [
            (
                f"`{key}`",
                self.takes(value),
                "required" if key in required else default(value),
                one_line(value.get("description", "")),
            )
            for key, value in properties.items()
        ]
        # What the options of a plugin are stands in the text above them.
        columns = 4 if any(row[3] for row in rows) else 3
        yield from table(("key", "takes", "default", "what it is")[:columns], [row[:columns] for row in rows])

    def takes(self, schema: Schema) -> str:
        """What a key takes, in words."""
        if "$ref" in schema:
            return self._link(schema["$ref"].rpartition("/")[2])
        if "const" in schema:
            return f"`{schema['const']}`"
        if "enum" in schema:
            return ", ".join(f"`{word}`" for word in schema["enum"])
        forms = schema.get("anyOf") or schema.get("oneOf")
        if forms:
            words = [self.takes(form) for form in forms if form.get("type") != "null" and not is_substitution(form)]
            return " or ".join(dict.fromkeys(words))
        return self._plain(schema)

    def _link(self, name: str) -> str:
        return "[plugin](plugins.md)" if name == "PluginUse" else f"[{title(name)}](#{target(name)})"

    def _plain(self, schema: Schema) -> str:
        match schema.get("type"):
            case "array":
                return f"list of {self.takes(schema.get('items', {}))}"
            case "object" if "properties" in schema:
                return "a mapping of these keys"
            case "object" if "additionalProperties" in schema:
                values = schema["additionalProperties"]
                return f"mapping to {self.takes(values)}" if isinstance(values, dict) else "mapping"
            case "integer" | "number":
                least = schema.get("minimum", schema.get("exclusiveMinimum"))
                most = schema.get("maximum")
                return "number" + (f" from {least}" if least is not None else "") + (f" to {most}" if most else "")
            case "boolean":
                return "`true`, `false`"
            case "string":
                examples = schema.get("examples")
                return f"text such as `{examples[0]}`" if examples else "text"
        return "any value"


def title(name: str) -> str:
    """What a mapping is called: `UpstreamTimeouts` of the class UpstreamTimeoutsSpec."""
    parts = name.split("__")
    if parts[-1] == "Options":
        return f"{parts[-2]} options"
    if len(parts) > 1:
        return f"{parts[-1]} of {parts[2]}"
    return name.removesuffix("Spec")


def target(name: str) -> str:
    """The anchor of a mapping's section."""
    return "mapping-" + name.replace("__", "-").replace("_", "-").lower()


def default(schema: Schema) -> str:
    """What holds when a key is absent."""
    value = schema.get("default")
    if isinstance(value, dict) and value.keys() == {"host", "port"}:
        return f"`{value['host']}:{value['port']}`"
    if value is None or value in ([], {}) or isinstance(value, dict):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def is_substitution(schema: Schema) -> bool:
    """Whether it only says that `${VAR}` may stand there, which it may everywhere."""
    return schema.get("pattern") == r"\$\{.+\}"


def one_line(text: str) -> str:
    """Text for a cell; braces and the like are no markup there."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown."""
    yield from ("", "| " + " | ".join(head) + " |", "|" + "---|" * len(head))
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def errors() -> Iterator[str]:
    """Every kind of failure."""
    yield from table(
        ("error", "status", "Proxy-Status", "flag", "whose fault", "another attempt", "condition", "title"),
        (
            (
                f"`{kind.value}`",
                str(answer.status),
                f"`{answer.error_type}`",
                f"`{answer.flag}`",
                answer.side,
                answer.retry,
                f"`{answer.condition}`" if answer.condition else "",
                answer.title,
            )
            for kind, answer in ANSWERS.items()
        ),
    )


def commands() -> Iterator[str]:
    """Every command of the command line, with its options."""
    context = click.Context(main_command, info_name="gateway", **main_command.context_settings)
    for name in main_command.list_commands(context):
        command = main_command.get_command(context, name)
        assert command is not None
        below = command.commands.items() if isinstance(command, click.Group) else ()
        for words, one in (((name,), command), *(((name, inner), one) for inner, one in below)):
            if not isinstance(one, click.Group):
                yield from _command(click.Context(one, context, " ".join(words)), one)


def _command(context: click.Context, command: click.Command) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("", f"## {context.command_path}", "", "```console", f"$ {context.command_path} {usage}", "```", "")
    yield inspect.cleandoc(command.help or "")
    records = [record for one in command.params if (record := one.get_help_record(context)) is not None]
    if records:
        yield from table(
            ("option", "what it is"), ((f"`{one_line(words)}`", one_line(text)) for words, text in records)
        )


def metrics(root: Path) -> Iterator[str]:
    """Every metric that some code registers, by name. ValueError for one whose labels cannot be read."""
    files = [File(path) for path in (*root.glob("gateway/**/*.py"), *root.glob("plugins/*.py"))]
    # A class that is given the name and the text registers for whoever makes one.
    helpers = {name: call for file in files for name, call in file.helpers()}
    found: dict[str, tuple[str, ...]] = {}
    for file in files:
        for call in file.calls:
            registering = call if registers(call) else helpers.get(getattr(call.func, "id", ""))
            texts = [text for text in map(file.constant, call.args) if isinstance(text, str)] if registering else []
            if registering is not None and texts and texts[0].startswith("gateway_"):
                # Behind the labels of every series come those that one may lack.
                labels = [file.constant(argument) for argument in registering.args[2:4]]
                known = [some for some in labels if isinstance(some, tuple)]
                if len(texts) < 2 or known != labels:
                    raise ValueError(f"{file.path} registers {texts[0]} in a way that cannot be read")
                words = ", ".join(f"`{label}`" for some in known for label in some)
                kind = ast.unparse(registering.func).rpartition(".")[2]
                found[texts[0]] = (f"`{texts[0]}`", kind, words, one_line(texts[1]))
    yield from table(("metric", "kind", "labels", "what it is"), (found[name] for name in sorted(found)))


class File:
    """The calls of a source file, and what its names stand for where that is one constant."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tree = ast.parse(path.read_text())
        nodes = list(ast.walk(self._tree))
        self.calls = [node for node in nodes if isinstance(node, ast.Call)]
        self._assigned: dict[str, list[ast.expr]] = {}
        for node in nodes:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                self._assigned.setdefault(node.targets[0].id, []).append(node.value)

    def helpers(self) -> Iterator[tuple[str, ast.Call]]:
        """Classes that register a metric whose name they are given, each with the call that does."""
        for node in self._tree.body:
            if isinstance(node, ast.ClassDef):
                for call in ast.walk(node):
                    if registers(call) and self.constant(call.args[0]) is None:
                        yield node.name, call

    def constant(self, node: ast.expr) -> object:
        """The value of an expression that is a constant, or of a name that only one is assigned to; else None."""
        if isinstance(node, ast.Name):
            assigned = self._assigned.get(node.id, [])
            node = assigned[0] if len(assigned) == 1 else node
        try:
            value: object = ast.literal_eval(node)
        except ValueError:
            return None
        return value


def registers(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether it is a call such as `metrics.counter(name, text, labels)`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REGISTERS


if __name__ == "__main__":
    main(Path(sys.argv[1]))
