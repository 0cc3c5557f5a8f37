//! TLS and SASL against a real broker, and TLS before ClickHouse, with an authority of our own:
//! rows flow with the right certificates and passwords, and with wrong ones it is said why not.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use data_bridge::config::Secret;
use data_bridge::supervisor::{Leaver, Target};
use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::{Offsets, Pace, Producer};
use data_bridge_lab::model::Expected;
use data_bridge_lab::plan::Kind;
use data_bridge_stack::health::http_get;
use data_bridge_stack::kafka::{Kafka, KafkaOptions, Way};
use data_bridge_stack::port;
use serde_json::Value;

use crate::authority::{Authority, Door, Identity};
use crate::by_hand::{Said, run_command};
use crate::fleet_stage::{Fleet, signal};
use crate::world::{PATIENCE, Scenario, clickhouse, folder, until, wait_for};

const MESSAGES: u64 = 3_000;
const PASSWORD: &str = "hunter2-scram";

/// A broker with SCRAM over TLS and with client certificates, and who certifies it.
struct Secure {
    kafka: Kafka,
    authority: Authority,
    stranger: Authority,
    client: Identity,
    sasl: u16,
    mutual: u16,
    password_file: PathBuf,
}

fn secure() -> &'static Secure {
    static SECURE: OnceLock<Secure> = OnceLock::new();
    SECURE.get_or_init(|| {
        let folder = folder("secure_kafka");
        let authority = Authority::new(&folder, "authority");
        let stranger = Authority::new(&folder, "stranger");
        let server = authority.identity("server", &["localhost", "127.0.0.1"]);
        let client = authority.identity("client", &["localhost"]);
        let way = |protocol| {
            let port = port::free().expect("a port is free");
            Way { behind: port, seen: port, protocol }
        };
        let (sasl, mutual) = (way("SASL_SSL"), way("SSL"));
        let store = server.store.display().to_string();
        let trust = authority.ca_file.display().to_string();
        let login = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let plain_login = format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required \
             user_alice=\"{PASSWORD}\";"
        );
        let properties = [
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN"),
            ("listener.name.way0.scram-sha-512.sasl.jaas.config", login),
            ("listener.name.way0.scram-sha-256.sasl.jaas.config", login),
            ("listener.name.way0.plain.sasl.jaas.config", &plain_login),
            ("listener.name.way1.ssl.client.auth", "required"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &store),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &trust),
            // The others hear of a change at their next heartbeat: 5 s by default.
            ("group.consumer.min.heartbeat.interval.ms", "1000"),
            ("group.consumer.heartbeat.interval.ms", "1000"),
        ];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let options =
            KafkaOptions { ways: vec![sasl, mutual], properties, ..KafkaOptions::default() };
        let kafka = Kafka::start(&folder.join("kafka"), options).expect("Kafka starts");
        add_user(&kafka);
        let password_file = folder.join("password");
        fs::write(&password_file, format!("{PASSWORD}\n")).expect("the folder is ours");
        Secure {
            kafka,
            authority,
            stranger,
            client,
            sasl: sasl.behind,
            mutual: mutual.behind,
            password_file,
        }
    })
}

