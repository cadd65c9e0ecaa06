//! Starting, and what is said of a configuration that cannot be or has no effect.

use std::process::Command;

use entities::{Id, provider};
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::Value;

use crate::machine::Machine;

#[test]
fn the_first_start_shows_the_demo_key_and_the_second_does_not() {
    let machine = Machine::new();
    let (serving, printed) = machine.serve();
    assert_eq!(printed.matches("key  sk-ap-").count(), 1, "{printed}");
    assert_eq!(printed.matches("e-mail    admin@localhost\n  password  ").count(), 1, "{printed}");
    let (_, lines) = printed.split_once("Try it: ").unwrap();
    let (_, lines) = lines.split_once('\n').unwrap();
    let pasted = Command::new("sh").args(["-ec", lines]).current_dir(machine.path()).output().unwrap();
    assert!(pasted.status.success(), "{pasted:?}");
    let spoken = std::fs::read(machine.path().join("hello.wav")).unwrap();
    let heard: Value = serde_json::from_slice(&pasted.stdout).unwrap();
    // Without flite and PocketSphinx on the machine both answers say which package is missing.
    assert!(spoken.starts_with(b"RIFF") || spoken.starts_with(b"{\"error\""), "{spoken:?}");
    assert!(heard["text"].is_string() || heard["error"].is_object(), "{heard}");
    drop(serving);

    let (_serving, printed) = machine.serve();
    assert!(!printed.contains("sk-ap-") && !printed.contains("password"), "{printed}");
    let keys = machine.json(&["key", "list", "--tenant", "default"]);
    assert_eq!(keys.as_array().unwrap().len(), 1);
}

#[test]
fn what_is_declared_lies_in_the_database_without_its_credential_until_it_is_no_longer() {
    let machine = Machine::new();
    let declare = |text: &str| std::fs::write(machine.path().join("antiphon.yaml"), text).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = || {
        runtime.block_on(async {
            let url = format!("sqlite://{}/data/antiphon.db", machine.path().display());
            let db = database::connect(&url).await.unwrap();
            let providers = provider::Entity::find().order_by_asc(provider::Column::Name).all(&db).await.unwrap();
            let models = entities::model::Entity::find().all(&db).await.unwrap();
            let voices = entities::voice::Entity::find().all(&db).await.unwrap();
            db.close().await.unwrap();
            let provider = |row: provider::Model| (row.name, row.managed_by, row.id);
            let providers: Vec<_> = providers.into_iter().map(provider).collect();
            (providers, models.len() + voices.len())
        })
    };
    declare(
        "providers:\n  - { name: mine, kind: groq, api_key: gsk-canary-of-the-file }\n\
        models:\n  - { name: fast, targets: [{ provider: mine, model: whisper-large-v3-turbo }] }\n\
        voices:\n  - { name: narrator, map: { groq: x } }\n",
    );
    drop(machine.serve());
    let (first, others) = rows();
    let named = |rows: &[(String, String, Id)]| {
        rows.iter().map(|(name, managed_by, _)| format!("{name} {managed_by}")).collect::<Vec<_>>()
    };
    assert_eq!(named(&first), ["local environment", "mine file"]);
    assert_eq!(others, 2);
    drop(machine.serve());
    assert_eq!(rows().0, first, "known by the same ids at the next start");
    let database = std::fs::read(machine.path().join("data/antiphon.db")).unwrap();
    assert!(!database.windows(10).any(|window| window == b"gsk-canary"), "the credential is not in the database");
    declare("tenants: [{ name: acme }]\n");
    drop(machine.serve());
    assert_eq!((named(&rows().0), rows().1), (vec!["local environment".to_owned()], 0));
}

