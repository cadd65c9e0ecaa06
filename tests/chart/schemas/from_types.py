"""Writes the schemas of custom resources beside this file, from the TypeScript types of `@kubernetes-models`.

    npm pack @kubernetes-models/gateway-api@2.0.0      # and the others of PACKAGES; unpack each into FOLDER/NAME
    python from_types.py FOLDER

Those types are generated from the projects' own Go types. Every object is closed here, so that a field that a
kind does not have is refused as `kubernetes-validate --strict` refuses it for the built-in kinds.
"""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = {
    "gateway-api": "gateway.networking.k8s.io/v1/HTTPRoute",
    "external-secrets": "external-secrets.io/v1/ExternalSecret",
    "keda": "keda.sh/v1alpha1/ScaledObject",
    "prometheus-operator": "monitoring.coreos.com/v1/ServiceMonitor monitoring.coreos.com/v1/PrometheusRule",
}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# Types of Kubernetes itself, as far as such resources have them.
OUTSIDE = {
    "ObjectMeta": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}, "labels": TEXTS,
                       "annotations": TEXTS},
        "required": ["name"],
        "additionalProperties": False,
    },
    "IntOrString": {"type": ["integer", "string"]},
    "LabelSelector": {
        "type": "object",
        "properties": {"matchLabels": TEXTS, "matchExpressions": {"type": "array"}},
        "additionalProperties": False,
    },
    "HorizontalPodAutoscalerBehavior": {
        "type": "object",
        "properties": {"scaleUp": {"type": "object"}, "scaleDown": {"type": "object"}},
        "additionalProperties": False,
    },
}
PLAIN = {"string": {"type": "string"}, "number": {"type": "number"}, "boolean": {"type": "boolean"}}
ANYTHING = {}


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def split_union(text):
    """The parts of `A | B`, where bars inside brackets belong to a part."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character in "<({[":
            depth += 1
        elif character in ">)}]":
            depth -= 1
        elif character == "|" and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


class Types:
    """The types of one package, read as they are named."""

    def __init__(self, package):
        self.package, self.definitions = package, {}

    def named(self, file):
        """A reference to what the file declares."""
        name = "/".join(file.relative_to(self.package).parts)
        if name not in self.definitions:
            # Before it is read, for types that contain themselves.
            self.definitions[name] = None
            self.definitions[name] = self.declared(file)
        return {"$ref": f"#/$defs/{name.replace('~', '~0').replace('/', '~1')}"}

    def declared(self, file):
        text = without_comments(file.with_suffix(".d.ts").read_text())
        imported = {}
        for names, source in re.findall(r'import \{([^}]*)\} from "([^"]+)"', text):
            for name in names.split(","):
                imported[name.strip()] = (file.parent / source).resolve() if source.startswith(".") else source
        # The class has what an interface inherits as well.
        whole = re.search(r"export declare class \w+ [^{]*\{(.*?)^\}", text, flags=re.S | re.M)
        if whole:
            return self.fields(whole[1], imported)
        alias = re.search(r"export (?:declare )?type I?\w+ = (.*?);\s*$", text, flags=re.S | re.M)
        if not alias:
            raise SystemExit(f"{file}: neither an interface nor a type")
        return self.of(alias[1], imported)

    def fields(self, body, imported):
        """An object with these members, and no others."""
        index = re.fullmatch(r"\s*\[key: string\]: (.*?);?\s*", body, flags=re.S)
        if index:
            return {"type": "object", "additionalProperties": self.of(index[1], imported)}
        properties, required = {}, []
        for name, optional, kind in re.findall(r'^ *"(\w+)"(\??): (.*?);$', body, flags=re.S | re.M):
            # Nobody writes a status into a chart.
            if name == "status":
                continue
            properties[name] = self.of(kind, imported)
            if not optional:
                required.append(name)
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def of(self, text, imported):
        text = text.strip()
        parts = split_union(text)
        if len(parts) > 1:
            return {"anyOf": [self.of(part, imported) for part in parts]}
        if text in PLAIN:
            return PLAIN[text]
        if text.startswith('"'):
            return {"const": json.loads(text)}
        if re.fullmatch(r"-?\d+", text):
            return {"const": int(text)}
        array = re.fullmatch(r"Array<(.*)>", text, flags=re.S) or re.fullmatch(r"(\w+)\[\]", text)
        if array:
            return {"type": "array", "items": self.of(array[1], imported)}
        if text.startswith("{"):
            return self.fields(text[1:-1], imported)
        if text.startswith("("):
            return self.of(text[1:-1], imported)
        source = imported.get(text)
        if isinstance(source, pathlib.Path):
            return self.named(source)
        outside = next((schema for name, schema in OUTSIDE.items() if text.endswith(name)), None)
        return outside if outside is not None else ANYTHING


def main(folder):
    for package, kinds in PACKAGES.items():
        root = pathlib.Path(folder) / package / "package"
        for kind in kinds.split():
            types = Types(root.resolve())
            reference = types.named((root / kind).resolve())
            name = kind.replace("/", "_").lower()
            schema = {"$comment": f"@kubernetes-models/{package}: see SOURCE.md", **reference, "$defs": types.definitions}
            text = json.dumps(schema, separators=(",", ":"), sort_keys=True)
            (HERE / f"{name}.json").write_text(text + "\n")
            print(f"{name}.json: {len(text)} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
