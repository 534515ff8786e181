//! One provider's list, as a source asks it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Refresh;
use crate::clock::{UnixMillis, UnixTime};
use crate::network::Networks;
use crate::signature::addresses::{Addresses, Origin};
use crate::signature::preset::Preset;

/// What a name means is asked for this often at least: who publishes addresses so, changes them so (Adyen recommends it).
const NAMES_EVERY: Duration = Duration::from_secs(3600);

/// The addresses that a provider publishes, as far as they are known now.
#[derive(Debug)]
pub struct List {
    /// The provider's slug.
    pub provider: String,
    /// What its description says of them.
    pub addresses: Addresses,
    /// The day of the snapshot; `None` where the description does not say.
    pub read: Option<UnixTime>,
    in_force: ArcSwap<Networks>,
}

impl List {
    /// The snapshot, for a start.
    pub fn of(preset: &Preset) -> Self {
        let addresses = preset.profile.addresses.clone();
        let midnight = format!("{}T00:00:00Z", preset.read).parse::<UnixMillis>();
        Self {
            provider: preset.slug.clone(),
            read: midnight.ok().map(|midnight| UnixTime(midnight.0 / 1000)),
            in_force: ArcSwap::from_pointee(addresses.snapshot.clone()),
            addresses,
        }
    }

    /// True if `other` is had from the same places for the same provider.
    pub fn is_had_like(&self, other: &Self) -> bool {
        self.provider == other.provider && self.addresses.refresh == other.addresses.refresh
    }

    /// How often it is asked for; `None` where it is not.
    pub fn every(&self, refresh: &Refresh) -> Option<Duration> {
        let is_name = |origin: &Origin| matches!(origin, Origin::Name(_));
        match self.addresses.refresh.as_slice() {
            [] => None,
            origins if origins.iter().any(is_name) => refresh.every.map(|every| every.min(NAMES_EVERY)),
            _ => refresh.every,
        }
    }

    /// What is in force now; empty where nothing is known yet. Nobody waits for anybody.
    pub fn in_force(&self) -> arc_swap::Guard<Arc<Networks>> {
        self.in_force.load()
    }

    /// Puts `networks` in force, for every request from now on.
    pub(super) fn put(&self, networks: &Arc<Networks>) {
        self.in_force.store(Arc::clone(networks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_name_is_asked_for_every_hour_and_what_is_only_read_never() {
        let every = |provider: &str, hours: Option<u64>| {
            let refresh = Refresh { every: hours.map(|hours| Duration::from_secs(hours * 3600)), ..Refresh::default() };
            let every = List::of(Preset::find(provider).expect("a preset")).every(&refresh);
            every.map(|every| every.as_secs())
        };
        assert_eq!(every("github", Some(6)), Some(6 * 3600));
        assert_eq!(every("adyen-platform", Some(6)), Some(3600));
        assert_eq!(every("adyen-platform", None), None);
        assert_eq!(every("vgs", Some(6)), None);
    }

    #[test]
    fn a_snapshot_is_of_the_day_on_which_it_was_read() {
        let vgs = List::of(Preset::find("vgs").expect("a preset"));
        assert_eq!(vgs.read.map(|read| read.0 % 86_400), Some(0));
        let own = Preset::from_file(
            "own",
            "own.toml",
            "[signature]\nalgorithm = \"equal\"\nheader = \"X\"\nunsigned_body = true\n",
        );
        assert_eq!(List::of(&own.expect("a provider")).read, None);
    }
}
