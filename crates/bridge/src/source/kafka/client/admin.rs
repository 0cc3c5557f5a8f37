//! Questions about topics, and the creation of missing ones.

use std::ffi::{CString, c_char};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::offsets::{self, Offsets};
use super::{Client, Trouble, c_name, check, millis, text};

/// What the cluster says about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct TopicFacts {
    pub(in super::super) name: String,
    /// The id that a topic made anew does not share; `None` where the broker has none.
    pub(in super::super) id: Option<String>,
    pub(in super::super) partitions: i32,
    /// Why nothing is known, such as that there is no such topic.
    pub(in super::super) error: Option<Trouble>,
}

/// Which end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum OffsetsAt {
    /// The first record that retention has left.
    Start,
    /// The last stable offset: where a reader of committed records ends.
    End,
    /// The first record of this time or later, in ms since 1970; -1 when there is none.
    Time(i64),
}

/// One end of one partition: topic, partition, offset.
pub(in super::super) type End = (String, i32, Result<i64, Trouble>);

/// A topic to be made.
#[derive(Clone, Debug)]
pub(in super::super) struct NewTopic {
    pub(in super::super) name: String,
    pub(in super::super) partitions: i32,
    /// -1 leaves it to the broker.
    pub(in super::super) replication: i32,
}

/// What became of a topic that was to be made.
#[derive(Debug)]
pub(in super::super) struct Created {
    pub(in super::super) name: String,
    pub(in super::super) error: Option<Trouble>,
}

/// A question under way.
pub(in super::super) struct Asked(Replies);

impl Asked {
    /// The answer if it is there within `wait`.
    pub(in super::super) fn topics(
        &self,
        wait: Duration,
    ) -> Option<Result<Vec<TopicFacts>, Trouble>> {
        Some(self.0.wait(wait)?.topics())
    }
}

impl Client {
    /// Asks what the cluster knows of these topics; not answered before there is a broker.
    pub(in super::super) fn ask_topics(&self, topics: &[&str], within: Duration) -> Asked {
        let replies = self.reply_queue();
        let names = topics.iter().map(|topic| c_name(topic)).collect::<Vec<_>>();
        let mut pointers = names.iter().map(|name| name.as_ptr()).collect::<Vec<_>>();
        let options =
            self.options(rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, within);
        // SAFETY: all are live for the call, which copies what it needs.
        unsafe {
            let collection =
                rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            rd::rd_kafka_DescribeTopics(self.rk, collection, options.0, replies.as_ptr());
            rd::rd_kafka_TopicCollection_destroy(collection);
        }
        Asked(replies)
    }

    /// As [`ask_topics`](Self::ask_topics), and waits for the answer.
    pub(in super::super) fn topics(
        &self,
        topics: &[&str],
        wait: Duration,
    ) -> Result<Vec<TopicFacts>, Trouble> {
        let asked = self.ask_topics(topics, wait);
        asked.topics(late(wait)).unwrap_or_else(|| Err(timed_out()))
    }

    /// One end of each partition, as a list whose entries have an offset or an error.
    pub(in super::super) fn offsets_at(
        &self,
        partitions: &Offsets,
        end: OffsetsAt,
        wait: Duration,
    ) -> Result<Vec<End>, Trouble> {
        use rd::rd_kafka_OffsetSpec_t as spec;
        let at = match end {
            OffsetsAt::Start => spec::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
            OffsetsAt::End => spec::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
            OffsetsAt::Time(ms) => ms,
        };
        let mut asked = Offsets::new();
        for entry in partitions.entries() {
            asked.add(entry.topic, entry.partition, Some(at), None);
        }
        let replies = self.reply_queue();
        let options = self.options(rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, wait);
        // SAFETY: all are live for the call, which copies what it needs; the error, when there is
        // one, is ours.
        unsafe {
            super::take_error(rd::rd_kafka_AdminOptions_set_isolation_level(
                options.0,
                rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            ))?;
            rd::rd_kafka_ListOffsets(self.rk, asked.as_ptr(), options.0, replies.as_ptr());
        }
        replies.wait(late(wait)).ok_or_else(timed_out)?.offsets()
    }

