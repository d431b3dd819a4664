//! Time as a value that is passed in, so that a test can hold it still.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub trait Clock: Send + Sync {
    /// Milliseconds since 1970; 0 on a machine whose clock stands before that.
    fn now_unix_ms(&self) -> u64;
    /// Since an arbitrary moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    pub fn new() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now_unix_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedClock {
    pub unix_ms: u64,
    pub monotonic: Duration,
}

impl Clock for FixedClock {
    fn now_unix_ms(&self) -> u64 {
        self.unix_ms
    }

    fn monotonic(&self) -> Duration {
        self.monotonic
    }
}
