//! Puts a function of ours before one of librdkafka's; `source::kafka::client::fetch_version` says
//! which, and why.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,--wrap=rd_kafka_broker_ApiVersion_supported");
}
