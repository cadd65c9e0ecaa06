//! The schema, sums and prices.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::machine::Machine;

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

#[test]
fn a_list_that_is_being_read_keeps_nobody_from_writing() {
    let machine = Machine::new();
    machine.json(&["migrate", "up"]);
    let mut import = machine.command(&["prices", "import", "/dev/stdin"]);
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut list = import.stdin.take().unwrap();
    list.write_all(
        b"tenant,provider,model,operation,unit,price_usd,minimum_ms,rounding_ms,effective_from,source,read_on\n",
    )
    .unwrap();
    // More than a pipe holds: it has begun to read when this is written.
    for row in 0..3_000 {
        let row = format!("acme,openai,m{row},speech,million_characters,9,0,0,2026-01-01,page,2026-11-21\n");
        list.write_all(row.as_bytes()).unwrap();
    }
    machine.json(&["key", "create", "--tenant", "acme", "--name", "a"]);
    drop(list);
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(machine.json(&["prices", "export"]).as_array().unwrap().len(), 3_000);
}
