//! The date that templates may print.

use chrono::format::{Item, StrftimeItems};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

const LLAMA_DATE: Option<NaiveDate> = NaiveDate::from_ymd_opt(2024, 7, 26);

/// The time `strftime_now` tells.
///
/// Training data must not depend on the day it was prepared: the default is the fixed date to which Llama's own template falls
/// back (26 Jul 2024). A server passes the time of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(NaiveDateTime);

impl Clock {
    /// None where there is no such date or time.
    pub fn at(year: i32, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> Option<Self> {
        NaiveDate::from_ymd_opt(year, month, day).and_then(|d| d.and_hms_opt(hour, minute, second)).map(Self)
    }

    /// Python's `strftime`; None for a format that does not exist.
    pub(super) fn strftime(&self, format: &str) -> Option<String> {
        let items: Vec<Item> = StrftimeItems::new(format).collect();
        // A time zone has no place in a local time; formatting one would fail.
        let printable =
            !items.contains(&Item::Error) && !["%z", "%Z", "%:z", "%+", "%s"].iter().any(|zone| format.contains(zone));
        printable.then(|| self.0.format_with_items(items.into_iter()).to_string())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(const { LLAMA_DATE.expect("a day of July").and_time(NaiveTime::MIN) })
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn formats() {
        let clock = Clock::at(2025, 1, 2, 3, 4, 5).unwrap();
        assert_eq!(clock.strftime("%d %b %Y, %A %H:%M:%S %-d").as_deref(), Some("02 Jan 2025, Thursday 03:04:05 2"));
        assert_eq!(clock.strftime("%Q"), None);
        assert_eq!(clock.strftime("%Y %Z"), None);
        assert_eq!(Clock::default().strftime("%d %b %Y").as_deref(), Some("26 Jul 2024"));
    }
}
