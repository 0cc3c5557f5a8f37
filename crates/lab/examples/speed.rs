//! How fast messages are made and expectations worked out, on this machine, now.
//! `cargo run -p data-bridge-lab --example speed -- [MESSAGES] [SEED]`

use std::io::Write;
use std::time::Instant;

use data_bridge_lab::generate::{Generator, Message};
use data_bridge_lab::model::{Expected, shown};
use data_bridge_lab::plan::{Kind, Plan};
use data_bridge_lab::process::Process;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let messages: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let seed: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let generator = Generator::try_new(Plan::new(seed, messages, 1_760_000_000_000))?;
    let mut out = std::io::stdout().lock();
    let cpu = || Process::look(std::process::id()).map(|process| process.cpu).unwrap_or_default();

    let mut message = Message::default();
    let (start, before) = (Instant::now(), cpu());
    let mut bytes = 0;
    for number in 0..messages {
        generator.message(number, &mut message);
        bytes += message.payload().map_or(0, <[u8]>::len);
    }
    let (elapsed, used) = (start.elapsed(), cpu().saturating_sub(before));
    writeln!(
        out,
        "made {messages} messages, {bytes} bytes: {elapsed:.2?}, {used:.2?} of one core"
    )?;

    let (start, before) = (Instant::now(), cpu());
    let expected = Expected::of(&generator)?;
    let (elapsed, used) = (start.elapsed(), cpu().saturating_sub(before));
    let memory = Process::look(std::process::id()).map_or(0, |process| process.rss_bytes >> 20);
    writeln!(
        out,
        "expected {} rows and {} dead letters: {elapsed:.2?}, {used:.2?} of one core, {memory} MiB",
        expected.visible_in_all(),
        expected.dead_letters()
    )?;
    for kind in Kind::ALL {
        writeln!(out, "{:<30} {:>10}", kind.table(), expected.visible(kind))?;
    }
    for number in 0..messages.min(20) {
        generator.message(number, &mut message);
        let payload = message.payload().map(String::from_utf8_lossy);
        writeln!(out, "{number} {:?} {payload:?}", message.role)?;
        writeln!(out, "    {:?}", shown(&message).map_err(|error| error.to_string()))?;
    }
    Ok(())
}
