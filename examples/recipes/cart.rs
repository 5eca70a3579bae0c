use std::collections::BTreeMap;

use edge_session::{SessionError, SessionStore};

/// How many of each article.
pub type Cart = BTreeMap<String, u32>;

pub fn add(session: &mut SessionStore, sku: &str) -> Result<(), SessionError> {
    let mut cart = session.get::<Cart>("cart")?.unwrap_or_default();
    *cart.entry(sku.to_owned()).or_default() += 1;
    session.set("cart", &cart)
}

/// `saved` is what the account has kept from another device, if you store that.
pub fn log_in(session: &mut SessionStore, user: &str, saved: Cart) -> Result<(), SessionError> {
    session.bind(user)?; // keeps a stranger's data, and drops another user's
    let mut cart = saved;
    cart.extend(session.get::<Cart>("cart")?.unwrap_or_default());
    session.set("cart", &cart)
}

pub async fn log_out(session: &mut SessionStore) -> Result<(), SessionError> {
    session.flush_keeping(["theme"]).await
}
