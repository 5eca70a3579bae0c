//! The pages of the shop.

use edge_session::{OwnedSession, SessionKey};

pub const GOODS: [&str; 3] = ["apple", "pear", "plum"];

pub fn home(notice: Option<&str>, cart: &[String], user: Option<&str>, csrf: &str) -> String {
    let notice = notice.map_or(String::new(), |text| {
        format!("<p role=status>{}</p>", escape(text))
    });
    let cart = format!("<p>Cart: {}</p>", escape(&cart.join(", ")));
    let goods = GOODS.map(|item| {
        let field = format!("<input type=hidden name=item value={item}>");
        form("/cart", &field, &format!("Add an item: {item}"), csrf)
    });
    let user = match user {
        Some(user) => format!(
            "<p>Hello, {}. <a href=/account>Account</a> <a href=/devices>Devices</a></p>{}",
            escape(user),
            form("/logout", "", "Log out", csrf)
        ),
        None => login(csrf),
    };
    page(&[&notice, &cart, &goods.concat(), &user])
}

/// The same for everybody: it may be cached.
pub fn about() -> String {
    page(&["<p>We sell fruit.</p>"])
}

pub fn account(user: &str) -> String {
    page(&[&format!("<p>The account of {}</p>", escape(user))])
}

pub fn log_in_again(csrf: &str) -> String {
    page(&["<p>Log in again to see your account.</p>", &login(csrf)])
}

pub fn devices(devices: &[OwnedSession], here: Option<&SessionKey>, csrf: &str) -> String {
    let items = devices.iter().map(|device| {
        let browser = escape(device.user_agent.as_deref().unwrap_or("a browser"));
        let place = escape(device.place.as_deref().unwrap_or("somewhere"));
        let this = if Some(&device.key) == here {
            " (this one)"
        } else {
            ""
        };
        format!("<li>{browser}, {place}{this}</li>")
    });
    let list = format!("<ul>{}</ul>", items.collect::<String>());
    let button = form("/logout-everywhere", "", "Log out everywhere", csrf);
    page(&[&list, &button])
}

fn login(csrf: &str) -> String {
    let field = "<label>Name <input name=user required></label>";
    form("/login", field, "Log in", csrf)
}

fn form(action: &str, fields: &str, label: &str, csrf: &str) -> String {
    format!(
        "<form method=post action={action}><input type=hidden name=csrf value=\"{csrf}\">\
         {fields}<button>{label}</button></form>"
    )
}

fn page(parts: &[&str]) -> String {
    let head = "<!doctype html><html lang=en><meta charset=utf-8><title>Shop</title><h1>Shop</h1>";
    let foot = "<p><a href=/>Home</a> <a href=/about>About</a></p>";
    format!("{head}{}{foot}", parts.concat())
}

/// Text of a user's, as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
