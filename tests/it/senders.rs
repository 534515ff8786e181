//! What the seed providers' senders promise, by the numbers of the checklist that was made of their documentation.
//! `docs/seeds.md` says of each number what keeps the promise and which of these tests shows it.

mod across;
mod cyberark;
mod journal;
mod page;
mod receiver;
mod vanta;
mod vgs;
mod vinsight;
mod vpn;
