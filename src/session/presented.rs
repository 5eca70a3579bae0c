//! The session cookies of a request, read and authenticated without I/O.

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::protocol::config::Config;
use crate::protocol::cookie::{self, CookieKind, CookieLimits};
use crate::protocol::form::Form;
use crate::protocol::keys::{KeyParts, Secret, Tag, Token, TokenKeys};
use crate::protocol::record::Envelope;
use crate::protocol::ticket::{Fresh, KeyCookie, KeyTicket, Rejection, Seen, Tombstone};
use crate::session::to_end::ToEnd;

/// Derives the keys of a token. The caller may cache them by the tag of the cookie.
pub(crate) type Derive<'a> = &'a dyn Fn(Tag, &Secret, &Token) -> TokenKeys;

/// A session, identified by one of its tokens, with everything needed to find and open its record.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) ticket: KeyTicket,
    pub(crate) keys: TokenKeys,
    pub(crate) key: KeyParts,
}

impl Identity {
    /// `None` if the ring no longer has the ticket's secret.
    fn of(ticket: KeyTicket, tag: Tag, config: &Config, derive: Derive<'_>) -> Option<Self> {
        let secret = config.ring().find(ticket.secret)?;
        let keys = derive(tag, secret, &ticket.token);
        let key = KeyParts {
            owner: ticket.owner,
            lineage: ticket.lineage,
            derived: keys.derived,
        };
        Some(Self { ticket, keys, key })
    }

    /// A new lineage that starts at `now`, with `owner` if any.
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
        let key = KeyParts {
            owner: ticket.owner,
            lineage: ticket.lineage,
            derived: keys.derived,
        };
        Self { ticket, keys, key }
    }

    /// The same lineage under a new token, with the ring's signer. Its hard end does not move
    /// later, and is at most the current `SESSION_COOKIE_AGE` from now.
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
            // Never later, and earlier if the current age allows less, so that a ticket made with a
            // leaked secret does not live on under the next secret.
            hard_end: if mutant!(hard_end_moves_later) {
                fresh.ticket.hard_end.max(self.ticket.hard_end)
            } else {
                fresh.ticket.hard_end.min(self.ticket.hard_end)
            },
            ..fresh.ticket
        };
        let key = KeyParts {
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

    /// The end of this session.
    pub(crate) fn to_end(&self) -> ToEnd {
        let Self { ticket, key, keys } = self;
        ToEnd {
            stone: Tombstone::new(ticket.secret, key, ticket.hard_end),
            record_key: Some(keys.record.clone()),
        }
    }

    pub(crate) fn storage_key(&self, config: &Config) -> String {
        config.names().record(&self.key)
    }
}

/// The session that a request presents, with the content of its seen and fresh cookies.
pub(crate) struct PresentedSession {
    pub(crate) identity: Identity,
    pub(crate) seen: Option<i64>,
    pub(crate) fresh: Option<Fresh>,
}

impl PresentedSession {
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

    /// Without reading the seen and fresh cookies.
    fn alone(identity: Identity) -> Rc<Self> {
        Rc::new(Self {
            identity,
            seen: None,
            fresh: None,
        })
    }