    /// Makes topics; the outcome is per topic.
    pub(in super::super) fn create(
        &self,
        topics: &[NewTopic],
        wait: Duration,
    ) -> Result<Vec<Created>, Trouble> {
        let replies = self.reply_queue();
        let options = self.options(rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS, wait);
        let mut made = Vec::new();
        let mut refused = Vec::new();
        for topic in topics {
            let mut reason = [0 as c_char; 512];
            let name: CString = c_name(&topic.name);
            // SAFETY: the name ends in NUL, `reason` is as long as said.
            let new = unsafe {
                rd::rd_kafka_NewTopic_new(
                    name.as_ptr(),
                    topic.partitions,
                    topic.replication,
                    reason.as_mut_ptr(),
                    reason.len(),
                )
            };
            if new.is_null() {
                refused.push(Created {
                    name: topic.name.clone(),
                    // SAFETY: written by the failed call.
                    error: Some(Trouble {
                        code: super::Code::InvalidArgument,
                        text: unsafe { text(reason.as_ptr()) },
                    }),
                });
            } else {
                made.push(new);
            }
        }
        if made.is_empty() {
            return Ok(refused);
        }
        // SAFETY: all are live for the call, which copies them; then they are ours to destroy.
        unsafe {
            rd::rd_kafka_CreateTopics(
                self.rk,
                made.as_mut_ptr(),
                made.len(),
                options.0,
                replies.as_ptr(),
            );
            rd::rd_kafka_NewTopic_destroy_array(made.as_mut_ptr(), made.len());
        }
        let mut outcome = replies.wait(late(wait)).ok_or_else(timed_out)?.created()?;
        outcome.append(&mut refused);
        Ok(outcome)
    }

    pub(super) fn options(&self, operation: rd::rd_kafka_admin_op_t, wait: Duration) -> Options {
        // SAFETY: the handle is live; a time-out within bounds is never refused.
        unsafe {
            let options = rd::rd_kafka_AdminOptions_new(self.rk, operation);
            rd::rd_kafka_AdminOptions_set_request_timeout(
                options,
                millis(wait).clamp(1, 3_600_000),
                ptr::null_mut(),
                0,
            );
            Options(options)
        }
    }
}

/// librdkafka answers a time-out itself; only when it does not, the wait ends without an answer.
pub(super) fn late(wait: Duration) -> Duration {
    wait + Duration::from_millis(500)
}

pub(super) fn timed_out() -> Trouble {
    Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT)
}

pub(super) struct Options(*mut rd::rd_kafka_AdminOptions_t);

impl Options {
    pub(super) fn as_ptr(&self) -> *const rd::rd_kafka_AdminOptions_t {
        self.0
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: ours, and live until here.
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0) };
    }
}

/// A queue on which one answer is awaited.
pub(super) struct Replies(*mut rd::rd_kafka_queue_t);

// SAFETY: queues are thread-safe.
unsafe impl Send for Replies {}

impl Replies {
    pub(super) fn new(queue: *mut rd::rd_kafka_queue_t) -> Self {
        Self(queue)
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.0
    }

    pub(super) fn wait(&self, wait: Duration) -> Option<Reply> {
        // SAFETY: the queue is live; the event is ours.
        let event = unsafe { rd::rd_kafka_queue_poll(self.0, millis(wait)) };
        (!event.is_null()).then_some(Reply(event))
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        // SAFETY: ours; a late answer is dropped with the queue.
        unsafe { rd::rd_kafka_queue_destroy(self.0) };
    }
}

/// One answer.
pub(super) struct Reply(*mut rd::rd_kafka_event_t);

impl Reply {
    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_event_t {
        self.0
    }

    /// The error of the request as a whole.
    pub(super) fn result(&self) -> Result<(), Trouble> {
        // SAFETY: the event is live; its text belongs to it and is copied.
        unsafe {
            check(rd::rd_kafka_event_error(self.0)).map_err(|trouble| Trouble {
                code: trouble.code,
                text: text(rd::rd_kafka_event_error_string(self.0)),
            })
        }
    }

    /// The first error among the partitions of a commit.
    pub(super) fn offsets_result(&self) -> Result<(), Trouble> {
        // SAFETY: the list belongs to the live event, or is null.
        unsafe { offsets::first_error(rd::rd_kafka_event_topic_partition_list(self.0)) }
    }

