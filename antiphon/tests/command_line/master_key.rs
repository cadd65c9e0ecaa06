//! The master key: where it is wrong, and where it is replaced.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::{Id, provider, provider_credential};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, Statement};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::machine::{Machine, SERVE};

#[test]
fn an_exchanged_master_key_is_an_error_and_not_a_set_of_dead_keys() {
    let machine = Machine::new();
    machine.json(&["key", "create", "--tenant", "acme", "--name", "a"]);
    std::fs::remove_file(machine.path().join("data/master.key")).unwrap();
    let message = machine.refusal(&["key", "create", "--tenant", "acme", "--name", "b"]);
    assert!(message.contains("not the one this database was made with"), "{message}");
}

/// A provider's credential as the admin API seals it.
async fn store_credential(machine: &Machine, base_url: &str, credential: &str) {
    let master = std::fs::read_to_string(machine.path().join("data/master.key")).unwrap();
    let master: [u8; 32] = STANDARD.decode(master.trim()).unwrap().try_into().unwrap();
    let derived = domain::key::KeyHash::of(&domain::key::Pepper::new(&master), "antiphon sealing v1").0;
    let (provider, id) = (Id(Uuid::now_v7()), Id(Uuid::now_v7()));
    let place = domain::seal::binding("provider_credentials", &[&id.to_string(), &provider.to_string(), "-"]);
    let sealed = domain::seal::SealingKey::new(&derived).seal(credential.as_bytes(), &place, [4; 56]);
    let db = database(machine).await;
    let now = OffsetDateTime::now_utc();
    let row = provider::ActiveModel {
        id: Set(provider),
        tenant_id: Set(None),
        name: Set("sealed".into()),
        kind: Set("openai".into()),
        base_url: Set(base_url.into()),
        region: Set(None),
        allow_insecure: Set(true),
        enabled: Set(true),
        managed_by: Set("api".into()),
        version: Set(1),
        created_at: Set(now),
        updated_at: Set(now),
    };
    provider::Entity::insert(row).exec_without_returning(&db).await.unwrap();
    let row = provider_credential::ActiveModel {
        id: Set(id),
        provider_id: Set(provider),
        tenant_id: Set(None),
        label: Set("main".into()),
        sealed: Set(sealed),
        last4: Set(String::new()),
        fingerprint: Set(String::new()),
        weight: Set(1),
        max_concurrent: Set(None),
        enabled: Set(true),
        version: Set(1),
        created_at: Set(now),
        updated_at: Set(now),
    };
    provider_credential::Entity::insert(row).exec_without_returning(&db).await.unwrap();
    db.close().await.unwrap();
}

async fn database(machine: &Machine) -> DatabaseConnection {
    let url = format!("sqlite://{}/data/antiphon.db", machine.path().display());
    database::connect(&url).await.unwrap()
}

/// How many rows a question has.
async fn rows(machine: &Machine, sql: &str) -> usize {
    let db = database(machine).await;
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
    db.close().await.unwrap();
    rows.len()
}

/// An upstream that answers every chat, and tells what it is paid with.
fn upstream() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let paid = lines.by_ref().find(|line| line.to_ascii_lowercase().starts_with("authorization:")).unwrap();
            drop(lines.find(String::is_empty));
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            (&stream).write_all(answer.as_bytes()).unwrap();
            tell.send(paid.split_once(' ').unwrap().1.to_owned()).unwrap();
        }
    });
    (base_url, told)
}

