//! How a list stands: what of it is in force, since when, and what of a new one is believed.

use std::sync::Arc;
use std::time::Duration;

use super::list::List;
use crate::clock::UnixTime;
use crate::network::Networks;

/// A list that drops more than half of what it replaces must still be published after so long, to be believed.
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(3600);

/// How a list stands.
#[derive(Debug)]
pub struct Standing {
    /// What is in force.
    pub networks: Arc<Networks>,
    /// When the provider last published it so; `None` where nobody knows.
    pub since: Option<UnixTime>,
    /// True if the provider said so itself, and not the snapshot.
    pub fetched: bool,
    doubted: Option<Doubted>,
}

/// A list that drops too much to be believed at once. It is in force beside the one that it would replace.
#[derive(Debug)]
struct Doubted {
    new: Networks,
    /// What was in force before.
    old: Networks,
    /// On the monotonic clock.
    seen: Duration,
}

/// What became of a good list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the one that was in force.
    Unchanged,
    /// It is in force in place of the other.
    New,
    /// It is in force beside the other, until it is seen again.
    Doubted,
}

impl Standing {
    /// The snapshot.
    pub fn of(list: &List) -> Self {
        let networks = Arc::new(list.addresses.snapshot.clone());
        let since = list.read.filter(|_| !networks.is_empty());
        Self { networks, since, fetched: false, doubted: None }
    }

    /// A list that was fetched at `since`, before this process was there.
    pub fn restored(networks: Networks, since: UnixTime) -> Self {
        Self { networks: Arc::new(networks), since: Some(since), fetched: true, doubted: None }
    }

    /// Takes what a provider publishes now.
    ///
    /// What is new counts at once: the provider may send from there already. What it drops is dropped at once too, unless
    /// that is more than half of the entries: a document that lost its end must not keep the provider out.
    pub fn take(&mut self, new: Networks, now: UnixTime, monotonic: Duration) -> Taken {
        (self.since, self.fetched) = (Some(now), true);
        let doubted = self.doubted.take();
        let old = doubted.as_ref().map_or(&*self.networks, |doubted| &doubted.old);
        if *old == new {
            // A doubted one came and went.
            let taken = if doubted.is_some() { Taken::New } else { Taken::Unchanged };
            self.networks = Arc::new(new);
            return taken;
        }
        let kept = old.iter().filter(|net| new.cover(net)).count();
        if kept * 2 >= old.len() {
            self.networks = Arc::new(new);
            return Taken::New;
        }
        let seen = match &doubted {
            Some(doubted) if doubted.new == new => doubted.seen,
            _ => monotonic,
        };
        if monotonic.saturating_sub(seen) >= CONFIRMED_AFTER {
            self.networks = Arc::new(new);
            return Taken::New;
        }
        let old = old.clone();
        self.networks = Arc::new(old.iter().chain(new.iter()).copied().collect::<Vec<_>>().into());
        self.doubted = Some(Doubted { new, old, seen });
        Taken::Doubted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parse_net;

    fn nets(texts: &str) -> Networks {
        texts.split(' ').map(|text| parse_net(text).expect("a network")).collect::<Vec<_>>().into()
    }

    /// Takes `lists`, each with its second, and returns what became of them and what is in force.
    fn taken(first: &str, lists: &[(u64, &str)]) -> (Vec<Taken>, Networks) {
        let mut standing = Standing::restored(nets(first), UnixTime(0));
        let take = |(second, list): &(u64, &str)| {
            let now = UnixTime(i64::try_from(*second).expect("small"));
            let taken = standing.take(nets(list), now, Duration::from_secs(*second));
            assert_eq!(standing.since, Some(now));
            taken
        };
        let taken = lists.iter().map(take).collect();
        (taken, (*standing.networks).clone())
    }

    const FOUR: &str = "8.8.0.0/24 8.8.2.0/24 8.8.4.0/24 8.8.6.0/24";

    #[test]
    fn up_to_half_of_a_list_may_go_at_once() {
        let half = "8.8.0.0/24 8.8.2.0/24 1.1.1.1";
        assert_eq!(taken(FOUR, &[(1, half)]), (vec![Taken::New], nets(half)));
        assert_eq!(taken(FOUR, &[(1, FOUR)]), (vec![Taken::Unchanged], nets(FOUR)));
        // Written otherwise it is the same list, and nothing is gone.
        let otherwise = "8.8.0.0/25 8.8.0.128/25 8.8.2.0/24 8.8.4.0/24 8.8.6.0/24";
        assert_eq!(taken(FOUR, &[(1, otherwise)]), (vec![Taken::Unchanged], nets(FOUR)));
        assert_eq!(taken(FOUR, &[(1, "8.8.0.0/16")]).0, [Taken::New]);
    }

    #[test]
    fn more_than_half_goes_once_it_was_published_for_an_hour() {
        let less = "8.8.0.0/24 1.1.1.1";
        let both = nets(&format!("{FOUR} {less}"));
        assert_eq!(taken(FOUR, &[(0, less), (3599, less)]), (vec![Taken::Doubted; 2], both));
        assert_eq!(taken(FOUR, &[(0, less), (3600, less)]), (vec![Taken::Doubted, Taken::New], nets(less)));
        // Another one begins anew, and leaves nothing of the first.
        let other = "9.9.9.9";
        let (found, in_force) = taken(FOUR, &[(0, less), (3600, other)]);
        assert_eq!((found, in_force), (vec![Taken::Doubted; 2], nets(&format!("{FOUR} {other}"))));
        // The provider has mended it.
        assert_eq!(taken(FOUR, &[(0, less), (60, FOUR)]), (vec![Taken::Doubted, Taken::New], nets(FOUR)));
        assert_eq!(taken(FOUR, &[(0, less), (60, FOUR), (4000, less)]).0[2], Taken::Doubted);
    }
}
