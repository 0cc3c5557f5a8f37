//! What must be on the machine before cargo can build the bridge: librdkafka is built from source
//! and uses the system's OpenSSL and zlib.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

struct Need {
    program: &'static str,
    arguments: &'static [&'static str],
    what: &'static str,
    debian: &'static str,
}

const NEEDS: [Need; 5] = [
    need("cc", &["--version"], "a C compiler", "gcc"),
    need("c++", &["--version"], "a C++ compiler", "g++"),
    need("make", &["--version"], "make", "make"),
    need("pkg-config", &["--exists", "openssl"], "OpenSSL's headers, found by pkg-config", SSL),
    need("pkg-config", &["--exists", "zlib"], "zlib's headers, found by pkg-config", ZLIB),
];
const SSL: &str = "pkg-config libssl-dev";
const ZLIB: &str = "pkg-config zlib1g-dev";

const fn need(
    program: &'static str,
    arguments: &'static [&'static str],
    what: &'static str,
    debian: &'static str,
) -> Need {
    Need { program, arguments, what, debian }
}

/// Fails with everything that is missing and the one command that installs it.
pub(crate) fn check() -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !need.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{}", advice(&missing))
}

fn advice(missing: &[&Need]) -> String {
    let what: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let mut packages: Vec<&str> = missing.iter().flat_map(|need| need.debian.split(' ')).collect();
    packages.sort_unstable();
    packages.dedup();
    format!(
        "librdkafka is built from source and needs {}. On Debian: apt-get install {}",
        what.join(", "),
        packages.join(" ")
    )
}

impl Need {
    fn is_there(&self) -> bool {
        Command::new(self.program)
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_with_one_command() {
        let text = advice(&[&NEEDS[3], &NEEDS[4]]);
        assert!(text.contains("OpenSSL") && text.contains("zlib"), "{text}");
        assert!(text.ends_with("apt-get install libssl-dev pkg-config zlib1g-dev"), "{text}");
        let absent = need("no-such-program", &[], "nothing", "nothing");
        assert!(!absent.is_there());
        assert!(!need("false", &[], "nothing", "nothing").is_there());
    }
}
