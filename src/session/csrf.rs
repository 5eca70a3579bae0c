//! Which CSRF tokens a request issues, and which it accepts.
//!
//! A form cookie counts only if the request cannot act for a logged-in user. Another host of the
//! same domain may have set the form cookie, and also other key cookies, or so many cookies that
//! the header is over its limits, to hide which session is meant. So every authentic session of the
//! request matters, not only the chosen one.

use crate::port::error::ErrorCode;
use crate::protocol::keys::{Purpose, Ring, Tag};
use crate::protocol::outcome::Outcome;
use crate::protocol::ticket::KeyTicket;
use crate::session::life::Base;

/// Everything that decides about the tokens of a request.
pub(crate) struct Situation<'a> {
    /// `None` if the session was ended in this request.
    pub(crate) base: Option<&'a Base>,
    /// What the load found.
    pub(crate) outcome: Option<Outcome>,
    /// The session with the new key that the browser gets with the commit, if any.
    pub(crate) next: Option<&'a KeyTicket>,
    /// The chosen one of the authentic sessions.
    pub(crate) chosen: Option<&'a KeyTicket>,
    /// Every authentic session of the request.
    pub(crate) proven: Vec<&'a KeyTicket>,
    /// True if a user's session was replaced or ended in this request, or may be in a header that
    /// is too large to search.
    pub(crate) had_user: bool,
}

/// The tokens of a request.
pub(crate) struct Tokens<'a> {
    /// A new token is derived from these sessions, or from the form cookie if there are none.
    pub(crate) given: Vec<&'a KeyTicket>,
    /// The token of these sessions is accepted too.
    pub(crate) also: Vec<&'a KeyTicket>,
    /// Tokens of the form cookies are accepted.
    pub(crate) forms: bool,
}

impl<'a> Situation<'a> {
    pub(crate) fn tokens(self) -> Tokens<'a> {
        let Self {
            base,
            outcome,
            next,
            chosen,
            proven,
            had_user,
        } = self;
        let is_users = |one: &&KeyTicket| one.owner.is_some();
        let is_rotated = match base {
            Some(Base::ReadOnly(_, code)) => *code == ErrorCode::Rotated,
            Some(Base::Closed(error)) => error.code() == ErrorCode::Rotated,
            _ => false,
        };
        let current = match (base, chosen) {
            // The visible data belongs to the user. For an anonymous session the browser has the
            // next key by now, and its form cookie is accepted with both.
            (_, Some(one)) if is_rotated && !is_users(&one) => Vec::new(),
            (_, Some(one)) if is_rotated => vec![one],
            (Some(Base::Live(_) | Base::ReadOnly(_, ErrorCode::Stale)), Some(one)) => vec![one],
            // It is probably alive, so its token will be accepted when it is visible again.
            (Some(Base::Closed(_)), Some(one)) => vec![one],
            // It is unknown which one is meant. Somebody who has set one of them does not know the
            // others, and cannot make the token of all of them.
            (Some(Base::Closed(_) | Base::Detached), _) if proven.iter().any(is_users) => {
                proven.clone()
            }
            _ => Vec::new(),
        };
        let has_user = had_user || current.iter().chain(&next).any(is_users);
        let is_over = matches!(
            outcome,
            Some(Outcome::Rotated | Outcome::Expired | Outcome::Gone)
        );
        let also = match chosen {
            // Issued when it was unknown which one is meant.
            _ if next.is_none() && !current.is_empty() => proven,
            // For a form that was shown while the anonymous session was alive, and is sent again
            // after the login, or late.
            Some(one) if is_over && !has_user && !is_users(&one) => vec![one],
            _ => Vec::new(),
        };
        Tokens {
            given: next.map_or(current, |next| vec![next]),
            also,
            forms: !has_user,
        }
    }
}