    /// The record in the fresh cookie, if it was sealed less than W before `now`. If overlays are
    /// off it is ignored, because anybody with the secret could make one.
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

/// Which cookies with our names the request has, authentic or not.
#[derive(Clone, Copy, Default)]
pub(crate) struct CookiesSeen {
    pub(crate) key: bool,
    pub(crate) seen: bool,
    pub(crate) fresh: bool,
    pub(crate) form: bool,
    /// True for more than one key cookie: a browser keeps one for each set of attributes.
    pub(crate) several: bool,
}

/// The most sessions of one request that are judged. If there are more, none is chosen.
pub(crate) const RIVALS_MAX: usize = 4;
/// The most sessions that one request ends. Each costs two or three puts, and somebody could fill a
/// header with many authentic key cookies.
pub(crate) const ENDS_MAX: usize = 2 * RIVALS_MAX;

/// The longest header that a logout searches, whatever the limits: all headers of a Worker's
/// request together may have this size
/// (<https://developers.cloudflare.com/workers/platform/limits/#request-and-response-limits>).
const WHOLE_HEADER_MAX: usize = 131_072;
const WHOLE: CookieLimits = CookieLimits {
    bytes: WHOLE_HEADER_MAX,
    pairs: WHOLE_HEADER_MAX,
};
/// The most cookies of one kind in such a header that are checked. Each costs a MAC.
const WHOLE_COOKIES_MAX: usize = 256;

/// Everything authentic besides the chosen session, which a logout must end too.
#[derive(Default)]
struct Beside {
    /// The other sessions, or all of them if none is chosen.
    rivals: Vec<Rc<PresentedSession>>,
    /// Logouts that still have to be stored.
    stones: Vec<Tombstone>,
}

/// The session's cookies of one request. After a save or logout, those that the browser gets.
pub(crate) struct Cookies {
    presented: Presented,
    received: CookiesSeen,
    beside: Beside,
    /// The values of form cookies. They are decoded only when a form is shown or sent.
    forms: Vec<String>,
    /// The header, if it is over its limits, for a logout and for CSRF tokens.
    whole: Option<Zeroizing<String>>,
    /// True if this request has replaced or ended a user's session.
    had_user: bool,
}

/// The most form cookies of one request that count.
const FORMS_MAX: usize = 4;

/// The meaning of the Cookie header.
#[derive(Clone)]
pub(crate) enum Presented {
    /// No key cookie.
    Nothing,
    /// The header is over its limits.
    TooLarge,
    /// Only key cookies that we did not write.
    Rejected(Rejection),
    /// An authentic key cookie that has reached its end.
    Ended,
    /// Exactly one session.
    Session(Rc<PresentedSession>),
    /// A logout that is not stored yet, and no session.
    Tombstone(Tombstone),
    /// Authentic key cookies of different sessions, of which none is chosen.
    Ambiguous,
}

impl Cookies {
    pub(crate) fn none() -> Self {
        Self {
            presented: Presented::Nothing,
            received: CookiesSeen::default(),
            beside: Beside::default(),
            forms: Vec::new(),
            whole: None,
            had_user: false,
        }
    }

    /// The authentic form cookies, at most 4, in an order that does not depend on the header.
    pub(crate) fn forms(&self, config: &Config) -> Vec<Form> {
        let names = config.cookies().names();
        let values: Vec<&str> = match &self.whole {
            None => self.forms.iter().map(|value| &**value).collect(),
            Some(header) => {
                let found = cookie::parse(header, names, WHOLE).unwrap_or_default();
                found.form.into_iter().take(WHOLE_COOKIES_MAX).collect()
            }
        };
        let name = names.get(CookieKind::Form);
        let forms = values
            .into_iter()
            .filter_map(|value| Form::decode(value, config.ring(), name).ok());
        forms.take(FORMS_MAX).collect()
    }

    /// True for more than one form cookie, each with other attributes.
    pub(crate) fn several_forms(&self) -> bool {
        self.forms.len() > 1
    }

    pub(crate) fn read(header: &str, config: &Config, now: i64, derive: Derive<'_>) -> Self {
        let limits = config.settings().cookie_limits();
        let found = match cookie::parse(header, config.cookies().names(), limits) {
            Ok(found) => found,
            // The header may contain any of them, and a logout must remove them.
            Err(cookie::TooLarge) => {
                return Self {
                    presented: Presented::TooLarge,
                    received: CookiesSeen {
                        key: true,
                        seen: true,
                        fresh: true,
                        form: true,
                        several: true,
                    },
                    beside: Beside::default(),
                    forms: Vec::new(),
                    whole: Some(Zeroizing::new(header.to_owned())),
                    had_user: false,
                };
            }
        };
        let received = CookiesSeen {
            key: !found.key.is_empty(),
            seen: !found.seen.is_empty(),
            fresh: !found.fresh.is_empty(),
            form: !found.form.is_empty(),
            several: found.key.len() > 1,
        };
        let (presented, beside) = Self::judge(&found, config, now, derive);
        Self {
            presented,
            received,
            beside,
            forms: found.form.iter().map(ToString::to_string).collect(),
            whole: None,
            had_user: false,
        }
    }

