//! IBANs (ISO 13616): made with their check digits, and checked (ISO 7064, MOD 97-10).

/// The IBAN of a country with this national account number.
pub(super) fn iban(country: &str, account: &str) -> String {
    let check = 98 - remainder(&format!("{account}{country}00"));
    format!("{country}{check:02}{account}")
}

/// Whether this is an IBAN as far as form and check digits tell. Spaces are not allowed.
pub(super) fn is_iban(text: &str) -> bool {
    let form = (15..=34).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && text.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
        && text.bytes().skip(2).take(2).all(|byte| byte.is_ascii_digit());
    form && remainder(&format!("{}{}", &text[4..], &text[..4])) == 1
}

/// The number that the characters stand for, letters from A as 10, modulo 97.
fn remainder(text: &str) -> u32 {
    text.chars().filter_map(|c| c.to_digit(36)).fold(0, |sum, value| {
        let shift = if value > 9 { 100 } else { 10 };
        (sum * shift + value) % 97
    })
}

/// A Czech account number of ten digits from its first nine: the last makes the weighted sum divisible by 11 (decree
/// 169/2011 of the Czech National Bank). `None` where no digit does.
pub(super) fn czech_account(first: &str) -> Option<String> {
    const WEIGHTS: [u32; 9] = [6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = first.chars().filter_map(|c| c.to_digit(10)).zip(WEIGHTS).map(|(digit, w)| digit * w).sum();
    let last = (11 - sum % 11) % 11;
    (last < 10).then(|| format!("{first}{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ibans_are_made_and_taken() {
        // The examples of the SWIFT IBAN registry.
        assert_eq!(iban("CZ", "08000000192000145399"), "CZ6508000000192000145399");
        assert_eq!(iban("BG", "BNBG96611020345678"), "BG80BNBG96611020345678");
        for good in ["CZ6508000000192000145399", "BG80BNBG96611020345678", "DE89370400440532013000"] {
            assert!(is_iban(good), "{good}");
        }
    }

    #[test]
    fn an_iban_with_one_wrong_character_is_refused() {
        for bad in ["", "CZ", "CZ6508000000192000145398", "CZ6508000000192000145939", "cz6508000000192000145399"] {
            assert!(!is_iban(bad), "{bad}");
        }
        assert!(!is_iban("CZ65 0800 0000 1920 0014 5399"));
    }

    #[test]
    fn a_czech_account_number_ends_in_the_digit_that_its_weights_demand() {
        assert_eq!(czech_account("200014539").as_deref(), Some("2000145399"));
        assert_eq!(czech_account("000000030"), None);
    }
}
