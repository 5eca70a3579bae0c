//! A serializer that checks everything and passes it to another one.
//!
//! It refuses values that JSON cannot represent but `serde_json` would write (NaN becomes `null`,
//! readers round integers of 128 bits), stops at a depth before the stack overflows, and remembers
//! the path to the failure.

use std::cell::{Cell, RefCell};
use std::fmt::{Display, Write as _};

use serde::ser::{self, Error as _, Serialize, Serializer};

use crate::protocol::settings::Depth;

/// A value that cannot be stored, and its path.
pub(super) struct Flaw {
    pub(super) why: String,
    /// From the inside out.
    path: Vec<Step>,
}

enum Step {
    Field(String),
    Place(usize),
}

impl Flaw {
    /// `key.items[2].price`; unusual names are quoted.
    pub(super) fn path_from(&self, key: &str) -> String {
        let mut out = String::new();
        if !key.is_empty() {
            name(&mut out, key);
        }
        for step in self.path.iter().rev() {
            match step {
                Step::Field(field) => name(&mut out, field),
                Step::Place(place) => drop(write!(out, "[{place}]")),
            }
        }
        if out.is_empty() {
            out.push_str("the value");
        }
        out
    }
}

fn name(out: &mut String, field: &str) {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
    if field.is_empty() || !field.chars().all(plain) {
        let _infallible = write!(out, "[{field:?}]");
    } else {
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(field);
    }
}

/// The JSON text of `value`, whose arrays and objects nest no deeper than `allowed`.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T, allowed: Depth) -> Result<String, Flaw> {
    let state = State {
        depth: Cell::new(0),
        allowed,
        path: RefCell::default(),
    };
    let mut out = Vec::with_capacity(64);
    let checked = Checked {
        inner: &mut serde_json::Serializer::new(&mut out),
        state: &state,
    };
    let written = value.serialize(checked);
    let flaw = |why: String| Flaw {
        why,
        path: state.path.take(),
    };
    written.map_err(|error| flaw(error.to_string()))?;
    String::from_utf8(out).map_err(|error| flaw(error.to_string()))
}

struct State {
    depth: Cell<u32>,
    allowed: Depth,
    path: RefCell<Vec<Step>>,
}

impl State {
    /// A failure. Drops the path of an earlier failure that was handled.
    fn refuse<E: ser::Error>(&self, why: impl Display) -> E {
        self.path.borrow_mut().clear();
        E::custom(why)
    }

    fn enter<E: ser::Error>(&self) -> Result<(), E> {
        let depth = self.depth.get() + 1;
        let Depth { most, name } = self.allowed;
        if depth > most {
            return Err(self.refuse(format_args!(
                "it nests more than {most} levels deep ({name})"
            )));
        }
        self.depth.set(depth);
        Ok(())
    }

    fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }

    /// Adds a step to the path of a failure.
    fn at<T, E>(&self, result: Result<T, E>, step: impl FnOnce() -> Step) -> Result<T, E> {
        if result.is_err() {
            self.path.borrow_mut().push(step());
        }
        result
    }
}

/// A value that serializes into a [`Checked`].
struct Part<'a, T: ?Sized>(&'a T, &'a State);

impl<T: Serialize + ?Sized> Serialize for Part<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        let state = self.1;
        self.0.serialize(Checked { inner, state })
    }
}

struct Checked<'a, S> {
    inner: S,
    state: &'a State,
}

/// A sequence, map or struct that is being written.
struct Open<'a, S> {
    inner: S,
    state: &'a State,
    place: usize,
    key: Option<String>,
    /// The levels of nesting that it adds.
    levels: u32,
}

impl<'a, S> Open<'a, S> {
    fn new(inner: S, state: &'a State, levels: u32) -> Self {
        Self {
            inner,
            state,
            place: 0,
            key: None,
            levels,
        }
    }

    fn close(self) -> S {
        for _ in 0..self.levels {
            self.state.leave();
        }
        self.inner
    }
}

macro_rules! forward {
    ($($method:ident($type:ty)),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        })*
    };
}

