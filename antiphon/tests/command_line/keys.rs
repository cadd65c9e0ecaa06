//! Keys, the people who manage them, and the audit log of both.

use serde_json::Value;

use crate::machine::Machine;

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
        "--allow-strategy",
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
    assert_eq!((&listed["passthrough"], &listed["allow_strategy"]), (&true.into(), &true.into()));
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

    let written = || machine.entries("configuration");
    let told = written();
    let of = |name: &str| told.iter().filter(|entry| entry.after["name"] == name).collect::<Vec<_>>();
    assert_eq!(of("one").len(), 1, "{told:?}");
    assert_eq!((of("one")[0].action.as_str(), &of("one")[0].before), ("create", &Value::Null));
    assert!(told.iter().all(|entry| !entry.after.to_string().contains("aaaaaaaa")), "no secret is told");
    assert_eq!(machine.entries("start").len(), 1, "the price list");
    drop(machine.serve());
    assert_eq!((written().len(), machine.entries("start").len()), (told.len(), 1), "a start that changes nothing");

    declare(two);
    drop(machine.serve());
    let last = written().pop().unwrap();
    assert_eq!((last.action.as_str(), &last.before["name"]), ("revoke", &"one".into()));
    assert_eq!(written().len(), told.len() + 1);
    let keys = machine.json(&["key", "list", "--tenant", "acme"]);
    let revoked = |name: &str| {
        let key = keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap();
        (key["managed_by"] == "file", key["revoked_at"] != Value::Null)
    };
    assert_eq!((revoked("one"), revoked("two")), ((false, true), (true, false)));

    machine.json(&["key", "revoke", keys[1]["id"].as_str().unwrap()]);
    let by_hand = machine.entries("command line").pop().unwrap();
    assert_eq!((&by_hand.before["revoked_at"], by_hand.after["revoked_at"].is_string()), (&Value::Null, true));
    machine.sql("UPDATE tenants SET refuse_unpriced = TRUE");
    let unpriced = |text: &str| {
        std::fs::write(machine.path().join("antiphon.yaml"), text).unwrap();
        drop(machine.serve());
        let told = written().into_iter().rfind(|entry| entry.kind == "tenant").unwrap();
        let refuses = |shown: &Value| shown["refuse_unpriced"].as_bool();
        (refuses(&told.before), refuses(&told.after), told.after["managed_by"].as_str().unwrap().to_owned())
    };
    let (yes, no, file) = (Some(true), Some(false), "file".to_owned());
    assert_eq!(unpriced("tenants: [{ name: acme }]"), (None, no, file.clone()), "it is left as it was set");
    assert_eq!(unpriced("tenants: [{ name: acme, unpriced: serve }]"), (yes, no, file.clone()));
    assert_eq!(unpriced("tenants: [{ name: acme, unpriced: refuse }]"), (no, yes, file));
    assert_eq!(unpriced("tenants: []"), (yes, yes, "api".to_owned()), "nothing declares it any more");
}

#[test]
fn what_was_damaged_and_is_written_anew_is_told_as_a_change() {
    let machine = Machine::new();
    let declared = "
providers: [{ name: one, kind: openai, api_key: sk-upstream }]
models: [{ name: house, targets: [{ provider: one, model: tts-1 }] }]
";
    std::fs::write(machine.path().join("antiphon.yaml"), declared).unwrap();
    drop(machine.serve());
    let told = machine.entries("configuration").len();
    machine.sql("UPDATE models SET strategy = 'none that is known'");
    drop(machine.serve());
    let told = machine.entries("configuration").split_off(told);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].action.as_str(), told[0].kind.as_str()), ("update", "model"));
    assert_eq!((&told[0].before, &told[0].after["name"]), (&Value::Null, &"house".into()));
}
