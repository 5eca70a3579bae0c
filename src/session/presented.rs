//! What a request presents: its session cookies, read and authenticated, without any I/O.

use std::rc::Rc;

use crate::protocol::config::Config;
use crate::protocol::cookie::{self, CookieKind};
use crate::protocol::keys::{Secret, SessionKey, Tag, Token, TokenKeys};
use crate::protocol::record::Envelope;
use crate::protocol::ticket::{Fresh, KeyCookie, KeyTicket, Rejection, Seen, Tombstone};

/// How a token that came in a cookie of this tag is turned into keys: whoever calls may have kept
/// them since an earlier request.
pub(crate) type Derive<'a> = &'a dyn Fn(Tag, &Secret, &Token) -> TokenKeys;

/// One session by one of its tokens: all that is needed to find and open its record.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) ticket: KeyTicket,
    pub(crate) keys: TokenKeys,
    pub(crate) key: SessionKey,
}

impl Identity {
    /// `None` where the ring no longer has the ticket's secret.
    fn of(ticket: KeyTicket, tag: Tag, config: &Config, derive: Derive<'_>) -> Option<Self> {
        let secret = config.ring().find(ticket.secret)?;
        let keys = derive(tag, secret, &ticket.token);
        let key = SessionKey {
            owner: ticket.owner,
            lineage: ticket.lineage,
            derived: keys.derived,
        };
        Some(Self { ticket, keys, key })
    }

    /// A new lineage that begins at `now`, owned by `owner` or by nobody.
    pub(crate) fn mint(config: &Config, token: Token, now: i64, owner: Option<&str>) -> Self {
        let signer = config.ring().signer();
        let keys = signer.derive(&token);
        let ticket = KeyTicket {
            secret: signer.id(),
            token,
            lineage: keys.derived,
            owner: owner.map(|owner| signer.owner_tag(owner)),
            minted_at: now,
            hard_end: now.saturating_add(config.age()),
        };
        let key = SessionKey {
            owner: ticket.owner,
            lineage: ticket.lineage,
            derived: keys.derived,
        };
        Self { ticket, keys, key }
    }

    /// The same lineage under a new token, from now on with the ring's signer. Its hard end comes
    /// no later than before, and no later than the age that is set now.
    pub(crate) fn rotate(
        &self,
        config: &Config,
        token: Token,
        now: i64,
        owner: Option<&str>,
    ) -> Self {
        let fresh = Self::mint(config, token, now, owner);
        let ticket = KeyTicket {
            lineage: self.ticket.lineage,
            // Never later; and earlier where the age of today allows less, so that a ticket which
            // somebody made with a leaked secret does not live on under the next one.
            hard_end: if mutant!(hard_end_moves_later) {
                fresh.ticket.hard_end.max(self.ticket.hard_end)
            } else {
                fresh.ticket.hard_end.min(self.ticket.hard_end)
            },
            ..fresh.ticket
        };
        let key = SessionKey {
            lineage: ticket.lineage,
            ..fresh.key
        };
        Self {
            ticket,
            keys: fresh.keys,
            key,
        }
    }

    /// The public session key.
    pub(crate) fn public_key(&self, config: &Config) -> Option<String> {
        let secret = config.ring().find(self.ticket.secret)?;
        Some(secret.public_key(&self.key))
    }

    pub(crate) fn storage_key(&self, config: &Config) -> String {
        config.names().record(&self.key)
    }
}

/// The session that a request presents, with what its companion cookies say.
pub(crate) struct Held {
    pub(crate) identity: Identity,
    pub(crate) seen: Option<i64>,
    pub(crate) fresh: Option<Fresh>,
}

impl Held {
    fn new(identity: Identity, found: &cookie::Found<'_>, config: &Config) -> Self {
        let (ring, token) = (config.ring(), &identity.ticket.token);
        let name = |kind| config.cookies().names().get(kind);
        let seen = found
            .get(CookieKind::Seen)
            .iter()
            .filter_map(|text| Seen::decode(text, ring, name(CookieKind::Seen), token).ok());
        let fresh = found
            .get(CookieKind::Fresh)
            .iter()
            .filter_map(|text| Fresh::decode(text, ring, name(CookieKind::Fresh), token).ok());
        Self {
            seen: seen.map(|seen| seen.at).max(),
            fresh: fresh.max_by_key(|fresh| fresh.version),
            identity,
        }
    }

