//! Who exposes the metrics; the number is that of the moment, since a hub may change it.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;

use crate::config::Number;

/// `build_info`.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) id: String,
    pub(super) number: Number,
}

impl EncodeMetric for Build {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        encoder.encode_info(&[
            ("version", env!("CARGO_PKG_VERSION")),
            ("instance_id", &self.id),
            ("instance_number", &self.number.get().to_string()),
        ])
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Info
    }
}
