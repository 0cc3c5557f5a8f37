use super::*;

const ORDERS: &str = "routes:
  orders:
    from: { topics: [orders], subjects: [\"orders.>\"] }
    table: orders
    columns:
      price: { keys: [px, price], excess_digits: reject }
      placed_at: { keys: ts, time: ms }
    required: [order_id, placed_at]
    time_range: { from: 2000-01-01, to: now+1h }
kafka: { topics: { orders: orders } }
";

#[test]
fn a_route_of_ones_own_is_a_few_lines() {
    let config = sound(ORDERS);
    let route = &config.routes[0];
    assert_eq!((route.name.as_str(), route.table.as_str()), ("orders", "orders"));
    assert_eq!(route.topics, ["orders"]);
    assert_eq!(route.subjects, ["orders.>"]);
    assert_eq!(route.required, ["order_id", "placed_at"]);
    let price = &route.columns["price"];
    assert_eq!(price.keys, ["px", "price"]);
    assert_eq!((price.excess_digits, price.time), (ExcessDigits::Reject, None));
    let placed_at = &route.columns["placed_at"];
    assert_eq!(placed_at.keys, ["ts"]);
    assert_eq!(
        (placed_at.excess_digits, placed_at.time),
        (ExcessDigits::Round, Some(TimeUnit::Milliseconds))
    );
    let from = TimeBound::At(946_684_800_000);
    let range = route.time_range.unwrap();
    assert_eq!((range.from, range.to), (from, TimeBound::AfterNow(Duration::from_hours(1))));
    // `topics` replaces the default, `from` of a route adds to it.
    assert_eq!(config.kafka.topics.len(), 1);
    assert_eq!(config.nats.subjects["orders.>"].name(), "orders");
    assert_eq!(config.nats.subjects.len(), 4);
}

#[test]
fn mistakes_in_a_route_have_their_lines() {
    let text = "routes:
  orders:
    from: { topic: [orders], subjects: [\"a..b\"] }
    columns:
      price: { excess_digits: cut }
    time_range: { to: later }
  ticks:
    table: t
";
    assert_eq!(
        problems(text),
        [
            "bridge.yaml:2:3: routes.orders: names no table",
            "bridge.yaml:3:13: routes.orders.from.topic: there is no such key",
            "bridge.yaml:3:41: routes.orders.from.subjects: `a..b` has an empty word",
            "bridge.yaml:5:31: routes.orders.columns.price.excess_digits: cannot be `cut`",
            "bridge.yaml:6:23: routes.orders.time_range.to: `later` is no time",
            "bridge.yaml:7:3: routes.ticks: is the name of a route that ships with the bridge",
        ]
    );
}

#[test]
fn one_topic_has_one_route() {
    let text = "routes: { o: { table: o, from: { topics: [tick_archive] } } }";
    let found = problems(text);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("`tick_archive` leads to ticks, and routes.o.from claims it too"),
        "{found:?}"
    );
    let text = "kafka: { topics: { ticks: a, tick_archive: a } }";
    let found = problems(text);
    assert!(found[0].contains("`a` has a route already, at bridge.yaml:1:20"), "{found:?}");
}