    /// Also searches a header over its limits for sessions to end, which a load never does. False
    /// if it has too many cookies to check.
    pub(crate) fn read_whole(&mut self, config: &Config, now: i64, derive: Derive<'_>) -> bool {
        let Some(header) = &self.whole else {
            return true;
        };
        let beside = Beside::of_whole(header, config, now, derive);
        let whole = beside.is_some();
        self.beside = beside.unwrap_or_default();
        whole
    }

    pub(crate) fn presented(&self) -> &Presented {
        &self.presented
    }

    pub(crate) fn received(&self) -> CookiesSeen {
        self.received
    }

    /// Logouts that are not stored yet.
    pub(crate) fn stones(&self) -> &[Tombstone] {
        &self.beside.stones
    }

    /// Every authentic session. The chosen one comes first.
    pub(crate) fn rivals(&self) -> Vec<Rc<PresentedSession>> {
        let chosen = match &self.presented {
            Presented::Session(session) => Some(Rc::clone(session)),
            _ => None,
        };
        chosen
            .into_iter()
            .chain(self.beside.rivals.iter().cloned())
            .collect()
    }

    /// The same, also from a header over its limits; `None` if it has too many cookies to check.
    pub(crate) fn proven(
        &self,
        config: &Config,
        now: i64,
        derive: Derive<'_>,
    ) -> Option<Vec<Rc<PresentedSession>>> {
        match (&self.presented, &self.whole) {
            (Presented::TooLarge, Some(header)) => {
                Some(Beside::of_whole(header, config, now, derive)?.rivals)
            }
            _ => Some(self.rivals()),
        }
    }

    /// True if this request has replaced or ended a user's session.
    pub(crate) fn had_user(&self) -> bool {
        self.had_user
    }

    /// Must be called before a presented session is dropped.
    fn remember_user(&mut self) {
        let is_users = |session: &Rc<PresentedSession>| session.identity.ticket.owner.is_some();
        self.had_user |= self.rivals().iter().any(is_users);
    }

    /// Everything that a logout must end.
    pub(crate) fn ends(&self) -> Vec<ToEnd> {
        let stones = self.beside.stones.iter();
        let mut ends: Vec<ToEnd> = stones.map(|stone| ToEnd::of_stone(*stone)).collect();
        for session in self.rivals() {
            let to_end = session.identity.to_end();
            if !ends.iter().any(|known| known.stone == to_end.stone) {
                ends.push(to_end);
            }
        }
        ends
    }

    /// Sets the chosen session; `None` if none can be chosen.
    pub(crate) fn choose(
        &mut self,
        chosen: Option<Rc<PresentedSession>>,
        rivals: Vec<Rc<PresentedSession>>,
    ) {
        self.presented = chosen.map_or(Presented::Ambiguous, Presented::Session);
        self.beside.rivals = rivals;
    }

    /// The response gives the browser this session.
    pub(crate) fn replace(&mut self, session: PresentedSession) {
        self.remember_user();
        self.presented = Presented::Session(Rc::new(session));
    }

    /// The other presented sessions have ended.
    pub(crate) fn forget_rivals(&mut self) {
        self.beside.rivals = Vec::new();
    }

    /// Sets the logouts that are not stored yet.
    pub(crate) fn set_stones(&mut self, stones: Vec<Tombstone>) {
        self.beside.stones = stones;
    }

    /// Every presented session has ended. `stones` are the logouts that are not stored yet.
    pub(crate) fn end(&mut self, stones: Vec<Tombstone>) {
        self.remember_user();
        self.presented = stones
            .first()
            .map_or(Presented::Nothing, |stone| Presented::Tombstone(*stone));
        self.beside = Beside {
            rivals: Vec::new(),
            stones,
        };
    }

