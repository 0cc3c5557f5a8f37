//! Free ports on loopback.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::process;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below it live well-known services, among them the usual ports of the three servers.
const LOWEST: u16 = 12_000;

/// A port that nobody listens on, never given twice by this process.
///
/// It lies outside the range from which the kernel takes the ports of outgoing connections: a
/// server that is killed and restarted must find its port free, and a client that calls while the
/// server is away must not be given that very port and so connect to itself.
///
/// # Errors
/// When all ports are taken.
pub fn free() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let range = candidates(
        &fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default(),
    );
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);

    // Test processes that run side by side begin at places of their own.
    let width = u32::from(range.end - range.start);
    let begin = process::id().wrapping_mul(0x9E37_79B1) % width;
    for step in 0..width {
        let Ok(offset) = u16::try_from((begin + step) % width) else {
            continue;
        };
        let port = range.start + offset;
        if !given.contains(&port) && is_free(port) {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", range.start, range.end)
}

/// `wanted` if nobody listens on it, else another free port.
///
/// # Errors
/// When all ports are taken.
pub fn free_or(wanted: u16) -> Result<u16> {
    if is_free(wanted) { Ok(wanted) } else { free() }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn candidates(ephemeral: &str) -> Range<u16> {
    let first = ephemeral.split_whitespace().next().and_then(|text| text.parse::<u16>().ok());
    match first {
        // At least 1,000 ports to choose from, else take what comes.
        Some(first) if first >= LOWEST + 1_000 => LOWEST..first,
        Some(_) | None => LOWEST..32_768,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_never_given_twice() {
        let ports: Vec<u16> = (0..50).map(|_| free().unwrap()).collect();
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(distinct.len(), ports.len());
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn a_taken_port_is_replaced() {
        let port = free().unwrap();
        assert_eq!(free_or(port).unwrap(), port);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(free_or(port).unwrap(), port);
    }

    #[test]
    fn ports_of_outgoing_connections_are_left_out() {
        assert_eq!(candidates("32768\t60999\n"), LOWEST..32_768);
        assert_eq!(candidates("20000 60999"), LOWEST..20_000);
        assert_eq!(candidates("1024 65535"), LOWEST..32_768);
        assert_eq!(candidates(""), LOWEST..32_768);
    }
}
