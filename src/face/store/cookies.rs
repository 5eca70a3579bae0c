//! The cookies of the request, parsed when they are first needed.

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::session::presented::{Cookies, CookiesSeen, Presented};

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

    /// True if it carries a token.
    fn cookie_header(&self) -> Option<Zeroizing<String>> {
        self.request.header("cookie").map(Zeroizing::new)
    }

    pub(super) fn presented(&self) -> &Presented {
        self.cookies().presented()
    }

    pub(super) fn received(&self) -> CookiesSeen {
        self.cookies().received()
    }

    /// Also searches a header that exceeds its limits for sessions to end, which a load never does.
    /// False if the header is too large to search completely.
    pub(super) fn read_whole(&mut self) -> bool {
        if !matches!(self.presented(), Presented::TooLarge) {
            return true;
        }
        let (shared, now) = (Rc::clone(&self.shared), self.now());
        let derive = |tag, secret: &_, token: &_| shared.derive(tag, secret, token);
        let cookies = self.cookies.get_mut();
        cookies.is_none_or(|it| it.read_whole(shared.config(), now, &derive))
    }

    /// From now on, the browser has other cookies.
    pub(super) fn change_cookies(&mut self, change: impl FnOnce(&mut Cookies)) {
        // Parse the cookies before they are changed.
        let _cookies = self.cookies();
        if let Some(cookies) = self.cookies.get_mut() {
            change(cookies);
        }
    }
}
