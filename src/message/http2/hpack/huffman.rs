//! Huffman's code (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: the symbols sorted by the length of their code, and then by value, have codes that count up.
//! So the lengths say all.

use super::Malformed;

/// The end of the string, which only pads.
const EOS: usize = 256;
/// The longest code.
const LONGEST_BITS: u32 = 30;
const LONGEST: usize = LONGEST_BITS as usize;

/// The length of each symbol's code in bits, [`EOS`] last.
#[rustfmt::skip]
const LENGTHS: [u8; EOS + 1] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

static CODE: Code = Code::new();

struct Code {
    /// For a window of 32 bits: below `limits[n]` its first code has at most `n` bits.
    limits: [u64; LONGEST + 1],
    /// The first code of each length.
    first: [u32; LONGEST + 1],
    /// Where the symbols of each length begin.
    offsets: [usize; LONGEST + 1],
    /// The symbols in the order of their codes.
    symbols: [u16; EOS + 1],
    /// For the next 8 bits: the symbol and its length, or length 0 where the code is longer.
    short: [(u8, u8); 256],
}

impl Code {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a symbol of a short code is a byte, and no code is longer than 30"
    )]
    const fn new() -> Self {
        let mut new = Self {
            limits: [0; LONGEST + 1],
            first: [0; LONGEST + 1],
            offsets: [0; LONGEST + 1],
            symbols: [0; EOS + 1],
            short: [(0, 0); 256],
        };
        let (mut code, mut place, mut length) = (0_u32, 0, 1);
        while length <= LONGEST {
            (new.first[length], new.offsets[length]) = (code, place);
            let mut symbol = 0;
            while symbol <= EOS {
                if LENGTHS[symbol] as usize == length {
                    new.symbols[place] = symbol as u16;
                    if length <= 8 {
                        let mut window = (code as usize) << (8 - length);
                        let end = window + (1 << (8 - length));
                        while window < end {
                            new.short[window] = (symbol as u8, length as u8);
                            window += 1;
                        }
                    }
                    place += 1;
                    code += 1;
                }
                symbol += 1;
            }
            new.limits[length] = (code as u64) << (32 - length);
            code <<= 1;
            length += 1;
        }
        new
    }

    /// The symbol that a window of 32 bits begins with, and its length.
    fn symbol(&self, window: u32) -> (u16, u32) {
        let (symbol, length) = self.short[(window >> 24) as usize];
        if length > 0 {
            return (u16::from(symbol), u32::from(length));
        }
        let mut length = 9;
        while length < LONGEST_BITS && u64::from(window) >= self.limits[length as usize] {
            length += 1;
        }
        let at = length as usize;
        let place = self.offsets[at] + ((window >> (32 - length)) - self.first[at]) as usize;
        (self.symbols[place], length)
    }
}

/// Adds what `coded` says to `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    // No symbol has fewer than 5 bits.
    out.reserve(coded.len() * 8 / 5);
    let mut coded = coded.iter();
    // The next bits, the first one highest.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56
            && let Some(byte) = coded.next()
        {
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        if count < LONGEST_BITS {
            return decode_last(bits, count, out);
        }
        while count >= LONGEST_BITS {
            let (symbol, length) = CODE.symbol((bits >> 32) as u32);
            out.push(byte(symbol)?);
            bits <<= length;
            count -= length;
        }
    }
}

/// The same for the last few bits, behind which there is padding: less than a byte of ones.
fn decode_last(mut bits: u64, mut count: u32, out: &mut Vec<u8>) -> Result<(), Malformed> {
    loop {
        let beyond = u64::MAX.checked_shr(count).unwrap_or(0);
        let (symbol, length) = CODE.symbol(((bits | beyond) >> 32) as u32);
        if length > count {
            let is_padding = count < 8 && bits == !beyond;
            return if is_padding { Ok(()) } else { Err(Malformed("a string's padding is not one")) };
        }
        out.push(byte(symbol)?);
        bits <<= length;
        count -= length;
    }
}

fn byte(symbol: u16) -> Result<u8, Malformed> {
    u8::try_from(symbol).map_err(|_| Malformed("a string has the end of strings within"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The code of a symbol.
    fn code(symbol: usize) -> (u32, usize) {
        let length = usize::from(LENGTHS[symbol]);
        let place = CODE.symbols.iter().position(|&own| usize::from(own) == symbol).unwrap();
        (CODE.first[length] + u32::try_from(place - CODE.offsets[length]).unwrap(), length)
    }

    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for &byte in text {
            let (code, length) = code(usize::from(byte));
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, &bit| sum << 1 | u8::from(bit))).collect()
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 7541, appendix B.
        assert_eq!(code(usize::from(b'0')), (0x0, 5));
        assert_eq!(code(usize::from(b'a')), (0x3, 5));
        assert_eq!(code(usize::from(b'&')), (0xf8, 8));
        assert_eq!(code(usize::from(b'Z')), (0xfd, 8));
        assert_eq!(code(usize::from(b'!')), (0x3f8, 10));
        assert_eq!(code(usize::from(b'\\')), (0x7fff0, 19));
        assert_eq!(code(0), (0x1ff8, 13));
        assert_eq!(code(10), (0x3fff_fffc, 30));
        assert_eq!(code(255), (0x3ff_ffee, 26));
        assert_eq!(code(EOS), (0x3fff_ffff, 30));
    }

    #[test]
    fn strings_of_the_standard_are_read() {
        // RFC 7541, appendix C.4 and C.6.
        let host = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&host).unwrap(), b"www.example.com");
        assert_eq!(decoded(&[0x64, 0x02]).unwrap(), b"302");
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        assert!(decoded(&[0xff]).is_err(), "a whole byte of it");
        assert!(decoded(&[0x64, 0x00]).is_err() || decoded(&[0x64, 0x00]).unwrap() != b"302");
        // 'a' is 00011; then zeros.
        assert!(decoded(&[0b0001_1000]).is_err());
        assert!(decoded(&[0b0001_1110]).is_err());
        assert_eq!(decoded(&[0b0001_1111]).unwrap(), b"a");
        assert!(decoded(&[0xff, 0xff, 0xff, 0xff]).is_err(), "the end of strings");
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn whatever_is_decoded_is_the_only_spelling(coded in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(text) = decoded(&coded) {
                prop_assert_eq!(encode(&text), coded);
            }
        }
    }
}
