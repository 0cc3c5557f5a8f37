//! What stands in the way of a start is said in words.

use std::net::SocketAddr;
use std::path::Path;

use embedded_clickhouse::{Options, serve};

use crate::server::{Data, Server, Variant};

fn refusal(change: impl FnOnce(&mut Options)) -> String {
    let data = Data::new("refused");
    let mut options = Options::new(data.path());
    options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    change(&mut options);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ready = |address| panic!("it runs on {address}");
    runtime.block_on(serve(options, ready, std::future::pending())).unwrap_err().to_string()
}

#[test]
fn only_loopback_is_listened_on() {
    let error = refusal(|options| options.listen = "0.0.0.0:0".parse().unwrap());
    assert!(error.contains("loopback only") && error.contains("0.0.0.0"), "{error}");
}

#[test]
fn missing_or_unsuitable_library_says_how_to_get_it() {
    let data = Data::new("library");
    let text = data.path().join("libchdb.so");
    std::fs::write(&text, "not a library").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.split_whitespace().find(|word| word.contains("/libc.so")).unwrap();
    for (file, reason) in [
        (Path::new("/nowhere/libchdb.so"), "no file /nowhere/libchdb.so"),
        (&text, "another architecture"),
        (Path::new(libc), "it lacks chdb_version"),
    ] {
        let library = Some(file.to_path_buf());
        let variant = Variant { library, ..Variant::default() };
        let Err(error) = Server::try_start(data.path(), &variant) else {
            panic!("it runs with {}", file.display());
        };
        assert!(error.contains(reason), "{error}");
        assert!(error.contains("cargo xtask stack up"), "{error}");
        assert!(error.contains("npm pack @chdb/lib-linux-x64-gnu@26.7.3-stable.1"), "{error}");
    }
}

#[test]
fn taken_address_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = refusal(|options| options.listen = address);
    assert!(error.starts_with(&format!("cannot listen on {address}")), "{error}");
}

#[test]
fn directory_is_used_by_one_process() {
    let data = Data::new("locked");
    let first = Server::start(data.path(), &Variant::default());
    let Err(error) = Server::try_start(data.path(), &Variant::default()) else {
        panic!("two servers on one directory");
    };
    assert!(error.contains("is in use by another embedded ClickHouse"), "{error}");
    assert!(first.stop().success());
    assert!(Server::start(data.path(), &Variant::default()).stop().success());
}
