//! Waiting says what it waited for.

use std::cell::Cell;
use std::time::Duration;

use data_bridge_lab::wait::until;

#[tokio::test]
async fn a_failed_wait_names_the_last_state() {
    let looks = Cell::new(0);
    let failed = until(Duration::from_millis(90), "three rows", async || {
        looks.set(looks.get() + 1);
        Err::<(), _>(format!("{} looks", looks.get()))
    })
    .await
    .expect_err("it never comes true");
    let text = failed.to_string();
    assert!(text.contains("three rows"), "{text}");
    assert!(text.contains(&format!("{} looks", looks.get())), "{text}");
    assert!(looks.get() >= 2, "{text}");
}

#[tokio::test]
async fn a_probe_that_hangs_is_ended_at_the_deadline() {
    let failed = until(Duration::from_millis(50), "an answer", async || {
        std::future::pending::<Result<(), String>>().await
    })
    .await
    .expect_err("it never answers");
    assert!(failed.to_string().contains("did not end"), "{failed}");
}

#[tokio::test]
async fn the_value_is_handed_over() {
    let looks = Cell::new(0);
    let value = until(Duration::from_secs(10), "the third look", async || {
        looks.set(looks.get() + 1);
        if looks.get() == 3 { Ok(looks.get()) } else { Err("not yet") }
    })
    .await;
    assert_eq!(value.expect("it comes true"), 3);
}
