//! The port to the platform's `waitUntil`.

use futures_channel::oneshot;
use futures_util::future::LocalBoxFuture;

/// A platform's `waitUntil`: registered work finishes even if the browser disconnects.
pub(crate) trait WaitUntil {
    /// Registers `work` that nothing else awaits.
    fn leave(&self, work: LocalBoxFuture<'static, ()>);

    /// Registers `work` that the current step awaits. Returns the future to await.
    fn share(&self, work: LocalBoxFuture<'static, ()>) -> LocalBoxFuture<'static, ()> {
        let (done, ended) = oneshot::channel();
        self.leave(Box::pin(async move {
            work.await;
            // If the browser has disconnected, nothing awaits the result any more.
            let _ = done.send(());
        }));
        Box::pin(async move {
            // If the platform drops the work, the waiting step gets no result.
            let _ended = ended.await;
        })
    }
}

impl<F: Fn(LocalBoxFuture<'static, ()>)> WaitUntil for F {
    fn leave(&self, work: LocalBoxFuture<'static, ()>) {
        self(work);
    }
}
