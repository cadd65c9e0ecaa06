//! What an operator would miss if the configuration were read otherwise.

use std::time::Duration;

use domain::provider::Operation;
use secrecy::ExposeSecret;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, &Environment::new(), &[])
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.server.gateway.bind, "127.0.0.1:8080");
    assert_eq!(config.server.admin.bind, "127.0.0.1:8081");
    assert_eq!(config.server.metrics.bind, "127.0.0.1:9464");
    assert_eq!(config.database.url, "sqlite://data/antiphon.db");
    assert_eq!(config.data_dir(), Path::new("data"));
    assert_eq!(config.limits.session_max_age, Duration::from_secs(3600));
    assert!(config.providers.iter().any(|provider| provider.name == "local"), "local needs no declaration");
}

#[test]
fn flags_go_before_environment_before_file() {
    let file = "server: { gateway: { bind: \"127.0.0.1:1001\" } }\nlimits: { max_upload_mib: 3, session_idle: 7m }\n";
    let variables = environment(&[("ANTIPHON_SERVER__GATEWAY__BIND", "127.0.0.1:1002")]);
    let flag = Override { flag: "--bind", field: "server.gateway.bind", text: "127.0.0.1:1003".to_owned() };
    let bind = |environment: &Environment, flags: &[Override]| {
        Config::parse(file, environment, flags).unwrap().server.gateway.bind
    };
    assert_eq!(bind(&Environment::new(), &[]), "127.0.0.1:1001");
    assert_eq!(bind(&variables, &[]), "127.0.0.1:1002");
    assert_eq!(bind(&variables, &[flag]), "127.0.0.1:1003");

    let config = Config::parse(file, &variables, &[]).unwrap();
    assert_eq!(config.limits.max_upload_mib, 3, "its neighbours in the file stay");
    assert_eq!(config.limits.session_idle, Duration::from_secs(420));
}

#[test]
fn an_unknown_field_is_named_with_its_line_or_its_variable() {
    let message = refusal("server:\n  gateway:\n    bind: \"127.0.0.1:1\"\n    prot: 8080\n");
    assert!(message.starts_with("line 4: ") && message.contains("unknown field `prot`"), "{message}");
    let message = refusal("limits: {}\ndatabse: { url: x }\n");
    assert!(message.starts_with("line 2: ") && message.contains("`databse`"), "{message}");
    let message = refusal("tenants:\n  - name: a\n    keys:\n      - { name: k, key: 01234567890123456789, rpm: 3 }\n");
    assert!(message.starts_with("line 4: ") && message.contains("`rpm`"), "{message}");

    let variables = environment(&[("ANTIPHON_SERVER__GATEWAY__PROT", "1")]);
    let message = Config::parse("", &variables, &[]).unwrap_err().to_string();
    assert!(message.starts_with("ANTIPHON_SERVER__GATEWAY__PROT: ") && message.contains("`prot`"), "{message}");
}

#[test]
fn a_wrong_value_is_named_with_its_line_and_without_its_text() {
    let message = refusal("limits:\n  max_upload_mib: s3cret\n");
    assert_eq!(message, "line 2: max_upload_mib: expected a whole number, 0 or more");
    let message = refusal("timeouts:\n  connect: 3\n");
    assert!(message.starts_with("line 2: connect: expected a duration"), "{message}");
    assert!(refusal("models:\n  - name: m\n    strategy: fastest\n    targets: []\n").starts_with("line 3: "));
    assert!(refusal("server: [\n").starts_with("line "));
    assert!(!refusal("server: [\n").contains('\n'));
}

#[test]
fn a_model_takes_one_strategy_or_several() {
    let strategy = |text: &str| {
        parse(&format!(
            "models:\n  - {{ name: m, strategy: {text}, targets: [{{ provider: local, model: flite }}] }}\n"
        ))
    };
    for (text, wanted) in
        [("latency", "latency"), ("[geographic, cost]", "geographic,cost"), ("\"geographic,cost\"", "geographic,cost")]
    {
        assert_eq!(strategy(text).unwrap().models[0].strategy.to_string(), wanted);
    }
    for text in ["[]", "[cost, cost]", "[weighted, cost]", "[cost, fastest]"] {
        let message = strategy(text).unwrap_err().to_string();
        assert!(message.starts_with("line 2: "), "{text}: {message}");
    }
}

