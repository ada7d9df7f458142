//! Integers with a prefix (RFC 7541, section 5.1).

use super::Malformed;

/// Adds `value` behind the bits of `pattern` that the prefix of `bits` bits leaves.
pub(super) fn write(out: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        return out.push(pattern | low_byte(value));
    }
    out.push(pattern | low_byte(most));
    let mut rest = value - most;
    while rest >= 0x80 {
        out.push(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

/// Takes an integer from the front of `block`.
pub(super) fn take(block: &mut &[u8], bits: u32) -> Result<usize, Malformed> {
    /// Three bytes beyond the prefix say up to two million: more than any field section may have.
    const MOST_BYTES: u32 = 3;
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(next(block)?) & most;
    if value < most {
        return Ok(value);
    }
    for byte in 0..=MOST_BYTES {
        let part = next(block)?;
        value += usize::from(part & 0x7f) << (7 * byte);
        if part & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed("an integer is too long"))
}

fn next(block: &mut &[u8]) -> Result<u8, Malformed> {
    let (first, rest) = block.split_first().ok_or(Malformed("it ends within an integer"))?;
    *block = rest;
    Ok(*first)
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}
