"""Sources in other languages that crates bring and the program has inside; no manifest tells their versions."""

import re


def sqlite(folder):
    header = (folder / "sqlite3" / "sqlite3.h").read_text()
    return re.search(r'#define SQLITE_VERSION\s+"(.*?)"', header)[1]


def jemalloc(folder):
    return re.search(r"\+(\d+\.\d+\.\d+)-", folder.name)[1]


def swagger_ui(folder):
    return swagger_ui_archive(folder).stem.removeprefix("v")


def swagger_ui_archive(folder):
    [archive] = (folder / "res").glob("v*.zip")
    return archive


# A crate, what it brings, by whom, how its version is found, and under which terms.
SOURCES = {
    "libsqlite3-sys": ("sqlite", "SQLite", sqlite, "blessing"),
    "tikv-jemalloc-sys": ("jemalloc", "jemalloc", jemalloc, "BSD-2-Clause"),
    "utoipa-swagger-ui-vendored": ("swagger-ui", "SmartBear", swagger_ui, "Apache-2.0"),
}
# A crate, and the archive in which it brings its source, whose first folder has licence and notice.
ARCHIVES = {"utoipa-swagger-ui-vendored": swagger_ui_archive}
