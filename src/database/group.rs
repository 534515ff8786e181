//! Gathers what concurrent callers ask, so that it is done together.

use tokio::sync::{Mutex, mpsc, oneshot};

use super::StoreError;

/// No more callers than this wait; beyond it they wait for room.
const MAX_WAITING: usize = 16 * 1024;

/// No more callers than this are served together.
const MAX_GROUP: usize = 512;

/// Bytes after which a group is full.
pub const MAX_WEIGHT: usize = 8 << 20;

/// Where callers ask. Whoever serves them takes groups from its [`Queue`].
#[derive(Debug)]
pub struct Group<I, O> {
    callers: mpsc::Sender<Caller<I, O>>,
}

/// What waits to be served. Several may serve from it, each a group at a time.
#[derive(Debug)]
pub struct Queue<I, O>(Mutex<mpsc::Receiver<Caller<I, O>>>);

#[derive(Debug)]
struct Caller<I, O> {
    input: I,
    reply: oneshot::Sender<Result<O, StoreError>>,
}

/// Those who wait for a group's outcome, in its order.
#[derive(Debug)]
pub struct Replies<O>(Vec<oneshot::Sender<Result<O, StoreError>>>);

impl<I, O> Group<I, O> {
    /// A group, and what is to be served of it.
    pub fn new() -> (Self, Queue<I, O>) {
        let (callers, waiting) = mpsc::channel(MAX_WAITING);
        (Self { callers }, Queue(Mutex::new(waiting)))
    }

    /// Asks, and waits for the outcome of the group that `input` becomes part of.
    ///
    /// # Errors
    /// What went wrong with the group.
    pub async fn ask(&self, input: I) -> Result<O, StoreError> {
        let (reply, answer) = oneshot::channel();
        let gone = || StoreError::Failed { store: "store", cause: "it is closed".into() };
        self.callers.send(Caller { input, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl<I, O> Queue<I, O> {
    /// The next group: whoever waits by now, at least one, and no more once they weigh [`MAX_WEIGHT`] together. `None`
    /// once nobody can ask any more.
    pub async fn next(&self, weigh: impl Fn(&I) -> usize) -> Option<(Vec<I>, Replies<O>)> {
        let mut waiting = self.0.lock().await;
        let first = waiting.recv().await?;
        let mut weight = weigh(&first.input);
        let (mut inputs, mut replies) = (vec![first.input], vec![first.reply]);
        while inputs.len() < MAX_GROUP
            && weight < MAX_WEIGHT
            && let Ok(caller) = waiting.try_recv()
        {
            weight += weigh(&caller.input);
            inputs.push(caller.input);
            replies.push(caller.reply);
        }
        Some((inputs, Replies(replies)))
    }
}

impl<O> Replies<O> {
    /// Tells each caller its own outcome, or all of them the error.
    pub fn send(self, outcomes: Result<Vec<O>, StoreError>) {
        match outcomes {
            Ok(outcomes) => {
                for (reply, outcome) in self.0.into_iter().zip(outcomes) {
                    // Whoever no longer waits does not want to know.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                for reply in self.0 {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_served_together() {
        let (group, queue) = Group::<u32, u32>::new();
        let served = async {
            let (inputs, replies) = queue.next(|_| 1).await.expect("callers");
            replies.send(Ok(inputs.iter().map(|input| input * 10).collect()));
            let (_, replies) = queue.next(|_| 1).await.expect("a caller");
            replies.send(Err(StoreError::Timeout { store: "s", within_ms: 1 }));
            inputs.len()
        };
        let asked = async {
            let first = tokio::join!(group.ask(1), group.ask(2), group.ask(3));
            (first, group.ask(4).await)
        };
        let (served, (first, second)) = tokio::join!(served, asked);
        assert_eq!((served, first), (3, (Ok(10), Ok(20), Ok(30))));
        assert_eq!(second, Err(StoreError::Timeout { store: "s", within_ms: 1 }));
    }
}
