//! A bank's end of the connection is rustls' buffered API, so each speaks with another implementation of the turns.

mod records;

use std::io::IoSlice;

use rustls::{AlertDescription, ProtocolVersion, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::upstream::connect::connect;
use crate::upstream::tls_bank::{Bank, Setup, client, trusting};

use super::*;

type BankSide = tokio_rustls::server::TlsStream<TcpStream>;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Both ends of a connection.
async fn pair(version: &'static SupportedProtocolVersion) -> (TlsStream, BankSide) {
    pair_with(Setup { version, ..Setup::default() }).await
}

async fn pair_with(setup: Setup) -> (TlsStream, BankSide) {
    let bank = Bank::start(setup).await;
    let (endpoint, tls) = (bank.endpoint(), client(&trusting(&bank.root), None));
    let (connected, accepted) =
        tokio::join!(connect(&endpoint, &tls, std::time::Duration::from_secs(10)), bank.accept());
    (connected.expect("a connection").stream, accepted.expect("a handshake"))
}

/// Bytes that show where they were.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + at / 1000) % 251).expect("less than 256")).collect()
}

async fn fill(stream: &mut TlsStream, into: &mut BytesMut, most: usize) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_fill(cx, into, most)).await
}

/// Reads in steps of these sizes, one after the other, to the end.
async fn read_all(stream: &mut TlsStream, steps: &[usize]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    for step in steps.iter().cycle() {
        let mut into = BytesMut::with_capacity(*step);
        if fill(stream, &mut into, *step).await? == 0 {
            break;
        }
        all.extend_from_slice(&into);
    }
    Ok(all)
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[tokio::test]
async fn content_comes_whole_however_large_the_records_and_the_steps_of_reading_are() {
    for version in VERSIONS {
        for steps in [&[1, 70_000, 5][..], &[16 * 1024], &[1 << 20], &[3000, 17_000]] {
            let (mut stream, mut bank) = pair(version).await;
            let sent = content(1_500_000);
            let (written, read) = tokio::join!(
                async {
                    for piece in sent.chunks(40_001).flat_map(|piece| [&piece[..1], &piece[1..]]) {
                        bank.write_all(piece).await?;
                    }
                    bank.shutdown().await
                },
                read_all(&mut stream, steps)
            );
            written.expect("a reader");
            assert!(read.expect("content and its end") == sent, "{version:?} {steps:?}");
        }
    }
}

async fn take(stream: &mut TlsStream) -> io::Result<Bytes> {
    poll_fn(|cx| stream.poll_take(cx)).await
}

#[tokio::test]
async fn content_that_is_taken_as_it_came_is_whole_whatever_was_read_otherwise_in_between() {
    for version in VERSIONS {
        for (steps, reach) in [(&[0][..], 512 * 1024), (&[1, 0, 20_000], 300_000), (&[0, 100], 0)] {
            let (mut stream, mut bank) = pair(version).await;
            stream.reach_for(reach);
            let sent = content(3_000_000);
            let read = async {
                let mut all = Vec::new();
                for step in steps.iter().cycle() {
                    let mut into = BytesMut::with_capacity(*step);
                    let part = if *step == 0 { take(&mut stream).await? } else { Bytes::new() };
                    if *step == 0 && part.is_empty() || *step > 0 && fill(&mut stream, &mut into, *step).await? == 0 {
                        break;
                    }
                    all.extend_from_slice(&part);
                    all.extend_from_slice(&into);
                }
                io::Result::Ok(all)
            };
            let write = async {
                for piece in sent.chunks(150_001).flat_map(|piece| [&piece[..1], &piece[1..]]) {
                    bank.write_all(piece).await?;
                }
                bank.shutdown().await
            };
            let (written, read) = tokio::join!(write, read);
            written.expect("a reader");
            assert!(read.expect("content and its end") == sent, "{version:?} {steps:?}");
        }
    }
}

#[tokio::test]
async fn content_of_every_suite_is_found_where_it_was_decrypted() {
    let suites = crate::upstream::tls::provider().cipher_suites.clone();
    // An RSA suite is its ECDSA twin with another certificate.
    let suites = suites.into_iter().filter(|suite| !format!("{suite:?}").contains("_RSA_"));
    for suite in suites {
        let setup = Setup { version: suite.version(), suite: Some(suite), ..Setup::default() };
        let (mut stream, mut bank) = pair_with(setup).await;
        assert_eq!(stream.session().negotiated_cipher_suite().map(|suite| suite.suite()), Some(suite.suite()));
        let sent = content(200_000);
        let write = async {
            bank.write_all(&sent).await?;
            bank.shutdown().await
        };
        let (written, read) = tokio::join!(write, read_all(&mut stream, &[50_000]));
        written.expect("a reader");
        assert!(read.expect("content and its end") == sent, "{suite:?}");
    }
}

#[tokio::test]
async fn what_came_before_an_error_is_taken_and_then_the_error_shows() {
    for version in VERSIONS {
        let (mut stream, mut bank) = pair(version).await;
        bank.write_all(b"some").await.expect("a connection");
        let forged = [&[23, 3, 3, 0, 64][..], &[7; 64]].concat();
        bank.get_mut().0.write_all(&forged).await.expect("a connection");
        assert_eq!(take(&mut stream).await.expect("content"), "some");
        for _ in 0..2 {
            let error = take(&mut stream).await.expect_err("no content");
            assert_eq!(rustls_error(&error), Some(&rustls::Error::DecryptError));
        }
    }
}

#[tokio::test]
async fn what_is_written_arrives_whole_and_no_more_of_it_waits_than_is_meant_to() {
    for version in VERSIONS {
        let (mut stream, mut bank) = pair(version).await;
        let sent = content(8_000_000);
        let mut left = &sent[..];
        // The bank does not read yet, and the socket takes only so much.
        poll_fn(|cx| {
            while let Poll::Ready(bytes) = Pin::new(&mut stream).poll_write(cx, left) {
                left = &left[bytes.expect("a connection")..];
                assert!(stream.sealed.len() < HELD + 1024, "{} wait", stream.sealed.len());
            }
            Poll::Ready(())
        })
        .await;
        assert!(!left.is_empty(), "the socket takes anything");
        let mut read = vec![0; sent.len()];
        let (written, read_whole) = tokio::join!(
            async {
                let halves = left.split_at(left.len() / 2);
                let mut parts = [halves.0, b"", halves.1].map(IoSlice::new);
                let mut parts = &mut parts[..];
                while !parts.is_empty() {
                    let bytes = stream.write_vectored(parts).await?;
                    IoSlice::advance_slices(&mut parts, bytes);
                }
                stream.flush().await
            },
            bank.read_exact(&mut read)
        );
        written.expect("a connection");
        read_whole.expect("all of it");
        assert!(read == sent, "{version:?}");
        assert!(stream.sealed.capacity() <= MOST_KEPT, "buffers stay small");
    }
}

#[tokio::test]
async fn an_end_is_one_only_with_the_word_of_tls_for_it() {
    for version in VERSIONS {
        for is_said in [true, false] {
            let (mut stream, mut bank) = pair(version).await;
            bank.write_all(b"some").await.expect("a connection");
            if is_said {
                bank.shutdown().await.expect("a connection");
            }
            drop(bank);
            let mut into = BytesMut::with_capacity(100);
            assert_eq!(fill(&mut stream, &mut into, 100).await.expect("content"), 4);
            for _ in 0..2 {
                match fill(&mut stream, &mut into, 100).await {
                    Ok(bytes) => assert!(is_said && bytes == 0),
                    Err(error) => assert!(!is_said && error.kind() == io::ErrorKind::UnexpectedEof, "{error}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn who_has_nothing_more_to_say_still_listens_on_both_sides() {
    for version in VERSIONS {
        let (mut stream, mut bank) = pair(version).await;
        bank.shutdown().await.expect("a connection");
        let mut into = BytesMut::with_capacity(100);
        assert_eq!(fill(&mut stream, &mut into, 100).await.expect("an end"), 0);
        stream.write_all(b"still here").await.expect("a listener");
        stream.shutdown().await.expect("a connection");
        let mut heard = Vec::new();
        bank.read_to_end(&mut heard).await.expect("an end with TLS's word for it");
        assert_eq!(heard, b"still here");
    }
}

#[tokio::test]
async fn what_is_no_record_of_the_bank_ends_all_and_the_bank_is_told() {
    for version in VERSIONS {
        let (mut stream, mut bank) = pair(version).await;
        bank.write_all(b"some").await.expect("a connection");
        let forged = [&[23, 3, 3, 0, 64][..], &[7; 64]].concat();
        bank.get_mut().0.write_all(&forged).await.expect("a connection");
        let mut into = BytesMut::with_capacity(100);
        assert_eq!(fill(&mut stream, &mut into, 100).await.expect("what came before"), 4);
        for _ in 0..2 {
            let error = fill(&mut stream, &mut into, 100).await.expect_err("no content");
            assert_eq!(rustls_error(&error), Some(&rustls::Error::DecryptError));
            let error = stream.write(b"more").await.expect_err("no connection");
            assert_eq!(rustls_error(&error), Some(&rustls::Error::DecryptError));
        }
        let error = bank.read_u8().await.expect_err("an alert");
        assert_eq!(rustls_error(&error), Some(&rustls::Error::AlertReceived(AlertDescription::BadRecordMac)));
    }
}

#[tokio::test]
async fn what_came_before_an_alert_is_content_even_if_a_write_finds_the_alert() {
    let (mut stream, mut bank) = pair(&rustls::version::TLS13).await;
    bank.write_all(b"some").await.expect("a connection");
    let forged = [&[23, 3, 3, 0, 64][..], &[7; 64]].concat();
    bank.get_mut().0.write_all(&forged).await.expect("a connection");
    // The first byte brings all that has come.
    let mut into = BytesMut::with_capacity(1);
    assert_eq!(fill(&mut stream, &mut into, 1).await.expect("content"), 1);
    let before = stream.wire().written().get();
    while stream.intake.ciphertext().is_empty() {
        let TlsStream { intake, wire, .. } = &mut stream;
        poll_fn(|cx| intake.poll_read(wire, cx)).await.expect("more");
    }
    stream.write(b"more").await.expect_err("no connection");
    assert!(stream.has_spoken() && !stream.intake.content().is_empty());
    let mut rest = BytesMut::with_capacity(100);
    assert_eq!(fill(&mut stream, &mut rest, 100).await.expect("the rest"), 3);
    fill(&mut stream, &mut rest, 100).await.expect_err("and then the error");
    // An alert and nothing else has left: a record of it is smaller than any with content would be beside it.
    assert!(stream.wire().written().get() - before < 40);
}

#[tokio::test]
async fn keys_change_when_either_side_wants_it() {
    let (mut stream, mut bank) = pair(&rustls::version::TLS13).await;
    assert_eq!(stream.session().protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let mut into = BytesMut::with_capacity(100);
    for round in 0..3 {
        bank.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
        bank.write_all(&[round; 10]).await.expect("a connection");
        into.clear();
        assert_eq!(fill(&mut stream, &mut into, 100).await.expect("content"), 10);
        assert_eq!(into[..], [round; 10]);
        // The bank asked for new keys of ours as well.
        stream.write_all(&[round; 20]).await.expect("a connection");
        stream.flush().await.expect("a connection");
        let mut heard = [0; 20];
        bank.read_exact(&mut heard).await.expect("content");
        assert_eq!(heard, [round; 20]);
    }
}

#[tokio::test]
async fn a_look_finds_nothing_while_only_tickets_have_come_and_something_when_content_has() {
    let (mut stream, mut bank) = pair(&rustls::version::TLS13).await;
    // Tickets follow the bank's first read at the latest.
    stream.write_all(b"x").await.expect("a connection");
    bank.read_u8().await.expect("content");
    let look = |stream: &mut TlsStream, cx: &mut Context<'_>| stream.poll_fill(cx, &mut BytesMut::new(), 0);
    assert!(poll_fn(|cx| Poll::Ready(look(&mut stream, cx))).await.is_pending());
    bank.write_all(b"unasked").await.expect("a connection");
    assert_eq!(poll_fn(|cx| look(&mut stream, cx)).await.expect("content"), 0);
    stream.rest();
    let mut into = BytesMut::with_capacity(100);
    assert_eq!(fill(&mut stream, &mut into, 100).await.expect("content"), 7);
}

#[tokio::test]
async fn connections_of_one_thread_do_not_find_each_others_content() {
    let mut pairs = Vec::new();
    for version in VERSIONS {
        pairs.push(pair(version).await);
    }
    for round in 0..5_u8 {
        for (index, (_, bank)) in (0_u8..).zip(&mut pairs) {
            bank.write_all(&[round, index]).await.expect("a connection");
        }
        for (index, (stream, _)) in (0_u8..).zip(&mut pairs) {
            assert_eq!(take(stream).await.expect("content")[..], [round, index]);
        }
    }
}

#[tokio::test]
async fn a_connection_at_rest_holds_no_large_buffer_whatever_lies_in_it() {
    let (mut stream, mut bank) = pair(&rustls::version::TLS13).await;
    bank.write_all(b"some").await.expect("a connection");
    bank.get_mut().0.write_all(&[23, 3, 3]).await.expect("a connection");
    assert_eq!(fill(&mut stream, &mut BytesMut::new(), 0).await.expect("a look"), 0);
    while !stream.holds_part() {
        let TlsStream { intake, wire, .. } = &mut stream;
        poll_fn(|cx| intake.poll_read(wire, cx)).await.expect("more");
    }
    stream.rest();
    assert!(stream.intake.holds_at_most(100));
    assert_eq!(take(&mut stream).await.expect("content"), "some");
}
