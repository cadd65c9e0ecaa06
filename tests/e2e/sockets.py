"""Checks what was said on scripted vendors' sockets against the vendors' own documents, both ways.

A problem is a path, a parameter, a message, a field or a value that the document does not know.
"""

import urllib.parse

import jsonschema

from specs import Spec, values_of

DOCUMENTS = ["deepgram-sockets", "elevenlabs-sockets", "openai-sockets", "ultravox-sockets"]
# Google describes this socket in prose alone.
UNDESCRIBED = ["/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"]
# The fields that say what a message is.
KINDS = ["type", "message_type"]


class SocketSpec(Spec):
    """The sockets of one vendor."""

    def socket(self, path):
        """The socket at a path; None where there is none."""
        sockets = self.document["sockets"]
        return next((sockets[template] for template in sockets if values_of(template, path) is not None), None)

    def of_connection(self, socket, query):
        """What is wrong with the query of a connection."""
        schema = socket["query"]
        required = schema.get("required", [])
        known = schema["properties"].items()
        parameters = [{"name": name, "schema": part, "required": name in required} for name, part in known]
        return list(self.in_query({"query": query}, parameters))

    def of_message(self, socket, side, message):
        """What is wrong with a message of this side, told of the one that it means to be."""
        if side in socket.get("nulls", []):
            message = without_nulls(message)
        meant = [schema for schema in socket[side] if self.is_meant(message, self.resolved(schema))]
        name = next((message[kind] for kind in KINDS if kind in message), "message")
        found = [f"no message of the {side}'s: {str(message)[:200]}"]
        for schema in meant or socket[side]:
            problems = list(self.schema_problems(str(name), message, schema))
            if not problems:
                return []
            found = problems if meant else found
        return found

    def is_meant(self, message, schema):
        """Whether a message calls itself what a schema describes."""
        properties = schema.get("properties", {})
        kinds = [name for name in KINDS if name in properties and name in message]
        return any(not list(self.schema_problems(name, message[name], properties[name])) for name in kinds)

    def schema_problems(self, name, value, schema):
        root = {**schema, "components": self.components}
        checker = jsonschema.Draft202012Validator(root, format_checker=jsonschema.FormatChecker(["uuid"]))
        # Of alternatives none of which fits, the nearest is told.
        for error in (jsonschema.exceptions.best_match([error]) for error in checker.iter_errors(value)):
            yield f"{'.'.join([name, *map(str, error.absolute_path)])}: {error.message[:300]}"


def without_nulls(value):
    """A JSON value in which what is null is absent."""
    if isinstance(value, dict):
        return {name: without_nulls(field) for name, field in value.items() if field is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


class Sockets:
    """All the vendors' sockets, and what has been checked of them."""

    def __init__(self):
        self.specs = [SocketSpec(name) for name in DOCUMENTS]
        # Its sessions are made by requests, on the same port.
        self.ultravox = Spec("ultravox")
        self.checked = set()

    def problems(self, told):
        """What is wrong with what scripted vendors have heard and said, one line each; nothing is told twice."""
        things = [(urllib.parse.urlsplit(place), None, None) for place in told["connections"]]
        things += [(urllib.parse.urlsplit(said["path"]), said["from"], said["message"]) for said in told["said"]]
        fresh = {str(thing): thing for thing in things if str(thing) not in self.checked}
        self.checked.update(fresh)
        found = [f"{thing[0].path}: {problem}" for thing in fresh.values() for problem in self.of(*thing)]
        requests = {str(request): request for request in told["requests"] if str(request) not in self.checked}
        self.checked.update(requests)
        return found + self.ultravox.problems(requests.values())

    def of(self, place, side, message):
        """What is wrong with a message, or with a connection where no side said anything."""
        if place.path in UNDESCRIBED:
            return []
        for spec in self.specs:
            socket = spec.socket(place.path)
            if socket is not None and side is None:
                return spec.of_connection(socket, place.query)
            if socket is not None:
                return spec.of_message(socket, side, message) if isinstance(message, dict) else ["no JSON object"]
        return ["no such socket"]
