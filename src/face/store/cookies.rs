//! What the request presents: its cookies, read when they are first asked for.

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::protocol::ticket::Tombstone;
use crate::session::presented::{Beside, Came, Cookies, Held, Presented};

use super::SessionStore;

impl SessionStore {
    pub(super) fn cookies(&self) -> &Cookies {
        self.cookies.get_or_init(|| match self.cookie_header() {
            Some(header) => {
                let derive = |tag, secret: &_, token: &_| self.shared.derive(tag, secret, token);
                Cookies::read(&header, self.shared.config(), self.now(), &derive)
            }
            None => Cookies::none(),
        })
    }

    /// It carries a token.
    fn cookie_header(&self) -> Option<Zeroizing<String>> {
        self.request.header("cookie").map(Zeroizing::new)
    }

    pub(super) fn presented(&self) -> &Presented {
        &self.cookies().presented
    }

    pub(super) fn came(&self) -> Came {
        self.cookies().came
    }

    /// Logouts that are not stored yet.
    pub(super) fn stones(&self) -> &[Tombstone] {
        &self.cookies().beside.stones
    }

    /// Every session that is presented with proof; the chosen one first.
    pub(super) fn rivals(&self) -> Vec<Rc<Held>> {
        let Cookies {
            presented, beside, ..
        } = self.cookies();
        let chosen = match presented {
            Presented::Session(held) => Some(Rc::clone(held)),
            _ => None,
        };
        chosen
            .into_iter()
            .chain(beside.rivals.iter().cloned())
            .collect()
    }

    /// Looks for what has to be ended in a header over its limits too, which no load does; false
    /// where there is more of it than can be looked at.
    pub(super) fn read_whole(&mut self) -> bool {
        if !matches!(self.presented(), Presented::TooLarge) {
            return true;
        }
        let Some(header) = self.cookie_header() else {
            return true;
        };
        let derive = |tag, secret: &_, token: &_| self.shared.derive(tag, secret, token);
        let beside = Beside::of_whole(&header, self.shared.config(), self.now(), &derive);
        let whole = beside.is_some();
        self.set_beside(beside.unwrap_or_default());
        whole
    }

    /// From now on the browser has this.
    pub(super) fn present(&mut self, presented: Presented) {
        // Read before it is changed.
        let _cookies = self.cookies();
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.presented = presented;
        }
    }

    pub(super) fn set_rivals(&mut self, rivals: Vec<Rc<Held>>) {
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.beside.rivals = rivals;
        }
    }

    pub(super) fn set_stones(&mut self, stones: Vec<Tombstone>) {
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.beside.stones = stones;
        }
    }

    /// And this beside it.
    pub(super) fn set_beside(&mut self, beside: Beside) {
        let _cookies = self.cookies();
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.beside = beside;
        }
    }
}