    fn topics(&self) -> Result<Vec<TopicFacts>, Trouble> {
        self.result()?;
        let mut count = 0;
        // SAFETY: everything belongs to the live event; texts are copied.
        unsafe {
            let result = rd::rd_kafka_event_DescribeTopics_result(self.0);
            if result.is_null() {
                return Err(Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG));
            }
            let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            Ok(items(topics.cast_const(), count).iter().map(|topic| facts(*topic)).collect())
        }
    }

    fn offsets(&self) -> Result<Vec<End>, Trouble> {
        self.result()?;
        let mut count = 0;
        // SAFETY: everything belongs to the live event; names are copied.
        unsafe {
            let result = rd::rd_kafka_event_ListOffsets_result(self.0);
            if result.is_null() {
                return Err(Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG));
            }
            let infos = rd::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            Ok(items(infos.cast_const(), count)
                .iter()
                .map(|info| {
                    let partition = rd::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                    let entry = offsets::entry(&*partition);
                    let offset = match entry.error {
                        Some(error) => Err(error),
                        // Where a leader does not answer in time, librdkafka leaves the place empty
                        // and names no error.
                        None if entry.offset == i64::from(rd::RD_KAFKA_OFFSET_INVALID) => {
                            Err(timed_out())
                        }
                        None => Ok(entry.offset),
                    };
                    (entry.topic.to_owned(), entry.partition, offset)
                })
                .collect())
        }
    }

    fn created(&self) -> Result<Vec<Created>, Trouble> {
        self.result()?;
        let mut count = 0;
        // SAFETY: everything belongs to the live event; texts are copied.
        unsafe {
            let result = rd::rd_kafka_event_CreateTopics_result(self.0);
            if result.is_null() {
                return Err(Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG));
            }
            let topics = rd::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
            Ok(items(topics.cast_const(), count)
                .iter()
                .map(|topic| Created {
                    name: text(rd::rd_kafka_topic_result_name(*topic)),
                    error: check(rd::rd_kafka_topic_result_error(*topic)).err().map(|trouble| {
                        let detail = text(rd::rd_kafka_topic_result_error_string(*topic));
                        Trouble {
                            code: trouble.code,
                            text: if detail.is_empty() { trouble.text } else { detail },
                        }
                    }),
                })
                .collect())
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: ours, and live until here.
        unsafe { rd::rd_kafka_event_destroy(self.0) };
    }
}

/// # Safety
/// `topic` is live.
unsafe fn facts(topic: *const rd::rd_kafka_TopicDescription_t) -> TopicFacts {
    let mut partitions = 0;
    // SAFETY: what is asked for belongs to the topic; texts are copied.
    unsafe {
        let error = rd::rd_kafka_TopicDescription_error(topic);
        let code = if error.is_null() {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        } else {
            rd::rd_kafka_error_code(error)
        };
        rd::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let has_id = !id.is_null()
            && (rd::rd_kafka_Uuid_most_significant_bits(id) != 0
                || rd::rd_kafka_Uuid_least_significant_bits(id) != 0);
        TopicFacts {
            name: text(rd::rd_kafka_TopicDescription_name(topic)),
            id: has_id.then(|| text(rd::rd_kafka_Uuid_base64str(id))),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            error: check(code).err(),
        }
    }
}

/// # Safety
/// `count` items lie at `first` as long as `'i`, or it is null.
pub(super) unsafe fn items<'i, T>(first: *const T, count: usize) -> &'i [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as said.
    unsafe { slice::from_raw_parts(first, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(300);

    #[test]
    fn an_end_that_no_broker_told_is_not_taken_for_an_offset() {
        let properties = [("test.mock.num.brokers".to_owned(), "1".to_owned())];
        let client = Client::admin(&properties).expect("librdkafka mocks a broker");
        let topic = c_name("t");
        // SAFETY: the cluster lives as long as the client; the name ends in NUL.
        let cluster = unsafe {
            let cluster = rd::rd_kafka_handle_mock_cluster(client.rk);
            rd::rd_kafka_mock_topic_create(cluster, topic.as_ptr(), 1, 1);
            cluster
        };
        let mut partitions = Offsets::new();
        partitions.add("t", 0, None, None);
        let end = |wait| client.offsets_at(&partitions, OffsetsAt::End, wait);
        let told = end(Duration::from_secs(10)).expect("the broker answers");
        assert!(matches!(told[..], [(_, 0, Ok(0))]), "{told:?}");
        // Who leads the partition is known now; the leader is asked, and keeps silent.
        // SAFETY: as above; -1 stands for all of its brokers.
        unsafe { rd::rd_kafka_mock_broker_set_rtt(cluster, -1, 10_000) };
        let untold = end(WAIT);
        let tells = untold.iter().flatten().any(|(.., offset)| offset.is_ok());
        assert!(!tells, "{untold:?}");
    }
}
