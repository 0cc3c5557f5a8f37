//! JetStream read by a plain instance: every value once, every message acked, none delivered twice.

use data_bridge_lab::generate::Generator;
use data_bridge_lab::kafka::Pace;
use data_bridge_lab::model::Expected;
use data_bridge_lab::nats::Assurance;

use crate::nats_stage::{Stream, finish, nats, plan, publisher, scenario};

#[test]
fn a_stream_of_all_kinds_becomes_rows_and_letters_and_is_acked_once() {
    let scenario = scenario("nats_drain", &nats().url(), "");
    scenario.init();
    let stream = Stream::on(&scenario, nats().monitor_port());
    let generator = Generator::try_new(plan(&scenario, 61, 30_000)).expect("a sound plan");
    let expected = Expected::of(&generator).expect("the model reads its messages");
    publisher(&nats().url(), Assurance::Confirmed)
        .publish(&generator, 0..15_000, Pace::Full, |_| {})
        .expect("the stream takes the messages");
    let bridge = scenario.start(1);
    bridge.wait_ready();
    publisher(&nats().url(), Assurance::Confirmed)
        .publish(&generator, 15_000..30_000, Pace::Full, |_| {})
        .expect("the stream takes the messages");
    scenario.assert_exact(&expected, crate::world::PATIENCE);
    stream.wait_acked_once(30_000);
    assert_eq!(bridge.status()["nats_messages"], 30_000);
    finish(&scenario, &stream, &[bridge], &expected);
}
