use super::*;

#[test]
fn the_environment_is_stronger_than_the_file_and_flags_are_the_strongest() {
    let text = "instance: { id: from-file, number: 2 }\nkafka: { brokers: file:1 }\n";
    let variables =
        [("INSTANCE_ID", "from-env"), ("KAFKA_BROKERS", "env:1,env:2"), ("LOG_LEVEL", "")];
    let file = File { path: Path::new("bridge.yaml"), text };
    let flag = Override { flag: "--set", key: "instance.id", value: "from-flag" };
    let loaded = Config::load(Some(file), &environment(&variables), &[flag]).unwrap();
    assert_eq!(loaded.config.instance.id, "from-flag");
    assert_eq!(loaded.config.instance.number.get(), 2);
    assert_eq!(loaded.config.kafka.brokers, "env:1,env:2");
    assert_eq!(loaded.config.log.level, "info", "an empty variable counts as not set");
    let origin = |path| {
        let setting = loaded.settings.iter().find(|setting| setting.path == path).unwrap();
        setting.origin.to_string()
    };
    assert_eq!(origin("instance.id"), "flag --set");
    assert_eq!(origin("instance.number"), "bridge.yaml:1:36");
    assert_eq!(origin("kafka.brokers"), "environment KAFKA_BROKERS");
    assert_eq!(origin("kafka.group_id"), "default");
}

#[test]
fn every_variable_sets_its_key() {
    let variables = [
        ("INSTANCE_ID", "i-3"),
        ("INSTANCE_NUMBER", "3"),
        ("KAFKA_BROKERS", "k:1"),
        ("KAFKA_GROUP_ID", "g"),
        ("NATS_URL", "nats://n:1,nats://n:2"),
        ("CLICKHOUSE_URL", "http://c:1"),
        ("CLICKHOUSE_USER", "u"),
        ("CLICKHOUSE_PASSWORD", "p"),
        ("CLICKHOUSE_DATABASE", "d"),
        ("CENTRAL_HUB_URL", "http://h:1"),
        ("LOG_LEVEL", "WARNING"),
    ];
    let config = load_with("", &variables).unwrap().config;
    assert_eq!(config.instance, Instance { id: "i-3".into(), number: Number::new(3) });
    assert_eq!(config.http.listen.port(), 9403, "follows the number");
    assert_eq!(config.kafka.brokers, "k:1");
    assert_eq!(config.kafka.group_id, "g");
    assert_eq!(config.nats.cluster_urls, ["nats://n:1", "nats://n:2"]);
    assert_eq!(config.clickhouse.urls, ["http://c:1"]);
    assert_eq!(config.clickhouse.user, "u");
    assert_eq!(config.clickhouse.password.expose(), "p");
    assert_eq!(config.clickhouse.database, "d");
    assert_eq!(config.hub.url, "http://h:1");
    assert_eq!(config.log.level, "warn");
    let listen = load_with("", &[("HTTP_LISTEN", "0.0.0.0:80")]).unwrap().config.http.listen;
    assert_eq!(listen.to_string(), "0.0.0.0:80");
}

#[test]
fn host_and_port_of_clickhouse_replace_their_part_of_the_url() {
    let urls = |text: &str, variables: &[(&str, &str)]| {
        load_with(text, variables).unwrap().config.clickhouse.urls
    };
    let (host, port) = (("CLICKHOUSE_HOST", "ch"), ("CLICKHOUSE_HTTP_PORT", "9000"));
    assert_eq!(urls("", &[host]), ["http://ch:8123"]);
    assert_eq!(urls("", &[port]), ["http://localhost:9000"]);
    assert_eq!(urls("", &[host, port]), ["http://ch:9000"]);
    assert_eq!(urls("clickhouse: { urls: ['https://a:1'] }", &[port]), ["https://a:9000"]);
    assert_eq!(urls("", &[host, ("CLICKHOUSE_URL", "http://x:1")]), ["http://x:1"]);
}

#[test]
fn a_bad_variable_is_named() {
    let problems = load_with("", &[("INSTANCE_NUMBER", "one")]).unwrap_err().problems;
    assert_eq!(
        first_lines(&problems),
        ["environment INSTANCE_NUMBER: instance.number: cannot be `one`"]
    );
}

#[test]
fn a_bad_flag_is_named() {
    let load = |key, value| {
        let flag = Override { flag: "--set", key, value };
        first_lines(&Config::load(None, &environment(&[]), &[flag]).unwrap_err().problems)
    };
    assert_eq!(load("kafka.broker", "x"), ["flag --set: kafka.broker: there is no such key"]);
    assert_eq!(
        load("kafka.topics", "x")[0],
        "flag --set: kafka.topics: a group of keys cannot be set by a flag"
    );
    assert_eq!(load("batch.max_rows", "0"), ["flag --set: batch.max_rows: `0` is out of range"]);
}

#[test]
fn placeholders_are_filled_wherever_values_stand() {
    let text = "instance: { id: \"${NAME}-x\", number: \"${NUMBER:-4}\" }
kafka:
  brokers: [\"${NAME}:1\", b:2]
  properties: { sasl.password: \"${PW}\", client.rack: \"a$${b}\" }
  topics: { \"t\": \"${ROUTE}\" }
";
    let variables = [("NAME", "n"), ("PW", "top secret"), ("ROUTE", "ticks")];
    let config = load_with(text, &variables).unwrap().config;
    assert_eq!(config.instance, Instance { id: "n-x".into(), number: Number::new(4) });
    assert_eq!(config.kafka.brokers, "n:1,b:2");
    assert_eq!(config.kafka.properties["sasl.password"].expose(), "top secret");
    assert_eq!(config.kafka.properties["client.rack"].expose(), "a${b}");
    assert_eq!(config.kafka.topics["t"], "ticks");
}
