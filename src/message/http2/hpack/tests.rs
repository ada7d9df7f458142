//! The examples of RFC 7541's appendix C, and what must not be taken.

use proptest::prelude::*;

use super::*;

type Lines = Vec<(String, String)>;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Lines, Malformed> {
    let mut lines = Lines::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder.decode(block, |name, value| lines.push((text(name), text(value))))?;
    Ok(lines)
}

fn lines(lines: &[(&str, &str)]) -> Lines {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn requests_of_the_standard_are_read_plain_and_coded() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::default();
        let common = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        assert_eq!(decode(&mut decoder, &hex(blocks[0])).unwrap(), lines(&common));
        let second = [&common[..], &[("cache-control", "no-cache")]].concat();
        assert_eq!(decode(&mut decoder, &hex(blocks[1])).unwrap(), lines(&second));
        let third = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ];
        assert_eq!(decode(&mut decoder, &hex(blocks[2])).unwrap(), lines(&third));
    }
}

/// Appendix C.6, whose table holds 256 bytes, so that lines are evicted.
#[test]
fn answers_of_the_standard_are_read_while_the_table_is_full() {
    let blocks = [
        "3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let expected = [
        vec![
            (":status", "302"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ],
        vec![
            (":status", "307"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("location", "https://www.example.com"),
        ],
        vec![
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ("location", "https://www.example.com"),
            ("content-encoding", "gzip"),
            ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
        ],
    ];
    let mut decoder = Decoder::default();
    for (block, expected) in blocks.iter().zip(expected) {
        assert_eq!(decode(&mut decoder, &hex(block)).unwrap(), lines(&expected));
    }
}

#[test]
fn what_is_not_hpack_is_refused() {
    for (block, why) in [
        ("80", "index 0"),
        ("be", "an index beyond the table"),
        ("ff ffff ffff 7f", "an integer without an end"),
        ("00", "no name"),
        ("00 0361 62", "a name that is cut off"),
        ("00 0161 0562", "a value that is cut off"),
        ("88 20", "a size behind a line"),
        ("3f e2 1f", "a table larger than it may be"),
        ("7e 0161", "a name beyond the table"),
    ] {
        assert!(decode(&mut Decoder::default(), &hex(block)).is_err(), "{why}");
    }
}

#[test]
fn a_token_is_never_put_into_a_table() {
    let mut out = Vec::new();
    write_named(&mut out, index::AUTHORIZATION, b"Bearer x", Sensitivity::NeverIndexed);
    assert_eq!(out[..3], [0x1f, 8, 8]);
    let mut decoder = Decoder::default();
    assert_eq!(decode(&mut decoder, &out).unwrap(), lines(&[("authorization", "Bearer x")]));
    assert!(decode(&mut decoder, &[0xbe]).is_err(), "the table is empty");
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        fields in proptest::collection::vec(("[a-zA-Z0-9-]{1,200}", proptest::collection::vec(any::<u8>(), 0..300)), 0..9),
    ) {
        let mut out = Vec::new();
        write_no_table(&mut out);
        for (name, value) in &fields {
            write_field(&mut out, name.as_bytes(), value, Sensitivity::Usual);
        }
        let mut seen = Vec::new();
        Decoder::default().decode(&out, |name, value| seen.push((name.to_vec(), value.to_vec()))).unwrap();
        let expected: Vec<_> =
            fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), value)).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            if decode(&mut decoder, &block).is_err() {
                break;
            }
        }
    }
}
