//! A TCP proxy between the sidecar and a bank that cuts, delays and resets connections at random points.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::wait::time_passes;

/// Such a proxy. It ends when this is dropped.
pub struct FaultProxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many connections it took.
    pub connections: Arc<AtomicU64>,
    /// How many of them it ended.
    pub ended: Arc<AtomicU64>,
    stop: CancellationToken,
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Both sides see an orderly end.
    Cut,
    /// Both sides see a reset.
    Reset,
    /// The bank gets nothing more, and the end comes a while later.
    Stall,
}

/// What happens to a connection: after so many bytes of each direction it is ended.
#[derive(Clone, Copy, Debug)]
struct Plan {
    up: u64,
    down: u64,
    end: End,
    delays: bool,
}

impl Plan {
    fn of(chance: &mut Chance) -> Self {
        let end = [End::Cut, End::Reset, End::Stall][usize::try_from(chance.below(3)).expect("small")];
        // One in ten dies within the handshake, one in five lives; the others carry some requests.
        let (up, down) = match chance.below(10) {
            0 => (chance.below(3_000), u64::MAX),
            1 | 2 => (u64::MAX, u64::MAX),
            3..=6 => (3_000 + chance.below(20_000), u64::MAX),
            _ => (u64::MAX, 2_000 + chance.below(20_000)),
        };
        Self { up, down, end, delays: chance.percent(30) }
    }
}

impl FaultProxy {
    /// Starts one before this bank. The same seed makes the same plans, connection by connection.
    pub async fn start(bank: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, connections, ended) =
            (CancellationToken::new(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted, cut) = (stop.clone(), Arc::clone(&connections), Arc::clone(&ended));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let Ok((app, _)) = listener.accept().await else { continue };
                let mut chance = Chance::new(seed.wrapping_add(counted.fetch_add(1, Ordering::Relaxed)));
                let (stopped, cut) = (stopped.clone(), Arc::clone(&cut));
                tokio::spawn(stopped.run_until_cancelled_owned(async move {
                    carry(app, bank, &mut chance, &cut).await;
                }));
            }
        }));
        Self { address, connections, ended, stop }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn carry(app: TcpStream, bank: SocketAddr, chance: &mut Chance, ended: &AtomicU64) {
    let plan = Plan::of(chance);
    let Ok(bank) = TcpStream::connect(bank).await else { return };
    let _ = (app.set_nodelay(true), bank.set_nodelay(true));
    let ((app_read, app_write), (bank_read, bank_write)) = (app.into_split(), bank.into_split());
    let (mut up, mut down) = (chance.clone(), Chance::new(chance.number()));
    let mut up = std::pin::pin!(pump(app_read, bank_write, plan.up, plan.delays, &mut up));
    let mut down = std::pin::pin!(pump(bank_read, app_write, plan.down, plan.delays, &mut down));
    let (one, other) = tokio::select! {
        one = &mut up => match (&one, plan.end) {
            (Pumped::Over(..), End::Stall) => {
                // What the bank has got of it has its answer, or none; the app waits in vain.
                time_passes(Duration::from_millis(chance.below(300))).await;
                (one, None)
            }
            (Pumped::Over(..), _) => (one, None),
            (Pumped::Closed(..), _) => { let other = down.await; (one, Some(other)) }
        },
        one = &mut down => match &one {
            Pumped::Over(..) => (one, None),
            Pumped::Closed(..) => { let other = tokio::time::timeout(Duration::from_millis(100), up).await.ok(); (one, other) }
        },
    };
    if matches!(one, Pumped::Over(..)) {
        ended.fetch_add(1, Ordering::Relaxed);
        if matches!(plan.end, End::Reset) {
            let (Pumped::Over(read, write) | Pumped::Closed(read, write)) = &one;
            let _ = (read.as_ref().set_zero_linger(), write.as_ref().set_zero_linger());
        }
    }
    drop((one, other));
}

/// How a direction ended.
enum Pumped {
    /// As many bytes passed as may.
    Over(OwnedReadHalf, OwnedWriteHalf),
    /// One of the sides closed.
    Closed(OwnedReadHalf, OwnedWriteHalf),
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, most: u64, delays: bool, chance: &mut Chance) -> Pumped {
    let (mut left, mut buffer) = (most, vec![0; 16 * 1024]);
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            let _ = to.shutdown().await;
            return Pumped::Closed(from, to);
        };
        if delays && chance.percent(20) {
            time_passes(Duration::from_millis(chance.below(30))).await;
        }
        let passes = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..passes]).await.is_err() {
            return Pumped::Closed(from, to);
        }
        left -= passes as u64;
        if left == 0 {
            return Pumped::Over(from, to);
        }
    }
}
