//! Each fault of the proxy does what it says.

use std::io;
use std::time::{Duration, Instant};

use data_bridge_lab::fake_clickhouse::{Answer, FakeClickHouse};
use data_bridge_lab::proxy::{Direction, Fault, Proxy};
use data_bridge_lab::verify::Server;
use data_bridge_lab::wait::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(10);

/// A server that sends back what it gets, and a proxy before it.
struct Echo {
    proxy: Proxy,
    _server: JoinSet<()>,
}

async fn echo() -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = listener.local_addr().expect("bound");
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = stream.split();
                // Ends when the client goes, one way or the other.
                let _gone = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Echo { proxy: Proxy::start(target).await.expect("a free port"), _server: server }
}

impl Echo {
    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.proxy.address()).await
    }
}

/// Sends a text and reads as much back.
async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await?;
    Ok(back)
}

#[tokio::test]
async fn bytes_pass_and_are_counted() {
    let echo = echo().await;
    let mut stream = echo.connect().await.expect("listening");
    assert_eq!(round_trip(&mut stream, b"hello").await.expect("echo"), b"hello");
    let counts = echo.proxy.counts();
    assert_eq!((counts.connections, counts.open, counts.to_server, counts.to_client), (1, 1, 5, 5));
    drop(stream);
    until(SOON, "the connection to be gone", async || match echo.proxy.counts().open {
        0 => Ok(()),
        open => Err(format!("{open} open")),
    })
    .await
    .expect("closed");
}

#[tokio::test]
async fn refusing_is_refusing_and_the_port_comes_back() {
    let echo = echo().await;
    let mut open = echo.connect().await.expect("listening");
    round_trip(&mut open, b"x").await.expect("echo");
    echo.proxy.set(Fault::Refuse);
    until(SOON, "a refusal", async || match echo.connect().await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("refused");
    let broken = open.read(&mut [0; 8]).await;
    assert!(broken.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));

    echo.proxy.set(Fault::Pass);
    let mut stream =
        until(SOON, "a connection", async || echo.connect().await).await.expect("back");
    assert_eq!(round_trip(&mut stream, b"again").await.expect("echo"), b"again");
}

#[tokio::test]
async fn a_black_hole_holds_bytes_until_it_ends() {
    let echo = echo().await;
    let mut stream = echo.connect().await.expect("listening");
    round_trip(&mut stream, b"x").await.expect("echo");
    echo.proxy.set(Fault::BlackHole);
    let waited = tokio::time::timeout(Duration::from_millis(100), round_trip(&mut stream, b"held"));
    assert!(waited.await.is_err(), "nothing passes");
    echo.proxy.set(Fault::Pass);
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.expect("what was held passes");
    assert_eq!(&back, b"held");
}

#[tokio::test]
async fn a_reset_ends_open_connections_and_is_counted_down() {
    let echo = echo().await;
    let mut stream = echo.connect().await.expect("listening");
    round_trip(&mut stream, b"x").await.expect("echo");
    echo.proxy.times(Fault::Reset, 1);
    let end = stream.read(&mut [0; 8]).await;
    assert!(end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(echo.proxy.fault(), Fault::Pass);
    let mut stream = echo.connect().await.expect("listening");
    round_trip(&mut stream, b"x").await.expect("one reset was all");
    assert_eq!(echo.proxy.counts().cuts, 1);
}

#[tokio::test]
async fn a_cut_lets_exactly_so_many_bytes_pass() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        let echo = echo().await;
        echo.proxy.set(Fault::CutAfter { direction, bytes: 100_001 });
        let mut stream = echo.connect().await.expect("listening");
        let (mut from, mut to) = stream.split();
        let mut received = Vec::new();
        let sending = async {
            // The cut may come while writing.
            let _cut = to.write_all(&vec![7; 300_000]).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = sending => {}
            end = from.read_to_end(&mut received) => drop(end),
        }
        let counts = echo.proxy.counts();
        let passed = match direction {
            Direction::ToServer => counts.to_server,
            Direction::ToClient => counts.to_client,
        };
        assert_eq!(passed, 100_001, "{direction:?}");
        assert!(received.len() <= 100_001, "{direction:?}: {}", received.len());
    }
}

#[tokio::test]
async fn throttling_and_delay_cost_time() {
    let echo = echo().await;
    let mut stream = echo.connect().await.expect("listening");
    echo.proxy.set(Fault::Throttle { bytes_per_second: 100_000 });
    let start = Instant::now();
    round_trip(&mut stream, &vec![1; 20_000]).await.expect("echo");
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    echo.proxy.set(Fault::Delay(Duration::from_millis(60)));
    let start = Instant::now();
    round_trip(&mut stream, b"x").await.expect("echo");
    assert!(start.elapsed() >= Duration::from_millis(120), "{:?}", start.elapsed());
}

/// An insert through the proxy into a fake.
async fn insert(proxy: &Proxy) -> Result<String, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    let url = format!("{}/?query=INSERT+INTO+t+FORMAT+Native", proxy.url());
    client.post(url).body("rows").send().await?.text().await
}

#[tokio::test]
async fn a_lost_answer_is_lost_after_the_insert_was_done() {
    let fake = FakeClickHouse::start().await.expect("a free port");
    let proxy = Proxy::start(fake.address()).await.expect("a free port");
    let server = Server::new(&proxy.url(), "market");
    fake.program("SELECT 1", Answer::Text("1\n".to_owned()));

    proxy.times(Fault::CutAnswer, 2);
    for _ in 0..2 {
        assert!(insert(&proxy).await.is_err());
    }
    insert(&proxy).await.expect("two were all");
    assert_eq!(fake.inserts().len(), 3, "all three were done");
    assert_eq!(proxy.counts().cuts, 2);

    proxy.set(Fault::CutInsertAnswer { nth: 2 });
    let mut lost = Vec::new();
    for _ in 0..6 {
        lost.push(insert(&proxy).await.is_err());
        assert_eq!(server.query("SELECT 1").await.expect("queries pass"), "1\n");
    }
    // Three passed before, so the fourth of all is the first of these.
    assert_eq!(lost, [true, false, true, false, true, false]);
    assert_eq!(fake.inserts().len(), 9);
    assert_eq!(proxy.counts().inserts, 9);
}

#[tokio::test]
async fn a_body_that_is_cut_is_no_insert() {
    let fake = FakeClickHouse::start().await.expect("a free port");
    let proxy = Proxy::start(fake.address()).await.expect("a free port");
    let _loaded = Server::new(&proxy.url(), "market");
    proxy.times(Fault::CutAfter { direction: Direction::ToServer, bytes: 50_000 }, 1);
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    let url = format!("{}/?query=INSERT+INTO+t+FORMAT+Native", proxy.url());
    assert!(client.post(&url).body(vec![1; 200_000]).send().await.is_err());
    client.post(&url).body(vec![1; 200_000]).send().await.expect("one cut was all");
    let inserts = fake.wait_for_inserts(1, SOON).await.expect("the whole one");
    assert_eq!(inserts.len(), 1);
    assert_eq!(inserts[0].body.len(), 200_000);
}
