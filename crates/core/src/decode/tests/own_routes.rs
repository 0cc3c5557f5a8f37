//! A user's own route: every type of column, and the settings of a column.

use std::sync::Arc;

use super::Bench;
use crate::catalog::{
    Catalog, Column, ColumnSettings, ExcessDigits, PartitionKey, Route, RouteSettings, Table,
    TimeForm,
};
use crate::decode::Reason;

fn bench(columns: &[(&str, &str)], settings: &[(&str, ColumnSettings)]) -> Bench {
    let mut catalog = Catalog::shipped();
    let table = Table {
        name: "orders".to_owned(),
        columns: columns.iter().map(|(name, kind)| Column::parse(name, kind).unwrap()).collect(),
        sort_key: vec!["id".to_owned()],
        partition: PartitionKey::parse("toYYYYMM(at)")
            .filter(|_| columns.iter().any(|c| c.0 == "at")),
    };
    let id = catalog.add_table(table.clone());
    let settings = RouteSettings {
        columns: settings.iter().map(|(name, own)| ((*name).to_owned(), own.clone())).collect(),
        ..RouteSettings::default()
    };
    let route = Route::from_settings("orders", id, &table, &settings).unwrap();
    catalog.add_route(route);
    Bench::with(Arc::new(catalog), "orders")
}

fn time(form: TimeForm) -> ColumnSettings {
    ColumnSettings { time: Some(form), ..ColumnSettings::default() }
}

