//! What is counted of NATS.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::declare::{Buckets, Declare};
use super::{OfFirst, OfRoute};

/// Metrics of the NATS side.
#[derive(Debug)]
pub struct NatsMetrics {
    /// 1 while a server is connected.
    pub connected: Gauge,
    /// Messages in the stream that nobody was given yet.
    pub pending: Gauge,
    /// Messages that all instances together hold without an ack.
    pub ack_pending: Gauge,
    /// Messages acked.
    pub acked: Counter,
    /// Signs of progress, per message.
    pub progress: Counter,
    /// Messages given back.
    pub given_back: Counter,
    /// Messages that came again.
    pub redelivered: Counter,
    /// Batches of acks that were sent again.
    pub acks_repeated: Counter,
    /// Messages of core NATS that found no room.
    pub dropped: Family<OfRoute, Counter>,
    /// Messages dropped by client or server because nobody took them.
    pub slow_consumer_events: Counter,
    /// Connections made.
    pub connects: Counter,
    /// Times the stream was found to be made anew.
    pub made_anew: Counter,
    /// Events that came by both ways, with the time between their copies.
    pub both_ways: Family<OfFirst, Histogram, Buckets>,
}

impl NatsMetrics {
    pub(super) fn new(to: &mut Declare) -> Self {
        Self {
            connected: to.gauge("nats_connected", "1 while a NATS server is connected"),
            pending: to.gauge(
                "nats_pending_messages",
                "Messages in the stream that no instance was given yet",
            ),
            ack_pending: to.gauge(
                "nats_ack_pending_messages",
                "Messages that all instances together hold without an ack",
            ),
            acked: to.counter("nats_acked_messages", "Messages acked, each after it was durable"),
            progress: to.counter(
                "nats_progress_signs",
                "Signs that a message is being worked on, sent while it waits",
            ),
            given_back: to.counter(
                "nats_given_back_messages",
                "Messages given back: their table is paused, they waited too long, or at a stop",
            ),
            redelivered: to.counter(
                "nats_redelivered_messages",
                "Messages that came although they had been delivered before",
            ),
            acks_repeated: to.counter("nats_acks_repeated", "Batches of acks that were sent again"),
            dropped: to.counters(
                "nats_dropped_messages",
                "Messages of core NATS that found no room and are lost",
            ),
            slow_consumer_events: to.counter(
                "nats_slow_consumer_events",
                "Notices that client or server dropped a message nobody took",
            ),
            connects: to.counter("nats_connects", "Connections made to NATS servers"),
            made_anew: to.counter("nats_streams_made_anew", "Times the stream was made anew"),
            both_ways: to.histograms_seconds(
                "both_ways",
                // 1 ms to 131 s.
                || Histogram::new(exponential_buckets(0.001, 2.0, 18)),
                "Events of which this instance wrote a copy that came by Kafka and one that came by \
                 NATS: the time between the two being durable, by which was first. Of N instances, \
                 each meets the other copy of one event in N",
            ),
        }
    }
}
