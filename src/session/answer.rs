//! The session cookies that a response sets or removes.

use zeroize::Zeroizing;

use crate::port::time::seconds;
use crate::protocol::config::Config;
use crate::protocol::cookie::CookieKind;
use crate::protocol::keys::{Secret, Token};
use crate::protocol::ticket::{Fresh, KeyTicket, Seen, Tombstone};
use crate::session::presented::CookiesSeen;

/// The `Set-Cookie` fields of a response: at most one for each cookie with the current attributes.
#[derive(Default)]
pub(crate) struct Answer {
    /// Fields for twins: cookies that a response with other attributes has set. They come first,
    /// because a browser that does not know the attribute takes them for the current cookie, which
    /// is set or removed after them.
    twins: Vec<String>,
    /// It contains a token. A later one of the same response replaces it.
    key: Option<Zeroizing<String>>,
    seen: Option<String>,
    fresh: Option<String>,
}

impl Answer {
    /// Removes the cookies of these kinds. If the request had several key cookies, also removes
    /// those of earlier settings.
    pub(crate) fn removals(
        config: &Config,
        received: CookiesSeen,
        [key, seen, fresh]: [bool; 3],
    ) -> Self {
        let spec = config.cookies();
        let remove = |here: bool, kind| here.then(|| spec.remove(kind));
        Self {
            twins: twins(config, received, [key, seen, fresh], &[]),
            key: remove(key, CookieKind::Key).map(Zeroizing::new),
            seen: remove(seen, CookieKind::Seen),
            fresh: remove(fresh, CookieKind::Fresh),
        }
    }

    /// The fields, in the order in which they must be sent.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &String> {
        let own = [self.key.as_deref(), self.seen.as_ref(), self.fresh.as_ref()];
        self.twins.iter().chain(own.into_iter().flatten())
    }

    /// True if it sets or removes a cookie.
    pub(crate) fn has_cookie(&self) -> bool {
        self.key.is_some() || self.seen.is_some() || self.fresh.is_some()
    }

    /// True if it sets or removes the fresh cookie.
    pub(crate) fn has_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    /// Sets the key cookie of `ticket`.
    pub(crate) fn set_key(
        &mut self,
        config: &Config,
        secret: &Secret,
        ticket: &KeyTicket,
        ends_with_browser: bool,
        now: i64,
    ) {
        let spec = config.cookies();
        let value = Zeroizing::new(ticket.encode(secret, spec.names().get(CookieKind::Key)));
        let left = seconds_until(ticket.end(config.age()), now);
        let max_age = (!ends_with_browser).then_some(left);
        let cookie = spec.set(CookieKind::Key, &value, max_age);
        self.key = Some(Zeroizing::new(cookie));
    }

    /// Removes twins of the received cookies: after a login the browser must have no other session.
    pub(crate) fn remove_twins(&mut self, config: &Config, received: CookiesSeen) {
        self.twins = twins(
            config,
            received,
            [received.key, received.seen, received.fresh],
            &[],
        );
    }

    /// Sets the fresh cookie after a save.
    pub(crate) fn set_fresh(
        &mut self,
        config: &Config,
        secret: &Secret,
        token: &Token,
        fresh: &Fresh,
    ) {
        let spec = config.cookies();
        let value = fresh.encode(secret, spec.names().get(CookieKind::Fresh), token);
        let window = seconds(config.settings().window());
        self.fresh = Some(spec.set(CookieKind::Fresh, &value, Some(window)));
    }

    /// Sets the seen cookie, which restarts the idle time at `at`.
    pub(crate) fn set_seen(
        &mut self,
        config: &Config,
        secret: &Secret,
        ticket: &KeyTicket,
        ends_with_browser: bool,
        at: i64,
    ) {
        let spec = config.cookies();
        let name = spec.names().get(CookieKind::Seen);
        let value = Seen { at }.encode(secret, name, &ticket.token);
        let left = seconds_until(ticket.end(config.age()), at);
        let max_age = (!ends_with_browser).then_some(left);
        self.seen = Some(spec.set(CookieKind::Seen, &value, max_age));
    }

    /// Leaves a tombstone for each of these logouts, in the key cookie or a twin of it. If there
    /// are more of them than key cookies, returns false and changes nothing.
    pub(crate) fn leave_tombstones(
        &mut self,
        config: &Config,
        received: CookiesSeen,
        stones: &[Tombstone],
        now: i64,
    ) -> bool {
        let spec = config.cookies();
        let name = spec.names().get(CookieKind::Key);
        let values: Vec<(String, u32)> = stones
            .iter()
            .filter_map(|stone| {
                let secret = config.ring().find(stone.secret)?;
                Some((
                    stone.encode(secret, name),
                    seconds_until(stone.hard_end, now),
                ))
            })
            .collect();
        let places = match received.several {
            true => 1 + spec.twin_count(),
            false => 1,
        };
        if values.len() > places {
            return false;
        }
        if let Some(((own, age), others)) = values.split_first() {
            let here = [true, self.seen.is_some(), self.fresh.is_some()];
            self.twins = twins(config, received, here, others);
            let cookie = spec.set(CookieKind::Key, own, Some(*age));
            self.key = Some(Zeroizing::new(cookie));
        }
        true
    }
}

/// The fields that remove the twins of these kinds, if the browser sent several key cookies. The
/// first twins of the key cookie get `values` instead.
fn twins(
    config: &Config,
    received: CookiesSeen,
    here: [bool; 3],
    values: &[(String, u32)],
) -> Vec<String> {
    if !received.several {
        return Vec::new();
    }
    let spec = config.cookies();
    let kinds = CookieKind::ALL.into_iter().zip(here);
    kinds
        .filter(|(_, here)| *here)
        .flat_map(|(kind, _)| match kind {
            CookieKind::Key => spec.twins(kind, values),
            CookieKind::Seen | CookieKind::Fresh | CookieKind::Form => spec.twins(kind, &[]),
        })
        .collect()
}

/// The whole seconds until `end`, rounded up, so that the browser does not drop the cookie too
/// early.
fn seconds_until(end: i64, now: i64) -> u32 {
    u32::try_from(end.saturating_sub(now).max(0).saturating_add(999) / 1_000).unwrap_or(u32::MAX)
}
