//! Lists of partitions with offsets.

use std::ffi::CStr;
use std::fmt;
use std::ptr;
use std::slice;

use rdkafka::bindings as rd;

use super::super::partition::TopicPartition;
use super::{Trouble, c_name, check_field, text};

/// A list of partitions, each with an offset and, for commits, metadata.
pub(in super::super) struct Offsets(*mut rd::rd_kafka_topic_partition_list_t);

// SAFETY: the list owns all it points to.
unsafe impl Send for Offsets {}

impl fmt::Debug for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

/// One entry of a list.
#[derive(Debug)]
pub(in super::super) struct Entry<'a> {
    pub(in super::super) topic: &'a str,
    pub(in super::super) partition: i32,
    /// Negative where there is none.
    pub(in super::super) offset: i64,
    pub(in super::super) metadata: &'a [u8],
    pub(in super::super) error: Option<Trouble>,
}

impl Offsets {
    pub(in super::super) fn new() -> Self {
        // SAFETY: grows as needed; destroyed on drop.
        Self(unsafe { rd::rd_kafka_topic_partition_list_new(8) })
    }

    /// Topics alone, to subscribe to.
    pub(in super::super) fn topics<'t>(topics: impl IntoIterator<Item = &'t str>) -> Self {
        let mut list = Self::new();
        for topic in topics {
            list.add(topic, -1, None, None);
        }
        list
    }

    /// Partitions to ask something about.
    pub(in super::super) fn of<'p>(
        partitions: impl IntoIterator<Item = &'p TopicPartition>,
    ) -> Self {
        let mut list = Self::new();
        for partition in partitions {
            list.add(&partition.topic, partition.number, None, None);
        }
        list
    }

    pub(in super::super) fn add(
        &mut self,
        topic: &str,
        partition: i32,
        offset: Option<i64>,
        metadata: Option<&str>,
    ) {
        let topic = c_name(topic);
        // SAFETY: the list is live and copies the name; its new entry is valid until the next add.
        // Metadata is freed by the list with C's `free`, so it comes from librdkafka's allocator.
        unsafe {
            let entry = rd::rd_kafka_topic_partition_list_add(self.0, topic.as_ptr(), partition);
            if let Some(offset) = offset {
                (*entry).offset = offset;
            }
            if let Some(metadata) = metadata {
                let copy = rd::rd_kafka_mem_malloc(ptr::null_mut(), metadata.len());
                ptr::copy_nonoverlapping(metadata.as_ptr(), copy.cast(), metadata.len());
                (*entry).metadata = copy;
                (*entry).metadata_size = metadata.len();
            }
        }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        // SAFETY: the list is live.
        unsafe { (*self.0).cnt == 0 }
    }

    pub(in super::super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        // SAFETY: entries live as long as the list, which is borrowed.
        unsafe { elements(self.0) }.iter().map(|element| {
            // SAFETY: as above; names end in NUL, metadata is as long as said.
            unsafe { entry(element) }
        })
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        // SAFETY: ours, and live until here.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.0) };
    }
}

/// The partitions of a list that is not ours.
///
/// # Safety
/// `list` is null or live.
pub(super) unsafe fn partitions(
    list: *const rd::rd_kafka_topic_partition_list_t,
) -> Vec<TopicPartition> {
    // SAFETY: as said; names are copied.
    unsafe {
        elements(list)
            .iter()
            .map(|element| TopicPartition {
                topic: text(element.topic).into(),
                number: element.partition,
            })
            .collect()
    }
}

/// # Safety
/// `list` is null or live.
pub(super) unsafe fn first_error(
    list: *const rd::rd_kafka_topic_partition_list_t,
) -> Result<(), Trouble> {
    // SAFETY: as said.
    unsafe { elements(list) }.iter().try_for_each(|element| check_field(&element.err))
}

/// # Safety
/// `element` belongs to a live list.
pub(super) unsafe fn entry(element: &rd::rd_kafka_topic_partition_t) -> Entry<'_> {
    // SAFETY: the name ends in NUL; metadata is null or as long as said; both live as the element.
    unsafe {
        Entry {
            topic: CStr::from_ptr(element.topic).to_str().unwrap_or_default(),
            partition: element.partition,
            offset: element.offset,
            metadata: if element.metadata.is_null() {
                &[]
            } else {
                slice::from_raw_parts(element.metadata.cast(), element.metadata_size)
            },
            error: check_field(&element.err).err(),
        }
    }
}

/// # Safety
/// `list` is null or outlives the result.
unsafe fn elements<'l>(
    list: *const rd::rd_kafka_topic_partition_list_t,
) -> &'l [rd::rd_kafka_topic_partition_t] {
    // SAFETY: as said; `elems` holds `cnt` entries, and is null only when there are none.
    unsafe {
        match list.as_ref() {
            Some(list) if !list.elems.is_null() => {
                slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or_default())
            }
            _ => &[],
        }
    }
}
