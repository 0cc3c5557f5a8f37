//! What one batch call brought.

use std::ffi::CStr;
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use rdkafka::bindings as rd;

use super::{Trouble, check, check_field, text};

/// The array of the batch call, reused.
#[derive(Debug, Default)]
pub(in super::super) struct Messages(Vec<Message>);

impl Messages {
    pub(super) fn fill(
        &mut self,
        limit: usize,
        call: impl FnOnce(*mut *mut rd::rd_kafka_message_t, usize) -> isize,
    ) {
        self.0.clear();
        self.0.reserve(limit);
        let filled = usize::try_from(call(self.0.as_mut_ptr().cast(), limit)).unwrap_or(0);
        debug_assert!(filled <= limit);
        // SAFETY: `Message` is a transparent pointer; the call wrote `filled` of them, each ours.
        unsafe { self.0.set_len(filled) };
    }

    pub(in super::super) fn iter(&self) -> slice::Iter<'_, Message> {
        self.0.iter()
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives all of them back: what is held escapes librdkafka's own memory limit.
    pub(in super::super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A record, or an error in its place.
#[repr(transparent)]
pub(in super::super) struct Message(*mut rd::rd_kafka_message_t);

// SAFETY: a message owns all it points to.
unsafe impl Send for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

impl Message {
    fn raw(&self) -> &rd::rd_kafka_message_t {
        // SAFETY: live until drop.
        unsafe { &*self.0 }
    }

    /// Equal for two messages of one batch exactly when their topics are.
    pub(in super::super) fn topic_handle(&self) -> usize {
        self.raw().rkt.addr()
    }

    /// Empty for an error that concerns no topic.
    pub(in super::super) fn topic(&self) -> &str {
        let handle = self.raw().rkt;
        if handle.is_null() {
            return "";
        }
        // SAFETY: the message keeps its topic alive; names end in NUL.
        unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(handle)) }.to_str().unwrap_or_default()
    }

    pub(in super::super) fn partition(&self) -> i32 {
        self.raw().partition
    }

    pub(in super::super) fn offset(&self) -> i64 {
        self.raw().offset
    }

    pub(in super::super) fn error(&self) -> Option<Trouble> {
        let raw = self.raw();
        check_field(&raw.err).err().map(|trouble| {
            // SAFETY: the payload of an error is its text, or null.
            let detail = unsafe { text(raw.payload.cast_const().cast()) };
            if detail.is_empty() { trouble } else { Trouble { code: trouble.code, text: detail } }
        })
    }

    /// Whether this is a record and not an error.
    pub(in super::super) fn is_record(&self) -> bool {
        check_field(&self.raw().err).is_ok()
    }

    /// Bytes of key and value.
    pub(in super::super) fn size(&self) -> usize {
        self.raw().len + self.raw().key_len
    }

    pub(in super::super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: null, or as long as said; lives as long as the message.
        unsafe { part(self.raw().key.cast(), self.raw().key_len) }
    }

    /// `None` is a tombstone.
    pub(in super::super) fn payload(&self) -> Option<&[u8]> {
        // SAFETY: as above.
        unsafe { part(self.raw().payload.cast(), self.raw().len) }
    }

    /// Record time in ms since 1970, -1 when there is none.
    pub(in super::super) fn time_ms(&self) -> i64 {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live, and the kind is ours.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        if kind == rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE {
            -1
        } else {
            time
        }
    }

    pub(in super::super) fn headers(&self) -> Headers<'_> {
        let list = if self.shows_no_headers() {
            debug_assert!(self.parsed_headers().is_none(), "librdkafka finds headers");
            None
        } else {
            self.parsed_headers()
        };
        Headers { list: list.unwrap_or(ptr::null_mut()), next: 0, message: PhantomData }
    }

    /// Whether the record itself shows that it has no headers. Most have none, and asking librdkafka costs
    /// two allocations, one of half a kilobyte, to read a single byte.
    ///
    /// A record of format v2 has the count of its headers right behind its value, as a varint
    /// (<https://kafka.apache.org/documentation/#record>), and librdkafka hands out a value where it
    /// lies in the batch. Only batches of that format have a leader epoch
    /// (`rd_kafka_msgset_reader_v2` of librdkafka 2.12); of all others librdkafka is asked.
    fn shows_no_headers(&self) -> bool {
        let raw = self.raw();
        // What is empty lies elsewhere.
        if raw.len == 0 || raw.payload.is_null() {
            return false;
        }
        // SAFETY: the message is live.
        let epoch = unsafe { rd::rd_kafka_message_leader_epoch(self.0) };
        // SAFETY: the value and at least one byte behind it belong to the batch, which lives as
        // long as its messages.
        epoch >= 0 && unsafe { raw.payload.cast::<u8>().add(raw.len).read() } == 0
    }

    /// Headers as librdkafka reads them.
    fn parsed_headers(&self) -> Option<*mut rd::rd_kafka_headers_t> {
        let mut list = ptr::null_mut();
        // SAFETY: the list belongs to the message; it stays null when there are no headers.
        let code = unsafe { rd::rd_kafka_message_headers(self.0, &raw mut list) };
        // No text is made of the answer that there are none.
        matches!(code, rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(list)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: ours, and live until here.
        unsafe { rd::rd_kafka_message_destroy(self.0) };
    }
}

/// Names and values of a message's headers, in order.
pub(in super::super) struct Headers<'m> {
    list: *mut rd::rd_kafka_headers_t,
    next: usize,
    message: PhantomData<&'m Message>,
}

impl<'m> Iterator for Headers<'m> {
    type Item = (&'m [u8], Option<&'m [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.list.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list is live as long as the message; names end in NUL, values are null or as
        // long as said, and both belong to the message.
        unsafe {
            let code = rd::rd_kafka_header_get_all(
                self.list,
                self.next,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            check(code).ok()?;
            self.next += 1;
            Some((CStr::from_ptr(name).to_bytes(), part(value.cast(), size)))
        }
    }
}

/// # Safety
/// `start` is null, or `length` bytes lie there for as long as `'m`.
unsafe fn part<'m>(start: *const u8, length: usize) -> Option<&'m [u8]> {
    // SAFETY: as said.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}
