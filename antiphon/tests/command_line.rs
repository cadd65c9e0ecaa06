//! The command line from outside, on SQLite in a folder of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::{Id, provider, provider_credential};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, QueryOrder};
use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

/// A folder with nothing in it, and the program that runs there with an empty environment.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(message.trim_end().lines().count(), 1, "one line: {message}");
        message
    }

    /// Runs a statement in the database, as somebody who has got hold of the file.
    fn sql(&self, statement: &str) {
        let url = format!("sqlite://{}", self.path().join("data/antiphon.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let db = sea_orm::Database::connect(url).await.unwrap();
            sea_orm::ConnectionTrait::execute_unprepared(&db, statement).await.unwrap();
            db.close().await.unwrap();
        });
    }

    /// Starts the gateway and reads what it prints until it has said that it is ready.
    fn serve(&self) -> (Serving, String) {
        let arguments =
            ["serve", "--bind", "127.0.0.1:0", "--metrics-bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
        let child = self.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
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
}

/// A gateway that ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_key_is_shown_once_listed_without_its_secret_and_revoked() {
    let machine = Machine::new();
    let created = machine.json(&[
        "key",
        "create",
        "--tenant",
        "acme",
        "--name",
        "ci",
        "--operation",
        "speech",
        "--operation",
        "realtime",
        "--model",
        "tts-*",
        "--rpm",
        "60",
        "--sessions",
        "2",
        "--budget-usd",
        "12.50",
        "--budget-window",
        "monthly",
        "--expires-at",
        "2031-01-02T03:04:05Z",
        "--passthrough",
    ]);
    let secret = created["key"].as_str().unwrap();
    assert!(domain::key::is_well_formed(secret));
    assert_eq!(created["tenant"], "acme");
    assert_eq!(created["budget"], serde_json::json!({ "usd": "12.5", "window": "monthly" }));

    let listed = machine.json(&["key", "list", "--tenant", "acme"]);
    assert!(!listed.to_string().contains(secret));
    let listed = &listed[0];
    assert_eq!(listed["id"], created["id"]);
    assert_eq!(listed["operations"], serde_json::json!(["speech", "realtime"]));
    assert_eq!(listed["models"], serde_json::json!(["tts-*"]));
    assert_eq!((&listed["requests_per_minute"], &listed["max_concurrent_sessions"]), (&60.into(), &2.into()));
    assert_eq!(listed["expires_at"], "2031-01-02T03:04:05Z");
    assert_eq!(listed["passthrough"], true);
    assert_eq!(listed["revoked_at"], Value::Null);

    let id = created["id"].as_str().unwrap();
    assert_eq!(machine.json(&["key", "revoke", id])["revoked"], true);
    assert_ne!(machine.json(&["key", "list", "--tenant", "acme"])[0]["revoked_at"], Value::Null);
    assert!(machine.refusal(&["key", "revoke", id]).contains("revoked already"));
    assert!(machine.refusal(&["key", "list", "--tenant", "nobody"]).contains("no tenant \"nobody\""));

    let database = std::fs::read(machine.path().join("data/antiphon.db")).unwrap();
    let secret = secret.as_bytes();
    assert!(!database.windows(secret.len()).any(|window| window == secret), "the secret is not in the database");
}

#[test]
fn what_is_changed_by_command_is_audited_and_tampering_with_it_is_found() {
    let machine = Machine::new();
    let created = machine.json(&["key", "create", "--tenant", "acme", "--name", "ci"]);
    machine.json(&["key", "revoke", created["id"].as_str().unwrap()]);
    machine.json(&["prices", "seed"]);
    let sound = machine.json(&["audit", "verify"]);
    // The tenant, its key, its end; and the price list in the platform's own chain.
    let expected = serde_json::json!({ "valid": true, "chains": 2, "entries": 4, "faults": [] });
    assert_eq!(sound, expected);
    let text = String::from_utf8(machine.run(&["audit", "verify"]).stdout).unwrap();
    assert_eq!(text, "4 entries in 2 chains, all as they were written\n");

    let tamper = "UPDATE audit_log SET actor_name = 'nobody' WHERE action = 'revoke'";
    machine.sql(tamper);
    let message = machine.refusal(&["audit", "verify"]);
    assert!(message.contains("entry 3") && message.contains("was altered"), "{message}");
    let output = machine.run(&["audit", "verify", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.success(), &report["faults"][0]["fault"]), (false, &"altered".into()));
}

