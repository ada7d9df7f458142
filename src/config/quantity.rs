//! Durations and sizes: a whole number and its unit.

use std::time::Duration;

use super::Invalid;

/// `250ms`, `5s`, `10m`, `2h`, `30d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    let rule = || Invalid::new("not a duration", "write a whole number with one of the units ms, s, m, h, d: \"5s\"");
    let (number, unit) = split(text).ok_or_else(rule)?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60 * 1000),
        "h" => number.checked_mul(60 * 60 * 1000),
        "d" => number.checked_mul(24 * 60 * 60 * 1000),
        _ => return Err(rule()),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(rule)
}

/// `64KiB`, `1MiB`, `1GiB`, `512B`, and the decimal `64kB`, `1MB`, `1GB`; in bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, Invalid> {
    let rule = || Invalid::new("not a size", "write a whole number with one of the units B, KiB, MiB, GiB: \"64KiB\"");
    let (number, unit) = split(text).ok_or_else(rule)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(rule()),
    };
    number.checked_mul(factor).ok_or_else(rule)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, text[end..].trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, milliseconds) in
            [("0ms", 0), ("250ms", 250), ("5s", 5000), ("10m", 600_000), ("2h", 7_200_000), ("30d", 2_592_000_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_bytes() {
        for (text, bytes) in [("0B", 0), ("64KiB", 65536), ("1 MiB", 1_048_576), ("64kB", 64000), ("2GiB", 2 << 30)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_does_not_fit_is_refused() {
        for bad in
            ["", "5", "s", "-5s", "1.5s", "5 sec", "5S", "1e3s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        for bad in ["64", "64Kib", "64K", "18446744073709551615GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
