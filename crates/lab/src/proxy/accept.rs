//! Taking connections, or refusing them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::relay::{self, reset};
use super::{Fault, Shared};

/// Takes connections for as long as the proxy lives.
pub(super) async fn accept(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut listener = Some(listener);
    let mut setting = shared.setting.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let fault = setting.borrow_and_update().fault;
        if fault == Fault::Refuse {
            // Without a listener the kernel itself refuses.
            listener = None;
            if setting.changed().await.is_err() {
                return;
            }
            continue;
        }
        let listening = match &listener {
            Some(listening) => listening,
            None => listener.insert(bind_again(address).await),
        };
        tokio::select! {
            taken = listening.accept() => {
                if let Ok((client, _)) = taken {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve(client, Arc::clone(&shared)));
                }
            }
            changed = setting.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// The port was ours a moment ago; the kernel may still hold it.
async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let _open = Open::count(&shared);
    if shared.setting.borrow().fault == Fault::Reset {
        if shared.take_cut() {
            reset(&client);
        }
        return;
    }
    // A server that is away looks like a connection that breaks at once.
    match TcpStream::connect(shared.target).await {
        Ok(server) => relay::relay(client, server, &shared).await,
        Err(_away) => reset(&client),
    }
}

/// Counts a connection for as long as it is open.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn count(shared: &'a Shared) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
