//! The newest version in which records are fetched: 15, one below what librdkafka would use.
//!
//! From version 16 on a broker that has just come back may answer with the addresses of leaders and
//! with partitions that have none. librdkafka 2.12 then counts these partitions without filling
//! them in, and reads what happened to be in memory there: it logs partitions such as −603911152,
//! and ends the process where it hits a page that is not its own (librdkafka's issue 5280, not
//! mended in 2.14). Without addresses it asks for new leaders as older versions do.

use std::ffi::{c_int, c_void};

const FETCH: i16 = 1;
const NEWEST: i16 = 15;

unsafe extern "C" {
    /// What the function that is replaced calls.
    #[link_name = "rd_kafka_broker_ApiVersion_supported0"]
    fn supported_or_not(
        broker: *mut c_void,
        api: i16,
        oldest: i16,
        newest: i16,
        features: *mut c_int,
        lock: u8,
    ) -> i16;
}

/// Stands in for librdkafka's own (`build.rs` tells the linker): the version to use with a broker.
#[unsafe(export_name = "__wrap_rd_kafka_broker_ApiVersion_supported")]
extern "C" fn supported(
    broker: *mut c_void,
    api: i16,
    oldest: i16,
    newest: i16,
    features: *mut c_int,
) -> i16 {
    const LOCK: u8 = 1;
    let newest = if api == FETCH { newest.min(NEWEST) } else { newest };
    // SAFETY: handed on as librdkafka has given it; its own function does no more.
    unsafe { supported_or_not(broker, api, oldest, newest, features, LOCK) }
}

/// Has the linker take this module in wherever a client is made.
pub(super) fn hold() {
    std::hint::black_box(supported as *const ());
}
