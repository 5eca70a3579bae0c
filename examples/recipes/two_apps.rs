use std::time::Duration;

use edge_session::{SameSite, Settings};

pub fn shop() -> Settings {
    Settings::default()
        .with_key_prefix("shop:")
        .with_cookie_name("__Host-shop")
}

pub fn staff() -> Settings {
    Settings::default()
        .with_key_prefix("staff:")
        .with_cookie_name("__Host-staff")
        .with_idle_timeout(Duration::from_secs(900))
        .with_cookie_same_site(SameSite::Strict)
}