#[test]
fn an_administrator_is_made_and_gets_another_password() {
    let machine = Machine::new();
    let create = ["admin-user", "create", "--email", "Ada@Example.com", "--role"];
    let made = machine.json(&[&create[..], &["platform_admin"]].concat());
    assert_eq!((&made["email"], &made["role"]), (&Value::from("ada@example.com"), &Value::from("platform_admin")));
    let password = made["password"].as_str().unwrap();
    assert_eq!(password.len(), 24);
    let other = machine.json(&["admin-user", "reset-password", "--email", "ada@example.com"]);
    assert_eq!(other["id"], made["id"]);
    assert_ne!(other["password"], made["password"]);
    assert!(machine.refusal(&[&create[..], &["platform_admin"]].concat()).contains("exists already"));
    assert!(machine.refusal(&[&create[..], &["tenant_admin"]].concat()).contains("--tenant"));
    assert!(machine.refusal(&[&create[..], &["tenant_admin", "--tenant", "acme"]].concat()).contains("no tenant"));
    assert!(machine.refusal(&["admin-user", "reset-password", "--email", "x@y.z"]).contains("no user"));
}

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
    let url = format!("sqlite://{}/data/antiphon.db", machine.path().display());
    let db = gateway::repositories::connect(&url).await.unwrap();
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

    let new = STANDARD.encode([9; 32]);
    std::fs::write(machine.path().join("next"), &new).unwrap();
    let rotate = ["keys", "rotate-master", "--new-key-file", "next"];
    let told = machine.json(&rotate);
    assert_eq!(told["rewrapped"], 3, "the credential and two peppers");
    assert_eq!(std::fs::read_to_string(machine.path().join("data/master.key")).unwrap().trim(), new);
    assert!(machine.refusal(&rotate).contains("is the present one"));

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
        let url = format!("sqlite://{}/data/antiphon.db", machine.path().display());
        let db = gateway::repositories::connect(&url).await.unwrap();
        let damage = "UPDATE provider_credentials SET sealed = zeroblob(200)";
        db.execute_unprepared(damage).await.unwrap();
        db.close().await.unwrap();
    });
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
fn what_is_declared_lies_in_the_database_without_its_credential_until_it_is_no_longer() {
    let machine = Machine::new();
    let declare = |text: &str| std::fs::write(machine.path().join("antiphon.yaml"), text).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = || {
        runtime.block_on(async {
            let url = format!("sqlite://{}/data/antiphon.db", machine.path().display());
            let db = gateway::repositories::connect(&url).await.unwrap();
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
fn migrations_go_up_down_and_up_again() {
    let machine = Machine::new();
    let applied = |steps: Value| steps.as_array().unwrap().iter().all(|step| step["applied"] == true);
    assert!(!applied(machine.json(&["migrate", "status"])));
    assert!(applied(machine.json(&["migrate", "up"])));
    assert!(!applied(machine.json(&["migrate", "down"])));
    assert!(applied(machine.json(&["migrate", "up"])));
}

#[test]
fn sums_are_made_anew_for_the_days_that_have_records() {
    let machine = Machine::new();
    let ever = ["usage", "rebuild-rollups", "--from", "0001-01-01", "--to", "9999-12-31"];
    assert_eq!(machine.json(&ever)["days"], 0, "at once: nobody has called yet");
    let wrong = machine.run(&["usage", "rebuild-rollups", "--from", "yesterday"]);
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("2026-11-22"), "{wrong:?}");
}

#[test]
fn prices_are_seeded_once_and_exported_with_their_source() {
    let machine = Machine::new();
    assert!(machine.json(&["prices", "seed"])["inserted"].as_u64().unwrap() > 0);
    assert_eq!(machine.json(&["prices", "seed"])["inserted"], 0);
    let rows = machine.json(&["prices", "export"]);
    assert!(rows.as_array().unwrap().iter().all(|row| !row["source"].as_str().unwrap().is_empty()));

    let csv = machine.run(&["prices", "export"]).stdout;
    std::fs::write(machine.path().join("own.csv"), &csv).unwrap();
    let report = machine.json(&["prices", "import", "own.csv"]);
    assert_eq!(report["inserted"], 0, "an export can be imported: {report}");
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
fn postgres_without_a_master_key_is_refused_before_it_is_asked() {
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let machine = Machine::new();
    let message = machine.refusal(&["key", "create", "--tenant", "acme", "--name", "a", "--database-url", url]);
    assert!(message.contains("secrets.master_key is missing"), "{message}");
}

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
fn keys_that_are_dropped_from_the_file_are_revoked_at_the_next_start() {
    let machine = Machine::new();
    let declare = |keys: &str| {
        let text = format!("tenants:\n  - name: acme\n    keys: [{keys}]\n");
        std::fs::write(machine.path().join("antiphon.yaml"), text).unwrap();
    };
    let one = "{ name: one, key: aaaaaaaaaaaaaaaaaaaaaaaa }";
    let two = "{ name: two, key: bbbbbbbbbbbbbbbbbbbbbbbb }";
    declare(&format!("{one}, {two}"));
    let (serving, printed) = machine.serve();
    assert!(!printed.contains("sk-ap-"), "no demo key beside declared ones");
    drop(serving);

    declare(two);
    drop(machine.serve());
    let keys = machine.json(&["key", "list", "--tenant", "acme"]);
    let revoked = |name: &str| {
        let key = keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap();
        (key["managed_by"] == "file", key["revoked_at"] != Value::Null)
    };
    assert_eq!((revoked("one"), revoked("two")), ((true, true), (true, false)));
}

const SERVE: [&str; 7] =
    ["serve", "--bind", "127.0.0.1:0", "--metrics-bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];

impl Machine {
    /// The last line of a start that fails; the log stands before it.
    fn failed_start(&self, more: &[&str]) -> String {
        let output = self.run(&[&SERVE, more].concat());
        assert!(!output.status.success(), "{more:?} succeeded");
        assert!(output.stdout.is_empty(), "nothing says that it is ready");
        let log = String::from_utf8(output.stderr).unwrap();
        log.trim_end().lines().last().unwrap().to_owned()
    }
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
fn a_malformed_master_key_is_refused_without_being_shown() {
    let machine = Machine::new();
    let output = machine.command(&SERVE).env("ANTIPHON_SECRETS__MASTER_KEY", "hunter2hunter2").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(message.contains("secrets.master_key") && message.contains("32 bytes in base64"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
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
    let version = machine.run(&["--version"]);
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("antiphon 0."));
}

#[test]
fn what_is_accepted_without_effect_is_said() {
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
    assert!(log.contains("redis has no effect"), "{log}");
}

#[test]
fn a_list_with_a_wrong_line_is_not_imported_at_all() {
    let machine = Machine::new();
    machine.json(&["key", "create", "--tenant", "acme", "--name", "a"]);
    let import = |tenants: [&str; 2]| {
        let mut text =
            "tenant,provider,model,operation,unit,price_usd,minimum_ms,rounding_ms,effective_from,source,read_on\n"
                .to_owned();
        for (tenant, model) in tenants.iter().zip(["one", "two"]) {
            text.push_str(&format!(
                "{tenant},openai,{model},speech,million_characters,9,0,0,2026-01-01,page,2026-11-21\n"
            ));
        }
        std::fs::write(machine.path().join("own.csv"), text).unwrap();
    };
    import(["acme", "acmee"]);
    let message = machine.refusal(&["prices", "import", "own.csv"]);
    assert!(message.contains("own.csv, line 3: tenant: there is no tenant \"acmee\""), "{message}");
    assert_eq!(machine.json(&["prices", "export"]), serde_json::json!([]));
    import(["acme", ""]);
    let dry = machine.json(&["prices", "import", "own.csv", "--dry-run"]);
    assert_eq!((&dry["applied"], &dry["inserted"]), (&false.into(), &2.into()));
    assert_eq!(machine.json(&["prices", "import", "own.csv"])["inserted"], 2);
    let rows = machine.json(&["prices", "export"]);
    assert_eq!((&rows[0]["tenant"], &rows[1]["tenant"]), (&"acme".into(), &Value::Null));
    import(["acme", "acmee"]);
    let skipping = machine.json(&["prices", "import", "own.csv", "--mode", "skip-bad"]);
    assert_eq!((&skipping["unchanged"], &skipping["refused"]), (&1.into(), &1.into()));
}
