//! The Central Hub protocol, spoken and served: instances register and send heartbeats, the hub
//! looks at each of them every second and shows the fleet as one.
//!
//! Neither side is needed for the data path. Instances are told apart by their `instance_id`.

mod control;
mod desk;
mod events;
mod fleet;
mod history;
mod http;
mod judge;
mod page;
mod protocol;
mod registry;
mod reporter;
mod serve;
mod store;

pub use control::{Ask, Command, Refusal};
pub use desk::{AssignAnew, Office};
pub use events::{Event, Weight};
pub use fleet::{
    Change, Fleet, Latency, Life, Member, Partition, Process, ProcessState, Supervised, Totals,
    Unread, Verdict,
};
pub use http::{CallError, Client};
pub use protocol::{Heartbeat, Registration};
pub use registry::{Expected, Registry};
pub use reporter::{Pace, Reporter};
pub use serve::{Options, Shared, listen, serve};
pub use store::StoreError;
pub(crate) use store::{read as read_state, write as write_state};
