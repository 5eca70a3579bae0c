//! Instants and times as the API has them, and as the code counts: in whole milliseconds since
//! 1970-01-01 UTC, and in whole seconds.
//!
//! None of it asks for the time: on `wasm32-unknown-unknown` `SystemTime::now()` panics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The end of the year 9999, which every platform can represent.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// The instant of so many milliseconds. Where the platform has no such instant, the nearest that all
/// of them have.
pub(crate) fn instant(milliseconds: i64) -> SystemTime {
    let apart = Duration::from_millis(milliseconds.unsigned_abs());
    if milliseconds < 0 {
        return UNIX_EPOCH.checked_sub(apart).unwrap_or(UNIX_EPOCH);
    }
    UNIX_EPOCH
        .checked_add(apart)
        .unwrap_or_else(|| UNIX_EPOCH + LATEST)
}

/// The milliseconds of an instant; a fraction is cut off.
pub(crate) fn milliseconds(instant: SystemTime) -> i64 {
    match instant.duration_since(UNIX_EPOCH) {
        Ok(since) => whole_milliseconds(since),
        Err(before) => whole_milliseconds(before.duration()).saturating_neg(),
    }
}

/// The milliseconds of a time; a fraction is cut off.
pub(crate) fn whole_milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The seconds of a time, rounded up: a time is never rounded to none.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// The same as the settings and the store count them.
pub(crate) fn seconds(time: Duration) -> u32 {
    u32::try_from(whole_seconds(time)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_instant_is_too_far_away() {
        let near = [
            0,
            1,
            -1,
            999,
            -1_001,
            1_800_000_000_123,
            -62_135_596_800_000,
        ];
        for given in near {
            assert_eq!(milliseconds(instant(given)), given);
        }
        for far in [i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(milliseconds(instant(far)).signum(), far.signum());
        }
        assert_eq!(milliseconds(UNIX_EPOCH + LATEST), 253_402_300_799_000);
    }

    #[test]
    fn a_fraction_of_a_second_is_a_second() {
        for (time, whole) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_millis(1_001), 2),
            (Duration::MAX, u32::MAX),
        ] {
            assert_eq!(seconds(time), whole, "{time:?}");
        }
    }
}
