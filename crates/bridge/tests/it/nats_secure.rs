//! Every kind of credentials, and TLS with an authority of our own, before real servers of NATS:
//! rows flow with the right ones, and with wrong ones it is said why not.

use std::fs;
use std::path::Path;

use data_bridge_stack::nats::{Nats, NatsOptions};
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::by_hand::run_command;
use crate::world::{PATIENCE, Scenario, clickhouse, folder, until};

/// A server with these settings, in a folder of its own.
fn server(folder: &Path, settings: &str) -> Nats {
    fs::create_dir_all(folder).expect("a folder can be made");
    let config = folder.join("nats.conf");
    fs::write(&config, settings).expect("the folder is ours");
    let arguments = vec!["-c".to_owned(), config.display().to_string()];
    Nats::start(folder, NatsOptions { arguments, ..NatsOptions::default() }).expect("NATS starts")
}

/// A scenario on NATS alone, with these further settings.
fn scenario(name: &str, url: &str, more: &str) -> Scenario {
    let mut scenario = Scenario::new(name, &clickhouse().url());
    scenario.reads_kafka = false;
    scenario.nats = format!("{{ cluster_urls: [\"{url}\"], {more} }}");
    scenario
}

/// What `load` publishes comes out as rows, and no secret is said.
#[track_caller]
fn assert_flows(scenario: &Scenario, secret: &str) {
    scenario.init();
    let bridge = scenario.start(1);
    bridge.wait_ready();
    let load = ["load", "--transport", "nats", "--messages", "500", "--bad-share", "0.01"];
    let said = run_command(scenario, &[&load[..], &["--verify"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    let log = fs::read_to_string(bridge.process.log()).expect("it has a log");
    let shown = run_command(scenario, &["config", "show"]);
    for text in [&log, &shown.out, &shown.err, &said.out, &said.err] {
        assert!(!text.contains(secret), "{text}");
    }
    bridge.end();
}

/// `check` fails, and says these words and no secret.
#[track_caller]
fn assert_refused(scenario: &Scenario, words: &[&str], secret: &str) {
    let said = run_command(scenario, &["check"]);
    assert_ne!(said.code, Some(0), "{said:?}");
    let text = format!("{}{}", said.out, said.err);
    for word in words {
        assert!(text.to_lowercase().contains(word), "{word} is not in {text}");
    }
    assert!(!text.contains(secret), "{text}");
}

#[test]
fn a_token_and_an_nkey_let_in_and_wrong_ones_do_not() {
    let folder = folder("server-nats_keys");
    let (right, wrong) = (KeyPair::new_user(), KeyPair::new_user());
    let token = server(&folder.join("token"), "authorization { token: hunter2-token }\n");
    let scene = scenario("nats_token", &token.url(), "auth: { token: hunter2-token }");
    assert_flows(&scene, "hunter2");
    let scene = scenario("nats_token", &token.url(), "auth: { token: hunter3-token }");
    assert_refused(&scene, &["authorization violation"], "hunter3");

    let user = format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", right.public_key());
    let keys = server(&folder.join("nkey"), &user);
    let with = |pair: &KeyPair| {
        let seed = pair.seed().expect("a pair of ours has a seed");
        (scenario("nats_nkey", &keys.url(), &format!("auth: {{ nkey: {seed} }}")), seed)
    };
    let (scene, seed) = with(&right);
    assert_flows(&scene, &seed);
    let (scene, seed) = with(&wrong);
    assert_refused(&scene, &["authorization violation"], &seed);
}

/// A JSON web token as NATS signs them.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: &Value) -> String {
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": name, "iat": 1_706_198_400, "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": nats,
    });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = issuer.sign(signed.as_bytes()).expect("a pair of ours has a seed");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

#[test]
fn a_credentials_file_lets_in_and_that_of_another_account_does_not() {
    let folder = folder("server-nats_creds");
    let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
    let (account, stranger) = (KeyPair::new_account(), KeyPair::new_account());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1,
        "consumer": -1,
    });
    let of_account = json!({ "limits": limits, "type": "account", "version": 2 });
    let of_operator = json!({ "type": "operator", "version": 2 });
    let settings = format!(
        "operator: {}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {system}: {}, {}: {} }}\n",
        token(&operator, &operator, "operator", &of_operator),
        token(&operator, &system, "system", &json!({ "type": "account", "version": 2 })),
        account.public_key(),
        token(&operator, &account, "market", &of_account),
        system = system.public_key(),
    );
    let server = server(&folder, &settings);
    let of_user = json!({ "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 });
    let with = |account: &KeyPair, name: &str| {
        let user = KeyPair::new_user();
        let seed = user.seed().expect("a pair of ours has a seed");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
            token(account, &user, name, &of_user),
        );
        let path = folder.join(format!("{name}.creds"));
        fs::write(&path, text).expect("the folder is ours");
        let auth = format!("auth: {{ creds_file: \"{}\" }}", path.display());
        (scenario("nats_creds", &server.url(), &auth), seed)
    };
    let (scene, seed) = with(&account, "bridge");
    assert_flows(&scene, &seed);
    let (scene, seed) = with(&stranger, "stranger");
    assert_refused(&scene, &["authorization violation"], &seed);
    let gone = scenario("nats_creds", &server.url(), "auth: { creds_file: /none/such.creds }");
    assert_refused(&gone, &["/none/such.creds"], &seed);
}

