//! `state.json`: what runs, and how to recognise it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use data_bridge_stack::process;
use serde_json::{Value, json};

const FILE: &str = "state.json";

/// The servers that were started last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stack {
    servers: Vec<Server>,
}

/// A server that was started; it may have ended since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// Clock ticks since boot: a pid that is given to another process never fits.
    pub(crate) started: u64,
    pub(crate) port: u16,
    /// For clients.
    pub(crate) address: String,
    pub(crate) log: PathBuf,
}

impl Server {
    pub(crate) fn runs(&self) -> bool {
        process::is_running(self.pid, self.started)
    }
}

impl Stack {
    /// No servers when there is no file yet.
    ///
    /// # Errors
    /// When the file is there and cannot be understood.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        fs::read_to_string(&path)
            .map_err(anyhow::Error::from)
            .and_then(|text| Self::parse(&text))
            .with_context(|| {
                format!("cannot read {}; `cargo xtask stack clean` begins anew", path.display())
            })
    }

    /// Written aside and renamed: a reader sees the old file or the new one.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let aside = folder.join(format!("{FILE}.new"));
        fs::write(&aside, self.to_text())
            .and_then(|()| fs::rename(&aside, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    pub(crate) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Replaces the server of the same name.
    pub(crate) fn set(&mut self, server: Server) {
        self.servers.retain(|other| other.name != server.name);
        self.servers.push(server);
    }

    fn to_text(&self) -> String {
        let servers: Vec<Value> = self
            .servers
            .iter()
            .map(|server| {
                json!({
                    "name": server.name,
                    "pid": server.pid,
                    "started": server.started,
                    "port": server.port,
                    "address": server.address,
                    "log": server.log.display().to_string(),
                })
            })
            .collect();
        format!("{:#}\n", json!({ "servers": servers }))
    }

    fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text)?;
        let servers = json["servers"].as_array().context("`servers` is not a list")?;
        let servers = servers
            .iter()
            .map(|server| parse_server(server).with_context(|| format!("not a server: {server}")))
            .collect::<Result<_>>()?;
        Ok(Self { servers })
    }
}

fn parse_server(json: &Value) -> Option<Server> {
    Some(Server {
        name: json["name"].as_str()?.to_owned(),
        pid: json["pid"].as_u64()?.try_into().ok()?,
        started: json["started"].as_u64()?,
        port: json["port"].as_u64()?.try_into().ok()?,
        address: json["address"].as_str()?.to_owned(),
        log: json["log"].as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, pid: u32, started: u64) -> Server {
        Server {
            name: name.to_owned(),
            pid,
            started,
            port: 9092,
            address: "127.0.0.1:9092".to_owned(),
            log: "/tmp/a \"b\"/kafka.log".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_the_last_of_a_name_wins() {
        let mut stack = Stack::default();
        stack.set(server("kafka", 1, 2));
        stack.set(server("nats", 3, 4));
        stack.set(server("kafka", 5, 6));
        let read = Stack::parse(&stack.to_text()).unwrap();
        assert_eq!(read, stack);
        assert_eq!(read.server("kafka").unwrap().pid, 5);
        assert_eq!(read.server("clickhouse"), None);
    }

    #[test]
    fn a_file_that_says_something_else_is_an_error() {
        for text in
            ["", "[]", "{\"servers\":[{\"name\":\"kafka\"}]}", "{\"servers\":[{\"pid\":-1}]}"]
        {
            assert!(Stack::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pid_that_was_given_to_another_process_does_not_run() {
        let pid = std::process::id();
        let started = process::start_time(pid).unwrap();
        assert!(server("kafka", pid, started).runs());
        assert!(!server("kafka", pid, started + 1).runs());
    }
}