    /// The record that the fresh cookie carries, if it was sealed less than W before `now`. Where
    /// overlays are off none counts: whoever has the secret could make a session of one.
    pub(crate) fn overlay(&self, config: &Config, now: i64) -> Option<Envelope> {
        if !config.settings().uses_overlay() {
            return None;
        }
        let text = self.fresh.as_ref()?.overlay.as_deref()?;
        let storage_key = self.identity.storage_key(config);
        let envelope = Envelope::open(text, &self.identity.keys.record, &storage_key, true).ok()?;
        let lately = now < envelope.saved_at.saturating_add(config.window());
        (lately || mutant!(overlay_past_window)).then_some(envelope)
    }
}

/// Which of our cookies came at all, ours by proof or by name only.
#[derive(Clone, Copy, Default)]
pub(crate) struct Came {
    pub(crate) key: bool,
    pub(crate) seen: bool,
    pub(crate) fresh: bool,
}

/// What the Cookie header amounts to.
#[derive(Clone)]
pub(crate) enum Presented {
    /// No key cookie.
    Nothing,
    /// A header over its limits.
    TooLarge,
    /// Key cookies that we did not write.
    Rejected(Rejection),
    /// An authentic key cookie that has reached its end.
    Ended,
    /// Exactly one session.
    Session(Rc<Held>),
    /// A logout that still has to be written.
    Tombstone(Tombstone),
    /// Authentic key cookies of different sessions.
    Ambiguous(Rc<[Identity]>),
}

impl Presented {
    pub(crate) fn read(
        header: &str,
        config: &Config,
        now: i64,
        derive: Derive<'_>,
    ) -> (Self, Came) {
        let limits = config.settings().cookie_limits();
        let found = match cookie::parse(header, config.cookies().names(), limits) {
            Ok(found) => found,
            // Any of them may be in it, and a logout has to take them from the browser.
            Err(cookie::TooLarge) => {
                let came = Came {
                    key: true,
                    seen: true,
                    fresh: true,
                };
                return (Self::TooLarge, came);
            }
        };
        let came = Came {
            key: !found.key.is_empty(),
            seen: !found.seen.is_empty(),
            fresh: !found.fresh.is_empty(),
        };
        (Self::judge(&found, config, now, derive), came)
    }

    fn judge(found: &cookie::Found<'_>, config: &Config, now: i64, derive: Derive<'_>) -> Self {
        let names = config.cookies().names();
        let mut rejection = None;
        let mut ended = false;
        let mut tickets: Vec<(KeyTicket, Tag)> = Vec::new();
        let mut tombstone = None;
        for text in found.get(CookieKind::Key) {
            match KeyCookie::decode(text, config.ring(), names.get(CookieKind::Key)) {
                Err(why) => rejection = Some(why),
                Ok(KeyCookie::Tombstone(stone)) if now < stone.hard_end => tombstone = Some(stone),
                Ok(KeyCookie::Ticket(ticket, tag)) if now < ticket.end(config.age()) => {
                    // Two cookies of one token are one session.
                    let known = |(other, _): &(KeyTicket, Tag)| other.token.is(&ticket.token);
                    if !tickets.iter().any(known) {
                        tickets.push((ticket, tag));
                    }
                }
                Ok(_) => ended = true,
            }
        }
        let tombstone = if mutant!(tombstone_not_honoured) {
            None
        } else {
            tombstone
        };
        let mut identities = tickets
            .into_iter()
            .filter_map(|(ticket, tag)| Identity::of(ticket, tag, config, derive))
            .collect::<Vec<_>>();
        match (identities.pop(), identities.is_empty()) {
            (Some(one), true) => Self::Session(Rc::new(Held::new(one, found, config))),
            (Some(one), false) => {
                identities.push(one);
                Self::Ambiguous(identities.into())
            }
            (None, _) => match (tombstone, ended, rejection) {
                (Some(stone), ..) => Self::Tombstone(stone),
                (None, true, _) => Self::Ended,
                (None, false, Some(why)) => Self::Rejected(why),
                (None, false, None) => Self::Nothing,
            },
        }
    }

    /// Every session that is presented with proof.
    pub(crate) fn identities(&self) -> &[Identity] {
        match self {
            Self::Session(held) => std::slice::from_ref(&held.identity),
            Self::Ambiguous(identities) => identities,
            _ => &[],
        }
    }
}
