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
        absence_taken_for_gone bound_at_not_raised cookie_before_put dead_ticket_mints dead_twin_counts
        error_taken_for_absence expiry_before_staleness flight_never_withdrawn
        flying_shown_to_loads grace_never_ends half_stored_logout_taken_for_done hard_end_moves_later idle_time_ignored join_skipped
        lineage_ignored lineage_marker_not_written listed_not_ended login_keeps_old_session
        login_refused_at_commit
        marker_not_written marker_ttl_short memory_behind_cookie_used memory_trusted_for_ever
        one_flight_at_a_time outage_mints overlay_past_window overtaken_put_forgotten
        own_markers_forgotten owner_marker_ignored removed_keys_forgotten reread_skipped
        rotation_keeps_old_key rotation_marker_first stale_saved
        tombstone_not_honoured version_ignored withheld_cookie_overwritten

        strong_absence_is_pending strong_conflict_joined strong_cycle_unchecked
        strong_dead_session_moves strong_doubt_forgotten strong_doubt_replayed strong_ended_in_one_shard
        strong_epoch_ignored strong_failed_login_stays strong_gone_row_put_anew
        strong_grace_never_ends strong_left_unchecked strong_limit_unchecked
        strong_move_unnoticed strong_never_repeated strong_only_this_key_ended strong_own_try_not_recognised
        strong_rotation_keeps_no_record strong_spared_login_refused
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