#[test]
fn tls_is_verified_on_both_sides() {
    let folder = folder("server-nats_tls");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let (authority, stranger) =
        (Authority::new(&folder, "authority"), Authority::new(&folder, "stranger"));
    let of_server = authority.identity("server", &["localhost", "127.0.0.1"]);
    let client = authority.identity("client", &["localhost"]);
    let settings = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n\
         authorization {{ user: bridge, password: hunter2-tls }}\n",
        of_server.certificate.display(),
        of_server.key.display(),
        authority.ca_file.display(),
    );
    let server = server(&folder, &settings);
    let url = format!("tls://127.0.0.1:{}", server.port());
    let with = |authority: &Authority, certificate: bool| {
        let mut tls = format!("ca_file: \"{}\"", authority.ca_file.display());
        if certificate {
            let (file, key) = (client.certificate.display(), client.key.display());
            tls = format!("{tls}, cert_file: \"{file}\", key_file: \"{key}\"");
        }
        let more = format!("tls: {{ {tls} }}, auth: {{ user: bridge, password: hunter2-tls }}");
        scenario("nats_tls", &url, &more)
    };
    assert_flows(&with(&authority, true), "hunter2");
    assert_refused(&with(&stranger, true), &["nats", "certificate"], "hunter2");
    assert_refused(&with(&authority, false), &["nats", "certificate"], "hunter2");
}

#[test]
fn servers_that_the_cluster_tells_of_are_used_unless_that_is_switched_off() {
    let mut cluster = Nats::cluster(&folder("server-nats_gossip"), 3).expect("NATS starts");
    let url = cluster[0].url();
    let with = |name: &str, discover: bool| {
        let more = format!("mode: core, discover_servers: {discover}");
        scenario(name, &url, &more)
    };
    let (knowing, alone) = (with("nats_gossip", true), with("nats_alone", false));
    knowing.init();
    alone.init();
    let bridges = [knowing.start(1), alone.start(1)];
    bridges.iter().for_each(crate::world::Instance::wait_ready);
    cluster[0].kill().expect("kill -9 works");
    bridges[1].wait_reason(&["NATS"]);
    // It is ready still, until it has noticed.
    until(PATIENCE, "a connection to another server", || {
        match bridges[0].metric("data_bridge_nats_connects_total") {
            2 => Ok(()),
            connects => Err(format!("{connects} connections")),
        }
    });
    bridges[0].wait_ready();
    assert_eq!(bridges[1].metric("data_bridge_nats_connects_total"), 1);
    cluster[0].restart().expect("NATS starts again");
    bridges[1].wait_ready();
    bridges.iter().for_each(crate::world::Instance::end);
}