#[test]
fn a_start_that_cannot_be_is_told_in_one_line() {
    let machine = Machine::new();
    std::fs::write(machine.path().join("file"), "").unwrap();
    let message = machine.failed_start(&["--data-dir", "file/data"]);
    assert!(message.contains("file/data") && message.contains("Not a directory"), "{message}");
    let message = machine.failed_start(&["--database-url", "sqlite://file/antiphon.db"]);
    assert!(message.contains("the database cannot be opened") && message.contains("file"), "{message}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flags = ["--bind", "--metrics-bind", "--admin-bind"];
    for flag in flags {
        let free = flags.into_iter().filter(|other| *other != flag).flat_map(|other| [other, "127.0.0.1:0"]);
        let arguments: Vec<&str> = ["serve", flag, &address].into_iter().chain(free).collect();
        let output = machine.run(&arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        let message = log.trim_end().lines().last().unwrap();
        assert!(!output.status.success(), "{flag}");
        assert_eq!(message.matches("in use").count(), 1, "said once: {message}");
        assert!(message.contains(&address), "{message}");
    }

    let (_serving, _) = machine.serve();
    let message = machine.failed_start(&[]);
    assert_eq!(message.matches("in use by another process").count(), 1, "the journal has one owner: {message}");
}

#[test]
fn a_database_that_is_away_is_named_without_its_password() {
    let machine = Machine::new();
    let url = "postgres://antiphon:hunter2@127.0.0.1:1/antiphon";
    let message = machine.refusal(&["key", "list", "--tenant", "acme", "--database-url", url]);
    assert!(message.contains("the database cannot be opened") && message.contains("127.0.0.1:1"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn every_command_has_help() {
    let machine = Machine::new();
    let commands: &[&[&str]] = &[
        &[],
        &["serve"],
        &["gateway"],
        &["admin"],
        &["migrate"],
        &["migrate", "up"],
        &["migrate", "down"],
        &["migrate", "status"],
        &["prices", "seed"],
        &["prices", "import"],
        &["prices", "export"],
        &["copy-db"],
        &["usage", "rebuild-rollups"],
        &["key", "create"],
        &["admin-user", "create"],
        &["admin-user", "reset-password"],
        &["key", "list"],
        &["key", "revoke"],
        &["keys", "rotate-master"],
        &["audit", "verify"],
        &["config"],
        &["config", "check"],
    ];
    for command in commands.iter().copied() {
        let output = machine.run(&[command, &["--help"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("Usage: antiphon"), "{command:?}: {text}");
        assert!(text.contains("--json"), "{command:?}");
        let wrong = machine.run(&[command, &["--no-such-flag"]].concat());
        assert!(!wrong.status.success(), "{command:?}");
    }
    let version = String::from_utf8(machine.run(&["--version"]).stdout).unwrap();
    let expected = concat!("antiphon ", env!("CARGO_PKG_VERSION"));
    // What follows is what it was built from.
    assert!(version.trim_end() == expected || version.starts_with(&format!("{expected} (")), "{version}");
}

#[test]
fn a_wrong_file_is_refused_with_its_name_and_line() {
    let machine = Machine::new();
    std::fs::write(machine.path().join("antiphon.yaml"), "limits: { max_upload_mib: 1 }\nservr: {}\n").unwrap();
    for arguments in [&["config", "check", "antiphon.yaml"][..], &["serve"], &["key", "list", "--tenant", "x"]] {
        let message = machine.refusal(arguments);
        assert!(message.contains("antiphon.yaml: line 2: ") && message.contains("servr"), "{message}");
    }
    assert!(machine.refusal(&["config", "check", "missing.yaml"]).contains("missing.yaml"));
}

#[test]
fn what_is_accepted_and_of_no_use_is_said() {
    let machine = Machine::new();
    let check = |text: &str| {
        std::fs::write(machine.path().join("antiphon.yaml"), text).unwrap();
        machine.json(&["config", "check", "antiphon.yaml"])
    };
    let plain = check("server: { admin: { bind: \"127.0.0.1:8081\" } }\n");
    assert_eq!((&plain["valid"], &plain["notes"]), (&true.into(), &serde_json::json!([])));
    let noted = check("server: { admin: { bind: \"0.0.0.0:9000\" } }\nredis: { url: \"redis://127.0.0.1:1\" }\n");
    let notes = noted["notes"].as_array().unwrap();
    assert!(notes[0].as_str().unwrap().starts_with("redis "));
    let output = machine.run(&["config", "check", "antiphon.yaml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.matches(": note: ").count() == 1 && text.contains(": valid: "), "{text}");
    // A start says them too, here before it fails.
    let output = machine.run(&["serve", "--bind", "127.0.0.1:0", "--data-dir", "antiphon.yaml/x"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("redis is of no use on SQLite"), "{log}");
}
