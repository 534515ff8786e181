//! The real program over real sockets: in process with a clock that the test holds, or as a child process where
//! signals, exit codes and output are the point.

mod support;

mod addresses;
mod challenges;
mod configuration;
mod conformance;
mod crashes;
mod dedup;
mod demo;
mod destinations;
mod egress;
mod everyone;
mod explain;
mod forgeries;
mod forwarding;
mod kept;
mod lifecycle;
mod load;
mod openapi;
mod operators;
mod own_provider;
mod presets;
mod published_keys;
mod recorded;
mod rejections;
mod routing;
mod same_event;
mod schemes;
mod sdk;
mod sdk_catalogue;
mod seeds;
mod senders;
mod services;
mod shared_dedup;
mod store_outage;
mod telling;
mod templates;
mod two_nodes;
mod unbound;
mod url_token;
mod vectors;
mod wycheproof;