/// The MAC in a CSRF token of these sessions. For several sessions it depends on all of their
/// tokens. `None` without sessions, or if the ring no longer has the secret.
pub(crate) fn tag_of(sessions: &[&KeyTicket], ring: &Ring) -> Option<Tag> {
    let mut first = *sessions.first()?;
    let mut tokens: Vec<&[u8]> = Vec::with_capacity(sessions.len());
    // There are few of them, and a library sort would add a tenth to the wasm.
    for one in sessions {
        let token = &one.token.bytes()[..];
        let place = tokens.iter().take_while(|other| **other < token).count();
        if place == 0 {
            first = one;
        }
        tokens.insert(place, token);
    }
    let purpose = match tokens.len() {
        1 => Purpose::Csrf,
        _ => Purpose::CsrfOfSeveral,
    };
    let secret = ring.find(first.secret)?;
    Some(secret.tag(purpose, &tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::keys::{Id, Token};
    use crate::protocol::record::Envelope;
    use crate::session::life::{InStore, Known};
    use crate::session::refusals::refusal;

    fn session(byte: u8, owner: Option<u8>) -> KeyTicket {
        KeyTicket {
            secret: ring().signer().id(),
            token: Token::from_bytes(&[byte; 32]).unwrap(),
            lineage: Id([byte; 16]),
            owner: owner.map(|byte| Id([byte; 16])),
            minted_at: 0,
            hard_end: 1,
        }
    }

    fn ring() -> Ring {
        Ring::sample("lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY")
    }

    /// Sessions by the first byte of their token: 1 and 2 are visitors', 3 and 4 users'.
    const TABLE: &str = "
        base     outcome     chosen proven next given also forms
        empty    New         -      -      -    -     -    yes
        live     Loaded      1      1      -    1     1    yes
        live     Loaded      3      3      -    3     3    no
        live     Loaded      3      34     -    3     34   no
        stale    Stale       3      3      -    3     3    no
        pending  Pending     1      1      -    1     1    yes
        pending  Pending     3      3      -    3     3    no
        unknown  Unavailable 3      3      -    3     3    no
        unknown  Unavailable -      31     -    31    31   no
        unknown  Unavailable -      21     -    -     -    yes
        rotated  Rotated     1      1      -    -     1    yes
        unseen   Rotated     1      1      -    -     1    yes
        empty    Rotated     1      1      -    -     1    yes
        rotated  Rotated     3      3      -    3     3    no
        unseen   Rotated     3      3      -    3     3    no
        empty    Rotated     3      3      -    -     -    yes
        empty    Expired     1      1      -    -     1    yes
        empty    Expired     3      3      -    -     -    yes
        empty    Gone        1      1      -    -     1    yes
        empty    Gone        3      3      -    -     -    yes
        revoked  Revoked     1      1      -    -     -    yes
        revoked  Revoked     3      3      -    -     -    yes
        detached Revoked     1      1      -    -     -    yes
        detached Revoked     3      3      -    3     3    no
        detached Ambiguous   -      12     -    -     -    yes
        detached Ambiguous   -      43     -    43    43   no
        detached Rejected    -      1      -    -     -    yes
        detached Rejected    -      3      -    3     3    no
        detached Rejected    -      13     -    13    13   no
        live     Loaded      1      1      2    2     -    yes
        live     Loaded      1      1      3    3     -    no
        live     Loaded      3      3      2    2     -    no
        empty    Rotated     1      1      3    3     -    no
        empty    Expired     1      1      2    2     1    yes
        empty    Expired     1      1      3    3     -    no
        ended    -           -      -      -    -     -    yes";

    #[test]
    fn the_table_of_tokens() {
        let known = Known {
            envelope: Envelope::begin(0, 1),
            last_seen: 0,
            in_store: InStore::default(),
        };
        let bases = [
            ("empty", Base::Empty),
            ("live", Base::Live(known.clone())),
            ("detached", Base::Detached),
            ("revoked", Base::ReadOnly(None, ErrorCode::Revoked)),
            (
                "stale",
                Base::ReadOnly(Some(known.clone()), ErrorCode::Stale),
            ),
            ("rotated", Base::ReadOnly(Some(known), ErrorCode::Rotated)),
            ("unseen", Base::Closed(refusal(ErrorCode::Rotated))),
            ("pending", Base::Closed(refusal(ErrorCode::Pending))),
            ("unknown", Base::Closed(refusal(ErrorCode::Unavailable))),
        ];
        let late = [Outcome::Rotated, Outcome::Expired, Outcome::Gone];
        let sessions = [
            session(1, None),
            session(2, None),
            session(3, Some(1)),
            session(4, Some(2)),
        ];
        let of = |text: &str| -> Vec<&KeyTicket> {
            let places = text.bytes().filter(u8::is_ascii_digit);
            places
                .map(|digit| &sessions[usize::from(digit - b'1')])
                .collect()
        };
        let bytes = |sessions: &[&KeyTicket]| -> String {
            let of = |one: &&KeyTicket| one.token.bytes()[0].to_string();
            let all: String = sessions.iter().map(of).collect();
            if all.is_empty() { "-".into() } else { all }
        };
        for row in TABLE.lines().skip(2) {
            let columns: Vec<&str> = row.split_whitespace().collect();
            let [base, outcome, chosen, proven, next, given, also, forms] = columns[..] else {
                panic!("{row}")
            };
            let outcome = late.into_iter().find(|it| format!("{it:?}") == outcome);
            for had_user in [false, true] {
                let base = bases.iter().find(|(name, _)| *name == base);
                assert!(base.is_some() || row.contains("ended"), "{row}");
                let tokens = Situation {
                    base: base.map(|(_, base)| base),
                    outcome,
                    next: of(next).first().copied(),
                    chosen: of(chosen).first().copied(),
                    proven: of(proven),
                    had_user,
                }
                .tokens();
                assert_eq!(bytes(&tokens.given), given, "{row}");
                assert_eq!(tokens.forms, forms == "yes" && !had_user, "{row}");
                // What came too late is no better than a form cookie's.
                let also = if had_user && outcome.is_some() && forms == "yes" {
                    "-"
                } else {
                    also
                };
                assert_eq!(bytes(&tokens.also), also, "{row}");
            }
        }
    }

    #[test]
    fn a_tag_of_several_sessions_belongs_to_all_of_them_in_any_order() {
        let [one, two, three] = [3, 1, 2].map(|byte| session(byte, Some(1)));
        let tag = |sessions: &[&KeyTicket]| tag_of(sessions, &ring());
        assert_eq!(tag(&[&one, &two]), tag(&[&two, &one]));
        let tags = [
            tag(&[]),
            tag(&[&one]),
            tag(&[&two]),
            tag(&[&one, &two]),
            tag(&[&one, &three]),
            tag(&[&two, &three]),
            tag(&[&one, &two, &three]),
        ];
        for (place, tag) in tags.iter().enumerate() {
            assert!(!tags[..place].contains(tag), "{place}");
        }
    }
}
