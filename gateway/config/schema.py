"""
JSON Schema (draft 2020-12) of `config.yaml`, for editors.

Built from the same models that read the file. It is a little milder than reading: what needs two settings, a list of
currencies or a variable's value is left to `check`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from gateway.config.durations import written
from gateway.config.fields import BY_PLACE
from gateway.config.models import Config
from gateway.config.sites import NAME_PATTERN, PLAN_NAME_PATTERN, PluginModels

Node = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXPRESSION: Node = {"type": "string", "pattern": r"\$[{$]"}
"""A text with `${...}` or `$$` in it: what it will be is known only when it is read."""

_REMARKS = frozenset({"title", "description", "default", "examples", "deprecated", "writeOnly", "readOnly"})
_NODES = ("items", "additionalProperties", "then", "else", "contains")
_LISTS = ("oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs")


class _Defaults(GenerateJsonSchema):
    """Writes defaults as a file would."""

    def encode_default(self, dft: Any) -> Any:
        match dft:
            case timedelta():
                return written(dft)
            case tuple():
                return [self.encode_default(item) for item in dft]
            case BaseModel():
                return {name: self.encode_default(value) for name, value in dft if value is not None}
        return super().encode_default(dft)


def schema(models: PluginModels, plugins: Sequence[str]) -> Node:
    """Return the schema for an installation with these plugins; raises `PluginUnknown` as `models` does."""
    core = Config.model_json_schema(schema_generator=_Defaults)
    defs = core.pop("$defs")
    connection = _without_places(defs.pop("Connection"))
    del defs["BaseModel"]
    for plugin in plugins:
        defs.update(_plugin_defs(plugin, models, connection))
    defs["connection"] = _any_connection(plugins)
    defs["Site"] = _site(_without_places(defs["Site"]), plugins)
    defs["Plan"] = _plan(_without_places(defs["Plan"]), [f"options.{name}" for name in plugins])
    root = {
        **core,
        "title": "Faurya Gateway configuration",
        "description": "config.yaml; every value may be ${NAME}, ${NAME:-default} or ${file:/path}",
        "properties": {
            **core["properties"],
            "include": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "sites": _named("Site", NAME_PATTERN),
        },
        "required": ["database"],
        "anyOf": [{"required": ["sites"]}, {"required": ["include"]}],
        "$defs": defs,
    }
    return {"$schema": _DIALECT, **_lenient(root)}


def _plugin_defs(plugin: str, models: PluginModels, connection: Node) -> dict[str, Node]:
    """Return the definitions that one plugin adds: its connections, its options, and what they refer to."""
    template = f"#/$defs/{plugin}.{{model}}"
    settings = models.config_model(plugin).model_json_schema(ref_template=template)
    model = models.checkout_options(plugin)
    options: Node = {"maxProperties": 0} if model is None else model.model_json_schema(ref_template=template)
    inner = {**settings.pop("$defs", {}), **options.pop("$defs", {})}
    own = settings.get("properties", {})
    required = dict.fromkeys([*connection["required"], *settings.get("required", [])])
    required.pop("plugin")
    return {
        **{f"{plugin}.{name}": definition for name, definition in inner.items()},
        f"options.{plugin}": {"type": "object", **options},
        f"connection.{plugin}": {
            **settings,
            "properties": {**own, **connection["properties"]},
            "required": list(required),
            "additionalProperties": settings.get("additionalProperties") is True,
        },
    }


def _any_connection(plugins: Sequence[str]) -> Node:
    """Return the schema of a connection that names its plugin."""
    by_plugin = [
        {"if": {"properties": {"plugin": {"const": name}}}, "then": {"$ref": f"#/$defs/connection.{name}"}}
        for name in plugins
    ]
    named: Node = {"type": "object", "required": ["plugin"], "properties": {"plugin": {"enum": list(plugins)}}}
    return {**named, "allOf": by_plugin} if by_plugin else named


def _site(site: Node, plugins: Sequence[str]) -> Node:
    named = {"$ref": "#/$defs/connection"}
    by_name = {
        name: {"if": {"required": ["plugin"]}, "then": named, "else": {"$ref": f"#/$defs/connection.{name}"}}
        for name in plugins
    }
    providers = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^({NAME_PATTERN})$"},
        "properties": by_name,
        "additionalProperties": named,
    }
    properties = {**site["properties"], "providers": providers, "plans": _named("Plan", PLAN_NAME_PATTERN)}
    return {**site, "properties": properties}


def _plan(plan: Node, options: Sequence[str]) -> Node:
    priced = [{"required": ["items"]}, {"required": ["amount"]}]
    chosen = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in options]} if options else {"type": "object"}
    return {**plan, "properties": {**plan["properties"], "options": chosen}, "oneOf": priced}


def _named(definition: str, pattern: str) -> Node:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^({pattern})$"},
        "additionalProperties": {"$ref": f"#/$defs/{definition}"},
    }


def _without_places(node: Node) -> Node:
    """Leave out the fields that no key of a file sets."""
    properties = {name: inner for name, inner in node["properties"].items() if name not in BY_PLACE}
    return {**node, "properties": properties, "required": [name for name in node["required"] if name not in BY_PLACE]}


def _lenient(node: Any) -> Any:
    """Return a schema that also takes an expression wherever it asks for more of a scalar than that it is text."""
    if not isinstance(node, Mapping):
        return node
    changed: Node = {key: value for key, value in node.items() if key != "discriminator"}
    for key in _NODES:
        if key in changed:
            changed[key] = _lenient(changed[key])
    for key in _LISTS:
        if key in changed:
            changed[key] = [_lenient(inner) for inner in changed[key]]
    for key in _MAPS:
        if key in changed:
            changed[key] = {name: _lenient(inner) for name, inner in changed[key].items()}
    if "anyOf" in changed:
        return _lenient_choice(changed)
    return _or_expression(changed) if _is_strict_scalar(changed) else changed


def _lenient_choice(node: Node) -> Node:
    """Nothing in a file is null, so that choice is left out; a default of null then has nothing to say."""
    choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
    expression = [_EXPRESSION] if any(_is_strict_scalar(choice) for choice in choices) else []
    rest = {key: value for key, value in node.items() if not (key == "default" and value is None)}
    return {
        **rest,
        "anyOf": [choice if _is_strict_scalar(choice) else _lenient(choice) for choice in choices] + expression,
    }


def _is_strict_scalar(node: Node) -> bool:
    kind = node.get("type")
    if "const" in node or "enum" in node or kind in ("integer", "number", "boolean"):
        return True
    return kind == "string" and node.keys() - _REMARKS != {"type"}


def _or_expression(node: Node) -> Node:
    remarks = {key: value for key, value in node.items() if key in _REMARKS}
    rule = {key: value for key, value in node.items() if key not in _REMARKS}
    return {**remarks, "anyOf": [rule, _EXPRESSION]}
