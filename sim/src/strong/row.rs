//! Stored rows, as the checker reads them. `docs/wire-format.md` describes the format.

use std::collections::BTreeMap;

use edge_session::connector::Row;

use crate::Ms;

/// The name of a session under one of its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The owner's tag, or `-`.
    pub owner: String,
    pub lineage: String,
    pub derived: String,
}

impl Name {
    /// Parses a session key, or the key of a row.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("s.").unwrap_or(text);
        let mut parts = text.split('.').map(str::to_owned);
        Some(Self {
            owner: parts.next()?,
            lineage: parts.next()?,
            derived: parts.next()?,
        })
    }

    pub fn row_key(&self) -> String {
        format!("s.{}.{}.{}", self.owner, self.lineage, self.derived)
    }
}

/// Keys and the numbers of their writes.
pub type Content = BTreeMap<String, u32>;

/// The content of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Holds {
    /// A record, with its content if it is not sealed.
    Live(Option<Content>),
    Rotated {
        at: Ms,
    },
    Ended,
}

impl Holds {
    pub fn of(row: &Row) -> Self {
        let mut words = row.value.splitn(4, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("2"), Some("x"), _) => Self::Ended,
            (Some("2"), Some("r"), Some(at)) => Self::Rotated {
                at: at.parse().unwrap_or_default(),
            },
            _ => Self::Live(content(&row.value)),
        }
    }

    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Live(_) => "live",
            Self::Rotated { .. } => "rotated",
            Self::Ended => "ended",
        }
    }
}

/// The content of a record that is stored as plain JSON.
fn content(record: &str) -> Option<Content> {
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    let data = record.get("data")?.as_object()?;
    let number = |value: &serde_json::Value| Some(value.as_u64()? as u32);
    let pairs = data.iter();
    Some(
        pairs
            .filter_map(|(key, value)| Some((key.clone(), number(value)?)))
            .collect(),
    )
}