#[test]
fn a_model_is_hedged_where_it_says_so() {
    let hedge = |text: &str| {
        let model = format!("{{ name: m, hedge: {text}, targets: [{{ provider: local, model: flite }}] }}");
        parse(&format!("models:\n  - {model}\n"))
    };
    for (text, wanted) in [
        ("true", Some(1000)),
        ("false", None),
        ("null", None),
        ("{}", Some(1000)),
        ("{ unmeasured: 250ms }", Some(250)),
    ] {
        let told = hedge(text).unwrap().models[0].hedge.map(|hedge| hedge.unmeasured_ms);
        assert_eq!(told, wanted, "{text}");
    }
    for (text, why) in [("p95", "expected `true`"), ("{ unmeasured: 2m }", "10ms to 60s"), ("{ after: 1s }", "`after`")]
    {
        let message = hedge(text).unwrap_err().to_string();
        assert!(message.starts_with("line 2: ") && message.contains(why), "{text}: {message}");
    }
}

#[test]
fn phases_of_calls_are_told_for_all_and_for_single_operations() {
    let file = "timeouts:\n  total: 2m\n  operations:\n    speech: { first_byte: 10s, connect: 1s }\n    \
                transcription: { first_byte: 5m, total: 15m }\n";
    let timeouts = parse(file).unwrap().timeouts.to_gateway();
    let seconds = Duration::from_secs;
    let speech = timeouts.phases(Operation::Speech);
    assert_eq!((speech.connect, speech.first_byte, speech.total), (Some(seconds(1)), seconds(10), Some(seconds(120))));
    assert_eq!(timeouts.phases(Operation::Transcription).total, Some(seconds(900)));
    let chat = timeouts.phases(Operation::Chat);
    assert_eq!((chat.connect, chat.first_byte, chat.idle), (None, seconds(60), seconds(60)));
    for (operations, why) in [
        (
            "speech: { first_byte: 10s, total: 5s }",
            "timeouts.operations.speech.total: must not be shorter than its first_byte",
        ),
        ("speech: { idle: 0s }", "timeouts.operations.speech.idle: must be longer than nothing"),
        ("chat: { connect: 4s }", "timeouts.operations.chat.connect: must not be longer than timeouts.connect"),
        ("realtime: { total: 5s }", "`realtime`"),
        ("speech: { write: 5s }", "`write`"),
    ] {
        let message = refusal(&format!("timeouts:\n  operations:\n    {operations}\n"));
        assert!(message.contains(why), "{message}");
    }
    assert!(refusal("timeouts:\n  total: 0s\n").contains("timeouts.total: must be longer than nothing"));
}

#[test]
fn records_are_kept_for_a_month_at_least() {
    let kept = parse("usage:\n  retention_days: 32\n  rollup_hourly_days: null\n").unwrap().usage.retention();
    assert_eq!((kept.record_days, kept.hourly_days), (Some(32), None));
    assert!(refusal("usage:\n  retention_days: 31\n").contains("32 or more"));
    assert!(refusal("usage:\n  rollup_hourly_days: 0\n").contains("1 or more"));
    // So far back there is no time.
    for name in ["retention_days", "rollup_hourly_days"] {
        parse(&format!("usage:\n  {name}: 36500\n")).unwrap();
        assert!(refusal(&format!("usage:\n  {name}: 4400000\n")).contains("36500 at most"), "{name}");
    }
}

#[test]
fn the_value_of_a_variable_never_becomes_structure() {
    let hostile = "\"x\"\nallow_insecure: true\n# ' ${OTHER} }";
    let file = "tenants:\n  - name: acme\n    keys:\n      - { name: a, key: \"${KEY}\" }\nvoices:\n  - { name: \"${TEXT}\", map: { local: slt } }\n";
    let variables =
        environment(&[("KEY", "key: [with] {yaml} 'quotes' \"inside\""), ("TEXT", hostile), ("OTHER", "never")]);
    // Spaces are refused by the check of keys, after the text came through whole.
    let message = Config::parse(file, &variables, &[]).unwrap_err().to_string();
    assert!(message.contains("printable ASCII"), "{message}");

    let variables = environment(&[("KEY", "key:[with]{yaml}'quotes'\"inside\""), ("TEXT", hostile)]);
    let config = Config::parse(file, &variables, &[]).unwrap();
    assert_eq!(config.voices[0].name, hostile);
    assert_eq!(config.tenants[0].keys[0].key.expose_secret(), "key:[with]{yaml}'quotes'\"inside\"");
}

