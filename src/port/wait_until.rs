//! The port to the platform's `waitUntil`.

use futures_channel::oneshot;
use futures_util::future::LocalBoxFuture;

/// A platform's `waitUntil`: what is registered with it is seen through, though the browser has
/// gone away.
pub(crate) trait WaitUntil {
    /// Registers `work`, which nobody else waits for.
    fn leave(&self, work: LocalBoxFuture<'static, ()>);

    /// Registers `work` that the step under way waits for. Gives what it is to wait for.
    fn share(&self, work: LocalBoxFuture<'static, ()>) -> LocalBoxFuture<'static, ()> {
        let (done, ended) = oneshot::channel();
        self.leave(Box::pin(async move {
            work.await;
            // Nobody waits any more where the browser has gone away.
            let _ = done.send(());
        }));
        Box::pin(async move {
            // Where the platform drops the work, whoever waits finds no result.
            let _ended = ended.await;
        })
    }
}

impl<F: Fn(LocalBoxFuture<'static, ()>)> WaitUntil for F {
    fn leave(&self, work: LocalBoxFuture<'static, ()>) {
        self(work);
    }
}
