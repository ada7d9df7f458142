//! The accounts of the banks' only customer: the same every time, with bookings that add up to the balances.

use time::{Date, Duration, OffsetDateTime};

use crate::words::Timestamp;

use super::iban::iban;

/// How many bookings an account has had; the oldest is from so many days ago times [`DAYS_APART`].
const BOOKINGS: i64 = 45;
const DAYS_APART: i64 = 2;

/// An account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: &'static str,
    pub(super) iban: String,
    pub(super) currency: &'static str,
    pub(super) name: &'static str,
    pub(super) owner: &'static str,
    /// What was on it before the first booking, in hundredths.
    opening: i64,
}

/// A booking, or one that is still pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Booking {
    pub(super) id: String,
    pub(super) date: Date,
    /// In hundredths; negative where money leaves.
    pub(super) amount: i64,
    pub(super) counterparty: &'static str,
    pub(super) counterparty_iban: String,
    pub(super) text: &'static str,
    /// A payment reference of ten digits at most (in Czechia: the variable symbol).
    pub(super) reference: String,
}

/// Name, text, and what one booking moves in hundredths.
const MOVES: [(&str, &str, i64); 9] = [
    ("Metro Foods s.r.o.", "Groceries", -128_450),
    ("Orlova Energy a.s.", "Electricity, monthly advance", -215_000),
    ("Jan Novak", "Invoice 2026041", 1_250_000),
    ("City Transport", "Season ticket", -36_500),
    ("Helena Dvorakova", "Rent", -1_490_000),
    ("Blue River Books", "Order 88213", -64_900),
    ("Alfa Consulting Ltd", "Services, thank you", 2_380_000),
    ("Telecom Union", "Mobile plan", -49_900),
    ("Tax Office", "Advance on income tax", -560_000),
];

impl Account {
    pub(super) const fn new(
        id: &'static str,
        iban: String,
        currency: &'static str,
        name: &'static str,
        owner: &'static str,
        opening: i64,
    ) -> Self {
        Self { id, iban, currency, name, owner, opening }
    }

    /// The bookings up to `today`, the newest first.
    pub(super) fn booked(&self, today: Date) -> Vec<Booking> {
        (0..BOOKINGS).map(|nth| self.booking(nth, today - Duration::days(1 + nth * DAYS_APART))).collect()
    }

    /// What is authorized and not booked.
    pub(super) fn pending(&self, today: Date) -> Vec<Booking> {
        vec![Booking { amount: -9_900, ..self.booking(BOOKINGS, today) }]
    }

    /// The balance of all that is booked, in hundredths.
    pub(super) fn balance(&self, today: Date) -> i64 {
        self.opening + self.booked(today).iter().map(|booking| booking.amount).sum::<i64>()
    }

    /// What can be spent: the balance less what is pending.
    pub(super) fn available(&self, today: Date) -> i64 {
        self.balance(today) + self.pending(today).iter().map(|booking| booking.amount).sum::<i64>()
    }

    fn booking(&self, nth: i64, date: Date) -> Booking {
        let own = self.id.bytes().map(i64::from).sum::<i64>();
        let which = usize::try_from((nth * 5 + own).rem_euclid(9)).unwrap_or(0);
        let (counterparty, text, amount) = MOVES[which];
        // Amounts that are all different look like life.
        let amount = amount + (nth * 37 + own) % 100 * amount.signum();
        Booking {
            id: format!("{:04}{:03}{:06}", date.year(), date.ordinal(), own * 100 + nth),
            date,
            amount,
            counterparty,
            counterparty_iban: iban("CZ", &format!("080000000000{:08}", 19_000_000 + which * 1_117)),
            text,
            reference: format!("{}", 2_026_000_000 + own * 100 + nth),
        }
    }
}

/// The day of a moment, in UTC.
pub(super) fn day(now: Timestamp) -> Date {
    OffsetDateTime::from_unix_timestamp(now.seconds()).map_or(Date::MIN, OffsetDateTime::date)
}

/// Hundredths as a decimal number: `-12.05`.
pub(super) fn decimal(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// A positive decimal number with at most two places as hundredths.
pub(super) fn hundredths(decimal: &str) -> Option<i64> {
    let (whole, places) = decimal.split_once('.').unwrap_or((decimal, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 14 || places.len() > 2 || !digits(whole) || !digits(places) {
        return None;
    }
    format!("{whole}{places:0<2}").parse().ok()
}

/// A date as `2026-11-21`.
pub(super) fn parse_date(text: &str) -> Option<Date> {
    Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::super::iban::is_iban;
    use super::*;

    fn account() -> Account {
        Account::new("an-account", iban("CZ", "07100000002000145399"), "CZK", "Current", "Anna", 5_000_000)
    }

    #[test]
    fn the_balance_moves_by_what_is_booked() {
        let (today, account) = (date!(2026 - 11 - 21), account());
        let moved: i64 = account.booked(today).iter().map(|booking| booking.amount).sum();
        assert_eq!(account.balance(today), 5_000_000 + moved);
        assert_eq!(account.available(today), account.balance(today) - 9_900);
    }

    #[test]
    fn bookings_are_in_the_past_in_order_with_ids_of_their_own_and_valid_ibans() {
        let today = date!(2026 - 11 - 21);
        let booked = account().booked(today);
        assert!(booked.iter().all(|booking| booking.date < today && is_iban(&booking.counterparty_iban)));
        assert!(booked.windows(2).all(|pair| pair[0].date > pair[1].date && pair[0].id != pair[1].id));
    }

    #[test]
    fn decimals_are_read_and_written() {
        assert_eq!([decimal(-1_205), decimal(7), decimal(100)], ["-12.05", "0.07", "1.00"]);
        assert_eq!([hundredths("12.5"), hundredths("0.01"), hundredths("3")], [Some(1_250), Some(1), Some(300)]);
        for bad in ["", ".", ".5", "-1", "1,5", "1.234", "1e3", "999999999999999"] {
            assert_eq!(hundredths(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_day_that_exists_is_a_date() {
        assert_eq!(parse_date("2026-02-28"), Some(date!(2026 - 02 - 28)));
        for bad in ["2026-02-29", "2026-2-8", "yesterday", ""] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
