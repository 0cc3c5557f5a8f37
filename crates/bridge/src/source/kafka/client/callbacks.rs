//! What librdkafka calls: each callback only records, and the source acts when the call is over.
//!
//! The rebalance callback runs inside the batch call while its array is half full, so nothing may
//! change there; only while the group is being left it gives partitions back at once, since nobody
//! is there any more to do it later.

use std::ffi::{c_char, c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::bindings as rd;

use super::super::super::Waker;
use super::super::partition::TopicPartition;
use super::{Trouble, offsets, text};

/// What a callback has recorded.
#[derive(Debug)]
pub(in super::super) enum Notice {
    /// The group moves partitions.
    Rebalance(Rebalance),
    /// The answer to the commit with this ticket.
    Committed { ticket: usize, result: Result<(), Trouble> },
    /// Something that librdkafka goes on trying by itself.
    Error(Trouble),
}

/// What the group asks for; it waits for the answer by `assign` or `unassign`.
#[derive(Debug)]
pub(in super::super) struct Rebalance {
    pub(in super::super) change: Change,
    pub(in super::super) partitions: Vec<TopicPartition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Change {
    Assign,
    Revoke,
    /// They belong to others already.
    Lost,
}

pub(super) struct Callbacks {
    notices: Mutex<Vec<Notice>>,
    closing: AtomicBool,
    waker: Waker,
}

impl Callbacks {
    pub(super) fn new(waker: Waker) -> Self {
        Self { notices: Mutex::default(), closing: AtomicBool::new(false), waker }
    }

    pub(super) fn take(&self) -> Vec<Notice> {
        mem::take(&mut self.notices())
    }

    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    fn record(&self, notice: Notice) {
        self.notices().push(notice);
        self.waker.queued();
    }

    fn notices(&self) -> MutexGuard<'_, Vec<Notice>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Safety
/// `opaque` is the address that the client gave to librdkafka, or null.
unsafe fn callbacks<'c>(opaque: *mut c_void) -> Option<&'c Callbacks> {
    // SAFETY: the client drops its callbacks only after the handle that calls them.
    unsafe { opaque.cast::<Callbacks>().cast_const().as_ref() }
}

/// The consumer queue has something. Called with the queue's lock held.
pub(super) unsafe extern "C" fn on_queued(_rk: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: the opaque that was enabled together with this function.
    if let Some(callbacks) = unsafe { callbacks(opaque) } {
        callbacks.waker.queued();
    }
}

pub(super) unsafe extern "C" fn on_rebalance(
    rk: *mut rd::rd_kafka_t,
    code: rd::rd_kafka_resp_err_t,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    use rd::rd_kafka_resp_err_t as err;
    // SAFETY: librdkafka calls with the configuration's opaque, a live handle and a live list.
    unsafe {
        let Some(callbacks) = callbacks(opaque) else {
            return;
        };
        if callbacks.closing.load(Ordering::SeqCst) {
            give_back(rk, code, partitions);
            return;
        }
        let change = match code {
            err::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assign,
            err::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS if rd::rd_kafka_assignment_lost(rk) == 1 => {
                Change::Lost
            }
            err::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => Change::Revoke,
            other => {
                callbacks.record(Notice::Error(Trouble::of(other)));
                Change::Lost
            }
        };
        callbacks.record(Notice::Rebalance(Rebalance {
            change,
            partitions: offsets::partitions(partitions),
        }));
    }
}

/// # Safety
/// Handle and list are live.
unsafe fn give_back(
    rk: *mut rd::rd_kafka_t,
    code: rd::rd_kafka_resp_err_t,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
) {
    // SAFETY: as said. A failure leaves the partitions to the session time-out; librdkafka logs it.
    unsafe {
        let protocol = text(rd::rd_kafka_rebalance_protocol(rk));
        if protocol == "COOPERATIVE"
            && code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS
        {
            let error = rd::rd_kafka_incremental_unassign(rk, partitions);
            if !error.is_null() {
                rd::rd_kafka_error_destroy(error);
            }
        } else {
            rd::rd_kafka_assign(rk, ptr::null());
        }
    }
}

pub(super) unsafe extern "C" fn on_commit(
    rk: *mut rd::rd_kafka_t,
    code: rd::rd_kafka_resp_err_t,
    list: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    use rd::rd_kafka_resp_err_t as err;
    // SAFETY: librdkafka calls with a live handle, whose opaque is ours, and a live or null list.
    unsafe {
        let Some(callbacks) = callbacks(rd::rd_kafka_opaque(rk)) else {
            return;
        };
        let result = match code {
            // Nothing to commit is no error.
            err::RD_KAFKA_RESP_ERR__NO_OFFSET => Ok(()),
            err::RD_KAFKA_RESP_ERR_NO_ERROR => offsets::first_error(list),
            other => Err(Trouble::of(other)),
        };
        callbacks.record(Notice::Committed { ticket: opaque.addr(), result });
    }
}

pub(super) unsafe extern "C" fn on_error(
    _rk: *mut rd::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: the configuration's opaque, and a text that ends in NUL.
    unsafe {
        let Some(callbacks) = callbacks(opaque) else {
            return;
        };
        let known = rd::rd_kafka_resp_err_t::try_from(code)
            .unwrap_or(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN);
        callbacks.record(Notice::Error(Trouble { code: known.into(), text: text(reason) }));
    }
}

/// librdkafka's own log lines, from any of its threads.
pub(super) unsafe extern "C" fn on_log(
    _rk: *const rd::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: both end in NUL.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    // Levels of syslog: 3 error, 4 warning, 5 notice, 6 info, 7 debug. What librdkafka calls an
    // error it goes on trying, so it is a warning for us.
    match level {
        ..=4 => tracing::warn!(target: "librdkafka", facility, "{line}"),
        5 => tracing::info!(target: "librdkafka", facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}
