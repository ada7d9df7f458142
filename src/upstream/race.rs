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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::{Instant, sleep};

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 443))
    }

    /// Dials addresses that answer or fail after some milliseconds; tells the outcome, how long it took, and the order.
    async fn race(outcomes: &[(SocketAddr, u64, bool)]) -> (io::Result<SocketAddr>, u64, Vec<SocketAddr>) {
        let dialled = RefCell::new(Vec::new());
        let start = Instant::now();
        let addresses = outcomes.iter().map(|(address, ..)| *address).collect();
        let outcome = first_to_connect(addresses, |address| {
            dialled.borrow_mut().push(address);
            let (_, millis, answers) = *outcomes.iter().find(|(known, ..)| *known == address).expect("a known address");
            async move {
                sleep(Duration::from_millis(millis)).await;
                if answers { Ok(address) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
            }
        });
        let outcome = outcome.await;
        (outcome, u64::try_from(start.elapsed().as_millis()).expect("a short time"), dialled.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_is_taken_if_it_answers() {
        let (outcome, took, dialled) = race(&[(v4(1), 10, true), (v4(2), 1, true)]).await;
        assert_eq!((outcome.expect("an answer"), took, dialled), (v4(1), 10, vec![v4(1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_moves_on_at_once() {
        let (outcome, took, dialled) = race(&[(v4(1), 10, false), (v4(2), 5, true)]).await;
        assert_eq!((outcome.expect("an answer"), took, dialled), (v4(2), 15, vec![v4(1), v4(2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_head_start_and_no_more() {
        let (outcome, took, _) = race(&[(v6(1), 100_000, true), (v4(1), 5, true)]).await;
        assert_eq!((outcome.expect("an answer"), took), (v4(1), 255));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_still_wins_over_slower_ones() {
        let (outcome, took, _) = race(&[(v6(1), 400, true), (v4(1), 500, true)]).await;
        assert_eq!((outcome.expect("an answer"), took), (v6(1), 400));
    }

    #[tokio::test(start_paused = true)]
    async fn the_families_take_turns() {
        let (_, _, dialled) = race(&[(v6(1), 1, false), (v6(2), 1, false), (v6(3), 1, false), (v4(1), 1, false)]).await;
        assert_eq!(dialled, [v6(1), v4(1), v6(2), v6(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_so_does_the_race() {
        let (outcome, took, _) = race(&[(v4(1), 400, false), (v4(2), 10, false)]).await;
        assert_eq!(outcome.expect_err("no answer").kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(took, 400);
        assert_eq!(race(&[]).await.0.expect_err("no address").kind(), io::ErrorKind::NotFound);
    }
}