#[test]
fn variables_expand_with_defaults_and_are_missed_by_name() {
    let bind = |text: &str, pairs: &[(&str, &str)]| {
        let file = format!("server:\n  gateway:\n    bind: {text}\n");
        Config::parse(&file, &environment(pairs), &[]).map(|config| config.server.gateway.bind)
    };
    assert_eq!(bind("\"127.0.0.1:${PORT:-99}\"", &[]).unwrap(), "127.0.0.1:99");
    assert_eq!(bind("\"127.0.0.1:${PORT:-99}\"", &[("PORT", "")]).unwrap(), "127.0.0.1:99");
    assert_eq!(bind("127.0.0.1:${PORT}", &[("PORT", "77")]).unwrap(), "127.0.0.1:77");
    for text in ["\"127.0.0.1:${PORT}\"", "\"${PORT}\""] {
        let message = bind(text, &[]).unwrap_err().to_string();
        assert!(message.starts_with("line 3: ") && message.contains("PORT is not set"), "{message}");
    }
    assert!(bind("\"${PORT\"", &[]).unwrap_err().to_string().contains("closing brace"));
    let escaped = parse("voices: [{ name: \"$${PORT}\", map: { local: slt } }]").unwrap();
    assert_eq!(escaped.voices[0].name, "${PORT}");
}

#[test]
fn a_master_key_from_an_unset_variable_is_absent_but_a_credential_is_missed() {
    let config = parse("secrets: { master_key: \"${ANTIPHON_MASTER_KEY}\" }").unwrap();
    assert!(config.secrets.master_key.is_none());
    let message = refusal("providers:\n  - name: o\n    kind: openai\n    api_key: \"${OPENAI_API_KEY}\"\n");
    assert!(message.starts_with("line 4: ") && message.contains("OPENAI_API_KEY is not set"), "{message}");
}

#[test]
fn secrets_are_not_in_debug() {
    let config = parse(
        "secrets: { master_key: AAAAsecret }\nproviders: [{ name: o, kind: openai, api_key: sk-secret }]\n\
         tenants: [{ name: a, keys: [{ name: k, key: sk-very-long-secret-key }] }]\n\
         database: { url: \"postgres://u:secret@h/d\" }\n",
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("secret\"") && !format!("{config:?}").contains("-secret"));
    assert!(!format!("{config:?}").contains(":secret@"));
}

#[test]
fn providers_exist_by_their_usual_variables_unless_declared() {
    let variables = environment(&[("OPENAI_API_KEY", "sk-1"), ("AZURE_OPENAI_API_KEY", "az"), ("GROQ_API_KEY", "gsk")]);
    let names = |config: &Config| config.providers.iter().map(|provider| provider.name.clone()).collect::<Vec<_>>();
    let config = Config::parse("", &variables, &[]).unwrap();
    assert!(names(&config).contains(&"openai".to_owned()) && names(&config).contains(&"groq".to_owned()));
    assert!(!names(&config).contains(&"azure".to_owned()), "azure needs its endpoint too");

    let file = "providers: [{ name: eu, kind: openai, api_key: x, base_url: \"https://eu.api.openai.com/v1/\" }]";
    let config = Config::parse(file, &variables, &[]).unwrap();
    assert!(!names(&config).contains(&"openai".to_owned()));
    assert_eq!(config.providers[0].base_url.as_deref(), Some("https://eu.api.openai.com/v1"));
}

