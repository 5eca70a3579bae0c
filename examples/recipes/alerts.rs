use edge_session::{Event, EventKind, EventSink};

/// Passes on what somebody has to look at. In a Worker:
/// `Sessions::from_env(&env)?.with_events(Alerts(|line: &str| worker::console_error!("{line}")))`.
pub struct Alerts<F>(pub F);

impl<F: Fn(&str)> EventSink for Alerts<F> {
    fn event(&self, event: &Event) {
        use EventKind::{Corrupt, LimitNotEnforced, RevocationPending, StoreError};
        if let StoreError | RevocationPending | LimitNotEnforced | Corrupt = event.kind {
            (self.0)(&event.to_json());
        }
    }
}
