//! By which ways messages reach the bridge.

/// The ways of a plan's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Kafka alone.
    Kafka,
    /// NATS alone.
    Nats {
        /// What rows name as their origin, such as `nats:MARKET`.
        origin: String,
    },
    /// Each message by both, one soon after the other.
    Both {
        /// What rows that came by NATS name as their origin.
        origin: String,
    },
}

impl Ways {
    /// The origin of what comes by NATS.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        match self {
            Self::Kafka => None,
            Self::Nats { origin } | Self::Both { origin } => Some(origin),
        }
    }

    /// Whether messages go to Kafka.
    #[must_use]
    pub fn has_kafka(&self) -> bool {
        match self {
            Self::Kafka | Self::Both { .. } => true,
            Self::Nats { .. } => false,
        }
    }
}
