"""Checks requests that a scripted provider recorded against the vendor's OpenAPI document.

A problem is a path, a parameter, a field or a value that the document does not know. Bodies are checked
strictly: a field that the document does not name is one too, though a vendor might ignore it.
"""

import copy
import json
import pathlib
import urllib.parse

import jsonschema

FOLDER = pathlib.Path(__file__).with_name("specs")


class Spec:
    """One vendor's document. `strict=False` lets fields pass that it does not name."""

    def __init__(self, vendor, strict=True):
        self.document = json.loads((FOLDER / f"{vendor}.json").read_text())
        self.components = copy.deepcopy(self.document.get("components", {}))
        if strict:
            close(self.components)

    def problems(self, requests):
        """What is wrong with these requests, one line each."""
        return [f"{r['method']} {r['path']}: {problem}" for r in requests for problem in self.of(r)]

    def of(self, request):
        template, operation = self.operation(request)
        if operation is None:
            return ["no such path and method"]
        parameters = [self.resolved(p) for p in operation.get("parameters", [])]
        found = list(self.in_query(request, [p for p in parameters if p["in"] == "query"]))
        if any(not value for value in values_of(template, request["path"])):
            found.append("an empty segment in the path")
        return found + list(self.in_body(request, operation.get("requestBody")))

    def operation(self, request):
        """The path template that fits with the fewest variables."""
        fitting = [t for t in self.document["paths"] if values_of(t, request["path"]) is not None]
        for template in sorted(fitting, key=lambda template: template.count("{")):
            operation = self.document["paths"][template].get(request["method"].lower())
            if operation is not None:
                return template, operation
        return None, None

    def in_query(self, request, parameters):
        sent = urllib.parse.parse_qs(request["query"], keep_blank_values=True, strict_parsing=bool(request["query"]))
        known = {parameter["name"]: parameter for parameter in parameters}
        for name, values in sent.items():
            if name not in known:
                yield f"unknown parameter {name}"
            else:
                yield from self.value_problems(name, values, known[name].get("schema", {}))
        for name, parameter in known.items():
            if parameter.get("required") and name not in sent:
                yield f"parameter {name} is missing"

    def in_body(self, request, body):
        headers = dict(request["headers"])
        sent = headers.get("content-type", "").split(";")[0]
        if body is None:
            if sent:
                yield f"a body of type {sent} where none is expected"
            return
        body = self.resolved(body)
        if sent not in body["content"]:
            yield f"content type {sent or 'missing'} instead of {', '.join(body['content'])}"
            return
        schema = body["content"][sent].get("schema", {})
        if sent == "application/json":
            yield from self.schema_problems("body", request["json"], schema)
        elif sent == "multipart/form-data":
            yield from self.in_form(request, self.resolved(schema))

    def in_form(self, request, schema):
        known, sent = schema.get("properties", {}), {}
        for name, value in request["fields"]:
            sent.setdefault(name.removesuffix("[]"), []).append(value)
        for name, values in sent.items():
            if name not in known:
                yield f"unknown field {name}"
            else:
                yield from self.value_problems(name, values, known[name])
        if request["file"] is not None:
            sent["file"] = []
            if "file" not in known:
                yield "a file where none is expected"
        yield from (f"field {name} is missing" for name in schema.get("required", []) if name not in sent)

    def value_problems(self, name, texts, schema):
        """Values of a form or a query, which are text on the wire: one reading of them must fit."""
        readings = [texts[0]] if len(texts) == 1 else []
        try:
            readings += [json.loads(text) for text in texts[:1] if len(texts) == 1]
        except ValueError:
            pass
        readings.append(texts)
        failed = [list(self.schema_problems(name, reading, schema)) for reading in readings]
        if all(failed):
            yield failed[0][0]

    def schema_problems(self, name, value, schema):
        root = copy.deepcopy(schema) | {"components": self.components}
        for error in jsonschema.Draft202012Validator(root).iter_errors(value):
            yield f"{'.'.join([name, *map(str, error.absolute_path)])}: {error.message[:300]}"

    def resolved(self, part):
        while "$ref" in part:
            found = {"components": self.components}
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            part = found
        return part


def values_of(template, path):
    """The values of a template's variables in a path; None where it does not fit."""
    names, segments = template.split("/"), path.split("/")
    if len(names) != len(segments):
        return None
    pairs = list(zip(names, segments))
    if any(name != segment for name, segment in pairs if not name.startswith("{")):
        return None
    return [urllib.parse.unquote(segment) for name, segment in pairs if name.startswith("{")]


def close(part):
    """Forbids fields that an object's schema does not name."""
    if isinstance(part, dict):
        combined = any(word in part for word in ("allOf", "anyOf", "oneOf"))
        if isinstance(part.get("properties"), dict) and not combined and part.get("type", "object") == "object":
            part.setdefault("additionalProperties", False)
        for inner in part.values():
            close(inner)
    elif isinstance(part, list):
        for inner in part:
            close(inner)
