//! What a new key ends, as a value. How it is written depends on the store.

use crate::session::presented::Identity;
use crate::session::to_end::ToEnd;

/// See the module.
#[derive(Clone)]
pub(crate) enum Retired {
    /// This key: the session continues under the new one, or has passed on its data.
    Rotated(Identity),
    /// The whole session.
    Ended(ToEnd),
}

impl Retired {
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}
