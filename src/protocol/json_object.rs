//! A JSON object as text, written member by member.

use std::fmt::Write as _;

use crate::protocol::json;

/// A JSON object that is being written. The names of members are ours and need no escapes; keys of
/// applications are written by [`entry`](Self::entry).
pub(crate) struct Object(String);

#[allow(dead_code, reason = "not every feature writes every kind of member")]
impl Object {
    pub(crate) fn new() -> Self {
        // Room for most objects: growing step by step costs more than filling.
        let mut out = String::with_capacity(256);
        out.push('{');
        Self(out)
    }

    fn next(&mut self) -> &mut String {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
        &mut self.0
    }

    fn name(&mut self, name: &str) -> &mut String {
        let out = self.next();
        out.push('"');
        out.push_str(name);
        out.push_str("\":");
        out
    }

    /// A member whose value is the JSON `text`.
    pub(crate) fn raw(&mut self, name: &str, text: &str) {
        self.name(name).push_str(text);
    }

    /// A member with any name, whose value is the JSON `text`.
    pub(crate) fn entry(&mut self, key: &str, text: &str) {
        let out = self.next();
        json::quote(out, key);
        out.push(':');
        out.push_str(text);
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        json::quote(self.name(name), text);
    }

    pub(crate) fn number(&mut self, name: &str, number: i64) {
        // Writing to a String cannot fail.
        let _ = write!(self.name(name), "{number}");
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// Left out if false.
    pub(crate) fn flag(&mut self, name: &str, flag: bool) {
        if flag {
            self.raw(name, "true");
        }
    }

    pub(crate) fn optional_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// Writes `null` if there is no text.
    pub(crate) fn nullable_text(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn optional_number(&mut self, name: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    pub(crate) fn texts<T: AsRef<str>>(&mut self, name: &str, texts: impl IntoIterator<Item = T>) {
        self.name(name).push('[');
        for text in texts {
            json::quote(self.next(), text.as_ref());
        }
        self.0.push(']');
    }

    /// A member whose value is an array of these JSON `texts`.
    pub(crate) fn raws(&mut self, name: &str, texts: &[String]) {
        self.name(name).push('[');
        for text in texts {
            self.next().push_str(text);
        }
        self.0.push(']');
    }

    /// A member whose value is an object, which `fill` writes.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.name(name).push('{');
        fill(self);
        self.0.push('}');
    }

    /// A member whose value is an array of objects. `fill` writes each.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Self, T),
    ) {
        self.name(name).push('[');
        for item in items {
            self.next().push('{');
            fill(self, item);
            self.0.push('}');
        }
        self.0.push(']');
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Object;

    #[test]
    fn members_are_separated_at_every_level() {
        let mut out = Object::new();
        out.texts("none", [""; 0]);
        out.texts("two", ["{", "["]);
        out.object("inner", |inner| {
            inner.flag("absent", false);
            inner.number("n", -1);
            inner.flag("present", true);
        });
        out.objects("list", [Some("a\"b"), None], |out, item| {
            out.optional_text("text", item);
            out.optional_number("absent", None);
        });
        out.raws("raws", &["1".to_owned(), "{}".to_owned()]);
        out.entry("any \"key\"", "null");
        out.object("empty", |_| {});
        assert_eq!(
            out.end(),
            r#"{"none":[],"two":["{","["],"inner":{"n":-1,"present":true},"list":[{"text":"a\"b"},{}],"raws":[1,{}],"any \"key\"":null,"empty":{}}"#
        );
    }
}
