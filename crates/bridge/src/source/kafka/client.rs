//! The one place that calls librdkafka: a thin safe layer over its C interface.
//!
//! librdkafka's handles may be used from any thread. What it hands out (messages, lists, events)
//! is owned here and given back on drop; no pointer leaves this module.

mod admin;
mod callbacks;
mod configs;
mod fetch_version;
mod group;
mod messages;
mod offsets;

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaErrorCode;

pub(super) use admin::{Asked, NewTopic, OffsetsAt};
pub(super) use callbacks::{Change, Notice, Rebalance};
pub(super) use messages::{Message, Messages};
pub(super) use offsets::Offsets;

use super::super::Waker;
use callbacks::Callbacks;

/// librdkafka's error codes.
pub(super) type Code = RDKafkaErrorCode;

/// An error as librdkafka reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: Code,
    pub(super) text: String,
}

impl Trouble {
    fn of(code: rd::rd_kafka_resp_err_t) -> Self {
        // SAFETY: returns a static text for every code.
        let text = unsafe { text(rd::rd_kafka_err2str(code)) };
        Self { code: code.into(), text }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a client could not be made.
#[derive(Debug)]
pub(super) enum Unfit {
    /// A property that librdkafka refuses.
    Property { name: String, reason: String },
    /// The whole does not fit together.
    Client(String),
}

/// One librdkafka handle, and its consumer queue when it is a member of a group.
pub(super) struct Client {
    rk: *mut rd::rd_kafka_t,
    /// Null for a client that only administers.
    queue: *mut rd::rd_kafka_queue_t,
    /// librdkafka holds its address: boxed, and dropped after the handle.
    callbacks: Box<Callbacks>,
}

// SAFETY: librdkafka's API is thread-safe for one handle; `Callbacks` is `Sync`.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A group member. `waker` is told when the consumer queue has something.
    pub(super) fn consumer(properties: &[(String, String)], waker: Waker) -> Result<Self, Unfit> {
        fetch_version::hold();
        let mut client = Self::new(rd::rd_kafka_type_t::RD_KAFKA_CONSUMER, properties, waker)?;
        // SAFETY: the handle is a live consumer. The queue and the callbacks live as long as it;
        // `on_queued` calls no function of librdkafka, as its contract asks.
        unsafe {
            rd::rd_kafka_poll_set_consumer(client.rk);
            client.queue = rd::rd_kafka_queue_get_consumer(client.rk);
            if client.queue.is_null() {
                return Err(Unfit::Client("group.id is missing".into()));
            }
            rd::rd_kafka_queue_cb_event_enable(
                client.queue,
                Some(callbacks::on_queued),
                ptr::from_ref(&*client.callbacks).cast_mut().cast(),
            );
        }
        Ok(client)
    }

    /// A client outside any group, for topics.
    pub(super) fn admin(properties: &[(String, String)]) -> Result<Self, Unfit> {
        Self::new(rd::rd_kafka_type_t::RD_KAFKA_PRODUCER, properties, Waker::default())
    }

    fn new(
        kind: rd::rd_kafka_type_t,
        properties: &[(String, String)],
        waker: Waker,
    ) -> Result<Self, Unfit> {
        let callbacks = Box::new(Callbacks::new(waker));
        let mut reason = [0 as c_char; 512];
        // SAFETY: `conf` is live until `rd_kafka_new` takes it, or destroyed here; names and values
        // end in NUL; `reason` is as long as said; the opaque outlives the handle (see `Drop`).
        unsafe {
            let conf = rd::rd_kafka_conf_new();
            for (name, value) in properties {
                let set = match (CString::new(name.as_str()), CString::new(value.as_str())) {
                    (Ok(key), Ok(value)) => rd::rd_kafka_conf_set(
                        conf,
                        key.as_ptr(),
                        value.as_ptr(),
                        reason.as_mut_ptr(),
                        reason.len(),
                    ),
                    _ => rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_INVALID,
                };
                if set != rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                    rd::rd_kafka_conf_destroy(conf);
                    // The value may be a secret, and librdkafka repeats it.
                    let reason = match value.as_str() {
                        "" => text(reason.as_ptr()),
                        value => text(reason.as_ptr()).replace(value, "…"),
                    };
                    return Err(Unfit::Property { name: name.clone(), reason });
                }
            }
            rd::rd_kafka_conf_set_opaque(conf, ptr::from_ref(&*callbacks).cast_mut().cast());
            rd::rd_kafka_conf_set_log_cb(conf, Some(callbacks::on_log));
            rd::rd_kafka_conf_set_error_cb(conf, Some(callbacks::on_error));
            if kind == rd::rd_kafka_type_t::RD_KAFKA_CONSUMER {
                rd::rd_kafka_conf_set_rebalance_cb(conf, Some(callbacks::on_rebalance));
            }
            let rk = rd::rd_kafka_new(kind, conf, reason.as_mut_ptr(), reason.len());
            if rk.is_null() {
                rd::rd_kafka_conf_destroy(conf);
                return Err(Unfit::Client(text(reason.as_ptr())));
            }
            Ok(Self { rk, queue: ptr::null_mut(), callbacks })
        }
    }

