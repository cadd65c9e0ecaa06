"""What is said about what ships: the bill of materials, the licences, and the count of dependencies."""

import json
import tomllib
import zipfile

import pytest

import bundled
import crates
import dependencies
import licences
import sbom
from programs import ROOT


@pytest.fixture(scope="module")
def bill(tmp_path_factory):
    """As it is written, which it is only where CycloneDX's schema has nothing against it."""
    folder = tmp_path_factory.mktemp("sbom")
    for name in ("one", "other"):
        sbom.write(folder / name, "x86_64-unknown-linux-gnu")
    assert (folder / "one").read_bytes() == (folder / "other").read_bytes()
    return json.loads((folder / "one").read_text())


def scopes(bill):
    return {(one["name"], one["version"]): one["scope"] for one in bill["components"]}


def test_the_bill_has_what_the_program_and_the_dashboard_are_made_of(bill, shipped):
    inside = {key for key, scope in scopes(bill).items() if scope == "required"}
    program = ("antiphon", crates.workspace_version())
    assert inside == {key for key, crate in shipped.items() if crate.inside} - {program}
    names = {name for name, _ in inside}
    assert {"actix-web", "sqlx-postgres", "leptos", "wasm-bindgen", "gateway", "web-ui", "tikv-jemallocator"} <= names


def test_the_bill_has_whose_javascript_is_in_the_dashboard(bill):
    [ui] = [one["bom-ref"] for one in bill["components"] if one["name"] == "web-ui"]
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    for name in ("wasm-bindgen-cli-support", "wasm_split_cli_support"):
        [one] = [one for one in bill["components"] if one["name"] == name]
        assert one["scope"] == "required" and one["bom-ref"] in needs[ui]


def test_what_makes_the_bundle_is_not_left_out_in_silence(monkeypatch, tmp_path):
    with monkeypatch.context() as changed:
        changed.setattr(crates, "BUNDLED", {"wasm-bindgen-cli-support", "another"})
        with pytest.raises(SystemExit, match="does not have another"):
            crates.bundle()
    # A machine where xtask was never built, without a network.
    monkeypatch.setenv("CARGO_HOME", str(tmp_path))
    monkeypatch.setenv("CARGO_NET_OFFLINE", "true")
    with pytest.raises(SystemExit, match="xtask/Cargo.toml"):
        crates.bundle()


def test_what_tests_or_features_that_are_off_would_bring_is_not_in_it(bill):
    others = {"proptest", "insta", "loadtest", "hdrhistogram", "sqlx-mysql", "arrow"}
    assert not others & {name for name, _ in scopes(bill)}


def test_what_only_builds_is_told_apart(bill):
    builds = {name for (name, _), scope in scopes(bill).items() if scope == "excluded"}
    assert {"cc", "serde_derive", "tokio-macros"} <= builds


def test_each_crate_of_others_is_known_by_its_address_and_checksum(bill):
    locked = {}
    for lock in ("xtask/Cargo.lock", "Cargo.lock"):
        for one in tomllib.loads((ROOT / lock).read_text())["package"]:
            locked[one["name"], one["version"]] = one.get("checksum")
    for one in bill["components"]:
        checksum = locked[one["name"], one["version"]]
        if checksum is None:
            # A registry's crate of this name would be another.
            assert "purl" not in one and "hashes" not in one
        else:
            assert one["hashes"] == [{"alg": "SHA-256", "content": checksum}]
            assert one["purl"] == f"pkg:cargo/{one['name']}@{one['version'].replace('+', '%2B')}"


def test_what_crates_bring_in_other_languages_is_told(bill):
    inner = {one["name"]: one for outer in bill["components"] for one in outer.get("components", [])}
    assert set(inner) == {name for name, *_ in bundled.SOURCES.values()}
    assert inner["sqlite"]["version"].startswith("3.")


def test_the_product_leads_to_everything(bill):
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    reached, left = set(), [bill["metadata"]["component"]["bom-ref"]]
    while left:
        if (ref := left.pop()) not in reached:
            reached.add(ref)
            left += needs[ref]
    assert {one["bom-ref"] for one in bill["components"]} <= reached


def test_each_crate_that_ships_has_its_licence_s_text(shipped):
    report = licences.report(shipped)
    lists = report.split(licences.RULE)
    texts = " ".join(" ".join(part.split("\n\n")[0].split()) for part in lists[1:])
    for crate in shipped.values():
        if crate.inside and not crate.ours:
            assert f"\n{crate.name} {crate.version}: " in lists[0]
            assert f"{crate.name} {crate.version}" in texts
    # C sources have licences of their own, and Greg Johnston's crates name theirs and bring no text.
    assert "Jason Evans" in report and "Copyright (c) Greg Johnston" in report


def test_licences_in_folders_and_archives_are_found(shipped):
    report = licences.report(shipped)
    # In Swagger UI's own archive.
    assert "SmartBear" in report
    for name in ("granit-parser", "crc-catalog"):
        [crate] = [crate for key, crate in shipped.items() if key[0] == name]
        lying = [path for folder in (".licenses", "LICENSES") for path in (crate.folder / folder).glob("*")]
        assert lying and set(lying) <= set(licences.files(crate))


@pytest.mark.parametrize(("path", "taken"), [
    ("LICENSE-MIT", True), ("NOTICES.md", True), (".licenses/One-MIT", True), ("LICENSES/MIT.txt", True),
    ("vendor/COPYING", True), ("src/license.rs", False), ("tests/LICENSE", False), ("licensed.md", False),
])
def test_a_licence_is_known_by_its_name(tmp_path, path, taken):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("May be used.")
    crate = crates.Crate("one", "1.0.0", True, facts={"manifest_path": str(tmp_path / "Cargo.toml")})
    assert licences.files(crate) == ([tmp_path / path] if taken else [])


def test_an_archive_without_a_licence_stops_the_report(tmp_path):
    (tmp_path / "res").mkdir()
    with zipfile.ZipFile(tmp_path / "res" / "v1.2.3.zip", "w") as archive:
        archive.writestr("swagger-ui-1.2.3/src/LICENSE", "Of something else.")
    facts = {"manifest_path": str(tmp_path / "Cargo.toml")}
    with pytest.raises(SystemExit, match="has no licence"):
        licences.texts(crates.Crate("utoipa-swagger-ui-vendored", "1.0.0", True, facts=facts))


def test_a_licence_without_a_text_stops_the_report(shipped, tmp_path):
    crate = next(crate for crate in shipped.values() if crate.inside and not crate.ours)
    crate = type(crate)(crate.name, crate.version, True, facts={**crate.facts, "license": "Elastic-2.0",
                                                                "manifest_path": str(tmp_path / "Cargo.toml")})
    with pytest.raises(SystemExit, match="brings no text"):
        licences.texts(crate)


def test_a_dependency_without_a_reason_and_a_wrong_count_are_told():
    text = dependencies.FILE.read_text()
    assert dependencies.problems(text)[0] == []
    row = next(line for line in text.splitlines(keepends=True) if line.startswith("| `tokio` |"))
    assert dependencies.problems(text.replace(row, ""))[0] == ["`tokio` has no row with its reason"]
    assert dependencies.problems(text.replace(row, row + row.replace("tokio", "left-pad")))[0] == [
        "`left-pad` has a row and is no dependency"]
    [old], counted = dependencies.problems(text.replace("direct dependencies. Inside", "dependencies. Inside"))
    assert "counts are old" in old and counted == text