#[test]
fn a_collector_is_named_by_its_usual_variable_unless_declared() {
    let read = |text: &str, more: &[(&str, &str)]| {
        Config::parse(text, &environment(more), &[]).map(|config| config.telemetry.otlp)
    };
    let collector = |text: &str, url: &str| {
        read(text, &[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]).map(|otlp| otlp.map(|otlp| otlp.endpoint))
    };
    assert_eq!(collector("", "http://there:4317").unwrap().as_deref(), Some("http://there:4317"));
    assert_eq!(collector("", "").unwrap(), None);
    let declared = "telemetry: { otlp: { endpoint: \"http://here:4317\" } }";
    assert_eq!(collector(declared, "http://there:4317").unwrap().as_deref(), Some("http://here:4317"));
    assert!(collector("", "there:4317").unwrap_err().to_string().contains("telemetry.otlp.endpoint"));

    let usual = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://there:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20one, x-two=2"),
        ("OTEL_SERVICE_NAME", "voices"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=eu%2Dwest"),
    ];
    let otlp = read("", &usual).unwrap().unwrap();
    assert_eq!(otlp.protocol, OtlpProtocol::Http);
    let headers: Vec<_> = otlp.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(headers, [("authorization", "Bearer one"), ("x-two", "2")]);
    let resource: Vec<_> = otlp.resource.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(resource, [("deployment.environment.name", "eu-west"), ("service.name", "voices")]);
    let declared = "telemetry: { otlp: { endpoint: \"http://here:4317\", headers: { x-two: mine } } }";
    let otlp = read(declared, &usual).unwrap().unwrap();
    assert_eq!((otlp.protocol, otlp.headers["x-two"].expose_secret()), (OtlpProtocol::Grpc, "mine"));
    let json = read("", &[usual[0], ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]);
    assert!(json.unwrap_err().to_string().contains("OTEL_EXPORTER_OTLP_PROTOCOL"));
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES"] {
        for unreadable in ["a=1,canary", "=canary", "a=canary%FF"] {
            let why = read("", &[usual[0], (name, unreadable)]).unwrap_err().to_string();
            assert!(why.contains(name) && !why.contains("canary"), "{unreadable}: {why}");
        }
        assert!(read("", &[usual[0], (name, "a=1, ,b=,")]).is_ok());
    }

    for (wrong, told) in [
        ("sample: 1.5", "sample"),
        ("interval: 10ms", "interval"),
        ("timeout: 0s", "timeout"),
        ("headers: { host: x }", "headers"),
        ("headers: { \"a b\": x }", "headers"),
    ] {
        let text = format!("telemetry: {{ otlp: {{ endpoint: \"http://here:4317\", {wrong} }} }}");
        assert!(refusal(&text).contains(told), "{wrong}: {}", refusal(&text));
    }
}

#[test]
fn what_cannot_work_is_refused_in_one_line() {
    let provider = |rest: &str| format!("providers: [{{ name: p, kind: openai, api_key: k, {rest} }}]");
    let cases = [
        (provider("base_url: \"http://api.example.com/v1\""), "plain http"),
        (provider("base_url: \"https://127.0.0.1/v1\""), "private address"),
        (provider("base_url: \"https://[::ffff:10.0.0.1]/v1\""), "private address"),
        (provider("base_url: \"https://me:pw@api.example.com/v1\""), "credentials"),
        (provider("base_url: \"ftp://api.example.com\""), "https://"),
        ("providers: [{ name: p, kind: openai }]".to_owned(), "api_key is missing"),
        ("providers: [{ name: p, kind: openai-compatible }]".to_owned(), "base_url is missing"),
        ("providers: [{ name: p, kind: google, api_key: '{}' }]".to_owned(), "api_key: the service account"),
        ("models: [{ name: m, targets: [{ provider: nobody, model: x }] }]".to_owned(), "no provider \"nobody\""),
        ("models: [{ name: m, targets: [] }]".to_owned(), "at least one target"),
        (
            "models: [{ name: m, tenant: a, targets: [{ provider: local, model: flite }] }, \
             { name: m, tenant: a, targets: [{ provider: local, model: flite }] }]"
                .to_owned(),
            "model \"m\" is declared twice for tenant \"a\"",
        ),
        ("voices: [{ name: v, map: { nobody: x } }]".to_owned(), "no provider \"nobody\""),
        ("tenants: [{ name: a }, { name: a }]".to_owned(), "tenant \"a\" is declared twice"),
        ("tenants: [{ name: a, keys: [{ name: k, key: short }] }]".to_owned(), "20 characters"),
        (
            "tenants: [{ name: a, keys: [{ name: k, key: sk-aaaaaaaaaaaaaaaaaaaa, operations: [sing] }] }]".to_owned(),
            "sing",
        ),
        ("database: { url: \"mysql://x\" }".to_owned(), "expected sqlite"),
        ("server: { gateway: { bind: \"8080\" } }".to_owned(), "server.gateway.bind"),
        (
            "server: { gateway: { allowed_origins: [\"https://a.example/\"] } }".to_owned(),
            "server.gateway.allowed_origins",
        ),
        ("server: { gateway: { public_url: \"a.example\" } }".to_owned(), "server.gateway.public_url"),
        ("server: { admin: { public_url: \"ftp://a.example\" } }".to_owned(), "server.admin.public_url"),
        (
            "server: { admin: { trusted_proxies: [\"10.0.0.0/8\", \"10.0.0.0/33\"] } }".to_owned(),
            "server.admin.trusted_proxies: \"10.0.0.0/33\"",
        ),
        ("timeouts: { ping: 0s }".to_owned(), "timeouts.ping"),
    ];
    for (text, expected) in cases {
        let message = refusal(&text);
        assert!(message.contains(expected) && !message.contains('\n'), "{text}: {message}");
    }
    let shadowed = "models: [{ name: m, targets: [{ provider: local, model: flite }] }, \
        { name: m, tenant: a, targets: [{ provider: local, model: pocketsphinx }] }]";
    assert!(parse(shadowed).is_ok(), "a tenant may have its own model of the platform's name");
    let insecure = provider("base_url: \"http://127.0.0.1:9/v1\", allow_insecure: true");
    assert!(parse(&insecure).is_ok());
}

