"""The experiment as it was asked, in the form a person writes."""

from __future__ import annotations

from typing import Any

from chaosrun.units import JSON


def as_yaml(experiment: dict[str, JSON]) -> str:
    """The experiment as YAML, keys in the order of the language; several lines as a block."""
    import yaml  # a report with the question needs it, a summary does not

    class Writer(yaml.SafeDumper):
        """Indents lists and writes texts of several lines as blocks."""

        def increase_indent(self, flow: bool = False, *_: Any, **__: Any) -> Any:
            return super().increase_indent(flow, indentless=False)

    def text(writer: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return writer.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Writer.add_representer(str, text)
    return yaml.dump(experiment, Dumper=Writer, sort_keys=False, allow_unicode=True, width=100)
