//! The binary as a user meets it; no servers.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of its own for each test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
        if path.exists() {
            std::fs::remove_dir_all(&path).expect("the folder is ours");
        }
        std::fs::create_dir_all(&path).expect("target can be written");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("target can be written");
    }

    /// Runs the binary here, with nothing in its environment but `variables`.
    fn run<S: AsRef<OsStr>>(&self, arguments: &[S], variables: &[(&str, &str)]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_data-bridge"))
            .args(arguments)
            .current_dir(&self.0)
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .expect("the binary is built");
        Answer::from(output)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: what is left lies under target.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[derive(Debug)]
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

#[test]
fn a_file_with_four_mistakes_gets_four_messages_and_exit_code_2() {
    let folder = Folder::new("four-mistakes");
    folder.write(
        "bad.yaml",
        "kafka:
  brokers: [localhost:9092]
  session_timeout_ms: 8s
  heartbeat_intervall_ms: 1000
batch:
  max_bytes: 64M
backpressure:
  resume_at: 0.9
",
    );
    for command in ["run", "init", "check", "load"] {
        let answer = folder.run(&[command, "--config", "bad.yaml"], &[]);
        assert_eq!(answer.code, Some(2), "{answer:?}");
        assert_eq!(answer.out, "");
        assert_eq!(
            answer.err,
            "error: bad.yaml:3:23: kafka.session_timeout_ms: cannot be `8s`
hint: write a whole number of milliseconds from 1000 to 3600000; the default is 8000
error: bad.yaml:4:3: kafka.heartbeat_intervall_ms: there is no such key
hint: did you mean kafka.heartbeat_interval_ms?
error: bad.yaml:6:14: batch.max_bytes: `64M` has the unit `M`, which is none: `MiB` is meant?
hint: write a size such as 64MiB, at least 64KiB; the default is 64MiB
error: bad.yaml:8:14: backpressure.resume_at: reading resumes at 0.9 and pauses at 0.8: it would flutter
hint: let resume_at be below pause_at, such as 0.4 and 0.8
error: the configuration has 4 problems
"
        );
    }
}

#[test]
fn the_previous_services_file_loads_with_its_warnings() {
    let folder = Folder::new("previous");
    folder.write("bridge.yaml", include_str!("../fixtures/previous-service.yaml"));
    let answer = folder.run(&["config", "show"], &[]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let warnings = answer.err.lines().filter(|line| line.starts_with("warning: "));
    assert_eq!(warnings.count(), 17, "{}", answer.err);
    assert_eq!(answer.err.lines().filter(|line| line.starts_with("hint: ")).count(), 17);
    assert_eq!(answer.err.lines().count(), 34, "nothing else is said");
    assert!(answer.out.contains("brokers: [\"kafka-1:9092\"]"), "{}", answer.out);
    assert!(answer.out.contains("# bridge.yaml:20:23"), "{}", answer.out);
}

#[test]
fn no_secret_is_ever_put_out() {
    let folder = Folder::new("secrets");
    folder.write(
        "bridge.yaml",
        "kafka: { properties: { sasl.password: hunter2-a, security.protocol: SSL } }
nats: { auth: { token: \"${TOKEN}\" } }
clickhouse: { password: \"${file:password}\" }
http: { token: hunter2-d }
",
    );
    folder.write("password", "hunter2-c\n");
    let variables = [("TOKEN", "hunter2-b"), ("INSTANCE_ID", "i")];
    for arguments in [&["config", "show"][..], &["config", "show", "--json"]] {
        let answer = folder.run(arguments, &variables);
        assert_eq!(answer.code, Some(0), "{answer:?}");
        assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
        assert_eq!(answer.out.matches("<redacted>").count(), 4, "{}", answer.out);
    }
    folder
        .write("bad.yaml", "clickhouse: { password: hunter2, urls: 'http://u:hunter2@h', x: 1 }\n");
    let answer = folder.run(&["config", "show", "--config", "bad.yaml"], &[]);
    assert_eq!(answer.code, Some(2));
    assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
    assert!(answer.err.contains("2 problems"), "{}", answer.err);
    let help = folder.run(&["clickhouse", "--help"], &[("CLICKHOUSE_PASSWORD", "hunter2")]);
    assert!(!format!("{help:?}").contains("hunter2"), "{help:?}");
}

#[test]
fn values_come_from_defaults_file_environment_and_flags_in_this_order() {
    let folder = Folder::new("order");
    folder.write(
        "bridge.yaml",
        "instance: { id: file }\nkafka: { group_id: file, brokers: file:1 }\n",
    );
    let variables = [("KAFKA_GROUP_ID", "env"), ("KAFKA_BROKERS", "env:1")];
    let arguments = ["config", "show", "--json", "--set", "kafka.brokers=flag:1"];
    let answer = folder.run(&arguments, &variables);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let value = serde_json::from_str::<serde_json::Value>(&answer.out).unwrap();
    let setting = |key: &str| {
        let setting = &value["settings"][key];
        (setting["value"].clone(), setting["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(setting("instance.id"), ("file".into(), "bridge.yaml:1:17".into()));
    assert_eq!(setting("kafka.group_id"), ("env".into(), "environment KAFKA_GROUP_ID".into()));
    let brokers = serde_json::json!(["flag:1"]);
    assert_eq!(setting("kafka.brokers"), (brokers, "flag --set".into()));
    assert_eq!(setting("clickhouse.database"), ("market".into(), "default".into()));
}

#[test]
fn only_a_named_file_must_be_there() {
    let folder = Folder::new("no-file");
    assert_eq!(folder.run(&["config", "show"], &[]).code, Some(0));
    let answer = folder.run(&["config", "show", "--config", "nowhere.yaml"], &[]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.err.starts_with("error: cannot read nowhere.yaml: "), "{}", answer.err);
    assert!(answer.err.contains("\nhint: "), "{}", answer.err);
}

#[test]
fn wrong_usage_ends_with_exit_code_2_and_help_with_0() {
    let folder = Folder::new("usage");
    for arguments in [
        &["rum"][..],
        &[],
        &["run", "--nonsense"],
        &["run", "--set", "kafka.brokers"],
        &["load", "--bad-share", "2"],
        &["load", "--bad-share", "0.6", "--duplicates", "0.5"],
        &["load", "--rate", "0"],
        &["load", "--kinds", "tocks"],
        &["clickhouse"],
        &["clickhouse", "--path", "x", "--listen", "0.0.0.0:8123"],
        &["clickhouse", "--path", "x", "--max-memory", "1M"],
    ] {
        let answer = folder.run(arguments, &[]);
        assert_eq!(answer.code, Some(2), "{arguments:?}: {answer:?}");
        assert_eq!(answer.out, "", "{arguments:?}");
    }
    let answer = folder.run(&["run", "--set", "kafka.broker=x"], &[]);
    assert_eq!(answer.code, Some(2), "{answer:?}");
    assert!(
        answer.err.contains("flag --set: kafka.broker: there is no such key"),
        "{}",
        answer.err
    );

    let help = folder.run(&["--help"], &[]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for command in ["run", "init", "check", "load", "clickhouse", "config", "completions"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}: {}", help.out);
        let answer = folder.run(&[command, "--help"], &[]);
        assert_eq!(answer.code, Some(0));
        assert!(
            answer.out.contains("Examples:") && answer.out.contains("Exit codes:"),
            "{command}"
        );
    }
    assert_eq!(
        folder.run(&["--version"], &[]).out,
        concat!("data-bridge ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn completions_know_the_commands() {
    let folder = Folder::new("completions");
    for shell in ["bash", "zsh", "fish"] {
        let answer = folder.run(&["completions", shell], &[]);
        assert_eq!(answer.code, Some(0));
        assert!(answer.out.contains("dry-run"), "{shell}");
    }
}

#[test]
fn the_ddl_is_printed_without_any_server() {
    let folder = Folder::new("ddl");
    let arguments = ["init", "--dry-run", "--set", "clickhouse.database=elsewhere"];
    let answer = folder.run(&arguments, &[("CLICKHOUSE_URL", "http://127.0.0.1:1")]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    assert_eq!(answer.out.matches("CREATE TABLE IF NOT EXISTS").count(), 9, "{}", answer.out);
    assert_eq!(answer.out.matches("ReplacingMergeTree(version)").count(), 9);
    assert!(answer.out.contains("CREATE DATABASE IF NOT EXISTS `elsewhere`;"));
    assert!(!answer.out.contains("market."), "{}", answer.out);
    assert_eq!(answer.out.matches(';').count(), 10);
}

#[test]
fn colours_are_for_terminals() {
    let folder = Folder::new("colours");
    let answer = folder.run(&["run", "--config", "nowhere.yaml"], &[("CLICOLOR_FORCE", "1")]);
    assert!(!answer.err.contains('\x1b'), "{:?}", answer.err);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    for arguments in [&["config", "show"][..], &["completions", "bash"], &["init", "--dry-run"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_data-bridge"))
            .args(arguments)
            .stdout(writer)
            .output()
            .expect("the binary is built");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_window_that_makes_no_sense_is_refused_before_any_server_is_asked() {
    let folder = Folder::new("windows");
    for (arguments, words) in [
        (&["--from", "yesterday"][..], "2024-01-25T16:00:00Z"),
        (&["--from", "2024-01-25T16:00:00"], "has no time zone"),
        (&["--to", "offset:-1"], "offset:104200"),
        (&["--to", "seq:-7"], "seq:104200"),
        (&["--topic", "t", "--to", "seq:7"], "a sequence counts in the stream"),
        (&["--from", "seq:7", "--to", "offset:9"], "no topic is named"),
        (&["--from", "offset:7"], "--topic"),
        (&["--partition", "1"], "--topic"),
        (&["--topic", "t", "--partition=-1"], "--partition"),
        (&["--topic", "t", "--from", "offset:7", "--to", "offset:7"], "behind --from"),
        (&["--from", "2024-01-25T16:00:00Z", "--to", "2024-01-25T15:00:00Z"], "behind --from"),
    ] {
        for command in ["audit", "replay"] {
            let answer = folder.run(&[&[command], arguments].concat(), &[]);
            assert_eq!(answer.code, Some(2), "{arguments:?}: {answer:?}");
            assert!(answer.err.contains(words), "{arguments:?}: {}", answer.err);
            assert_eq!(answer.out, "");
        }
    }
    for (arguments, words) in [
        (&["dlq", "show", "kafka:t:3"][..], "ORIGIN@POSITION"),
        (&["dlq", "list", "--from", "monday"], "2024-01-25T16:00:00Z"),
        (&["dlq", "list", "--route", "a", "--table", "b"], "cannot be used with"),
        (&["dlq", "accept", "ticks"], "http.token is not set"),
        (&["dlq", "accept", "ticks", "--url", "localhost:9401"], "http://127.0.0.1:9401"),
    ] {
        let answer = folder.run(arguments, &[]);
        assert_eq!(answer.code, Some(2), "{arguments:?}: {answer:?}");
        assert!(answer.err.contains(words), "{arguments:?}: {}", answer.err);
    }
    let nobody = ["dlq", "accept", "ticks", "--set", "http.token=x", "--url", "http://127.0.0.1:1"];
    let answer = folder.run(&nobody, &[]);
    assert_eq!(answer.code, Some(3), "{answer:?}");
    assert!(answer.out.contains("UNREACHABLE http://127.0.0.1:1"), "{}", answer.out);
}
