//! Work that is finished whether or not anybody waits for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Runs `work` where it is awaited. If that is given up, it goes on in a task of its own, which `tracker` waits for:
/// so the rule costs a task only when a client really hangs up.
pub fn finish<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    tracker: &TaskTracker,
) -> impl Future<Output = T> {
    Finishing { work: Some(Box::pin(work)), tracker: tracker.clone() }
}

struct Finishing<T: Send + 'static> {
    /// `None` once it has come to its end.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tracker: TaskTracker,
}

impl<T: Send + 'static> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let work = self.work.as_mut().expect("a future is not polled after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        // Without a runtime the whole program is at its end.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.tracker.spawn_on(work, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_that_nobody_awaits_any_more_is_finished_all_the_same() {
        let tracker = TaskTracker::new();
        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let work = finish(
            async move {
                let _ = wait.await;
                let _ = done.send("done");
            },
            &tracker,
        );
        let mut work = Box::pin(work);
        assert!(std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await.is_pending());
        drop(work);
        assert_eq!(tracker.len(), 1);
        go.send(()).expect("the work waits for it");
        assert_eq!(finished.await, Ok("done"));
    }

    #[tokio::test]
    async fn work_that_is_awaited_needs_no_task() {
        let tracker = TaskTracker::new();
        assert_eq!(finish(async { 7 }, &tracker).await, 7);
        assert!(tracker.is_empty());
    }
}
