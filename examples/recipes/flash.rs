use edge_session::{SessionError, SessionStore};

/// `POST /profile`. Answer with 303: a reload does not send the form again.
pub fn save(session: &mut SessionStore, name: &str) -> Result<(), SessionError> {
    session.set("name", name)?;
    session.flash("notice", format!("Saved, {name}."))
}

/// The message for the page, once. Escape it there.
pub fn notice(session: &mut SessionStore) -> Result<Option<String>, SessionError> {
    session.take_flash("notice")
}