#[test]
fn every_type_of_column() {
    let mut bench = bench(
        &[
            ("id", "String"),
            ("kind", "LowCardinality(Nullable(String))"),
            ("i8", "Int8"),
            ("u64", "Nullable(UInt64)"),
            ("f32", "Nullable(Float32)"),
            ("f64", "Nullable(Float64)"),
            ("flag", "Nullable(Bool)"),
            ("price", "Nullable(Decimal(10, 2))"),
            ("tags", "Map(String, String)"),
            ("version", "UInt64"),
        ],
        &[],
    );
    let row = bench.row(
        r#"{"id":{"a":1},"kind":7,"i8":-128,"u64":18446744073709551615,"f32":0.1,"f64":"1e-300","flag":true,"price":99999999.99,"tags":{"b":"2","a":"\u00e9","b":[3],"c":null,"d":4}}"#,
    );
    assert_eq!((&*row["id"], &*row["kind"], &*row["i8"]), (r#"{"a":1}"#, "7", "-128"));
    assert_eq!((&*row["u64"], &*row["flag"]), ("18446744073709551615", "1"));
    assert_eq!(row["f32"], f64::from(0.1_f32).to_string());
    assert_eq!(row["f64"], 1e-300_f64.to_string());
    assert_eq!((&*row["price"], &*row["tags"]), ("99999999.99", "a=é;b=[3];d=4"));
    assert_eq!(row["version"], "20971527");
    let row = bench.row(r#"{"i8":127}"#);
    assert_eq!((&*row["id"], &*row["kind"], &*row["tags"]), ("", "NULL", ""));
    for (payload, reason) in [
        ("{}", Reason::MissingField),
        (r#"{"i8":128}"#, Reason::OutOfRange),
        (r#"{"i8":-129}"#, Reason::OutOfRange),
        (r#"{"i8":true}"#, Reason::WrongType),
        (r#"{"i8":1,"u64":18446744073709551616}"#, Reason::OutOfRange),
        (r#"{"i8":1,"u64":-1}"#, Reason::OutOfRange),
        (r#"{"i8":1,"f64":1e400}"#, Reason::OutOfRange),
        (r#"{"i8":1,"f32":1e40}"#, Reason::OutOfRange),
        (r#"{"i8":1,"f64":"inf"}"#, Reason::BadNumber),
        (r#"{"i8":1,"f64":true}"#, Reason::WrongType),
        (r#"{"i8":1,"flag":2}"#, Reason::OutOfRange),
        (r#"{"i8":1,"flag":"true"}"#, Reason::BadNumber),
        (r#"{"i8":1,"price":100000000}"#, Reason::OutOfRange),
        (r#"{"i8":1,"tags":[]}"#, Reason::WrongType),
    ] {
        assert_eq!(bench.reason(payload), reason, "{payload}");
    }
}

#[test]
fn two_maps_keep_their_pairs_apart() {
    let columns = [("id", "String"), ("a", "Map(String, String)"), ("b", "Map(String, String)")];
    let mut bench = bench(&columns, &[]);
    let row = bench.row(r#"{"b":{"x":"1","y":"2"},"a":{"z":"3"}}"#);
    assert_eq!((&*row["a"], &*row["b"]), ("z=3", "x=1;y=2"));
    let row = bench.row(r#"{"b":{"x":"1"},"a":{}}"#);
    assert_eq!((&*row["a"], &*row["b"]), ("", "x=1"));
}

#[test]
fn times_in_the_unit_that_the_route_says() {
    for (form, kind, written, stored) in [
        (TimeForm::Milliseconds, "DateTime64(3, 'UTC')", "1706198400123", "1706198400123"),
        (TimeForm::Milliseconds, "DateTime64(0, 'UTC')", "1706198400999", "1706198400"),
        (TimeForm::Milliseconds, "DateTime64(9, 'UTC')", "1706198400123", "1706198400123000000"),
        (TimeForm::Seconds, "DateTime64(3, 'UTC')", "1706198400", "1706198400000"),
        (TimeForm::Seconds, "DateTime64(3, 'UTC')", "1706198400.1239", "1706198400123"),
        (TimeForm::Seconds, "DateTime64(6, 'UTC')", "\"1706198400.1239\"", "1706198400123900"),
        (TimeForm::Microseconds, "DateTime64(3, 'UTC')", "1706198400123999", "1706198400123"),
        (TimeForm::Microseconds, "DateTime64(6, 'UTC')", "1706198400123999", "1706198400123999"),
        (TimeForm::Microseconds, "DateTime64(3, 'UTC')", "-1", "-1"),
        (TimeForm::Iso, "DateTime64(3, 'UTC')", "\"2024-01-25T16:00:00.1239Z\"", "1706198400123"),
        (TimeForm::Seconds, "DateTime64(3, 'UTC')", "\"2024-01-25 16:00\"", "1706198400000"),
    ] {
        let mut bench = bench(&[("id", "String"), ("at", kind)], &[("at", time(form))]);
        assert_eq!(
            bench.row(&format!(r#"{{"at":{written}}}"#))["at"],
            stored,
            "{form:?} {written}"
        );
    }
    for (form, written, reason) in [
        (TimeForm::Iso, "1706198400123", Reason::BadTime),
        (TimeForm::Iso, "\"1706198400123\"", Reason::BadTime),
        (TimeForm::Microseconds, "1706198400123.5", Reason::BadTime),
        (TimeForm::Seconds, "1706198400123", Reason::TimeOutOfRange),
    ] {
        let columns = [("id", "String"), ("at", "DateTime64(3, 'UTC')")];
        let mut bench = bench(&columns, &[("at", time(form))]);
        assert_eq!(bench.reason(format!(r#"{{"at":{written}}}"#)), reason, "{form:?} {written}");
    }
}

#[test]
fn excess_digits_can_be_refused() {
    let reject = ColumnSettings {
        keys: vec!["px".to_owned(), "deal.price".to_owned()],
        excess_digits: Some(ExcessDigits::Reject),
        time: None,
    };
    let columns =
        [("id", "String"), ("price", "Decimal(18, 4)"), ("at", "Nullable(DateTime64(3, 'UTC'))")];
    let own = [("price", reject.clone()), ("at", ColumnSettings { keys: Vec::new(), ..reject })];
    let mut catalog_free = bench(&columns[..2], &own[..1]);
    assert_eq!(catalog_free.row(r#"{"px":1.23450000000000}"#)["price"], "1.2345");
    assert_eq!(catalog_free.row(r#"{"deal":{"price":"1.5"}}"#)["price"], "1.5000");
    assert_eq!(catalog_free.row(r#"{"deal":{"price":"1.5"},"px":2}"#)["price"], "2.0000");
    assert_eq!(catalog_free.reason(r#"{"px":1.23451}"#), Reason::ExcessDigits);
    assert_eq!(catalog_free.reason(r#"{"px":"1e-5"}"#), Reason::ExcessDigits);
    assert_eq!(catalog_free.reason(r#"{"price":1}"#), Reason::MissingField);
    assert_eq!(catalog_free.reason(r#"{"deal":3}"#), Reason::WrongType);
    assert_eq!(catalog_free.row(r#"{"deal":3,"deal":{"price":1}}"#)["price"], "1.0000");
}