    /// What the callbacks have recorded since the last call, in order.
    pub(super) fn take_notices(&self) -> Vec<Notice> {
        if self.queue.is_null() {
            // Without a consumer queue, errors lie in the handle's own until somebody serves it.
            // SAFETY: the handle is live, and no group member.
            unsafe { rd::rd_kafka_poll(self.rk, 0) };
        }
        self.callbacks.take()
    }

    pub(super) fn subscribe(&self, topics: &Offsets) -> Result<(), Trouble> {
        // SAFETY: both are live; the list is copied.
        check(unsafe { rd::rd_kafka_subscribe(self.rk, topics.as_ptr()) })
    }

    /// Takes what lies in the consumer queue, at most `limit` messages, without waiting.
    /// Callbacks run within.
    pub(super) fn consume(&self, messages: &mut Messages, limit: usize) {
        messages.fill(limit, |slots, length| {
            // SAFETY: `slots` has room for `length` pointers; each one written is ours to destroy.
            unsafe { rd::rd_kafka_consume_batch_queue(self.queue, 0, slots, length) }
        });
    }

    /// Whether the group moves partitions one by one (cooperative, KIP-848) or all at once.
    pub(super) fn is_cooperative(&self) -> bool {
        // SAFETY: returns a static text, or null on a client without a group.
        let protocol = unsafe { rd::rd_kafka_rebalance_protocol(self.rk) };
        // SAFETY: checked for null.
        !protocol.is_null() && unsafe { CStr::from_ptr(protocol) } == c"COOPERATIVE"
    }

    /// Whether the group has taken this member in.
    pub(super) fn is_in_group(&self) -> bool {
        // SAFETY: the handle is live; the answer is null on a client without a group, else ours.
        unsafe {
            let member = rd::rd_kafka_consumer_group_metadata(self.rk);
            if member.is_null() {
                return false;
            }
            let generation = rd::rd_kafka_consumer_group_metadata_generation_id(member);
            rd::rd_kafka_consumer_group_metadata_destroy(member);
            generation > 0
        }
    }

    /// Replaces the whole assignment; `None` ends it.
    pub(super) fn assign(&self, partitions: Option<&Offsets>) -> Result<(), Trouble> {
        let list = partitions.map_or(ptr::null(), |list| list.as_ptr().cast_const());
        // SAFETY: the handle and the list are live; the list is copied.
        check(unsafe { rd::rd_kafka_assign(self.rk, list) })
    }

    pub(super) fn assign_more(&self, partitions: &Offsets) -> Result<(), Trouble> {
        // SAFETY: both are live; the list is copied; the error is ours.
        unsafe { take_error(rd::rd_kafka_incremental_assign(self.rk, partitions.as_ptr())) }
    }

    pub(super) fn unassign(&self, partitions: &Offsets) -> Result<(), Trouble> {
        // SAFETY: as above.
        unsafe { take_error(rd::rd_kafka_incremental_unassign(self.rk, partitions.as_ptr())) }
    }

    /// Nothing more is handed out for these partitions, nor what was already queued.
    pub(super) fn pause(&self, partitions: &mut Offsets) {
        // SAFETY: both are live. The call always succeeds; errors are per partition and mean
        // "not known", which asks for nothing.
        unsafe { rd::rd_kafka_pause_partitions(self.rk, partitions.as_ptr()) };
    }

    pub(super) fn resume(&self, partitions: &mut Offsets) {
        // SAFETY: as above.
        unsafe { rd::rd_kafka_resume_partitions(self.rk, partitions.as_ptr()) };
    }

    /// Fills in the offset behind the last record (or control record) that was handed out;
    /// negative where none was.
    pub(super) fn position(&self, partitions: &mut Offsets) {
        // SAFETY: both are live. Errors are per partition.
        unsafe { rd::rd_kafka_position(self.rk, partitions.as_ptr()) };
    }

