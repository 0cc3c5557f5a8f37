//! The limit of everything that is built on librdkafka: its batch call, and each message destroyed.

#![expect(unsafe_code, reason = "librdkafka is a C library")]

use std::ffi::{CString, c_char};
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::bindings as rd;
use serde_json::{Value, json};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    messages: u64,
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// A property of librdkafka, NAME=VALUE
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
}

/// Messages asked for at once, as many as the bridge asks for.
const BATCH: usize = 10_000;
/// A topic that was just produced is read at a million messages a second.
const SILENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let mut properties = vec![
        ("bootstrap.servers".to_owned(), arguments.brokers.clone()),
        // The default of 1,000 ms holds a well-compressed topic back.
        ("fetch.queue.backoff.ms".to_owned(), "5".to_owned()),
    ];
    for property in &arguments.properties {
        let Some((name, value)) = property.split_once('=') else {
            bail!("{property:?} is not NAME=VALUE");
        };
        properties.push((name.to_owned(), value.to_owned()));
    }
    // SAFETY: every handle is made here, used on this thread and outlives what is made from it; the
    // process ends after the last message, so nothing is destroyed but messages.
    unsafe {
        let client = client(&properties)?;
        let topic = CString::new(arguments.topic.as_str())?;
        let topic = rd::rd_kafka_topic_new(client, topic.as_ptr(), ptr::null_mut());
        let queue = rd::rd_kafka_queue_new(client);
        let (start, before) = (Instant::now(), super::cpu_seconds());
        for partition in 0..arguments.partitions {
            // From the beginning: offset 0.
            if rd::rd_kafka_consume_start_queue(topic, partition, 0, queue) != 0 {
                bail!("partition {partition} cannot be read");
            }
        }
        let mut batch = vec![ptr::null_mut::<rd::rd_kafka_message_t>(); BATCH];
        let (mut seen, mut bytes) = (0_u64, 0_u64);
        let mut heard = start;
        while seen < arguments.messages {
            let count = rd::rd_kafka_consume_batch_queue(queue, 100, batch.as_mut_ptr(), BATCH);
            let count = usize::try_from(count).unwrap_or(0);
            for message in &batch[..count] {
                if (**message).err == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    seen += 1;
                    bytes += (**message).len as u64;
                }
                rd::rd_kafka_message_destroy(*message);
            }
            if count > 0 {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE {
                bail!("{seen} of {} messages, then nothing", arguments.messages);
            }
        }
        Ok(json!({
            "messages": seen,
            "bytes": bytes,
            "seconds": start.elapsed().as_secs_f64(),
            "cpu_seconds": super::cpu_seconds() - before,
        }))
    }
}

/// # Safety
/// None: it takes only what is ours.
unsafe fn client(properties: &[(String, String)]) -> Result<*mut rd::rd_kafka_t> {
    let mut text = [0 as c_char; 512];
    // SAFETY: texts end in NUL and live as long as the calls; the buffer is as long as said.
    unsafe {
        let conf = rd::rd_kafka_conf_new();
        for (name, value) in properties {
            let (name_c, value_c) = (CString::new(name.as_str())?, CString::new(value.as_str())?);
            let result = rd::rd_kafka_conf_set(
                conf,
                name_c.as_ptr(),
                value_c.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
            );
            if result != rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                bail!("librdkafka refuses {name}={value}");
            }
        }
        let kind = rd::rd_kafka_type_t::RD_KAFKA_CONSUMER;
        let client = rd::rd_kafka_new(kind, conf, text.as_mut_ptr(), text.len());
        if client.is_null() {
            bail!("librdkafka makes no client");
        }
        Ok(client)
    }
}
