//! Numbers as people read them.

/// Seconds as `5 s`, `3 min 20 s`, `2 h 5 min` or `3 d 4 h`.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Hashes a second as `950 H/s`, `1.23 MH/s`.
pub(super) fn hash_rate(rate: f64) -> String {
    let units = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s"];
    let mut value = rate.max(0.0);
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 { 0 } else { 2 };
    format!("{value:.decimals$} {}", units[unit])
}

/// Bytes as `950 B`, `1.2 kB`, `34.5 MB`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    // For people: what a float of this size leaves out is not shown.
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0);
    format!("{value:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_the_size() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(200), "3 min 20 s");
        assert_eq!(duration(7_500), "2 h 5 min");
        assert_eq!(duration(86_400 * 3 + 4 * 3600), "3 d 4 h");
        assert_eq!(bytes(950), "950 B");
        assert_eq!(bytes(34_512_000), "34.5 MB");
        assert_eq!(hash_rate(950.0), "950 H/s");
        assert_eq!(hash_rate(1_234_567.0), "1.23 MH/s");
        assert_eq!(hash_rate(f64::NAN), "0 H/s");
    }
}
