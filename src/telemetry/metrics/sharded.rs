//! Something that each thread counts in a copy of its own, so that no two of them write to one cache line.

use std::sync::atomic::{AtomicUsize, Ordering};

/// At least as many as there are workers. With more threads than copies some share one, which is slower but right.
const COPIES: usize = 8;

thread_local! {
    static MINE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % COPIES
    };
}

/// A copy for each thread.
#[derive(Debug, Default)]
pub(super) struct Sharded<T>([Apart<T>; COPIES]);

/// As far from its neighbours as processors fetch at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Sharded<T> {
    /// The calling thread's copy.
    pub(super) fn mine(&self) -> &T {
        // A thread that is ending has lost its number, and takes the first.
        &self.0[MINE.try_with(|mine| *mine).unwrap_or(0)].0
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn what_several_threads_count_adds_up() {
        let counts = Sharded::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * COPIES {
                scope.spawn(|| (0..1000).for_each(|_| _ = counts.mine().fetch_add(1, Ordering::Relaxed)));
            }
        });
        let sum: u64 = counts.all().map(|count| count.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, 2 * 1000 * u64::try_from(COPIES).expect("a small number"));
    }
}
