//! What tests the bridge from outside.
//!
//! Nothing of the bridge is imported here, so its errors cannot be shared: messages are made from
//! numbers ([`generate`]), what must come out is worked out from their texts by a model with its
//! own arithmetic ([`model`]), and what did come out is read from ClickHouse and compared row by
//! row ([`verify`]). Between the parts stands what breaks them: a TCP proxy with faults
//! ([`proxy`]), a scripted ClickHouse ([`fake_clickhouse`]) and a front that answers for a real one
//! ([`front`]).
//!
//! A complete run, with a bridge between the second step and the third:
//!
//! ```no_run
//! use std::time::{Duration, SystemTime, UNIX_EPOCH};
//!
//! use data_bridge_lab::generate::Generator;
//! use data_bridge_lab::kafka::{Pace, Producer, create_topics_of};
//! use data_bridge_lab::model::Expected;
//! use data_bridge_lab::plan::Plan;
//! use data_bridge_lab::verify::{Server, wait_until_complete};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // Half an hour ago: brokers refuse times that lie ahead and delete those long past.
//! let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
//! let start_ms = i64::try_from(now.as_millis())? - 1_800_000;
//! let generator = Generator::try_new(Plan::new(42, 300_000, start_ms))?;
//! let expected = Expected::of(&generator)?;
//!
//! let brokers = "127.0.0.1:9092";
//! create_topics_of(brokers, generator.plan()).await?;
//! let producing = generator.clone();
//! tokio::task::spawn_blocking(move || {
//!     let producer = Producer::connect(brokers)?;
//!     producer.produce(&producing, 0..300_000, Pace::Full, |progress| {
//!         assert!(progress.delivered <= progress.sent);
//!     })
//! })
//! .await??;
//!
//! let server = Server::new("http://127.0.0.1:8123", "market");
//! let verdict =
//!     wait_until_complete(&server, &expected, Duration::from_secs(60), |_arrived| {}).await?;
//! assert!(verdict.holds(), "{verdict}");
//! # Ok(())
//! # }
//! ```
//!
//! A plan decides everything: two equal plans give the same messages, and message n is made from
//! the plan and n alone, so a run can be resumed (`300_000..600_000`) or shared among producers,
//! each taking its own range when times need not tie, or its own partitions when they may.
//!
//! For tests around it: [`wait::until`] waits for a condition and says what it saw instead,
//! [`metrics::scrape`] reads `/metrics`, [`process::Process`] memory and processor time.

mod chance;
pub mod fake_clickhouse;
pub mod front;
pub mod generate;
pub mod kafka;
mod layout;
pub mod metrics;
pub mod model;
pub mod mutate;
pub mod nats;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod verify;
pub mod wait;
