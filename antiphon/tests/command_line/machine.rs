//! A machine with the program on it, and nothing else.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use entities::audit_entry;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;
use tempfile::TempDir;

/// A start with ports of its own.
pub(crate) const SERVE: [&str; 7] =
    ["serve", "--bind", "127.0.0.1:0", "--metrics-bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];

/// A folder with nothing in it, and the program that runs there with an empty environment.
pub(crate) struct Machine(TempDir);

/// An entry of the audit log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) action: String,
    pub(crate) kind: String,
    pub(crate) before: Value,
    pub(crate) after: Value,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(message.trim_end().lines().count(), 1, "one line: {message}");
        message
    }

    /// What the audit log tells of somebody's changes, in their order.
    pub(crate) fn entries(&self, by: &str) -> Vec<Entry> {
        let url = format!("sqlite://{}", self.path().join("data/antiphon.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rows = runtime.block_on(async {
            let db = sea_orm::Database::connect(url).await.unwrap();
            let by_name = audit_entry::Column::ActorName.eq(by);
            let find = audit_entry::Entity::find().filter(by_name).order_by_asc(audit_entry::Column::Id);
            let rows = find.all(&db).await.unwrap();
            db.close().await.unwrap();
            rows
        });
        let value = |text: Option<String>| text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        let entry = |row: audit_entry::Model| Entry {
            action: row.action,
            kind: row.object_kind,
            before: value(row.before),
            after: value(row.after),
        };
        rows.into_iter().map(entry).collect()
    }

    /// Runs a statement in the database, as somebody who has got hold of the file.
    pub(crate) fn sql(&self, statement: &str) {
        let url = format!("sqlite://{}", self.path().join("data/antiphon.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let db = sea_orm::Database::connect(url).await.unwrap();
            sea_orm::ConnectionTrait::execute_unprepared(&db, statement).await.unwrap();
            db.close().await.unwrap();
        });
    }

    /// Starts the gateway and reads what it prints until it has said that it is ready.
    pub(crate) fn serve(&self) -> (Serving, String) {
        let child = self.command(&SERVE).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut serving = Serving(child);
        let mut lines = BufReader::new(serving.0.stdout.take().unwrap()).lines();
        let mut printed = String::new();
        loop {
            let Some(line) = lines.next() else { panic!("it ended before it was ready: {printed}") };
            let line = line.unwrap();
            printed.push_str(&line);
            printed.push('\n');
            // The last line of either greeting.
            if line.contains("-F file=@hello.wav") || line.starts_with("Antiphon is ready: ") {
                return (serving, printed);
            }
        }
    }

    /// The last line of a start that fails; the log stands before it.
    pub(crate) fn failed_start(&self, more: &[&str]) -> String {
        let output = self.run(&[&SERVE, more].concat());
        assert!(!output.status.success(), "{more:?} succeeded");
        assert!(output.stdout.is_empty(), "nothing says that it is ready");
        let log = String::from_utf8(output.stderr).unwrap();
        log.trim_end().lines().last().unwrap().to_owned()
    }
}

/// A gateway that ends with the test.
pub(crate) struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
