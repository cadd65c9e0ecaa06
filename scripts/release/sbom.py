"""Writes the bill of materials of the program as it is shipped, the dashboard included, as CycloneDX JSON.

  .venv/release/bin/python scripts/release/sbom.py FILE [TARGET]      TARGET is this machine's unless told

What is inside is `required`; what only takes part in the build, such as derives, is `excluded`. Dependencies of tests
are not in it. The same sources give the same file. It is checked against CycloneDX's own schema before it is written.
"""

import datetime
import os
import pathlib
import subprocess
import sys
import uuid

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator
from packageurl import PackageURL

import bundled
import crates

SCHEMA = SchemaVersion.V1_6
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/antiphon")


def licences(expression):
    return [LicenseFactory().make_from_string(expression)] if expression else []


def component(crate):
    """One crate. Ours have no package URL: a registry's crate of the same name is somebody else's."""
    name, version, facts = crate.name, crate.version, crate.facts
    url = None if crate.ours else PackageURL("cargo", None, name, version)
    made = Component(
        type=ComponentType.APPLICATION if name in ("antiphon", "web-ui") else ComponentType.LIBRARY,
        name=name, version=version, description=facts["description"], purl=url,
        bom_ref=f"antiphon/{name}@{version}" if crate.ours else str(url), licenses=licences(crate.licence),
        scope=ComponentScope.REQUIRED if crate.inside else ComponentScope.EXCLUDED,
        properties=[Property(name="antiphon:part", value=part) for part in sorted(crate.parts)],
    )
    if crate.checksum:
        made.hashes = [HashType(alg=HashAlgorithm.SHA_256, content=crate.checksum)]
    if facts["repository"]:
        made.external_references = [ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(facts["repository"]))]
    if name in bundled.SOURCES:
        made.components = [brought(crate)]
    return made


def brought(crate):
    name, supplier, version, licence = bundled.SOURCES[crate.name]
    url = PackageURL("generic", None, name, version(crate.folder))
    return Component(
        type=ComponentType.LIBRARY, name=name, version=url.version, purl=url, bom_ref=str(url),
        supplier=OrganizationalEntity(name=supplier), licenses=licences(licence), scope=ComponentScope.REQUIRED,
    )


def bill(shipped, target):
    made = {key: component(crate) for key, crate in shipped.items()}
    version = crates.workspace_version()
    product = made["antiphon", version]
    inside = sorted(str(one.bom_ref) for one in made.values())
    bom = Bom(serial_number=uuid.uuid5(NAMESPACE, f"{target} {' '.join(inside)}"),
              components=[one for one in made.values() if one is not product])
    bom.metadata.component = product
    bom.metadata.timestamp = moment()
    bom.metadata.properties = [Property(name="antiphon:target", value=target),
                               Property(name="antiphon:target", value=crates.WEB_TARGET)]
    for key, crate in shipped.items():
        bom.register_dependency(made[key], [made[needed] for needed in crate.needs])
    return bom


def moment():
    """`SOURCE_DATE_EPOCH`, else the commit's own time: a bill of the same sources has the same."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=crates.ROOT, capture_output=True, text=True, check=False).stdout
    return datetime.datetime.fromtimestamp(int(seconds.strip() or 0), datetime.timezone.utc)


def write(path, target):
    text = make_outputter(bill(crates.shipped(target), target), OutputFormat.JSON, SCHEMA).output_as_string(indent=1)
    problem = make_schemabased_validator(OutputFormat.JSON, SCHEMA).validate_str(text)
    if problem is not None:
        raise SystemExit(f"sbom: not as CycloneDX wants it: {problem}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def main(arguments):
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    write(pathlib.Path(arguments[0]), arguments[1] if len(arguments) == 2 else crates.host())
    print(f"sbom: {arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
