//! How connections end: hang-ups, half-closed apps, answers that break off, slow readers, drain.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::support::*;
use crate::inbound::rest::LAST_REQUESTS;
use crate::message::{Body, BodyError, BodyStream, Frame, Request, Response, Size};

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Answers after ten seconds.
fn slow() -> Answering {
    Answering::new(|_| async {
        sleep(Duration::from_secs(10)).await;
        ok("late")
    })
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_drops_the_services_future() {
    for request in [GET, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"] {
        let service = slow();
        let mut app = app(service.clone());
        app.send(request).await;
        sleep(Duration::from_secs(1)).await;
        drop(app.io);
        let start = Instant::now();
        app.serving.await.unwrap();
        assert_eq!((service.calls.load(Ordering::SeqCst), service.dropped.load(Ordering::SeqCst)), (1, 1));
        assert_eq!(start.elapsed().as_secs(), 0);
    }
}

#[tokio::test]
async fn a_reset_drops_the_services_future() {
    let service = Answering::new(|_| std::future::pending());
    let mut app = tcp_app(service.clone()).await;
    app.send(GET).await;
    while service.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    app.io.set_zero_linger().unwrap();
    drop(app.io);
    app.serving.await.unwrap();
    assert_eq!(service.dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_app_that_has_nothing_more_to_say_still_gets_its_answers() {
    let mut app = tcp_app(targets()).await;
    app.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n").await;
    app.io.shutdown().await.unwrap();
    let answers = app.read_all().await.unwrap();
    assert!(answers.contains("\r\n\r\n/a") && answers.ends_with("\r\n\r\n/b"), "{answers}");
    app.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_app_is_waited_for_while_the_service_works() {
    let service = slow();
    let mut app = unix_app(service.clone());
    app.send(GET).await;
    app.io.shutdown().await.unwrap();
    assert!(app.read_all().await.unwrap().ends_with("\r\n\r\nlate"));
    assert_eq!(service.dropped.load(Ordering::SeqCst), 0);
}

/// Closes its side after `pause`; whether the app gets the answer. The request departs at once or never.
async fn is_answered(request: &str, pause: Duration, departs: bool) -> bool {
    let service = Answering::departing(move |request, departure| async move {
        if departs {
            departure.begin();
        }
        sleep(Duration::from_secs(10)).await;
        drop(request);
        ok("late")
    });
    let mut app = unix_app(service.clone());
    app.send(request).await;
    sleep(pause).await;
    app.io.shutdown().await.unwrap();
    let start = Instant::now();
    let answer = app.read_all().await.unwrap();
    app.serving.await.unwrap();
    let dropped = service.dropped.load(Ordering::SeqCst) == 1;
    assert_eq!(dropped, answer.is_empty());
    assert!(!dropped || start.elapsed() < Duration::from_millis(1), "it is given up at once");
    !dropped
}

#[tokio::test(start_paused = true)]
async fn an_app_that_closes_its_side_late_is_given_up_as_long_as_its_request_has_not_left() {
    let (soon, late) = (Duration::from_millis(400), Duration::from_millis(600));
    let with_body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    // Longer than what is handed on as a whole: nobody has asked for it when the app closes.
    let long = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
    for request in [GET, with_body, &long] {
        assert!(is_answered(request, Duration::ZERO, false).await);
        assert!(is_answered(request, soon, false).await);
        assert!(is_answered(request, late, true).await);
        assert!(!is_answered(request, late, false).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_for_closing_ones_side_counts_from_the_end_of_the_body() {
    let service = Answering::departing(|request: Request, _| async move {
        let read = request.body.collect(100).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        ok(read.unwrap())
    });
    let mut app = unix_app(service);
    app.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab").await;
    sleep(Duration::from_secs(2)).await;
    app.send("cd").await;
    sleep(Duration::from_millis(400)).await;
    app.io.shutdown().await.unwrap();
    assert!(app.read_all().await.unwrap().ends_with("\r\n\r\nabcd"));
}

#[tokio::test]
async fn an_answer_that_fails_midway_cannot_be_taken_for_complete() {
    for (size, version) in [(Size::Unknown, "1.1"), (Size::Exact(10), "1.1"), (Size::Unknown, "1.0")] {
        let (feed, body) = fed(size);
        let body = Mutex::new(Some(body));
        let service = Answering::new(move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Response::new(StatusCode::OK, body) }
        });
        let mut app = tcp_app(service).await;
        app.send(format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n")).await;
        feed.send(data("hello")).unwrap();
        app.read_to("hello").await;
        feed.send(Err(BodyError::Incomplete)).unwrap();
        let mut rest = Vec::new();
        let end = app.io.read_to_end(&mut rest).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    }
}

/// How an answer of unknown length ends for an HTTP/1.0 app that does not read, while `cut` is what ends it.
async fn end_of_a_part<F: Future<Output = ()>>(cut: impl FnOnce(tokio::task::JoinHandle<()>) -> F) -> io::ErrorKind {
    let service = Answering::new(|_| {
        // More than lies in sockets on the way.
        let body = frames(Size::Unknown, (0..64).map(|_| Ok(Frame::Data(vec![b'x'; 1024 * 1024].into()))));
        async move { Response::new(StatusCode::OK, body) }
    });
    let mut app = tcp_app(service).await;
    app.send("GET / HTTP/1.0\r\n\r\n").await;
    app.io.readable().await.unwrap();
    cut(app.serving).await;
    let end = app.io.read_to_end(&mut Vec::new()).await;
    end.expect_err("it is taken for the whole").kind()
}

#[tokio::test]
async fn an_answer_until_close_that_an_app_is_too_slow_for_cannot_be_taken_for_complete() {
    let cut = |serving: tokio::task::JoinHandle<()>| async {
        // However far this runs, it is the app that does not read.
        tokio::time::pause();
        serving.await.unwrap();
    };
    assert_eq!(end_of_a_part(cut).await, io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_until_close_that_is_cut_off_cannot_be_taken_for_complete() {
    let cut = |serving: tokio::task::JoinHandle<()>| async {
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
    };
    assert_eq!(end_of_a_part(cut).await, io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_until_close_that_is_whole_ends_in_order() {
    let service = Answering::new(|_| {
        let body = frames(Size::Unknown, [data("hello"), data(" world")]);
        async move { Response::new(StatusCode::OK, body) }
    });
    let mut app = tcp_app(service).await;
    app.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = app.read_all().await.unwrap();
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world");
    app.serving.await.unwrap();
}

/// What an HTTP/1.0 app on a unix socket gets for an answer of unknown length.
async fn without_a_reset(content: impl Fn() -> Vec<Result<Frame, BodyError>> + Send + Sync + 'static) -> String {
    let service = Answering::new(move |_| {
        let body = frames(Size::Unknown, content());
        async move { Response::new(StatusCode::OK, body) }
    });
    let mut app = unix_app(service);
    app.send("GET / HTTP/1.0\r\n\r\n").await;
    app.read_all().await.unwrap()
}

#[tokio::test]
async fn an_http_1_0_app_whose_connection_cannot_be_reset_gets_a_length_or_no_answer_at_all() {
    let whole = without_a_reset(|| vec![data("hello"), data(" world")]).await;
    assert_eq!(whole, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello world");
    assert_eq!(without_a_reset(|| vec![data("hello"), Err(BodyError::Incomplete)]).await, "");
    let piece = || Ok(Frame::Data("x".repeat(700_000).into()));
    let long = without_a_reset(move || vec![piece(), piece(), data("end")]).await;
    let (head, content) = long.split_once("\r\n\r\n").unwrap();
    assert_eq!((head, content.len()), ("HTTP/1.1 200 OK\r\nConnection: close", 1_400_003));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_complete_with_its_last_byte_whatever_comes_of_the_end() {
    let feeds = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&feeds);
    let service = Answering::new(move |_| {
        let (feed, body) = fed(Size::Exact(5));
        feed.send(data("hello")).unwrap();
        let mut feeds = kept.lock().unwrap();
        if feeds.is_empty() {
            feed.send(Err(BodyError::Incomplete)).unwrap();
        }
        // The second one never ends.
        feeds.push(feed);
        async move { Response::new(StatusCode::OK, body) }
    });
    let mut app = app(service);
    for _ in 0..3 {
        app.send(GET).await;
        assert!(app.read_to("\r\n\r\nhello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(feeds.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_length_than_it_said_breaks_off() {
    for (said, frames_) in [(4, [data("hello"), data("")]), (6, [data("hello"), data("")])] {
        let body = Mutex::new(Some(frames(Size::Exact(said), frames_)));
        let service = Answering::new(move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Response::new(StatusCode::OK, body) }
        });
        let mut app = app(service);
        app.send(GET).await;
        let answer = app.read_all().await.unwrap();
        assert!(answer.ends_with("\r\n\r\n") || answer.ends_with("\r\n\r\nhello"), "{answer}");
        app.serving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_does_not_read_is_given_up_after_30_s() {
    let service = Answering::new(|_| async { ok(vec![b'x'; 100_000]) });
    let mut app = app_with_room(service, 1000);
    app.send(GET).await;
    let start = Instant::now();
    sleep(Duration::from_secs(20)).await;
    app.io.read_exact(&mut [0; 500]).await.unwrap();
    let App { io, serving, .. } = app;
    serving.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 50);
    drop(io);
}

#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_reader_gets_everything() {
    let service = Answering::new(|_| async { ok(vec![b'x'; 10_000]) });
    let mut app = app_with_room(service, 100);
    app.send(GET).await;
    let (mut count, mut buf) = (0, [0; 100]);
    let mut head = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n".len();
    while count < 10_000 {
        sleep(Duration::from_secs(5)).await;
        let read = app.io.read(&mut buf).await.unwrap();
        assert!(read > 0);
        count += read - head.min(read);
        head -= head.min(read);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_while_the_answers_body_is_waited_for_drops_it() {
    let (feed, body) = fed(Size::Unknown);
    let body = Mutex::new(Some(body));
    let service = Answering::new(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(StatusCode::OK, body) }
    });
    let mut app = app(service);
    app.send(GET).await;
    app.read_to("\r\n\r\n").await;
    drop(app.io);
    feed.closed().await;
    app.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_closes_what_rests_soon_and_what_works_after_its_answer() {
    let start = Instant::now();
    for requests in [0, 1] {
        let mut resting = app(targets());
        for _ in 0..requests {
            assert!(resting.works().await);
        }
        tokio::task::yield_now().await;
        resting.drain.cancel();
        assert_eq!(resting.read_all().await.unwrap(), "");
    }
    assert_eq!(start.elapsed(), 2 * LAST_REQUESTS);

    let mut late = app(targets());
    assert!(late.works().await);
    late.drain.cancel();
    late.send(GET).await;
    assert!(late.read_all().await.unwrap().contains("\r\nConnection: close\r\n"), "it is answered, and told");

    let mut busy = app(slow());
    busy.send(GET).await;
    sleep(Duration::from_secs(1)).await;
    busy.drain.cancel();
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate";
    assert_eq!(busy.read_all().await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn draining_lets_a_head_that_has_begun_come_in() {
    let mut app = app(targets());
    app.send("GET /a HTTP/1.1\r\n").await;
    tokio::task::yield_now().await;
    app.drain.cancel();
    sleep(Duration::from_secs(1)).await;
    app.send("Host: x\r\n\r\n").await;
    assert!(app.read_all().await.unwrap().contains("Connection: close\r\n\r\n/a"));
}

#[tokio::test(start_paused = true)]
async fn connection_close_is_obeyed() {
    let mut app = app(targets());
    app.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answers = app.read_all().await.unwrap();
    assert_eq!(answers, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/a");
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_by_and_by_are_passed_on_at_once() {
    let service = Answering::new(|_: Request| async {
        let (feed, body) = fed(Size::Unknown);
        tokio::spawn(async move {
            for piece in ["one", "two"] {
                sleep(Duration::from_secs(1)).await;
                let _ = feed.send(Ok(Frame::Data(piece.into())));
            }
        });
        Response::new(StatusCode::OK, body)
    });
    let mut app = app(service);
    let start = Instant::now();
    app.send(GET).await;
    app.read_to("\r\n\r\n").await;
    assert_eq!(start.elapsed().as_secs(), 0);
    app.read_to("one\r\n").await;
    assert_eq!(start.elapsed().as_secs(), 1);
    assert_eq!(app.read_to("0\r\n\r\n").await, "3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(start.elapsed().as_secs(), 2);
}

/// Its app and its bank are as fast as can be, so it never waits by itself.
#[tokio::test]
async fn a_large_answer_lets_others_have_their_turn() {
    /// Pieces that are there at once. Each notes how many turns others have had.
    struct Pieces {
        left: usize,
        turns: Arc<AtomicUsize>,
        seen: Arc<Mutex<BTreeSet<usize>>>,
    }
    impl BodyStream for Pieces {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
            self.left = left;
            self.seen.lock().unwrap().insert(self.turns.load(Ordering::SeqCst));
            Poll::Ready(Some(Ok(Frame::Data(vec![b'x'; 64 * 1024].into()))))
        }
        fn size(&self) -> Size {
            Size::Unknown
        }
    }
    let (turns, seen) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<BTreeSet<usize>>>::default());
    let body = (Arc::clone(&turns), Arc::clone(&seen));
    let service = Answering::new(move |_| {
        let (turns, seen) = (Arc::clone(&body.0), Arc::clone(&body.1));
        std::future::ready(Response::new(StatusCode::OK, Body::stream(Pieces { left: 256, turns, seen })))
    });
    let mut app = app_with_room(service, 64 * 1024 * 1024);
    let other = tokio::spawn(async move {
        loop {
            turns.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    app.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(app.read_all().await.unwrap().len() > 16 * 1024 * 1024);
    other.abort();
    // Who stood back last is woken first, so two turns may follow each other: one of others' in a megabyte is sure.
    assert!(seen.lock().unwrap().len() >= 16, "{seen:?}");
}
