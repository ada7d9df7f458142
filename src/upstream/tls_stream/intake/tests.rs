//! What is held, and for how long, and that content is taken once and in order.

use std::future::poll_fn;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::upstream::wire::Life;

use super::*;

/// Both ends of a connection.
async fn pair() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (bank, _) = listener.accept().await.unwrap();
    (Wire::new(tcp, Life::default()), bank)
}

async fn read(intake: &mut Intake, wire: &mut Wire) -> io::Result<usize> {
    poll_fn(|cx| intake.poll_read(wire, cx)).await
}

#[tokio::test]
async fn who_reaches_no_farther_than_usual_holds_no_more_whatever_others_gave_back() {
    let (mut far, mut usual) = (Intake::default(), Intake::default());
    far.reach_for(4 * AHEAD);
    let (mut wire, mut bank) = pair().await;
    bank.write_all(b"ab").await.unwrap();
    read(&mut far, &mut wire).await.unwrap();
    assert_eq!(far.ciphertext(), b"ab");
    assert!(far.buffer.capacity() >= 4 * AHEAD);
    far.discard(2);
    assert_eq!(far.buffer.capacity(), 0);
    bank.write_all(b"cd").await.unwrap();
    read(&mut usual, &mut wire).await.unwrap();
    assert_eq!(usual.buffer.capacity(), AHEAD);
}

#[test]
fn a_buffer_that_reaches_farther_is_left_to_whoever_reaches_so_far() {
    give_back(Vec::with_capacity(4 * AHEAD));
    let mut intake = Intake::default();
    intake.make_room(3 * AHEAD);
    assert_eq!(intake.buffer.capacity(), 0);
    intake.make_room(4 * AHEAD);
    assert_eq!(intake.buffer.capacity(), 4 * AHEAD);
}

#[tokio::test]
async fn who_waits_for_the_rest_of_a_record_holds_no_more_than_its_beginning() {
    let ((mut wire, mut bank), mut intake) = (pair().await, Intake::default());
    bank.write_all(b"abc").await.unwrap();
    read(&mut intake, &mut wire).await.unwrap();
    intake.discard(1);
    assert!(poll_fn(|cx| Poll::Ready(intake.poll_read(&mut wire, cx))).await.is_pending());
    assert_eq!(intake.ciphertext(), b"bc");
    assert_eq!(intake.buffer.capacity(), 2);
    bank.write_all(b"de").await.unwrap();
    read(&mut intake, &mut wire).await.unwrap();
    assert_eq!(intake.ciphertext(), b"bcde");
}

#[tokio::test]
async fn content_that_nobody_has_taken_stays_while_more_is_read() {
    let ((mut wire, mut bank), mut intake) = (pair().await, Intake::default());
    bank.write_all(b"-one-two-th").await.unwrap();
    read(&mut intake, &mut wire).await.unwrap();
    for _ in 0..2 {
        intake.decrypted(1..4);
        intake.discard(4);
    }
    assert!(poll_fn(|cx| Poll::Ready(intake.poll_read(&mut wire, cx))).await.is_pending());
    bank.write_all(b"ree").await.unwrap();
    read(&mut intake, &mut wire).await.unwrap();
    assert_eq!(intake.ciphertext(), b"-three");
    intake.decrypted(1..6);
    intake.discard(6);
    assert_eq!(intake.content(), b"onetwothree");
}

#[tokio::test]
async fn no_more_is_held_than_a_message_of_the_handshake_may_have() {
    let ((mut wire, mut bank), mut intake) = (pair().await, Intake::default());
    intake.reach_for(4 * AHEAD);
    let bank = tokio::spawn(async move { while bank.write_all(&[0; 1000]).await.is_ok() {} });
    let error = loop {
        if let Err(error) = read(&mut intake, &mut wire).await {
            break error;
        }
        assert!(intake.buffer.capacity() <= 4 * AHEAD);
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    drop(wire);
    bank.await.unwrap();
}

/// A buffer that was read into, with `bytes` in it.
fn filled(bytes: &[u8]) -> Intake {
    let mut intake = Intake::default();
    intake.make_room(AHEAD);
    intake.buffer.reserve_exact(AHEAD);
    intake.buffer.extend_from_slice(bytes);
    intake
}

#[test]
fn much_content_is_taken_with_its_buffer_and_little_without() {
    for (length, is_moved) in [(AHEAD / 2 + 1, false), (AHEAD / 2 - 1, true)] {
        let mut intake = filled(&vec![7; length + 9]);
        let at = intake.buffer.as_ptr().addr() + 5;
        intake.decrypted(5..5 + length);
        intake.discard(length + 5);
        let content = intake.take();
        assert_eq!((content.len(), content.as_ptr().addr() != at), (length, is_moved));
        assert_eq!(intake.ciphertext(), [7; 4]);
        assert!(is_moved || intake.buffer.capacity() == 4, "the rest is held by itself");
        assert!(intake.content().is_empty());
    }
}

#[test]
fn a_buffer_is_read_into_again_when_nothing_of_its_content_is_wanted_any_more() {
    let mut intake = filled(&vec![7; AHEAD]);
    let at = intake.buffer.as_ptr();
    intake.decrypted(0..AHEAD);
    intake.discard(AHEAD);
    let mut content = intake.take();
    let part = content.split_to(10);
    drop(content);
    assert_ne!(filled(&[]).buffer.as_ptr(), at);
    drop(part);
    assert_eq!(filled(&[]).buffer.as_ptr(), at);
}

proptest! {
    /// Each record has something before its content and something behind it.
    #[test]
    fn content_is_taken_once_and_in_order_however_it_is_taken(
        records in proptest::collection::vec((0_usize..30, 1_usize..5000, 0_usize..30), 1..20),
        takes in proptest::collection::vec(0_usize..9000, 1..20),
        all_at in 0_usize..20,
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (index, (before, length, behind)) in records.iter().enumerate() {
            let content = vec![u8::try_from(index).unwrap(); *length];
            bytes.extend_from_slice(&vec![254; *before]);
            bytes.extend_from_slice(&content);
            bytes.extend_from_slice(&vec![255; *behind]);
            expected.extend_from_slice(&content);
        }
        let (mut intake, mut taken) = (filled(&bytes), Vec::new());
        for (index, (before, length, behind)) in records.iter().enumerate() {
            intake.decrypted(*before..before + length);
            intake.discard(before + length + behind);
            match takes.get(index) {
                _ if index == all_at => taken.extend_from_slice(&intake.take()),
                Some(room) => _ = intake.move_to(&mut taken, *room),
                None => {}
            }
        }
        taken.extend_from_slice(&intake.take());
        prop_assert!(taken == expected);
        prop_assert_eq!(intake.buffer.capacity(), 0);
    }
}
