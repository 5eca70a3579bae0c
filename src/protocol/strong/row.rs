//! The content of a row: a session's record, or a tombstone in its place.
//!
//! * the record itself, sealed or plain: the session is alive under this key;
//! * `2 r <instant> <record>`: it continues under another key; the old record can be read for a
//!   while;
//! * `2 x <instant> [<owner tag> …]`: it has ended, and its record is gone. Its owner has other
//!   shards under these tags, to which it may have been moved: it must be ended there too.
//!
//! A tombstone is kept as long as the key could be used, so that a late write always finds an
//! unexpected row.

use crate::protocol::keys::{Id, RecordKey};
use crate::protocol::record::{Envelope, Unreadable};
use crate::protocol::revocation::{Marker, Markers};

/// The prefix of a tombstone. A record has no space in its first three characters.
const FORMAT: &str = "2 ";

/// The value of a row, parsed without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowValue<'a> {
    Live(&'a str),
    Rotated {
        at: i64,
        record: &'a str,
    },
    Ended {
        at: i64,
        /// Tags of its owner, each an [`Id`].
        elsewhere: &'a str,
    },
    /// A tombstone of an unknown kind.
    Unknown,
}

impl<'a> RowValue<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let Some(rest) = text.strip_prefix(FORMAT) else {
            return Self::Live(text);
        };
        let mut words = rest.splitn(3, ' ');
        let kind = words.next();
        let at = words.next().and_then(|at| at.parse().ok());
        match (kind, at, words.next()) {
            (Some("r"), Some(at), Some(record)) => Self::Rotated { at, record },
            (Some("x"), Some(at), elsewhere) => {
                let elsewhere = elsewhere.unwrap_or_default();
                let mut tags = elsewhere.split_terminator(' ').map(Id::parse);
                match tags.all(|tag| tag.is_some()) {
                    true => Self::Ended { at, elsewhere },
                    false => Self::Unknown,
                }
            }
            _ => Self::Unknown,
        }
    }

    /// The row's text, for a live session.
    pub(crate) fn live(self) -> Option<&'a str> {
        match self {
            Self::Live(record) => Some(record),
            _ => None,
        }
    }

    /// Tags of its owner under which it must be ended too.
    pub(crate) fn elsewhere(self) -> Vec<Id> {
        match self {
            Self::Ended { elsewhere, .. } => elsewhere.split(' ').filter_map(Id::parse).collect(),
            _ => Vec::new(),
        }
    }
}

/// The tombstone of a key whose session continues under another.
pub(crate) fn rotated(at: i64, record: &str) -> String {
    if mutant!(strong_rotation_keeps_no_record) {
        return format!("{FORMAT}r {at} -");
    }
    format!("{FORMAT}r {at} {record}")
}

/// The tombstone of an ended session, which may have to be ended `elsewhere` too.
pub(crate) fn ended(at: i64, elsewhere: &[Id]) -> String {
    let mut text = format!("{FORMAT}x {at}");
    for tag in elsewhere {
        text.push(' ');
        text.push_str(&tag.to_string());
    }
    text
}

/// The meaning of a row for [`judge`](crate::protocol::outcome::judge): whether the session is
/// dead, and its record.
#[derive(Debug)]
pub(crate) struct RowContent {
    pub(crate) markers: Markers,
    pub(crate) record: Option<Result<Envelope, Unreadable>>,
}

impl RowContent {
    /// Opens the value of the row with `row_key`; `None` without a row.
    pub(crate) fn open(value: Option<&str>, key: &RecordKey, row_key: &str, sealed: bool) -> Self {
        let open = |record| Some(Envelope::open(record, key, row_key, sealed));
        let (death, record) = match value.map(RowValue::parse) {
            None => (None, None),
            Some(RowValue::Live(record)) => (None, open(record)),
            Some(RowValue::Rotated { at, record }) => {
                // A record that does not open counts as none: the session is elsewhere.
                let record = open(record).filter(Result::is_ok);
                (Some(Marker::rotated(at)), record)
            }
            Some(RowValue::Ended { at, .. }) => (Some(Marker::revoked(at)), None),
            Some(RowValue::Unknown) => (None, Some(Err(Unreadable::UnknownFormat))),
        };
        Self {
            markers: Markers {
                key: death,
                ..Markers::default()
            },
            record,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_are_written() {
        for (text, value) in [
            ("AgAB", RowValue::Live("AgAB")),
            (r#"{"v":2}"#, RowValue::Live(r#"{"v":2}"#)),
            (
                &rotated(5, "AgAB"),
                RowValue::Rotated {
                    at: 5,
                    record: "AgAB",
                },
            ),
            (
                &rotated(5, r#"{"a": "b c"}"#),
                RowValue::Rotated {
                    at: 5,
                    record: r#"{"a": "b c"}"#,
                },
            ),
            (
                &ended(7, &[]),
                RowValue::Ended {
                    at: 7,
                    elsewhere: "",
                },
            ),
            (
                &ended(7, &[Id([1; 16]), Id([2; 16])]),
                RowValue::Ended {
                    at: 7,
                    elsewhere: "AQEBAQEBAQEBAQEBAQEBAQ AgICAgICAgICAgICAgICAg",
                },
            ),
            ("2 x", RowValue::Unknown),
            ("2 x now", RowValue::Unknown),
            ("2 x 7 more", RowValue::Unknown),
            ("2 r 5", RowValue::Unknown),
            ("2 q 5 record", RowValue::Unknown),
        ] {
            assert_eq!(RowValue::parse(text), value, "{text}");
        }
        let tags = [Id([1; 16]), Id([2; 16])];
        assert_eq!(RowValue::parse(&ended(7, &tags)).elsewhere(), tags);
    }
}