/// Kafka's own tool writes the credentials, one kind at a time as the broker wants it.
fn add_user(kafka: &Kafka) {
    for kind in ["SCRAM-SHA-512", "SCRAM-SHA-256"] {
        let output = kafka
            .home()
            .command()
            .args(["kafka.admin.ConfigCommand", "--bootstrap-server", &kafka.bootstrap()])
            .args(["--alter", "--entity-type", "users", "--entity-name", "alice"])
            .args(["--add-config", &format!("{kind}=[password={PASSWORD}]")])
            .output()
            .expect("Java runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A scenario on the secure broker, by one of its ways.
fn scenario(name: &str, port: u16, properties: &[(&str, &str)]) -> Scenario {
    let list: Vec<_> =
        properties.iter().map(|(key, value)| format!("{key}: \"{value}\"")).collect();
    let mut scenario = Scenario::new(name, &clickhouse().url())
        .with("kafka", &format!("properties: {{ {} }}", list.join(", ")));
    scenario.brokers = format!("localhost:{port}");
    scenario
}

fn scram(mechanism: &str, ca_file: &str, password: &str) -> Vec<(&'static str, String)> {
    vec![
        ("security.protocol", "SASL_SSL".to_owned()),
        ("sasl.mechanism", mechanism.to_owned()),
        ("sasl.username", "alice".to_owned()),
        ("sasl.password", password.to_owned()),
        ("ssl.ca.location", ca_file.to_owned()),
    ]
}

fn borrowed<'a>(properties: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    properties.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// Everything produced by the plain way comes out by the way of the scenario.
#[track_caller]
fn assert_flows(scenario: &Scenario, seed: u64) {
    let secure = secure();
    scenario.init();
    let generator = Generator::try_new(scenario.plan(seed, MESSAGES)).unwrap();
    let producer = Producer::connect(&secure.kafka.bootstrap()).unwrap();
    producer.produce(&generator, 0..MESSAGES, Pace::Full, |_| {}).unwrap();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    let offsets = Offsets::of_group(&secure.kafka.bootstrap(), &scenario.group()).unwrap();
    let topics: Vec<_> = Kind::ALL.iter().map(|kind| generator.plan().topic(*kind)).collect();
    until(PATIENCE, "all offsets to be committed", || offsets.all_committed(&topics));
    let log = fs::read_to_string(bridge.process.log()).unwrap();
    for page in ["/metrics", "/api/status"] {
        assert!(!bridge.get(page).unwrap().contains("hunter2"), "{page}");
    }
    assert!(!log.contains("hunter2"), "{log}");
    bridge.end();
}

/// `check` fails, says these words and no secret.
#[track_caller]
fn assert_refused(scenario: &Scenario, words: &[&str]) -> Said {
    let said = run_command(scenario, &["check"]);
    assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
    let all = format!("{}{}", said.out, said.err);
    for word in words {
        assert!(all.contains(word), "{word} is not in\n{all}");
    }
    assert!(!all.contains("hunter2"), "{all}");
    said
}

#[test]
fn rows_flow_through_kafka_with_scram_over_tls() {
    let secure = secure();
    let ca = secure.authority.ca_file.display().to_string();
    let password = format!("${{file:{}}}", secure.password_file.display());
    for (mechanism, seed) in [("SCRAM-SHA-512", 911), ("SCRAM-SHA-256", 912)] {
        let name = format!("scram_{seed}");
        let properties = scram(mechanism, &ca, &password);
        assert_flows(&scenario(&name, secure.sasl, &borrowed(&properties)), seed);
    }
}

#[test]
fn rows_flow_through_kafka_with_certificates_on_both_sides() {
    let secure = secure();
    let path = |path: &PathBuf| path.display().to_string();
    let (ca, certificate, key) = (
        path(&secure.authority.ca_file),
        path(&secure.client.certificate),
        path(&secure.client.key),
    );
    let properties = [
        ("security.protocol", "SSL"),
        ("ssl.ca.location", ca.as_str()),
        ("ssl.certificate.location", certificate.as_str()),
        ("ssl.key.location", key.as_str()),
    ];
    assert_flows(&scenario("mutual_tls", secure.mutual, &properties), 913);
}

/// What a fleet does when a member leaves for good, without starting one.
#[test]
fn members_are_taken_out_over_tls_with_every_login_and_refusals_are_said() {
    let secure = secure();
    let path = |path: &PathBuf| path.display().to_string();
    let (ca, stranger) = (path(&secure.authority.ca_file), path(&secure.stranger.ca_file));
    let leave = |port: u16, properties: &[(&'static str, String)]| {
        let target = Target {
            brokers: format!("SASL_SSL://localhost:{port}"),
            group_id: "nobody".to_owned(),
            session_ms: 0,
        };
        let properties = properties.iter().map(|(name, value)| (*name, value.as_str()));
        let properties =
            properties.map(|(name, value)| (name.to_owned(), Secret::new(value))).collect();
        let left = wait_for(Leaver::new(target, properties).leave(&["one".to_owned()]));
        left.map_err(|error| error.to_string())
    };
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] {
        assert_eq!(leave(secure.sasl, &scram(mechanism, &ca, PASSWORD)), Ok(()), "{mechanism}");
        let said = leave(secure.sasl, &scram(mechanism, &ca, "hunter2-wrong")).unwrap_err();
        assert!(said.contains("uthentication failed") && !said.contains("hunter2"), "{said}");
    }
    let with = |ca: &str, more: &[(&'static str, &str)]| {
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        scram("PLAIN", ca, PASSWORD).into_iter().chain(more).collect::<Vec<_>>()
    };
    let said = leave(secure.sasl, &with(&stranger, &[])).unwrap_err();
    assert!(said.contains("UnknownIssuer"), "{said}");
    let any_name = ("ssl.endpoint.identification.algorithm", "none");
    let said = leave(secure.sasl, &with(&stranger, &[any_name])).unwrap_err();
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert_eq!(leave(secure.sasl, &with(&ca, &[any_name])), Ok(()));
    let unseen = ("enable.ssl.certificate.verification", "false");
    assert_eq!(leave(secure.sasl, &with(&stranger, &[unseen])), Ok(()));

    let mut mutual = vec![
        ("security.protocol", "SSL".to_owned()),
        ("ssl.ca.location", ca),
        ("ssl.certificate.location", path(&secure.client.certificate)),
        ("ssl.key.location", path(&secure.client.key)),
    ];
    assert_eq!(leave(secure.mutual, &mutual), Ok(()));
    mutual.truncate(2);
    let said = leave(secure.mutual, &mutual).unwrap_err();
    assert!(said.contains("BadCertificate"), "{said}");
}

/// All of what a fleet on brokers of its own company may meet at once: TLS, SCRAM, and the protocol
/// in which the broker assigns (KIP-848). A session lasts longer than anything here may take.
#[test]
fn a_fleet_over_tls_and_scram_under_the_consumer_protocol_waits_for_no_session() {
    const SESSION: Duration = Duration::from_mins(1);
    let secure = secure();
    let ca = secure.authority.ca_file.display().to_string();
    let password = format!("${{file:{}}}", secure.password_file.display());
    let properties = scram("SCRAM-SHA-512", &ca, &password);
    let scenario = scenario("secure_fleet", secure.sasl, &borrowed(&properties))
        .with("kafka", "group_protocol: consumer")
        .with("kafka", &format!("session_timeout_ms: {}", SESSION.as_millis()));
    let fleet = Fleet::of(&scenario, 3, &[]);
    fleet.wait_shares(&[16, 16, 16]);
    let page = fleet.fleet();
    for member in page["instances"].as_array().unwrap() {
        let partitions = member["partitions"].as_array().unwrap();
        let is_tick = |one: &&Value| one["topic"].as_str().unwrap().ends_with("tick_archive");
        assert_eq!(partitions.iter().filter(is_tick).count(), 2, "{member}");
    }
    let in_time = |what: &str, work: &dyn Fn()| {
        let began = Instant::now();
        work();
        println!("{what}: {:?}", began.elapsed());
        assert!(began.elapsed() < SESSION / 2, "{what}: {:?}", began.elapsed());
    };
    let pids = fleet.pids();
    let another = |number: u64| {
        until(PATIENCE, "another process", || match fleet.pids().get(&number) {
            Some(pid) if *pid != pids[&number] => Ok(()),
            other => Err(format!("{other:?}")),
        });
    };
    in_time("kill -9", &|| {
        signal("KILL", pids[&2]);
        another(2);
        // The hub may still show what it saw of the one that is gone.
        until(PATIENCE, "its partitions back", || {
            let page =
                http_get(fleet.port + 2, "/api/status").map_err(|error| error.to_string())?;
            let page: Value = serde_json::from_str(&page).map_err(|error| error.to_string())?;
            let read = page["partitions"].as_array().map_or(0, Vec::len);
            if read == 16 { Ok(()) } else { Err(page.to_string()) }
        });
        fleet.wait_ready(3);
    });
    in_time("rolling restart", &|| {
        fleet.succeeds(&["restart"]);
        another(1);
    });
    in_time("3 to 2", &|| {
        fleet.succeeds(&["scale", "2"]);
        fleet.wait_shares(&[24, 24]);
    });
    let state = fs::read_to_string(fleet.state.join("fleet.json")).unwrap();
    assert!(!state.contains("hunter2"), "{state}");
    fleet.down();
    let log = fs::read_to_string(fleet.supervisor.log()).unwrap();
    assert!(!log.contains("not taken out") && !log.contains("hunter2"), "{log}");
}

#[test]
fn a_broker_of_another_authority_and_a_wrong_password_are_refused_with_the_reason() {
    let secure = secure();
    let (ours, theirs) = (
        secure.authority.ca_file.display().to_string(),
        secure.stranger.ca_file.display().to_string(),
    );
    let properties = scram("SCRAM-SHA-512", &theirs, PASSWORD);
    let stranger = scenario("tls_stranger", secure.sasl, &borrowed(&properties));
    assert_refused(&stranger, &["certificate verify failed"]);
    let bridge = stranger.start(1);
    let said = bridge.wait_reason(&["Kafka", "certificate verify failed"]);
    assert!(!said.contains("hunter2"), "{said}");
    bridge.end();

    let properties = scram("SCRAM-SHA-512", &ours, "hunter2-wrong");
    let wrong = scenario("scram_wrong", secure.sasl, &borrowed(&properties));
    assert_refused(&wrong, &["uthentication failed"]);
    let bridge = wrong.start(1);
    let said = bridge.wait_reason(&["Kafka", "uthentication failed"]);
    assert!(!said.contains("hunter2"), "{said}");
    bridge.end();
}

#[test]
fn rows_flow_into_clickhouse_over_tls_with_certificates_on_both_sides() {
    let folder = folder("tls_clickhouse_files");
    let authority = Authority::new(&folder, "authority");
    let server = authority.identity("server", &["localhost"]);
    let client = authority.identity("client", &["bridge"]);
    let target = ([127, 0, 0, 1], clickhouse().port()).into();
    let door = wait_for(Door::start(target, &server, Some(&authority)));
    let mut scenario = Scenario::new("tls_clickhouse", &clickhouse().url());
    scenario.clickhouse_url = format!("https://localhost:{}", door.port);
    scenario.clickhouse_more = format!(
        ", tls: {{ ca_file: \"{}\", cert_file: \"{}\", key_file: \"{}\" }}",
        authority.ca_file.display(),
        client.certificate.display(),
        client.key.display()
    );
    scenario.init();
    let generator = Generator::try_new(scenario.plan(914, MESSAGES)).unwrap();
    crate::world::produce(&generator, 0..MESSAGES, Pace::Full);
    let bridge = scenario.start(1);
    bridge.wait_ready();
    scenario.assert_exact(&Expected::of(&generator).unwrap(), PATIENCE);
    scenario.assert_committed();
    bridge.end();

    // Without our certificate the door stays shut.
    scenario.clickhouse_more = format!(", tls: {{ ca_file: \"{}\" }}", authority.ca_file.display());
    assert_refused(&scenario, &["CertificateRequired"]);
}

#[test]
fn a_clickhouse_of_another_authority_or_name_is_refused_with_the_reason() {
    let folder = folder("tls_stranger_files");
    let authority = Authority::new(&folder, "authority");
    let stranger = Authority::new(&folder, "stranger");
    let target = ([127, 0, 0, 1], clickhouse().port()).into();
    for (identity, words) in [
        (stranger.identity("theirs", &["localhost"]), ["UnknownIssuer"]),
        (authority.identity("elsewhere", &["elsewhere.example"]), ["not valid for name"]),
    ] {
        let door = wait_for(Door::start(target, &identity, None));
        let mut scenario = Scenario::new("tls_refused", &clickhouse().url());
        scenario.clickhouse_url = format!("https://localhost:{}", door.port);
        scenario.clickhouse_more =
            format!(", tls: {{ ca_file: \"{}\" }}", authority.ca_file.display());
        assert_refused(&scenario, &words);
        let bridge = scenario.start(1);
        bridge.wait_reason(&words);
        bridge.end();
    }
}
