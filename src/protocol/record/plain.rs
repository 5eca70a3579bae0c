//! The record as plain JSON, for `SESSION_SEAL=false`.

use std::rc::Rc;

use super::envelope::{Bound, Device, Envelope, Unreadable};
use crate::protocol::data::{Data, Slot, Table};
use crate::protocol::expiry::{Idle, OwnLimits};
use crate::protocol::json;
use crate::protocol::json_object::Object;
use crate::protocol::version::Version;
use crate::protocol::wire::{MAX_INSTANT, stored_instant};

const FORMAT: i64 = 2;

impl Envelope {
    /// The text to store without sealing. `None` if a value is not JSON.
    pub(crate) fn to_plain(&self) -> Option<String> {
        write(self)
    }
}

fn write(envelope: &Envelope) -> Option<String> {
    let mut out = Object::new();
    out.number("format", FORMAT);
    out.raw("version", &pair(envelope.version));
    out.number("createdAt", stored_instant(envelope.created_at));
    out.number("savedAt", stored_instant(envelope.saved_at));
    out.number("hardEnd", stored_instant(envelope.hard_end));
    let bound = envelope.bound.as_ref();
    out.optional_text("owner", bound.map(|bound| &*bound.owner));
    out.optional_number("boundAt", bound.map(|bound| stored_instant(bound.at)));
    out.optional_number("authTime", envelope.auth_time.map(stored_instant));
    out.optional_text("userAgent", envelope.device.user_agent.as_deref());
    out.optional_text("place", envelope.device.place.as_deref());
    out.object("expiry", |out| limits(out, envelope.expiry));
    out.raw("expiryVersion", &pair(envelope.expiry_version));
    out.raw("cleared", &pair(envelope.data.cleared()));
    let names = ["data", "dataVersions", "dataRemoved"];
    table(&mut out, names, &envelope.data.values)?;
    let names = ["flash", "flashVersions", "flashRemoved"];
    table(&mut out, names, &envelope.data.flash)?;
    Some(out.end())
}

fn limits(out: &mut Object, own: OwnLimits) {
    match own.end {
        Some(at) => out.number("end", stored_instant(at)),
        None => out.raw("end", "null"),
    }
    match own.idle {
        Idle::Default => out.text("idle", "default"),
        Idle::None => out.text("idle", "none"),
        Idle::Seconds(seconds) => out.number("idle", seconds.into()),
    }
    out.boolean("browserClose", own.browser_close);
}

fn pair(version: Version) -> String {
    format!("[{},{}]", version.counter, version.writer)
}

/// Three objects: the values, their versions, and the removed keys.
fn table(out: &mut Object, names: [&str; 3], table: &Table) -> Option<()> {
    let [mut values, mut versions, mut removed] = [(); 3].map(|()| Object::new());
    for (key, version, slot) in table.settled() {
        match slot {
            Slot::Value(text) => {
                // A record is one line. In JSON, line breaks occur only between tokens.
                values.entry(key, &json::value(text)?.replace(['\n', '\r'], " "));
                versions.entry(key, &pair(version));
            }
            Slot::Removed(at) => {
                let Version { counter, writer } = version;
                let at = stored_instant(*at);
                removed.entry(key, &format!("[{counter},{writer},{at}]"));
            }
        }
    }
    for (name, object) in names.into_iter().zip([values, versions, removed]) {
        out.raw(name, &object.end());
    }
    Some(())
}

pub(super) fn read(text: &str) -> Result<Envelope, Unreadable> {
    let fields = Fields(json::members(text).ok_or(Unreadable::Corrupt)?);
    match fields.instant("format") {
        Some(Some(FORMAT)) => fields.envelope().ok_or(Unreadable::Corrupt),
        Some(Some(_)) => Err(Unreadable::UnknownFormat),
        _ => Err(Unreadable::Corrupt),
    }
}

