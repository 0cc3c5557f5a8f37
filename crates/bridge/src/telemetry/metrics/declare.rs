//! Declares metrics: each is made, registered and described by one call.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// Stands before every name.
const PREFIX: &str = "data_bridge";

/// A gauge of a measured quantity.
pub(super) type Measure = Gauge<f64, AtomicU64>;
/// The buckets of a family's histograms.
pub(super) type Buckets = fn() -> Histogram;

/// A set of labels whose names are known without a sample.
pub(super) trait Labels:
    EncodeLabelSet + Clone + Debug + Hash + Eq + Send + Sync + 'static
{
    /// The names, in their order.
    const NAMES: &'static [&'static str];
}

/// What the reference says of a metric.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "read where the reference is written and checked")
)]
pub(super) struct Declared {
    /// As it is exposed.
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// Takes declarations.
#[derive(Debug)]
pub(super) struct Declare {
    registry: Registry,
    declared: Vec<Declared>,
}

impl Declare {
    pub(super) fn new() -> Self {
        Self { registry: Registry::with_prefix(PREFIX), declared: Vec::new() }
    }

    pub(super) fn done(self) -> (Registry, Vec<Declared>) {
        (self.registry, self.declared)
    }

    pub(super) fn info(
        &mut self,
        name: &str,
        names: &'static [&'static str],
        metric: impl Metric,
        help: &'static str,
    ) {
        self.describe(&format!("{name}_info"), "info", names, help);
        self.registry.register(name, help, metric);
    }

    pub(super) fn counter(&mut self, name: &str, help: &'static str) -> Counter {
        let counter = Counter::default();
        self.describe(&format!("{name}_total"), "counter", &[], help);
        self.registry.register(name, help, counter.clone());
        counter
    }

    /// A counter of seconds.
    pub(super) fn counter_seconds(
        &mut self,
        name: &str,
        help: &'static str,
    ) -> Counter<f64, AtomicU64> {
        let counter = Counter::default();
        self.describe(&format!("{name}_seconds_total"), "counter", &[], help);
        self.registry.register_with_unit(name, help, Unit::Seconds, counter.clone());
        counter
    }

    pub(super) fn counters<L: Labels>(
        &mut self,
        name: &str,
        help: &'static str,
    ) -> Family<L, Counter> {
        let family = Family::default();
        self.describe(&format!("{name}_total"), "counter", L::NAMES, help);
        self.registry.register(name, help, family.clone());
        family
    }

    /// Counters of bytes.
    pub(super) fn counters_bytes<L: Labels>(
        &mut self,
        name: &str,
        help: &'static str,
    ) -> Family<L, Counter> {
        let family = Family::default();
        self.describe(&format!("{name}_bytes_total"), "counter", L::NAMES, help);
        self.registry.register_with_unit(name, help, Unit::Bytes, family.clone());
        family
    }

    pub(super) fn gauge(&mut self, name: &str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.describe(name, "gauge", &[], help);
        self.registry.register(name, help, gauge.clone());
        gauge
    }

    /// A gauge of bytes.
    pub(super) fn gauge_bytes(&mut self, name: &str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.describe(&format!("{name}_bytes"), "gauge", &[], help);
        self.registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        gauge
    }

    /// A gauge of seconds.
    pub(super) fn gauge_seconds(&mut self, name: &str, help: &'static str) -> Measure {
        let gauge = Measure::default();
        self.describe(&format!("{name}_seconds"), "gauge", &[], help);
        self.registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        gauge
    }

    /// Gauges of seconds.
    pub(super) fn gauges_seconds<L: Labels>(
        &mut self,
        name: &str,
        help: &'static str,
    ) -> Family<L, Measure> {
        let family = Family::default();
        self.describe(&format!("{name}_seconds"), "gauge", L::NAMES, help);
        self.registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        family
    }

    pub(super) fn gauges<L: Labels>(&mut self, name: &str, help: &'static str) -> Family<L, Gauge> {
        let family = Family::default();
        self.describe(name, "gauge", L::NAMES, help);
        self.registry.register(name, help, family.clone());
        family
    }

    /// A histogram of seconds.
    pub(super) fn histogram_seconds(
        &mut self,
        name: &str,
        buckets: Buckets,
        help: &'static str,
    ) -> Histogram {
        let histogram = buckets();
        self.describe(&format!("{name}_seconds"), "histogram", &[], help);
        self.registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        histogram
    }

    /// Histograms of seconds.
    pub(super) fn histograms_seconds<L: Labels>(
        &mut self,
        name: &str,
        buckets: Buckets,
        help: &'static str,
    ) -> Family<L, Histogram, Buckets> {
        let family = Family::new_with_constructor(buckets);
        self.describe(&format!("{name}_seconds"), "histogram", L::NAMES, help);
        self.registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        family
    }

    pub(super) fn histograms<L: Labels>(
        &mut self,
        name: &str,
        buckets: Buckets,
        help: &'static str,
    ) -> Family<L, Histogram, Buckets> {
        let family = Family::new_with_constructor(buckets);
        self.describe(name, "histogram", L::NAMES, help);
        self.registry.register(name, help, family.clone());
        family
    }

    fn describe(
        &mut self,
        name: &str,
        kind: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) {
        let name = format!("{PREFIX}_{name}");
        self.declared.push(Declared { name, kind, labels, help });
    }
}