#[test]
fn the_policy_of_a_key_is_read_whole() {
    let config = parse(
        "tenants:\n  - name: acme\n    keys:\n      - { name: ci, key: \"12345678901234567890\", operations: [transcription, realtime],\n          models: [\"stt-*\"], max_concurrent_sessions: 10, requests_per_minute: 600,\n          budget: { usd: 0.10, window: monthly }, expires_at: \"2027-06-30T00:00:00Z\" }\n",
    )
    .unwrap();
    let key = &config.tenants[0].keys[0];
    assert_eq!(key.models, ["stt-*"]);
    let budget = key.budget.as_ref().unwrap();
    assert_eq!((budget.usd.to_string().as_str(), budget.window), ("0.10", Window::Monthly), "no digit is lost");
    assert_eq!(key.expires_at.unwrap().year(), 2027);
    assert_eq!((key.max_concurrent_sessions, key.requests_per_minute), (Some(10), Some(600)));
}

#[test]
fn the_example_file_parses_and_shows_every_field() {
    let text = include_str!("../../../antiphon.example.yaml");
    let variables = environment(&[
        ("OPENAI_API_KEY", "sk-example"),
        ("AZURE_OPENAI_API_KEY", "example"),
        ("GROQ_API_KEY", "gsk_example"),
        ("ACME_KEY", "example-key-of-acme-0123456789"),
    ]);
    Config::parse(text, &variables, &[]).unwrap();

    let shown = Node::parse(text, &variables).unwrap().field_names();
    let sources = [
        include_str!("mod.rs"),
        include_str!("server.rs"),
        include_str!("database.rs"),
        include_str!("realtime.rs"),
        include_str!("redis.rs"),
        include_str!("secrets.rs"),
        include_str!("oidc.rs"),
        include_str!("providers.rs"),
        include_str!("models.rs"),
        include_str!("tenants.rs"),
        include_str!("voices.rs"),
        include_str!("limits.rs"),
        include_str!("timeouts.rs"),
        include_str!("smtp.rs"),
        include_str!("telemetry.rs"),
        include_str!("usage.rs"),
    ];
    // The fields are read from the structs' own source, so that a new one cannot be forgotten.
    let mut count = 0;
    for source in sources {
        let structs = source.split("deny_unknown_fields").skip(1).filter_map(|rest| rest.split_once("\n}"));
        for (body, _) in structs {
            for line in body.lines().filter_map(|line| line.strip_prefix("    pub(crate) ")) {
                let (field, _) = line.split_once(':').unwrap();
                assert!(shown.contains(field), "antiphon.example.yaml does not show `{field}`");
                count += 1;
            }
        }
    }
    assert!(count > 40, "the structs were found: {count}");
    for field in ["weight", "priority", "quality", "options"] {
        assert!(shown.contains(field), "a target's `{field}` is missing");
    }
}

