//! Bodies that come slowly, and places for them.

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::message::{Fields, Interim};
use crate::words::Kind;

const QUEUE: Duration = Duration::from_secs(5);

/// A body that a test feeds.
struct Fed(UnboundedReceiver<&'static str>, Size);

impl BodyStream for Fed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx).map(|text| text.map(|text| Ok(Frame::Data(Bytes::from_static(text.as_bytes())))))
    }

    fn size(&self) -> Size {
        self.1
    }
}

/// A request whose body comes by and by, and what feeds it.
fn slow(size: Size) -> (Request, UnboundedSender<&'static str>) {
    let (feed, body) = unbounded_channel();
    (Request::new(Method::POST, "/x", Body::stream(Fed(body, size))), feed)
}

/// One place.
fn uploads() -> Uploads {
    let limits = Limits { in_flight: 10, connections: 2, queue: QUEUE, replay_body: 0 };
    Uploads::new(&limits, Crowd::new(Arc::new(ConnectionLimit::new(limits.connections))))
}

#[tokio::test(start_paused = true)]
async fn where_no_place_is_free_a_body_that_comes_in_time_needs_none() {
    let uploads = uploads();
    let (mut first, _feed) = slow(Size::Unknown);
    uploads.admit(&mut first, &BankMetrics::default()).await.expect("a place");
    let (mut second, feed) = slow(Size::Exact(4));
    feed.send("ab").unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(4)).await;
        feed.send("cd").unwrap();
    });
    uploads.admit(&mut second, &BankMetrics::default()).await.expect("the body is whole");
    assert_eq!(second.body.size(), Size::Exact(4));
    assert_eq!(uploads.gathered.load(Ordering::Relaxed), 4);
    assert_eq!(second.body.collect(10).await.expect("it reads"), Some(b"abcd".to_vec()));
    assert_eq!(uploads.gathered.load(Ordering::Relaxed), 0);
    uploads
        .admit(&mut Request::new(Method::POST, "/x", Body::full("here")), &BankMetrics::default())
        .await
        .expect("a body that is here");
}

#[tokio::test(start_paused = true)]
async fn who_is_too_slow_without_a_place_is_told_to_come_again() {
    let uploads = uploads();
    let (mut first, _feed) = slow(Size::Unknown);
    uploads.admit(&mut first, &BankMetrics::default()).await.expect("a place");
    let (mut second, _second_feed) = slow(Size::Exact(4));
    let error = uploads.admit(&mut second, &BankMetrics::default()).await.expect_err("no place");
    assert_eq!(error.kind(), Kind::Overloaded);
    // The first one is slow, too, but nobody who has sent all that he may waited for its place.
    assert!(tokio::time::timeout(Duration::from_mins(1), first.body.frame()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_gives_way_to_one_that_waits_and_a_fast_one_does_not() {
    const PART: &str = match std::str::from_utf8(&[b'x'; GATHERED]) {
        Ok(part) => part,
        Err(_) => "",
    };
    for is_slow in [true, false] {
        let uploads = uploads();
        let (mut first, feed) = slow(Size::Unknown);
        uploads.admit(&mut first, &BankMetrics::default()).await.expect("a place");
        tokio::spawn(async move {
            while feed.send(if is_slow { "x" } else { PART }).is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let first = tokio::spawn(async move {
            loop {
                match first.body.frame().await {
                    Some(Ok(_)) => {}
                    other => return other,
                }
            }
        });
        let (mut second, feed) = slow(Size::Unknown);
        feed.send(PART).unwrap();
        let admitted = uploads.admit(&mut second, &BankMetrics::default()).await;
        assert_eq!(admitted.is_ok(), is_slow, "{admitted:?}");
        if is_slow {
            let end = first.await.unwrap();
            assert!(matches!(end, Some(Err(BodyError::TooSlow))), "{end:?}");
        } else {
            assert!(!first.is_finished());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_waits_for_the_banks_word_is_not_waited_for() {
    let uploads = uploads();
    let (mut first, _feed) = slow(Size::Unknown);
    uploads.admit(&mut first, &BankMetrics::default()).await.expect("a place");
    let first = tokio::spawn(async move { first.body.frame().await });
    let (mut second, _second_feed) = slow(Size::Exact(4));
    second.fields.push("Expect", "100-continue");
    // The head has to leave before the body comes, so it gets the place of who is slow.
    uploads.admit(&mut second, &BankMetrics::default()).await.expect("a place");
    assert!(matches!(first.await.unwrap(), Some(Err(BodyError::TooSlow))));
}

#[tokio::test(start_paused = true)]
async fn the_time_until_the_banks_word_is_the_banks_and_what_follows_it_the_apps() {
    let uploads = uploads();
    let (mut request, _feed) = slow(Size::Exact(4));
    request.fields.push("Expect", "100-continue");
    let (to, _app) = unbounded_channel();
    request.interim = Some(to.into());
    uploads.admit(&mut request, &BankMetrics::default()).await.expect("a place");
    let _waiting = uploads.crowd.join();
    let say = |status| {
        let interim = Interim { status, fields: Fields::new() };
        request.interim.as_ref().expect("an app that hears").send(interim).expect("it hears");
    };
    for status in [None, Some(StatusCode::PROCESSING)] {
        status.into_iter().for_each(&say);
        let silence = tokio::time::timeout(Duration::from_secs(20), request.body.frame()).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    say(StatusCode::CONTINUE);
    let end = tokio::time::timeout(Duration::from_secs(3), request.body.frame()).await.expect("an end");
    assert!(matches!(end, Some(Err(BodyError::TooSlow))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_sends_before_the_banks_word_keeps_a_pace() {
    let uploads = uploads();
    let (mut request, feed) = slow(Size::Unknown);
    request.fields.push("Expect", "100-continue");
    uploads.admit(&mut request, &BankMetrics::default()).await.expect("a place");
    let _waiting = uploads.crowd.join();
    feed.send("x").unwrap();
    assert!(matches!(request.body.frame().await, Some(Ok(Frame::Data(_)))));
    let end = tokio::time::timeout(Duration::from_secs(3), request.body.frame()).await.expect("an end");
    assert!(matches!(end, Some(Err(BodyError::TooSlow))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_the_bank_takes_nothing_is_not_the_apps() {
    let uploads = uploads();
    let (mut first, feed) = slow(Size::Unknown);
    uploads.admit(&mut first, &BankMetrics::default()).await.expect("a place");
    feed.send("x").unwrap();
    let _waiting = uploads.crowd.join();
    // Nobody asks for more for a minute.
    assert!(first.body.frame().await.is_some());
    tokio::time::sleep(Duration::from_mins(1)).await;
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = feed.send("y");
    });
    assert!(matches!(first.body.frame().await, Some(Ok(Frame::Data(_)))));
}

#[tokio::test]
async fn a_place_is_free_again_at_the_bodys_end() {
    let uploads = uploads();
    let (mut first, feed) = slow(Size::Exact(2));
    uploads.admit(&mut first, &BankMetrics::default()).await.expect("a place");
    assert_eq!(uploads.places.available_permits(), 0);
    feed.send("ab").unwrap();
    first.body.frame().await.expect("a frame").expect("no error");
    assert_eq!(uploads.places.available_permits(), 1);
}
