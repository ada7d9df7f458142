//! The first of several addresses that a whole connection comes of: attempts start one after the other without waiting
//! for the slow to fail.
//!
//! This is RFC 8305 ("Happy Eyeballs") without its DNS part, and with TLS. One dead address, often the IPv6 one, costs a
//! quarter of a second rather than the whole timeout; one that takes connections and shakes no hands costs little more.
//! Handshakes take turns, since they are dear: a second one begins only when the first has failed or is late.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// How long an attempt has before the next one starts beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// One race.
#[derive(Debug)]
pub(super) struct Race {
    /// Held by the attempt that shakes hands, until it is late.
    turn: Semaphore,
    /// When a handshake is late.
    patience: Duration,
    /// When an attempt is not new any more.
    head_start: Duration,
}

impl Race {
    /// A race in which a handshake has `patience` before another begins beside it.
    pub(super) fn new(patience: Duration) -> Self {
        Self { turn: Semaphore::new(1), patience, head_start: HEAD_START.min(patience) }
    }

    /// What an attempt does when it is connected.
    pub(super) async fn shake_hands<F: Future>(&self, handshake: F) -> F::Output {
        let turn = self.turn.acquire().await;
        let mut handshake = pin!(handshake);
        if let Ok(outcome) = timeout(self.patience, handshake.as_mut()).await {
            return outcome;
        }
        drop(turn);
        handshake.await
    }

    /// Attempts `addresses` until one succeeds. `fail` hears of each failure, and says whether to go on.
    pub(super) async fn run<T, E, F>(
        &self,
        addresses: Vec<SocketAddr>,
        attempt: impl Fn(SocketAddr) -> F,
        mut fail: impl FnMut(E) -> bool,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut waiting = addresses.into_iter();
        let mut under_way: Vec<Pin<Box<F>>> = Vec::new();
        loop {
            match waiting.next() {
                Some(address) => under_way.push(Box::pin(attempt(address))),
                None if under_way.is_empty() => return None,
                None => {}
            }
            let is_last = waiting.len() == 0;
            let outcome = tokio::select! {
                biased;
                outcome = next_outcome(&mut under_way) => outcome,
                () = self.head_start(), if !is_last => continue,
            };
            match outcome {
                Ok(connected) => return Some(connected),
                Err(failure) => {
                    if !fail(failure) {
                        return None;
                    }
                }
            }
        }
    }

    /// Ends when the next attempt should start: the last one has had its head start, and no handshake is still in time.
    async fn head_start(&self) {
        sleep(self.head_start).await;
        drop(self.turn.acquire().await);
    }
}

