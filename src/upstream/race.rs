//! TCP to the first address that answers: attempts start one after the other without waiting for the slow to fail.
//!
//! This is RFC 8305 ("Happy Eyeballs") without its DNS part: one dead address, often the IPv6 one, costs a quarter of
//! a second rather than the whole timeout.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// How long an attempt has before the next one starts beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Dials `addresses` until one answers. The error is that of the last attempt to fail.
pub(super) async fn first_to_connect<T, F>(addresses: Vec<SocketAddr>, dial: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = alternate_families(addresses).into_iter();
    let mut under_way: Vec<Pin<Box<F>>> = Vec::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "there is no address");
    loop {
        match waiting.next() {
            Some(address) => under_way.push(Box::pin(dial(address))),
            None if under_way.is_empty() => return Err(failure),
            None => {}
        }
        let attempt = next_outcome(&mut under_way);
        let outcome =
            if waiting.len() == 0 { Some(attempt.await) } else { tokio::time::timeout(HEAD_START, attempt).await.ok() };
        match outcome {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(error)) => failure = error,
            None => {}
        }
    }
}

/// The first attempt to end, which is taken out.
async fn next_outcome<T, F: Future<Output = io::Result<T>>>(attempts: &mut Vec<Pin<Box<F>>>) -> io::Result<T> {
    poll_fn(|cx| {
        for index in 0..attempts.len() {
            if let Poll::Ready(outcome) = attempts[index].as_mut().poll(cx) {
                drop(attempts.swap_remove(index));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

/// The order of RFC 8305, section 4: the first address' family first, then the families in turn.
fn alternate_families(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else { return Vec::new() };
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv4() == first.is_ipv4());
    let mut mixed = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}
