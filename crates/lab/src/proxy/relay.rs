//! Bytes of one connection, both ways, under the fault of the moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::inserts::InsertScanner;
use super::{Direction, Fault, Setting, Shared};

/// Why a direction came to its end.
enum End {
    /// The sender has nothing more to say; the other direction may go on.
    Finished,
    /// A fault closes the connection.
    Cut,
    /// A fault or an error resets it.
    Reset,
}

/// Makes the kernel send a reset when the stream is dropped.
pub(super) fn reset(stream: &TcpStream) {
    // Fails only on a socket that is gone already.
    let _gone = stream.set_zero_linger();
}

/// Passes bytes until both sides are done or a fault ends it.
pub(super) async fn relay(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    let _no_such_option = (client.set_nodelay(true), server.set_nodelay(true));
    // Set by the requests, obeyed by the answers.
    let armed = AtomicBool::new(false);
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = Way::new(Direction::ToServer, from_client, to_server, shared, &armed);
        let answers = Way::new(Direction::ToClient, from_server, to_client, shared, &armed);
        let (mut requests, mut answers) =
            (std::pin::pin!(requests.run()), std::pin::pin!(answers.run()));
        tokio::select! {
            end = &mut requests => match end {
                End::Finished => answers.await,
                other => other,
            },
            end = &mut answers => match end {
                End::Finished => requests.await,
                other => other,
            },
        }
    };
    if let End::Reset = ended {
        reset(&client);
        reset(&server);
    }
}

/// One direction of a connection.
struct Way<'a> {
    direction: Direction,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    shared: &'a Shared,
    setting: watch::Receiver<Setting>,
    armed: &'a AtomicBool,
    scanner: InsertScanner,
    /// Bytes passed since the fault of this epoch was set.
    counted: (u64, u64),
}

impl<'a> Way<'a> {
    fn new(
        direction: Direction,
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
        shared: &'a Shared,
        armed: &'a AtomicBool,
    ) -> Self {
        let setting = shared.setting.subscribe();
        let scanner = InsertScanner::default();
        Self { direction, from, to, shared, setting, armed, scanner, counted: (0, 0) }
    }

    async fn run(mut self) -> End {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Setting { fault, .. } = *self.setting.borrow_and_update();
            if let Fault::Reset | Fault::Refuse = fault {
                // Refusing is no cut that is counted down: it lasts until another fault is set.
                if fault == Fault::Refuse || self.shared.take_cut() {
                    return End::Reset;
                }
            }
            let read = tokio::select! {
                read = self.from.read(&mut buffer) => read,
                changed = self.setting.changed() => {
                    if changed.is_err() {
                        return End::Cut;
                    }
                    continue;
                }
            };
            match read {
                Ok(0) => {
                    // The other side may be gone already, and then there is nobody to tell.
                    let _gone = self.to.shutdown().await;
                    return End::Finished;
                }
                Ok(length) => {
                    if let Err(end) = self.pass(&buffer[..length]).await {
                        return end;
                    }
                }
                Err(_broken) => return End::Reset,
            }
        }
    }

    /// Passes a piece, as the fault of the moment lets it.
    async fn pass(&mut self, piece: &[u8]) -> Result<(), End> {
        if self.direction == Direction::ToServer {
            self.watch_inserts(piece);
        }
        loop {
            let Setting { fault, epoch } = *self.setting.borrow_and_update();
            match fault {
                Fault::Refuse => return Err(End::Reset),
                Fault::Reset if self.shared.take_cut() => return Err(End::Reset),
                Fault::BlackHole => {
                    if self.setting.changed().await.is_err() {
                        return Err(End::Cut);
                    }
                }
                Fault::CutAfter { direction, bytes } if direction == self.direction => {
                    return self.count_down(piece, bytes, epoch).await;
                }
                Fault::CutAnswer
                    if self.direction == Direction::ToClient && self.shared.take_cut() =>
                {
                    return Err(End::Cut);
                }
                Fault::CutInsertAnswer { .. }
                    if self.direction == Direction::ToClient
                        && self.armed.swap(false, Ordering::SeqCst)
                        && self.shared.take_cut() =>
                {
                    return Err(End::Cut);
                }
                // Another direction, or none of the cuts left.
                Fault::Pass
                | Fault::Reset
                | Fault::CutAfter { .. }
                | Fault::CutAnswer
                | Fault::CutInsertAnswer { .. } => return self.write(piece).await,
                Fault::Delay(delay) => {
                    tokio::time::sleep(delay).await;
                    return self.write(piece).await;
                }
                Fault::Throttle { bytes_per_second } => {
                    return self.drip(piece, bytes_per_second.max(1)).await;
                }
            }
        }
    }

    /// Notes INSERTs that pass and arms the answer of the one whose turn it is.
    fn watch_inserts(&mut self, piece: &[u8]) {
        for _ in 0..self.scanner.count(piece) {
            let nth = self.shared.inserts.fetch_add(1, Ordering::SeqCst) + 1;
            if let Fault::CutInsertAnswer { nth: every } = self.setting.borrow().fault
                && nth.is_multiple_of(every.max(1))
            {
                self.armed.store(true, Ordering::SeqCst);
            }
        }
    }

    async fn count_down(&mut self, piece: &[u8], limit: u64, epoch: u64) -> Result<(), End> {
        if self.counted.0 != epoch {
            self.counted = (epoch, 0);
        }
        let left = usize::try_from(limit.saturating_sub(self.counted.1)).unwrap_or(usize::MAX);
        self.counted.1 += piece.len() as u64;
        if piece.len() < left || !self.shared.take_cut() {
            return self.write(piece).await;
        }
        self.write(&piece[..left]).await?;
        Err(End::Cut)
    }

    /// Writes a hundredth of a second's worth at a time.
    async fn drip(&mut self, piece: &[u8], bytes_per_second: u64) -> Result<(), End> {
        let drop = usize::try_from((bytes_per_second / 100).max(1)).unwrap_or(usize::MAX);
        for part in piece.chunks(drop) {
            self.write(part).await?;
            let wait = Duration::from_micros(part.len() as u64 * 1_000_000 / bytes_per_second);
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    async fn write(&mut self, piece: &[u8]) -> Result<(), End> {
        if self.to.write_all(piece).await.is_err() {
            return Err(End::Reset);
        }
        let counter = match self.direction {
            Direction::ToServer => &self.shared.to_server,
            Direction::ToClient => &self.shared.to_client,
        };
        counter.fetch_add(piece.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}
