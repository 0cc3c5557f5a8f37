//! The layer table: which crate and which module may use which.
//!
//! Crates are for a rule or a reuse, modules for concepts; this page is where both rules stand.
//! A new top-level module needs a line here before the check passes.

/// A crate of the workspace.
pub(super) struct Crate {
    pub(super) package: &'static str,
    /// Crates of ours that it may depend on.
    pub(super) uses: &'static [&'static str],
    /// Crates of ours that its tests may depend on besides.
    pub(super) tests_use: &'static [&'static str],
    /// Said when the rule is broken.
    pub(super) because: &'static str,
    pub(super) modules: Modules,
}

pub(super) enum Modules {
    /// Any module may use any other.
    Free,
    Listed(&'static [Module]),
}

/// A top-level module, with everything below it.
pub(super) struct Module {
    pub(super) name: &'static str,
    /// Top-level modules of the same crate that it may use.
    pub(super) uses: &'static [&'static str],
    /// Said when the rule is broken.
    pub(super) because: &'static str,
}

pub(super) const CRATES: [Crate; 7] = [
    Crate {
        package: "data-bridge-core",
        uses: &[],
        tests_use: &[],
        because: "core depends on nothing of ours: it is what the rest is built on",
        modules: Modules::Listed(CORE),
    },
    Crate {
        package: "data-bridge-lab",
        uses: &[],
        tests_use: &["data-bridge-stack"],
        because: "the lab imports nothing of ours, so that it cannot share our bugs",
        modules: Modules::Free,
    },
    Crate {
        package: "embedded-clickhouse",
        uses: &[],
        tests_use: &["data-bridge-core", "data-bridge-lab", "data-bridge-stack"],
        because: "the embedded ClickHouse stands in for a server that knows nothing of us",
        modules: Modules::Free,
    },
    Crate {
        package: "data-bridge-stack",
        uses: &[],
        tests_use: &[],
        because: "the stack is compiled before anything else and runs programs, not crates",
        modules: Modules::Free,
    },
    Crate {
        package: "data-bridge",
        uses: &["data-bridge-core", "data-bridge-lab", "embedded-clickhouse"],
        tests_use: &["data-bridge-stack"],
        because: "the stack serves tests and the demo, it does not ship",
        modules: Modules::Listed(BRIDGE),
    },
    Crate {
        package: "data-bridge-chaos",
        uses: &["data-bridge-lab", "data-bridge-stack"],
        tests_use: &[],
        because: "chaos comes from outside: it runs the bridge as a program",
        modules: Modules::Free,
    },
    Crate {
        package: "xtask",
        uses: &["data-bridge-stack"],
        tests_use: &[],
        because: "the front door is compiled before anything else: it runs programs, not crates",
        modules: Modules::Free,
    },
];

const CORE: &[Module] = &[
    module("units", &[], "units are what everything else is said in"),
    module("verdict", &["units"], "a verdict depends on the failure alone"),
    module("settle", &["units"], "the ledger counts chunks, whatever is in them"),
    module(
        "engine",
        &["units", "verdict", "settle"],
        "the engine decides by counts and sizes, never by the content of rows",
    ),
    module("catalog", &["units"], "a table is described without the code that fills it"),
    module("arena", &["units"], "an arena holds bytes, whatever they mean"),
    module("block", &["units", "catalog"], "a block holds columns, wherever they come from"),
    module(
        "decode",
        &["units", "catalog", "arena", "block", "engine"],
        "a decoder turns an arena into blocks and tells the engine how many rows",
    ),
];

const BRIDGE: &[Module] = &[
    module("config", &[], "config is read before anything else exists"),
    module("telemetry", &["config"], "telemetry is written to, it asks nobody"),
    module("source", &["config", "telemetry"], "source and sink never know each other"),
    module("sink", &["config", "telemetry"], "source and sink never know each other"),
    module(
        "pipeline",
        &["config", "telemetry", "source", "sink"],
        "the pipeline is driven by an instance, it does not know it",
    ),
    module(
        "routes",
        &["config", "telemetry", "sink", "pipeline"],
        "routes are read from the config and the live tables",
    ),
    module("reread", &["config", "source"], "what is read again is decoded, whoever asks for it"),
    module("audit", &["config", "sink"], "an audit compares blocks, whoever read them"),
    module(
        "letters",
        &["config", "sink", "routes"],
        "dead letters are rows: read and written where all rows are",
    ),
    module("door", &["config"], "a door knows the token, and nothing of what is behind it"),
    module(
        "admin",
        &["config", "telemetry", "door"],
        "admin reads a status snapshot, never the pipeline",
    ),
    module("top", &["hub"], "a picture of the fleet, without a terminal"),
    module(
        "hub",
        &["config", "telemetry", "letters", "door"],
        "the hub reads a status snapshot, never the pipeline",
    ),
    module(
        "checkup",
        &["config", "telemetry", "routes", "source", "sink"],
        "a check-up looks at dependencies, it runs nothing",
    ),
    module(
        "instance",
        &["config", "telemetry", "source", "sink", "pipeline", "routes", "admin", "hub", "checkup"],
        "an instance starts and stops the parts, it does not know the command line",
    ),
    module(
        "validate",
        &["config", "hub", "sink"],
        "a validation looks at a fleet from outside: it runs nothing of it",
    ),
    module("autoscale", &["config"], "the policy is a pure function of what was seen"),
    module(
        "supervisor",
        &["config", "telemetry", "hub", "autoscale"],
        "a supervisor watches processes: never pipeline, source or sink",
    ),
    module(
        "cli",
        &[
            "config",
            "telemetry",
            "source",
            "sink",
            "pipeline",
            "routes",
            "reread",
            "audit",
            "letters",
            "door",
            "admin",
            "hub",
            "top",
            "validate",
            "autoscale",
            "checkup",
            "instance",
            "supervisor",
        ],
        "the command line knows everything",
    ),
];

const fn module(
    name: &'static str,
    uses: &'static [&'static str],
    because: &'static str,
) -> Module {
    Module { name, uses, because }
}