#[test]
fn the_first_administrator_comes_from_the_environment_and_not_from_the_file() {
    let variables =
        environment(&[("ANTIPHON_ADMIN_EMAIL", "a@b.example"), ("ANTIPHON_ADMIN_PASSWORD", "a password of mine")]);
    let config = Config::parse("", &variables, &[]).unwrap();
    let told = config.first_administrator();
    assert_eq!(told.email.as_deref(), Some("a@b.example"));
    assert_eq!(told.password.as_ref().unwrap().expose_secret(), "a password of mine");
    assert!(!format!("{config:?}").contains("password of mine"));
    assert!(refusal("first_administrator: { email: a@b.example }").contains("first_administrator"));
}

#[test]
fn an_identity_provider_is_encrypted_and_its_roles_fit_their_tenants() {
    let of = |issuer: &str, more: &str| format!("oidc: {{ issuer: \"{issuer}\", client_id: a, {more} }}");
    let config = parse(&of("https://login.example.com", "roles: { ops: { role: platform_admin } }")).unwrap();
    let settings = config.oidc.unwrap().to_admin();
    assert_eq!(
        (settings.role_claim.as_str(), settings.scopes),
        ("groups", vec!["email".to_owned(), "profile".to_owned()])
    );
    assert!(parse(&of("http://127.0.0.1:1", "allow_insecure: true")).is_ok());
    for (wrong, told) in [
        (of("http://login.example.com", ""), "https://"),
        (of("login.example.com", "allow_insecure: true"), "https://"),
        (of("https://a.example", "roles: { ops: { role: platform_admin, tenant: acme } }"), "takes no tenant"),
        (of("https://a.example", "roles: { ops: { role: tenant_admin } }"), "needs a tenant"),
        (of("https://a.example", "roles: { ops: { role: king } }"), "role"),
        (of("https://a.example", "claim: x"), "claim"),
    ] {
        assert!(refusal(&wrong).contains(told), "{wrong}: {}", refusal(&wrong));
    }
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_else() {
    let oidc = "oidc: { issuer: \"https://login.example.com/\", client_id: c, client_secret: one }\n";
    let started = parse(oidc).unwrap();
    let changes = "limits: { max_sessions: 3 }\ntimeouts: { drain: 5s, write: 1s }\ntelemetry: { log: debug }\n\
                   tenants: [{ name: acme }]\nmodels: []\n";
    let none: [&str; 0] = [];
    assert_eq!(started.needs_restart(&parse(&format!("{oidc}{changes}")).unwrap()), none);
    let newer = "server: { gateway: { bind: \"127.0.0.1:1\" }, data_dir: other }\ndatabase: { url: \"sqlite://x.db\" }\n\
                 timeouts: { connect: 1s }\ntelemetry: { format: json, otlp: { endpoint: \"http://here:4317\" } }\n\
                 usage: { retention_days: 40 }\n\
                 realtime: { record_dir: here }\nredis: { url: \"redis://one\" }\n";
    let other = parse(&format!("{}{newer}", oidc.replace("one", "two"))).unwrap();
    let named = [
        "server.gateway",
        "server.data_dir",
        "database",
        "redis",
        "realtime.record_dir",
        "timeouts.connect",
        "telemetry.format",
        "telemetry.otlp",
        "oidc",
        "usage",
    ];
    assert_eq!(started.needs_restart(&other), named);
    assert_eq!(started.needs_restart(&parse("").unwrap()), ["oidc"]);
    let otlp =
        |more: &str| parse(&format!("telemetry: {{ otlp: {{ endpoint: \"http://here:4317\", {more} }} }}")).unwrap();
    assert_eq!(otlp("").needs_restart(&otlp("protocol: grpc")), none);
    for more in ["sample: 0.5", "headers: { x: y }", "follow_callers: false", "metrics: false", "interval: 5s"] {
        assert_eq!(otlp("").needs_restart(&otlp(more)), ["telemetry.otlp"], "{more}");
    }
}