/// The status of a chat through the gateway that has printed this.
fn chat(printed: &str, key: &str) -> String {
    let (_, address) = printed.split_once("Antiphon is ready: http://").unwrap();
    let (address, _) = address.split_once("/v1").unwrap();
    let body = r#"{"model":"sealed/gpt-4o-mini","messages":[]}"#;
    let mut stream = TcpStream::connect(address).unwrap();
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close");
    write!(stream, "{head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_rotated_master_key_opens_what_was_sealed_before_and_keys_stay_valid() {
    let machine = Machine::new();
    let key = machine.json(&["key", "create", "--tenant", "acme", "--name", "a"])["key"].as_str().unwrap().to_owned();
    let old = std::fs::read_to_string(machine.path().join("data/master.key")).unwrap();
    let (base_url, paid) = upstream();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store_credential(&machine, &base_url, "sk-canary-credential"));
    let works = |printed: &str, key: &str| {
        assert_eq!(chat(printed, key), "200");
        assert_eq!(paid.recv().unwrap(), "Bearer sk-canary-credential");
    };
    let (running, printed) = machine.serve();
    works(&printed, &key);

    // As a process wrote that had not been restarted after an earlier rotation.
    let sql = "INSERT INTO signing_keys (id, sealed, created_at) VALUES ('01900000-0000-7000-8000-000000000000', \
        zeroblob(120), '2026-11-22 00:00:00+00:00')";
    machine.sql(sql);
    let new = STANDARD.encode([9; 32]);
    std::fs::write(machine.path().join("next"), &new).unwrap();
    let rotate = ["keys", "rotate-master", "--new-key-file", "next"];
    let told = machine.json(&rotate);
    assert_eq!(told["rewrapped"], 3, "the credential and two peppers");
    assert_eq!(std::fs::read_to_string(machine.path().join("data/master.key")).unwrap().trim(), new);
    assert!(machine.refusal(&rotate).contains("is the present one"));
    let rotated = machine.entries("command line").into_iter().filter(|entry| entry.kind == "master_key");
    assert_eq!(rotated.count(), 1, "the audit log tells of it, once");
    assert_eq!(runtime.block_on(rows(&machine, "SELECT 1 FROM signing_keys")), 0, "what nobody opens is gone");

    // The gateway that runs on has read what changed when it knows a key that was made afterwards.
    let later = machine.json(&["key", "create", "--tenant", "acme", "--name", "b"])["key"].as_str().unwrap().to_owned();
    let until = Instant::now() + Duration::from_secs(30);
    while chat(&printed, &later) != "200" {
        assert!(Instant::now() < until, "the change never came");
    }
    assert_eq!(paid.recv().unwrap(), "Bearer sk-canary-credential");
    works(&printed, &key);
    drop(running);

    let (running, printed) = machine.serve();
    works(&printed, &key);
    works(&printed, &later);
    drop(running);
    let output = machine.command(&SERVE).env("ANTIPHON_SECRETS__MASTER_KEY", old.trim()).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && log.contains("not the one this database was made with"), "{log}");

    // As if the power had failed between the database and the file.
    std::fs::rename(machine.path().join("data/master.key"), machine.path().join("data/master.key.next")).unwrap();
    std::fs::write(machine.path().join("data/master.key"), old).unwrap();
    machine.json(&["key", "create", "--tenant", "acme", "--name", "c"]);
    assert_eq!(std::fs::read_to_string(machine.path().join("data/master.key")).unwrap().trim(), new);
    for file in std::fs::read_dir(machine.path().join("data")).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(9).any(|window| window == b"sk-canary"), "{}", file.display());
        }
    }
}

#[test]
fn a_rotation_that_cannot_open_everything_changes_nothing() {
    let machine = Machine::new();
    machine.json(&["key", "create", "--tenant", "acme", "--name", "a"]);
    let old = std::fs::read_to_string(machine.path().join("data/master.key")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store_credential(&machine, "http://127.0.0.1:1", "sk-1").await;
    });
    machine.sql("UPDATE provider_credentials SET sealed = zeroblob(200)");
    let output = machine
        .command(&["keys", "rotate-master", "--new-key-env", "NEXT"])
        .env("NEXT", STANDARD.encode([9; 32]))
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("provider_credentials"), "{message}");
    assert!(message.contains("nothing was changed"), "{message}");
    assert_eq!(std::fs::read_to_string(machine.path().join("data/master.key")).unwrap(), old);
    machine.json(&["key", "create", "--tenant", "acme", "--name", "b"]);
    assert!(machine.refusal(&["keys", "rotate-master", "--new-key-env", "NOT_SET"]).contains("NOT_SET is not set"));
}

#[test]
fn postgres_without_a_master_key_is_refused_before_it_is_asked() {
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let machine = Machine::new();
    let message = machine.refusal(&["key", "create", "--tenant", "acme", "--name", "a", "--database-url", url]);
    assert!(message.contains("secrets.master_key is missing"), "{message}");
}

#[test]
fn a_malformed_master_key_is_refused_without_being_shown() {
    let machine = Machine::new();
    let output = machine.command(&SERVE).env("ANTIPHON_SECRETS__MASTER_KEY", "hunter2hunter2").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(message.contains("secrets.master_key") && message.contains("32 bytes in base64"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}
