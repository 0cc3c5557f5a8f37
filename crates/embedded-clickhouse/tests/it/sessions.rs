//! Sessions keep their tables, settings and database, and nothing else.

use crate::client::{self};
use crate::server::{Server, wait_until, wait_until_runs};

#[test]
fn session_keeps_what_its_statements_made() {
    let client = Server::shared().database("session");
    let session = Server::shared().with("session_id", "keeps");
    let database = client.ok("SELECT currentDatabase()");
    session.ok(&format!("USE {database}"));
    session.ok("SET max_threads = 3");
    session.ok("CREATE TEMPORARY TABLE mine (a UInt8)");
    assert_eq!(session.insert("INSERT INTO mine FORMAT CSV", b"1\n2\n").status, 200);
    assert_eq!(session.ok("SELECT sum(a), currentDatabase() FROM mine"), format!("3\t{database}"));
    assert_eq!(session.ok("SELECT getSetting('max_threads')"), "3");
    assert_eq!(client.post("SELECT * FROM mine").code(), Some(60));
    let other = Server::shared().with("session_id", "another");
    assert_eq!(other.post("SELECT * FROM mine").code(), Some(60));
}

#[test]
fn parameters_of_one_request_do_not_stay_in_the_session() {
    let session = Server::shared().with("session_id", "clean");
    session.ok("SET max_threads = 3");
    let once =
        session.with("max_threads", "5").with("max_block_size", "1000").with("database", "system");
    let ask = "SELECT getSetting('max_threads'), getSetting('max_block_size'), currentDatabase()";
    assert_eq!(once.ok(ask), "5\t1000\tsystem");
    let after = session.ok(ask);
    assert!(
        after.starts_with("3\t") && after.ends_with("\tdefault") && !after.contains("\t1000\t"),
        "{after}"
    );
    assert_eq!(once.post("SELECT nope").code(), Some(47));
    assert_eq!(session.ok(ask), after);
}

#[test]
fn session_serves_one_statement_at_a_time() {
    let session = Server::shared().with("session_id", "busy");
    let slow = session.open("SELECT sleep(2) AS slow_session");
    wait_until_runs(&Server::shared(), "slow_session");
    wait_until("the session is locked", || session.post("SELECT 1").code() == Some(373));
    assert_eq!(client::read(slow).text(), "0\n");
    assert_eq!(session.ok("SELECT 1"), "1");
}

#[test]
fn session_ends_with_its_time_or_when_asked() {
    let session = Server::shared().with("session_id", "short").with("session_timeout", "1");
    let checked = session.with("session_check", "1");
    assert_eq!(checked.post("SELECT 1").code(), Some(372));
    session.ok("CREATE TEMPORARY TABLE mine (a UInt8)");
    assert_eq!(checked.ok("EXISTS TEMPORARY TABLE mine"), "1");
    // Asking renews its time, so ask something else until a second has passed.
    let start = std::time::Instant::now();
    wait_until("a second has passed", || {
        Server::shared().ok("SELECT sleep(0.2)");
        start.elapsed().as_millis() > 1_200
    });
    assert_eq!(checked.post("SELECT 1").code(), Some(372));
    assert_eq!(session.ok("EXISTS TEMPORARY TABLE mine"), "0");
    session.with("close_session", "1").ok("SELECT 1");
    assert_eq!(checked.post("SELECT 1").code(), Some(372));
}