    /// First and end offset as the last fetch told them; negative when none did.
    pub(super) fn watermarks(&self, topic: &CStr, partition: i32) -> Option<(i64, i64)> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the handle is live, the name ends in NUL, both numbers are ours.
        let code = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.rk,
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (check(code).is_ok() && high >= 0).then_some((low, high))
    }

    /// Commits; the answer comes as [`Notice::Committed`] with the same ticket.
    pub(super) fn commit(&self, offsets: &Offsets, ticket: usize) -> Result<(), Trouble> {
        // SAFETY: all are live; the list is copied; the opaque is a number.
        check(unsafe {
            rd::rd_kafka_commit_queue(
                self.rk,
                offsets.as_ptr(),
                self.queue,
                Some(callbacks::on_commit),
                ptr::without_provenance_mut(ticket),
            )
        })
    }

    /// Commits and waits for the answer.
    pub(super) fn commit_now(&self, offsets: &Offsets, wait: Duration) -> Result<(), Trouble> {
        let replies = self.reply_queue();
        // SAFETY: all are live; the list is copied; without a callback the answer is an event.
        check(unsafe {
            rd::rd_kafka_commit_queue(
                self.rk,
                offsets.as_ptr(),
                replies.as_ptr(),
                None,
                ptr::null_mut(),
            )
        })?;
        let Some(event) = replies.wait(wait) else {
            return Err(Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT));
        };
        event.result()?;
        event.offsets_result()
    }

    /// Fills in offset and metadata that the group has committed; a negative offset where nothing.
    pub(super) fn committed(&self, offsets: &mut Offsets, wait: Duration) -> Result<(), Trouble> {
        // SAFETY: both are live; waits at most as long as said.
        check(unsafe { rd::rd_kafka_committed(self.rk, offsets.as_ptr(), millis(wait)) })
    }

    /// The error after which this handle is of no more use.
    pub(super) fn fatal_error(&self) -> Option<Trouble> {
        let mut reason = [0 as c_char; 512];
        // SAFETY: `reason` is as long as said and ends in NUL afterwards.
        unsafe {
            let code = rd::rd_kafka_fatal_error(self.rk, reason.as_mut_ptr(), reason.len());
            check(code)
                .err()
                .map(|trouble| Trouble { code: trouble.code, text: text(reason.as_ptr()) })
        }
    }

    /// Begins to leave the group; from now on the rebalance callback gives partitions back itself.
    /// Ends when `has_left`, which needs [`serve`](Closing::serve).
    pub(super) fn leave(&self) -> Result<Closing<'_>, Trouble> {
        self.callbacks.begin_closing();
        let queue = self.reply_queue();
        // SAFETY: both are live; the queue is not the consumer queue, which is forwarded to it.
        unsafe { take_error(rd::rd_kafka_consumer_close_queue(self.rk, queue.as_ptr()))? };
        Ok(Closing { client: self, queue })
    }

    fn raw(&self) -> *mut rd::rd_kafka_t {
        self.rk
    }

    fn reply_queue(&self) -> admin::Replies {
        // SAFETY: a new queue of a live handle, destroyed on drop.
        admin::Replies::new(unsafe { rd::rd_kafka_queue_new(self.rk) })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: nothing else holds the handle: messages, lists and events keep what they need
        // alive by themselves. Callbacks run until `destroy` returns, so they are dropped after.
        unsafe {
            if !self.queue.is_null() {
                rd::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
                rd::rd_kafka_queue_destroy(self.queue);
            }
            rd::rd_kafka_destroy_flags(self.rk, rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

/// A client that is leaving its group.
pub(super) struct Closing<'c> {
    client: &'c Client,
    queue: admin::Replies,
}

impl Closing<'_> {
    /// Serves what comes up, for at most `wait`; `true` once the group is left.
    pub(super) fn serve(&self, wait: Duration) -> bool {
        let mut messages = Messages::default();
        messages.fill(64, |slots, length| {
            // SAFETY: as in `Client::consume`.
            unsafe {
                rd::rd_kafka_consume_batch_queue(self.queue.as_ptr(), millis(wait), slots, length)
            }
        });
        // SAFETY: the handle is live.
        unsafe { rd::rd_kafka_consumer_closed(self.client.rk) == 1 }
    }
}

fn check(code: rd::rd_kafka_resp_err_t) -> Result<(), Trouble> {
    match code {
        rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(Trouble::of(code)),
    }
}

/// As [`check`], for a code in a structure of librdkafka's: a broker newer than these bindings may
/// send a code that their `enum` does not have, so it is read as the number that it is.
fn check_field(code: &rd::rd_kafka_resp_err_t) -> Result<(), Trouble> {
    // SAFETY: a live field of `repr(i32)`; every bit pattern is an `i32`.
    let number = unsafe { ptr::from_ref(code).cast::<i32>().read() };
    if number == 0 {
        return Ok(());
    }
    check(
        rd::rd_kafka_resp_err_t::try_from(number)
            .unwrap_or(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN),
    )
}

/// # Safety
/// `error` is null or an error object that is ours to destroy.
unsafe fn take_error(error: *mut rd::rd_kafka_error_t) -> Result<(), Trouble> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: live until destroyed below; the text is copied.
    unsafe {
        let trouble = Trouble {
            code: rd::rd_kafka_error_code(error).into(),
            text: text(rd::rd_kafka_error_string(error)),
        };
        rd::rd_kafka_error_destroy(error);
        Err(trouble)
    }
}

/// # Safety
/// `text` is null or ends in NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, ends in NUL.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A topic's name as C wants it.
fn c_name(topic: &str) -> CString {
    CString::new(topic).expect("topic names were checked for NUL, or come from the broker")
}

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}