/// The members of the record: names as written, and JSON texts.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl Fields<'_> {
    fn envelope(&self) -> Option<Envelope> {
        let mut data = Data::default();
        data.set_cleared(version(self.need("cleared")?)?);
        let names = ["data", "dataVersions", "dataRemoved"];
        self.table(names, &mut data.values)?;
        let names = ["flash", "flashVersions", "flashRemoved"];
        self.table(names, &mut data.flash)?;
        Some(Envelope {
            version: version(self.need("version")?)?,
            created_at: self.instant("createdAt")??,
            saved_at: self.instant("savedAt")??,
            hard_end: self.instant("hardEnd")??,
            bound: match (self.text("owner")?, self.instant("boundAt")?) {
                (Some(owner), Some(at)) => Some(Bound { owner, at }),
                (None, None) => None,
                _ => return None,
            },
            auth_time: self.instant("authTime")?,
            expiry: Fields(json::members(self.need("expiry")?)?).limits()?,
            expiry_version: version(self.need("expiryVersion")?)?,
            device: Device {
                user_agent: self.text("userAgent")?,
                place: self.text("place")?,
            },
            data,
        })
    }

    fn limits(&self) -> Option<OwnLimits> {
        Some(OwnLimits {
            end: self.instant("end")?,
            idle: match self.need("idle")? {
                "\"default\"" => Idle::Default,
                "\"none\"" => Idle::None,
                seconds => Idle::Seconds(seconds.parse().ok().filter(|seconds| *seconds > 0)?),
            },
            browser_close: match self.need("browserClose")? {
                "true" => true,
                "false" => false,
                _ => return None,
            },
        })
    }

    /// The JSON of a member that may be missing or null; `None` if it occurs twice.
    fn find(&self, wanted: &str) -> Option<Option<&str>> {
        let is_it = |name: &str| name.get(1..name.len() - 1) == Some(wanted);
        let mut found = self.0.iter().filter(|(name, _)| is_it(name));
        let first = found.next();
        if found.next().is_some() {
            return None;
        }
        Some(first.map(|(_, json)| *json).filter(|json| *json != "null"))
    }

    fn need(&self, name: &str) -> Option<&str> {
        self.find(name)?
    }

    fn instant(&self, name: &str) -> Option<Option<i64>> {
        match self.find(name)? {
            Some(json) => instant(json).map(Some),
            None => Some(None),
        }
    }

    fn text(&self, name: &str) -> Option<Option<Rc<str>>> {
        match self.find(name)? {
            Some(json) => Some(Some(json::unquote(json)?.into())),
            None => Some(None),
        }
    }

    fn table(&self, [values, versions, removed]: [&str; 3], table: &mut Table) -> Option<()> {
        let values = json::members(self.need(values)?)?;
        let versions = json::members(self.need(versions)?)?;
        // Both have the same order. A person who edits one by hand must edit the other too.
        if values.len() != versions.len() {
            return None;
        }
        for ((key, value), (other, stamp)) in values.into_iter().zip(versions) {
            let key = json::unquote(key)?;
            if json::unquote(other)? != key {
                return None;
            }
            table.restore(key.into(), version(stamp)?, Slot::Value(value.into()))?;
        }
        for (key, stone) in json::members(self.need(removed)?)? {
            let [counter, writer, at] = <[&str; 3]>::try_from(json::elements(stone)?).ok()?;
            let version = Version {
                counter: counter.parse().ok()?,
                writer: writer.parse().ok()?,
            };
            let slot = Slot::Removed(instant(at)?);
            table.restore(json::unquote(key)?.into(), version, slot)?;
        }
        Some(())
    }
}

/// An instant that a sealed record could have too. Anybody who can write to the store can write any
/// number here, and a date of JavaScript, for example, does not reach as far as one.
fn instant(json: &str) -> Option<i64> {
    let at = json.parse().ok()?;
    (0..=MAX_INSTANT).contains(&at).then_some(at)
}

fn version(json: &str) -> Option<Version> {
    let [counter, writer] = <[&str; 2]>::try_from(json::elements(json)?).ok()?;
    Some(Version {
        counter: counter.parse().ok()?,
        writer: writer.parse().ok()?,
    })
}
