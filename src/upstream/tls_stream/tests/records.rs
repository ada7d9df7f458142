//! Records of every kind among those with content, from a bank that can send any.

use proptest::prelude::*;

use crate::upstream::tls_bank::odd::MARK;

use super::*;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CONTENT: u8 = 23;

/// A record of this type.
fn odd(typ: u8, content: &[u8]) -> Vec<u8> {
    [MARK, &[typ], content].concat()
}

/// What is read of these records, and how it ends. A bank that is let goes on in a write of its own.
async fn read_records(
    version: &'static SupportedProtocolVersion,
    records: &[Vec<u8>],
    is_taken: bool,
) -> (Vec<u8>, io::Result<()>) {
    let (mut stream, mut bank) = pair_with(Setup { version, is_odd: true, ..Setup::default() }).await;
    bank.get_mut().1.set_buffer_limit(None);
    for record in records {
        io::Write::write_all(&mut bank.get_mut().1.writer(), record).expect("room");
    }
    bank.flush().await.expect("a connection");
    let (mut all, mut has_gone_on) = (Vec::new(), false);
    loop {
        let part = if is_taken {
            take(&mut stream).await
        } else {
            let mut into = BytesMut::with_capacity(100_000);
            fill(&mut stream, &mut into, 100_000).await.map(|_| into.freeze())
        };
        match part {
            Err(error) => return (all, Err(error)),
            Ok(part) if part.is_empty() => return (all, Ok(())),
            Ok(part) => all.extend_from_slice(&part),
        }
        if !std::mem::replace(&mut has_gone_on, true) {
            // Who has been told of an error does not listen.
            let _ = bank.write_all(b"later").await;
            let _ = bank.shutdown().await;
        }
    }
}

#[tokio::test]
async fn content_is_found_among_records_of_every_kind() {
    for (version, is_taken) in VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let is_newest = version.version == ProtocolVersion::TLSv1_3;
        // A message of the handshake in pieces: a ticket, or a HelloRequest.
        let message: &[u8] = if is_newest { b"\x04\0\0\x0e\0\0\0\x09\0\0\0\x01\0\0\x01z\0\0" } else { &[0; 4] };
        let mut records = vec![b"first ".to_vec(), odd(CONTENT, b""), odd(CONTENT, b"")];
        records.extend(message.chunks(3).map(|piece| odd(HANDSHAKE, piece)));
        records.push(b"second ".to_vec());
        if is_newest {
            // RFC 8446, section 5.4: behind the content its type, and then zeros, if this is not the real type.
            let padded = odd(0, &[b"padded ", &[CONTENT][..], &[0; 9000]].concat());
            records.extend([padded.clone(), padded]);
        }
        records.push(b"third ".to_vec());
        let (read, end) = read_records(version, &records, is_taken).await;
        end.expect("an end");
        let padded = if is_newest { "padded padded " } else { "" };
        assert_eq!(String::from_utf8_lossy(&read), format!("first second {padded}third later"), "{version:?}");
    }
}

#[tokio::test]
async fn what_tls_forbids_ends_the_connection_behind_what_came_before() {
    for (version, is_taken) in VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let empty = rustls::InvalidMessage::InvalidEmptyPayload;
        let half = if version.version == ProtocolVersion::TLSv1_3 { b"\x18\0" } else { b"\0\0" };
        let cases = [
            (odd(HANDSHAKE, b""), Some(rustls::Error::InvalidMessage(empty))),
            (odd(ALERT, b"\x02\x28"), Some(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure))),
            // Content within a message of the handshake.
            (odd(HANDSHAKE, half), None),
        ];
        for (record, expected) in cases {
            let records = [b"before".to_vec(), record.clone(), b"behind".to_vec()];
            let (read, end) = read_records(version, &records, is_taken).await;
            assert_eq!(String::from_utf8_lossy(&read), "before", "{version:?} {record:?}");
            let error = end.expect_err("no end");
            let error = rustls_error(&error).expect("an error of TLS");
            assert!(expected.is_none_or(|expected| expected == *error), "{error}");
        }
    }
}

#[tokio::test]
async fn a_bank_that_goes_on_without_content_is_cut_and_one_that_says_some_in_between_is_not() {
    let ticket = b"\x04\0\0\x0e\0\0\0\x09\0\0\0\x01\0\0\x01z\0\0";
    let (version, record) = (&rustls::version::TLS13, odd(HANDSHAKE, &ticket.repeat(500)));
    for is_taken in [true, false] {
        // As much as is let pass, or nearly, and several times that.
        let some = vec![record.clone(); 50_000 / (record.len() + 30)];
        let records = [
            vec![b"before ".to_vec()],
            some.clone(),
            vec![b"between ".to_vec()],
            some.clone(),
            vec![b"behind ".to_vec()],
        ];
        let (read, end) = read_records(version, &records.concat(), is_taken).await;
        end.expect("an end");
        assert_eq!(String::from_utf8_lossy(&read), "before between behind later");

        let records = [vec![b"before ".to_vec()], vec![record.clone(); 8 * some.len()], vec![b"behind ".to_vec()]];
        let (read, end) = read_records(version, &records.concat(), is_taken).await;
        assert_eq!(String::from_utf8_lossy(&read), "before ");
        assert!(end.expect_err("no end").to_string().contains("without any content"));
    }
}

/// Something that a bank sends, and the content in it.
fn a_record() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let small = || proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        6 => (1_usize..12_000).prop_map(|length| (content(length), content(length))),
        1 => Just((odd(CONTENT, b""), Vec::new())),
        1 => Just((odd(HANDSHAKE, b""), Vec::new())),
        1 => (1_usize..9000).prop_map(|zeros| (odd(0, &[b"padded", &[CONTENT][..], &vec![0; zeros]].concat()), b"padded".to_vec())),
        1 => small().prop_map(|bytes| (odd(HANDSHAKE, &bytes), Vec::new())),
        1 => small().prop_map(|bytes| (odd(ALERT, &bytes), Vec::new())),
        1 => (any::<u8>(), small()).prop_map(|(typ, bytes)| (odd(typ, &bytes), if typ == CONTENT { bytes } else { Vec::new() })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_bank_sends_its_content_is_read_in_order_until_something_is_wrong(
        records in proptest::collection::vec(a_record(), 1..12),
        is_newest in any::<bool>(),
        is_taken in any::<bool>(),
    ) {
        let version = VERSIONS[usize::from(is_newest)];
        let (mut sent, mut expected) = (vec![b"first".to_vec()], b"first".to_vec());
        for (record, content) in records {
            sent.push(record);
            expected.extend_from_slice(&content);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (mut read, end) = runtime.block_on(read_records(version, &sent, is_taken));
        if end.is_ok() && read.ends_with(b"later") {
            read.truncate(read.len() - b"later".len());
            prop_assert!(read == expected);
        }
        prop_assert!(expected.starts_with(&read));
    }
}

#[tokio::test]
async fn what_comes_behind_the_end_is_not_content() {
    for (version, is_taken) in VERSIONS.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let records = [b"before".to_vec(), odd(ALERT, b"\x01\0"), b"behind".to_vec()];
        let (read, end) = read_records(version, &records, is_taken).await;
        end.expect("an end");
        assert_eq!(String::from_utf8_lossy(&read), "before", "{version:?}");
    }
}
