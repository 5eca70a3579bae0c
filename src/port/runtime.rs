//! The one clock, the one source of randomness and the one timer.
//!
//! The core gets time and randomness only from a [`Runtime`], so a test or a simulation can control
//! both. [`PlatformRuntime`] is the real one.

use futures_util::future::LocalBoxFuture;

use crate::port::error::{ErrorCode, SessionError};

/// What the core needs from its environment besides storage.
///
/// ```
/// use edge_session::SessionError;
/// use edge_session::connector::ManualClock;
/// use edge_session::runtime::{PlatformRuntime, Runtime};
/// use futures_util::future::LocalBoxFuture;
///
/// /// The platform with a clock that a test controls.
/// struct At(ManualClock);
///
/// impl Runtime for At {
///     fn now(&self) -> i64 {
///         self.0.now()
///     }
///
///     fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
///         PlatformRuntime.fill_random(out)
///     }
///
///     fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
///         self.0.advance(milliseconds.into());
///         Box::pin(std::future::ready(()))
///     }
/// }
/// ```
pub trait Runtime {
    /// Milliseconds since 1970-01-01 UTC, as JavaScript's `Date.now()` has them: the clock is read in
    /// every step, and a `SystemTime` would be two divisions each time. On a deployed Worker this
    /// advances only with I/O.
    fn now(&self) -> i64;

    /// Fills `out` from a cryptographically secure source.
    ///
    /// # Errors
    /// [`ErrorCode::NotReady`] if there is no such source, as at module scope of a Worker. Do not use
    /// `out` then.
    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError>;

    /// Ends after `milliseconds`.
    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()>;

    /// Ends after `milliseconds`, unless it is dropped first. It limits how long a store may take to
    /// answer, and is only called if the store does not answer at once.
    fn deadline(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        self.sleep(milliseconds)
    }

    /// Warns the operator about a problem: on the console in a Worker, on standard error natively.
    fn warn(&self, message: &str) {
        platform::warn(message);
    }
}

/// A runtime that several share, as a test does that moves its clock.
impl<R: Runtime + ?Sized> Runtime for std::rc::Rc<R> {
    fn now(&self) -> i64 {
        (**self).now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        (**self).fill_random(out)
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        (**self).sleep(milliseconds)
    }

    fn deadline(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        (**self).deadline(milliseconds)
    }

    fn warn(&self, message: &str) {
        (**self).warn(message);
    }
}

/// The clock, randomness (`crypto.getRandomValues`) and timer of the platform.
///
/// ```
/// use edge_session::runtime::{PlatformRuntime, Runtime as _};
/// let mut dice = [0; 16];
/// PlatformRuntime.fill_random(&mut dice)?;
/// assert!(PlatformRuntime.now() > 1_700_000_000_000);
/// # Ok::<(), edge_session::SessionError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct PlatformRuntime;

impl Runtime for PlatformRuntime {
    fn now(&self) -> i64 {
        platform::now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        getrandom::fill(out).map_err(|_| {
            SessionError::new(
                ErrorCode::NotReady,
                "no randomness is available: Workers provide none at module scope; create session \
                 ids and sessions inside the fetch handler",
            )
        })
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        platform::sleep(milliseconds)
    }

    fn deadline(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        platform::deadline(milliseconds)
    }
}

#[cfg(target_arch = "wasm32")]
mod platform {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use futures_util::future::{FutureExt, LocalBoxFuture};
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(catch, js_name = setTimeout)]
        fn set_timeout(
            callback: &Closure<dyn FnMut()>,
            milliseconds: u32,
        ) -> Result<JsValue, JsValue>;

        #[wasm_bindgen(catch, js_name = clearTimeout)]
        fn clear_timeout(timer: &JsValue) -> Result<(), JsValue>;

        #[wasm_bindgen(js_namespace = console, catch, js_name = warn)]
        fn console_warn(line: &str) -> Result<(), JsValue>;
    }

    pub fn warn(message: &str) {
        // A console that cannot be written to must not fail the request.
        let _ = console_warn(message);
    }

    pub fn now() -> i64 {
        // Whole milliseconds, far under 2^53.
        js_sys::Date::now() as i64
    }

    pub fn sleep(milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        let timer = Timer::start(milliseconds);
        poll_fn(move |context| timer.poll(context)).boxed_local()
    }

    pub fn deadline(milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        sleep(milliseconds)
    }

    /// A timer of the platform. Dropping it cancels it: a pending one would keep the invocation alive.
    ///
    /// It is not a promise: `wasm-bindgen-futures` never releases one that does not settle, and most
    /// timers are cancelled.
    struct Timer {
        state: Rc<State>,
        id: Result<JsValue, JsValue>,
        _callback: Closure<dyn FnMut()>,
    }

    #[derive(Default)]
    struct State {
        has_fired: Cell<bool>,
        waker: Cell<Option<Waker>>,
    }

    impl Timer {
        fn start(milliseconds: u32) -> Self {
            let state = Rc::new(State::default());
            let fired = Rc::clone(&state);
            let callback = Closure::new(move || {
                fired.has_fired.set(true);
                if let Some(waker) = fired.waker.take() {
                    waker.wake();
                }
            });
            let id = set_timeout(&callback, milliseconds);
            Self {
                state,
                id,
                _callback: callback,
            }
        }

        fn poll(&self, context: &Context<'_>) -> Poll<()> {
            // If there are no timers here, it has elapsed immediately.
            if self.state.has_fired.get() || self.id.is_err() {
                return Poll::Ready(());
            }
            self.state.waker.set(Some(context.waker().clone()));
            Poll::Pending
        }
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            if let Ok(id) = &self.id
                && !self.state.has_fired.get()
            {
                let _ = clear_timeout(id);
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod platform {
    use std::time::{SystemTime, UNIX_EPOCH};

    use futures_util::future::{FutureExt, LocalBoxFuture, pending, ready};

    pub fn now() -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    pub fn warn(message: &str) {
        eprintln!("{message}");
    }

    // Native builds of this crate are for tests, which do not wait for real time.
    pub fn sleep(_milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        ready(()).boxed_local()
    }

    // There is no timer either: a test that needs a deadline brings its own runtime.
    pub fn deadline(_milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        pending().boxed_local()
    }
}