impl<'a, S: Serializer> Serializer for Checked<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Open<'a, S::SerializeSeq>;
    type SerializeTuple = Open<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Open<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Open<'a, S::SerializeTupleVariant>;
    type SerializeMap = Open<'a, S::SerializeMap>;
    type SerializeStruct = Open<'a, S::SerializeStruct>;
    type SerializeStructVariant = Open<'a, S::SerializeStructVariant>;

    forward!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
    );

    fn serialize_i128(self, value: i128) -> Result<S::Ok, S::Error> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => self.inner.serialize_i64(value),
            (_, Ok(value)) => self.inner.serialize_u64(value),
            _ => Err(self.state.refuse(TOO_WIDE)),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, S::Error> {
        match u64::try_from(value) {
            Ok(value) => self.inner.serialize_u64(value),
            Err(_) => Err(self.state.refuse(TOO_WIDE)),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            return self.inner.serialize_f32(value);
        }
        Err(self.state.refuse(format_args!("JSON has no {value}")))
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            return self.inner.serialize_f64(value);
        }
        Err(self.state.refuse(format_args!("JSON has no {value}")))
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Part(value, self.state))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner
            .serialize_newtype_struct(name, &Part(value, self.state))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.state.enter()?;
        let part = Part(value, self.state);
        let written = self
            .inner
            .serialize_newtype_variant(name, index, variant, &part);
        self.state.leave();
        self.state.at(written, || Step::Field(variant.to_owned()))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.state.enter()?;
        Ok(Open::new(self.inner.serialize_seq(length)?, self.state, 1))
    }

    fn serialize_tuple(self, length: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.state.enter()?;
        Ok(Open::new(
            self.inner.serialize_tuple(length)?,
            self.state,
            1,
        ))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.state.enter()?;
        let inner = self.inner.serialize_tuple_struct(name, length)?;
        Ok(Open::new(inner, self.state, 1))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.state.enter()?;
        self.state.enter()?;
        let inner = self
            .inner
            .serialize_tuple_variant(name, index, variant, length)?;
        Ok(Open::new(inner, self.state, 2))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.state.enter()?;
        Ok(Open::new(self.inner.serialize_map(length)?, self.state, 1))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        // Raw JSON arrives as a struct with a reserved name, which does not count as a level.
        let levels = u32::from(!name.starts_with("$serde_json::"));
        if levels > 0 {
            self.state.enter()?;
        }
        let inner = self.inner.serialize_struct(name, length)?;
        Ok(Open::new(inner, self.state, levels))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.state.enter()?;
        self.state.enter()?;
        let inner = self
            .inner
            .serialize_struct_variant(name, index, variant, length)?;
        Ok(Open::new(inner, self.state, 2))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

const TOO_WIDE: &str =
    "an integer of more than 64 bits is rounded by JSON readers; store it as a string";

macro_rules! sequence {
    ($trait:ident, $method:ident) => {
        impl<S: ser::$trait> ser::$trait for Open<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                let place = self.place;
                self.place += 1;
                let written = self.inner.$method(&Part(value, self.state));
                self.state.at(written, || Step::Place(place))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.close().end()
            }
        }
    };
}

sequence!(SerializeSeq, serialize_element);
sequence!(SerializeTuple, serialize_element);
sequence!(SerializeTupleStruct, serialize_field);
sequence!(SerializeTupleVariant, serialize_field);

macro_rules! structure {
    ($trait:ident) => {
        impl<S: ser::$trait> ser::$trait for Open<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                let written = self.inner.serialize_field(key, &Part(value, self.state));
                self.state.at(written, || Step::Field(key.to_owned()))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
                self.inner.skip_field(key)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.close().end()
            }
        }
    };
}

structure!(SerializeStruct);
structure!(SerializeStructVariant);

impl<S: ser::SerializeMap> ser::SerializeMap for Open<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        let text = text_of_key(key, self.state)?;
        self.inner.serialize_key(&text)?;
        self.key = Some(text);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        let written = self.inner.serialize_value(&Part(value, self.state));
        let key = self.key.take();
        self.state
            .at(written, || Step::Field(key.unwrap_or_default()))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.close().end()
    }
}

/// The JSON text of a map key. Strings, integers, booleans and variant names are allowed; other
/// keys could not be read back.
fn text_of_key<T: Serialize + ?Sized, E: ser::Error>(key: &T, state: &State) -> Result<String, E> {
    let refuse = |_| state.refuse("a map key is not a string");
    match serde_json::to_value(key).map_err(refuse)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Bool(flag) => Ok(flag.to_string()),
        serde_json::Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(refuse(serde_json::Error::custom(""))),
    }
}
