//! What a login does with the previous session: which data it keeps, and what it ends.

use crate::port::error::{ErrorCode, SessionError};
use crate::session::life::{Base, Open};
use crate::session::presented::{Cookies, ENDS_MAX, Presented};
use crate::session::retired::Retired;
use crate::session::to_end::ToEnd;

/// The maximum number of bytes of a user id.
const OWNER_MAX: usize = 1_024;

/// # Errors
/// `invalid_value` if no session can belong to this user id. An empty one usually stands for a visitor
/// who is not logged in.
pub(crate) fn check_owner(owner: &str) -> Result<(), SessionError> {
    if owner.is_empty() || owner.len() > OWNER_MAX {
        let actual = owner.len();
        return Err(SessionError::invalid(format!(
            "a user id must have 1 to {OWNER_MAX} bytes; this one has {actual}"
        )));
    }
    Ok(())
}

/// True if the data of this request may become `owner`'s.
pub(crate) fn may_go_to(open: &Open, owner: &str) -> bool {
    let readable = match &open.base {
        Base::Live(_) | Base::Empty | Base::Detached => true,
        Base::ReadOnly(_, code) => matches!(code, ErrorCode::Stale | ErrorCode::Rotated),
        Base::Closed(_) => false,
    };
    readable && open.owner().is_none_or(|bound| bound == owner)
}

/// What a login ends: every presented session of a user, with its lineage, and the key of an
/// anonymous session that may be alive.
pub(crate) fn retired_by_login(cookies: &Cookies, base: Option<&Base>) -> Vec<Retired> {
    let mut retired = Vec::new();
    if mutant!(login_keeps_old_session) {
        return retired;
    }
    // With a header over its limits, no load has finished these logouts.
    for stone in cookies.stones().iter().take(ENDS_MAX) {
        retired.push(Retired::Ended(ToEnd::of_stone(*stone)));
    }
    let chosen = matches!(cookies.presented(), Presented::Session(_));
    let rivals = cookies.rivals();
    // Users' sessions come first, so that planted cookies cannot keep one of them from its turn.
    let (users, others): (Vec<_>, Vec<_>) = rivals
        .iter()
        .enumerate()
        .partition(|(_, session)| session.identity.key.owner.is_some());
    for (place, session) in users.into_iter().chain(others).take(ENDS_MAX) {
        let identity = &session.identity;
        if identity.key.owner.is_some() {
            retired.push(Retired::Ended(identity.to_end()));
            continue;
        }
        // A dead session needs no marker, and one that cannot be read is left alone.
        let may_live = match base {
            // If one session was chosen, the others have already ended.
            _ if chosen && place > 0 => false,
            Some(Base::Live(_) | Base::Detached) => true,
            Some(Base::ReadOnly(_, code)) => *code == ErrorCode::Stale,
            Some(Base::Closed(error)) => error.code() == ErrorCode::Pending,
            Some(Base::Empty) | None => false,
        };
        if may_live {
            retired.push(Retired::Rotated(identity.clone()));
        }
    }
    retired
}
