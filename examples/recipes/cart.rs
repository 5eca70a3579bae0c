use std::collections::BTreeMap;

use edge_session::{SessionError, SessionStore};

// Each article has a key of its own, so that two tabs can add different ones at the same time.
const PREFIX: &str = "cart:";

/// How many of each article.
pub type Cart = BTreeMap<String, u32>;

pub fn cart(session: &SessionStore) -> Result<Cart, SessionError> {
    let mut cart = Cart::new();
    for sku in session.keys()?.filter_map(|key| key.strip_prefix(PREFIX)) {
        let many = session.get(&format!("{PREFIX}{sku}"))?.unwrap_or_default();
        cart.insert(sku.to_owned(), many);
    }
    Ok(cart)
}

pub fn add(session: &mut SessionStore, sku: &str) -> Result<(), SessionError> {
    let key = format!("{PREFIX}{sku}");
    let many: u32 = session.get(&key)?.unwrap_or_default();
    session.set(&key, many + 1)
}

/// `saved` is what the account has kept from another device, if you store that.
pub fn log_in(session: &mut SessionStore, user: &str, saved: Cart) -> Result<(), SessionError> {
    session.bind(user)?; // keeps a stranger's data, and drops another user's
    for (sku, many) in saved {
        session.setdefault(&format!("{PREFIX}{sku}"), many)?;
    }
    Ok(())
}

pub async fn log_out(session: &mut SessionStore) -> Result<(), SessionError> {
    session.flush_keeping(["theme"]).await
}
