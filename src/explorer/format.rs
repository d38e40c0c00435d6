//! Times for people, and texts that others wrote.

use crate::primitives::unix_now;

/// A time in seconds since 1970 as `2026-01-31 12:00:00 UTC`.
pub(super) fn utc(time: u32) -> String {
    let (days, seconds) = (time / 86_400, time % 86_400);
    // Howard Hinnant's `civil_from_days`, from 1970 on, with years that begin in March.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year_of_era + era * 400 + next_year;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// How long ago: `12 s`, `3 min`, `5 h`, `8 d`; `now` for the future.
pub(super) fn age(time: u32) -> String {
    match unix_now().checked_sub(time.into()) {
        None | Some(0) => "now".to_owned(),
        Some(seconds @ 1..120) => format!("{seconds} s"),
        Some(seconds @ 120..7_200) => format!("{} min", seconds / 60),
        Some(seconds @ 7_200..172_800) => format!("{} h", seconds / 3_600),
        Some(seconds) => format!("{} d", seconds / 86_400),
    }
}

/// Hashes by second: `1.5 MH/s`.
pub(super) fn hash_rate(rate: f64) -> String {
    let units = [(1e12, "TH/s"), (1e9, "GH/s"), (1e6, "MH/s"), (1e3, "kH/s")];
    match units.iter().find(|(unit, _)| rate >= *unit) {
        Some((unit, name)) => format!("{:.2} {name}", rate / unit),
        None => format!("{rate:.0} H/s"),
    }
}

/// The readable part of bytes that a miner chose: printable ASCII, a dot for each other byte. What turns the direction of text
/// or hides in it (U+202E, NUL) is not ASCII; what is markup is escaped where it is shown.
pub(super) fn readable(bytes: &[u8]) -> String {
    let shown = bytes.iter().map(|byte| {
        if matches!(byte, 0x20..=0x7e) {
            char::from(*byte)
        } else {
            '.'
        }
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_the_edges() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_231_006_505), "2009-01-03 18:15:05 UTC");
        assert_eq!(utc(u32::MAX), "2106-02-07 06:28:15 UTC");
    }

    #[test]
    fn hostile_bytes_become_dots() {
        assert_eq!(readable("a\u{202e}\0\n<b>".as_bytes()), "a.....<b>");
        assert_eq!(readable(&[0xff, 0x7f, b'~']), "..~");
    }
}
