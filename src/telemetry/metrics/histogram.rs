//! Durations in fixed buckets: to note one is two additions to atomics, and no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds: from an answer out of a bank's cache to the usual timeout.
const BOUNDS: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// How often durations fell into each bucket, and their sum.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// The last one is for what is above all bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// Histograms added up.
#[derive(Debug, Default)]
pub(super) struct Sum {
    counts: [u64; BOUNDS.len() + 1],
    micros: u64,
}

impl Histogram {
    pub(super) fn note(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl<'a> FromIterator<&'a Histogram> for Sum {
    fn from_iter<I: IntoIterator<Item = &'a Histogram>>(histograms: I) -> Self {
        let mut sum = Self::default();
        for histogram in histograms {
            for (sum, count) in sum.counts.iter_mut().zip(&histogram.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            sum.micros = sum.micros.wrapping_add(histogram.micros.load(Ordering::Relaxed));
        }
        sum
    }
}

impl Sum {
    /// All durations together, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros).as_secs_f64()
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each upper bound in seconds with the count of its bucket alone.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64());
        bounds.chain([f64::INFINITY]).zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, 30_000_000, 30_000_001] {
            histogram.note(Duration::from_micros(micros));
        }
        let sum: Sum = [&histogram, &histogram].into_iter().collect();
        let buckets = sum.buckets();
        assert_eq!((buckets[0], buckets[1]), ((0.001, 4), (0.0025, 2)));
        assert_eq!((buckets[13], buckets[14]), ((30.0, 2), (f64::INFINITY, 2)));
        assert_eq!(sum.count(), 10);
        assert!((sum.seconds() - 2.0 * 60.002_002).abs() < 1e-6, "{}", sum.seconds());
    }
}
