//! Rules of the protocol that can be broken on purpose.
//!
//! A checker that has never caught anything proves nothing. Each mutant is a switch at the place
//! of one rule, in the code that ships; the simulator turns one on and has to find a history that
//! shows it. Without the feature `mutants` every switch is the constant `false`, and no wasm can be
//! built with it.

#[cfg(all(feature = "mutants", target_arch = "wasm32"))]
compile_error!("the feature `mutants` breaks the protocol on purpose: it is for the simulator");

/// True where the simulator has broken this rule.
#[cfg(not(feature = "mutants"))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}

/// True where the simulator has broken this rule.
#[cfg(feature = "mutants")]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::mutants::Mutant::$name.is_on()
    };
}

/// The switches.
#[cfg(feature = "mutants")]
#[allow(missing_docs)]
pub mod mutants {
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    macro_rules! list {
        ($($name:ident)*) => {
            /// A broken rule.
            #[allow(non_camel_case_types)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Mutant { $($name,)* }

            const ALL: &[(&str, Mutant)] = &[$((stringify!($name), Mutant::$name),)*];
        };
    }

    list! {
        marker_not_written
    }

    impl Mutant {
        pub(crate) fn is_on(self) -> bool {
            ON.get() == Some(self)
        }
    }

    /// The name of every mutant.
    pub fn names() -> Vec<&'static str> {
        ALL.iter().map(|(name, _)| *name).collect()
    }

    /// Breaks one rule in this thread, or none; false where there is none of that name.
    pub fn activate(name: Option<&str>) -> bool {
        let found = name.and_then(|name| ALL.iter().find(|(known, _)| *known == name));
        ON.set(found.map(|(_, mutant)| *mutant));
        found.is_some()
    }
}