/// The first attempt to end, which is taken out.
async fn next_outcome<F: Future>(attempts: &mut Vec<Pin<Box<F>>>) -> F::Output {
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

/// The order of RFC 8305, section 4: the one that is preferred, its family, then the families in turn.
pub(super) fn order(mut addresses: Vec<SocketAddr>, preferred: Option<SocketAddr>) -> Vec<SocketAddr> {
    if let Some(at) = addresses.iter().position(|address| Some(*address) == preferred) {
        addresses[..=at].rotate_right(1);
    }
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

    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 443))
    }

    /// An address: after how many milliseconds TCP and then TLS is over, and well, with it.
    type Plan = (SocketAddr, (u64, bool), (u64, bool));

    /// What came of a race, and how: the winner, the milliseconds it took, which were dialled and which shook hands.
    type Told = (Option<SocketAddr>, u64, Vec<SocketAddr>, Vec<SocketAddr>);

    async fn race_in(plans: &[Plan], go_on: bool) -> Told {
        let (dialled, shaken) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let (start, race) = (Instant::now(), Race::new(PATIENCE));
        let part = async |(millis, is_well): (u64, bool)| {
            sleep(Duration::from_millis(millis)).await;
            if is_well { Ok(()) } else { Err(()) }
        };
        let attempt = async |address: SocketAddr| {
            dialled.borrow_mut().push(address);
            let (_, tcp, tls) = *plans.iter().find(|(known, ..)| *known == address).expect("a known address");
            part(tcp).await?;
            let handshake = async {
                shaken.borrow_mut().push(address);
                part(tls).await
            };
            race.shake_hands(handshake).await.map(|()| address)
        };
        let addresses = order(plans.iter().map(|(address, ..)| *address).collect(), None);
        let winner = race.run(addresses, attempt, |()| go_on).await;
        let took = u64::try_from(start.elapsed().as_millis()).expect("a short time");
        (winner, took, dialled.into_inner(), shaken.into_inner())
    }

    async fn race(plans: &[Plan]) -> Told {
        race_in(plans, true).await
    }

    const NEVER: (u64, bool) = (100_000, true);
    const AT_ONCE: (u64, bool) = (0, true);

    #[tokio::test(start_paused = true)]
    async fn the_first_address_is_taken_if_it_answers() {
        let told = race(&[(v4(1), (10, true), (240, true)), (v4(2), AT_ONCE, AT_ONCE)]).await;
        assert_eq!(told, (Some(v4(1)), 250, vec![v4(1)], vec![v4(1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_moves_on_at_once() {
        let told = race(&[(v4(1), (10, false), NEVER), (v4(2), (5, true), AT_ONCE)]).await;
        assert_eq!(told, (Some(v4(2)), 15, vec![v4(1), v4(2)], vec![v4(2)]));
        let told = race(&[(v4(1), (10, true), (20, false)), (v4(2), (5, true), AT_ONCE)]).await;
        assert_eq!(told, (Some(v4(2)), 35, vec![v4(1), v4(2)], vec![v4(1), v4(2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_head_start_and_no_more() {
        let (winner, took, ..) = race(&[(v6(1), NEVER, NEVER), (v4(1), (5, true), AT_ONCE)]).await;
        assert_eq!((winner, took), (Some(v4(1)), 255));
    }

    #[tokio::test(start_paused = true)]
    async fn where_patience_is_short_a_silent_address_costs_no_more_than_that() {
        let (start, race) = (Instant::now(), Race::new(Duration::from_millis(100)));
        let attempt = async |address| {
            if address == v4(20) { Ok::<_, ()>(address) } else { std::future::pending().await }
        };
        let winner = race.run((1..=20).map(v4).collect(), attempt, |()| true).await;
        assert_eq!((winner, start.elapsed()), (Some(v4(20)), Duration::from_millis(1900)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_does_not_end_costs_some_patience_and_no_more() {
        let told = race(&[(v4(1), (5, true), NEVER), (v4(2), (5, true), (30, true))]).await;
        assert_eq!(told, (Some(v4(2)), 1040, vec![v4(1), v4(2)], vec![v4(1), v4(2)]));
        let [one, other] = [1, 2].map(|last| (v4(last), (5, true), NEVER));
        let (winner, took, ..) = race(&[one, other, (v4(3), (5, true), (30, true))]).await;
        assert_eq!((winner, took), (Some(v4(3)), 2045));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_still_wins_over_slower_ones() {
        let (winner, took, ..) = race(&[(v6(1), (400, true), AT_ONCE), (v4(1), (500, true), AT_ONCE)]).await;
        assert_eq!((winner, took), (Some(v6(1)), 400));
        let (winner, took, ..) = race(&[(v6(1), AT_ONCE, (1200, true)), (v4(1), AT_ONCE, (500, true))]).await;
        assert_eq!((winner, took), (Some(v6(1)), 1200));
    }

    /// One that is connected waits for the handshake of another, which is likely to succeed.
    #[tokio::test(start_paused = true)]
    async fn no_two_handshakes_are_made_where_one_is_in_time() {
        let told = race(&[(v4(1), (300, true), (10, true)), (v4(2), (20, true), (900, true))]).await;
        assert_eq!(told, (Some(v4(2)), 1170, vec![v4(1), v4(2)], vec![v4(2)]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_families_take_turns() {
        let plans = [v6(1), v6(2), v6(3), v4(1)].map(|address| (address, (1, false), NEVER));
        assert_eq!(race(&plans).await.2, [v6(1), v4(1), v6(2), v6(3)]);
    }

    #[test]
    fn the_preferred_address_is_the_first_as_long_as_it_is_one() {
        let addresses = vec![v6(1), v6(2), v4(1), v4(2)];
        assert_eq!(order(addresses.clone(), Some(v4(2))), [v4(2), v6(1), v4(1), v6(2)]);
        assert_eq!(order(addresses, Some(v4(3))), [v6(1), v4(1), v6(2), v4(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_so_does_the_race() {
        let plans = [(v4(1), (400, false), NEVER), (v4(2), (10, true), (20, false))];
        let (winner, took, dialled, _) = race(&plans).await;
        assert_eq!((winner, took, dialled), (None, 400, vec![v4(1), v4(2)]));
        assert_eq!(race(&[]).await.0, None);
        assert_eq!(race_in(&plans, false).await.1, 280, "whoever hears of a failure may end it");
    }
}
