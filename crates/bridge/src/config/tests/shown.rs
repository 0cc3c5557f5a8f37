use super::show::{json, yaml as show_yaml};
use super::*;

const SECRETS: &str = "instance: { id: i }
kafka:
  properties:
    security.protocol: SASL_SSL
    sasl.username: me
    sasl.password: hunter2-a
    ssl.key.pem: hunter2-b
    something.nobody.knows: hunter2-c
nats:
  auth: { user: u, password: hunter2-d }
clickhouse: { password: \"${PW}\" }
http: { token: hunter2-e }
";

/// Every way in which a configuration is put out.
fn everything(text: &str) -> String {
    let loaded = load_with(text, &[("PW", "hunter2-f")]).unwrap();
    let settings = &loaded.settings;
    format!("{} {} {loaded:?}", show_yaml(settings), json(settings))
}

#[test]
fn no_output_holds_a_secret() {
    let out = everything(SECRETS);
    assert!(!out.contains("hunter2"), "{out}");
    for other in ["token: hunter2-g", "nkey: hunter2-h"] {
        let out = everything(&format!("nats: {{ auth: {{ {other} }} }}"));
        assert!(!out.contains("hunter2"), "{out}");
        assert!(out.contains("<redacted>"), "{out}");
    }
}

#[test]
fn what_is_no_secret_is_shown_with_its_origin() {
    let loaded = load_with(SECRETS, &[("PW", "x")]).unwrap();
    let text = show_yaml(&loaded.settings);
    let line = |start: &str| {
        let found = text.lines().find(|line| line.trim_start().starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start} in {text}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("id:"), "id: i # bridge.yaml:1:17");
    assert_eq!(line("brokers:"), "brokers: [\"localhost:9092\"] # default");
    assert_eq!(line("security.protocol:"), "security.protocol: \"SASL_SSL\"".replace('"', ""));
    assert_eq!(line("sasl.password:"), "sasl.password: \"<redacted>\"");
    assert_eq!(line("session_timeout_ms:"), "session_timeout_ms: 8000 # default");
    assert_eq!(line("listen:"), "listen: \"127.0.0.1:9401\" # default");
    let value = json(&loaded.settings);
    assert_eq!(value["settings"]["kafka.session_timeout_ms"]["value"], 8000);
    assert_eq!(value["settings"]["kafka.enabled"]["value"], true);
    assert_eq!(value["settings"]["batch.max_bytes"]["value"], "64MiB");
    assert_eq!(value["settings"]["instance.id"]["origin"], "bridge.yaml:1:17");
}

#[test]
fn what_is_shown_loads_again_as_the_same() {
    let text = "instance: { id: 'true', number: 5 }
kafka: { brokers: [a:1, b:2], topics: { t: ticks }, group_id: 'a${x}b' }
nats: { subjects: { 'market.*.tick': ticks }, init: { max_bytes: 5GB } }
backpressure: { max_rows: 50000 }
routes: { o: { table: o, from: { topics: [o] }, columns: { c: { keys: [a, 'b c'], time: iso } } } }
"
    .replace("${", "$${");
    let first = load(&text).unwrap();
    let shown = show_yaml(&first.settings);
    let second = load(&shown).unwrap_or_else(|problems| panic!("{problems:#?}\n{shown}"));
    assert_eq!(format!("{:?}", first.config), format!("{:?}", second.config), "{shown}");
    assert_eq!(first.config.kafka.group_id, "a${x}b");
}