    fn judge(
        found: &cookie::Found<'_>,
        config: &Config,
        now: i64,
        derive: Derive<'_>,
    ) -> (Presented, Beside) {
        let Proven {
            mut identities,
            stones,
            ended,
            rejection,
        } = Proven::of(found, config, now, derive);
        let session = |identity| Rc::new(PresentedSession::new(identity, found, config));
        let one = match identities.len() {
            1 => identities.pop(),
            _ => None,
        };
        let rivals: Vec<Rc<PresentedSession>> = if identities.len() > RIVALS_MAX {
            identities
                .into_iter()
                .map(PresentedSession::alone)
                .collect()
        } else {
            identities.into_iter().map(session).collect()
        };
        let presented = match (one, stones.first(), rejection) {
            (Some(one), ..) => Presented::Session(session(one)),
            (None, ..) if !rivals.is_empty() => Presented::Ambiguous,
            (None, Some(stone), _) => Presented::Tombstone(*stone),
            (None, None, _) if ended => Presented::Ended,
            (None, None, Some(why)) => Presented::Rejected(why),
            (None, None, None) => Presented::Nothing,
        };
        (presented, Beside { rivals, stones })
    }
}

impl Beside {
    /// The sessions in a header over its limits, which a logout must end too. `None` if it has too
    /// many cookies to check.
    fn of_whole(header: &str, config: &Config, now: i64, derive: Derive<'_>) -> Option<Self> {
        let found = cookie::parse(header, config.cookies().names(), WHOLE).ok()?;
        if found.key.len() > WHOLE_COOKIES_MAX {
            return None;
        }
        let Proven {
            identities, stones, ..
        } = Proven::of(&found, config, now, derive);
        Some(Self {
            rivals: identities
                .into_iter()
                .map(PresentedSession::alone)
                .collect(),
            stones,
        })
    }
}

/// The key cookies, sorted by their meaning.
struct Proven {
    identities: Vec<Identity>,
    stones: Vec<Tombstone>,
    /// True if an authentic one has reached its end.
    ended: bool,
    rejection: Option<Rejection>,
}

impl Proven {
    fn of(found: &cookie::Found<'_>, config: &Config, now: i64, derive: Derive<'_>) -> Self {
        let name = config.cookies().names().get(CookieKind::Key);
        let mut rejection = None;
        let mut ended = false;
        let mut tickets: Vec<(KeyTicket, Tag)> = Vec::new();
        let mut stones: Vec<Tombstone> = Vec::new();
        for text in found.get(CookieKind::Key) {
            match KeyCookie::decode(text, config.ring(), name) {
                Err(why) => rejection = Some(why),
                Ok(KeyCookie::Tombstone(stone)) if now < stone.hard_end => {
                    if !stones.contains(&stone) && !mutant!(tombstone_not_honoured) {
                        stones.push(stone);
                    }
                }
                Ok(KeyCookie::Ticket(ticket, tag)) if now < ticket.end(config.age()) => {
                    // Two cookies with the same token are one session.
                    let known = |(other, _): &(KeyTicket, Tag)| other.token.is(&ticket.token);
                    if !tickets.iter().any(known) {
                        tickets.push((ticket, tag));
                    }
                }
                Ok(_) => ended = true,
            }
        }
        // The session of a logout that is not stored yet has ended, even if a cookie of other
        // settings still has its key.
        let logged_out =
            |ticket: &KeyTicket| stones.iter().any(|stone| stone.lineage == ticket.lineage);
        let identities = tickets
            .into_iter()
            .filter(|(ticket, _)| !logged_out(ticket))
            .filter_map(|(ticket, tag)| Identity::of(ticket, tag, config, derive))
            .collect();
        Self {
            identities,
            stones,
            ended,
            rejection,
        }
    }
}
