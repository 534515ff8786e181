//! The role that stands in front of an app and accepts webhooks.

pub mod allow;
mod challenge;
pub mod client;
mod detach;
mod forward;
mod framing;
pub mod keep;
mod keys;
pub mod learning;
pub mod lists;
mod outgoing;
mod receive;
mod record;
mod respond;
mod routes;
pub mod routing;
pub mod server;
pub mod source;
mod stall;
pub mod url_token;
mod verify;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderValue, Request};
use hyper::body::{Body, Incoming};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::dedup::{Claim, Dedup, Denial, Fate, KeyMaker, Lease, Waiter};
use crate::rejection::Rejection;
use crate::signature::KeySet;
use crate::signature::challenge::Challenge;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::outcome::Outcome;
use crate::telemetry::sampling::Sampler;
use challenge::Visits;
use client::ClientIp;
use forward::{Asked, ask_and_forward, forward};
use keep::{Keeper, destinations, keep};
use keys::KeyDocuments;
use lists::{Lists, Refresh};
use outgoing::{Via, outgoing};
use receive::{Budget, Received, Share, check_head, discard, head_of, read_body};
use record::Record;
use respond::Reply;
use routes::{Reach, Route, Routes, Way};
use source::{Mode, Source};
use verify::{Admitted, Shadowed, Verified, verify};

/// What may change while the gateway runs.
#[derive(Debug)]
pub struct Settings {
    pub client_ip: ClientIp,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// How long a connection may take for its PROXY header and TLS handshake, and for each request's head.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a client may leave its answer unread.
    pub write_timeout: Duration,
    /// More connections than this, over all workers, are closed at once.
    pub max_connections: usize,
    /// More body bytes than this are not held at once.
    pub max_buffered: u64,
    /// How the addresses that providers publish are kept fresh.
    pub refresh: Refresh,
    pub sources: Vec<Arc<Source>>,
}

/// What the workers share.
#[derive(Debug)]
pub struct Gateway {
    settings: ArcSwap<Settings>,
    pub metrics: Arc<Metrics>,
    pub dedup: Dedup,
    /// By what events are told apart that are proxied.
    keys: KeyMaker,
    /// By what those are that are stored: the store outlives this process, and others use it too.
    kept_keys: KeyMaker,
    clock: Clock,
    budget: Arc<Budget>,
    /// Where events go whose sources store them; `None` where no source does.
    keeper: Option<Arc<Keeper>>,
    /// The keys that providers publish. They outlive a change of settings.
    key_documents: KeyDocuments,
    /// How often URLs were visited lately that challenges named.
    visits: Visits,
    /// The addresses that they publish. These do too.
    pub lists: Arc<Lists>,
    /// For what goes wrong before there is a request.
    sampler: Sampler,
}

impl Gateway {
    /// A gateway that nothing has reached yet.
    pub fn new(
        settings: Settings,
        dedup: Dedup,
        keeper: Option<Arc<Keeper>>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let budget = Budget::new(settings.max_buffered);
        let lists = Lists::new(&settings.sources, &settings.refresh, Arc::clone(&metrics), clock.clone());
        Self {
            settings: ArcSwap::from_pointee(settings),
            metrics,
            keys: dedup.key_maker(),
            kept_keys: KeyMaker::shared(),
            dedup,
            clock,
            budget,
            keeper,
            key_documents: KeyDocuments::default(),
            visits: Visits::default(),
            lists: Arc::new(lists),
            sampler: Sampler::default(),
        }
    }

    /// Puts other settings in force, for every request and every delivery from now on.
    pub fn apply(&self, settings: Settings) {
        if let Some(keeper) = &self.keeper {
            keeper.deliveries.apply(destinations(&settings.sources, &self.metrics));
        }
        self.budget.set_limit(settings.max_buffered);
        self.lists.adopt(&settings.sources, &settings.refresh);
        self.settings.store(Arc::new(settings));
    }

    /// Brings the metrics that nobody counts up to date.
    pub fn measure(&self) {
        self.metrics.buffered_bytes.set(self.buffered().try_into().unwrap_or(i64::MAX));
        self.lists.measure();
    }

    /// Bytes of bodies held now.
    pub fn buffered(&self) -> u64 {
        self.budget.used()
    }
}

/// One thread's part of the gateway, with its own connections to the upstreams.
#[derive(Debug)]
pub struct Worker {
    gateway: Arc<Gateway>,
    routes: Mutex<Arc<Routes>>,
    /// Forwards that run on whether or not their client is still there.
    forwards: TaskTracker,
}

/// The connection that a request came by.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its other end, canonical; where the PROXY protocol is spoken, the one that it names.
    pub peer: IpAddr,
    /// The same as a header's value, made once for all its requests.
    pub peer_text: HeaderValue,
    pub tls: bool,
}

impl Worker {
    /// A worker without connections.
    pub fn new(gateway: Arc<Gateway>) -> Arc<Self> {
        let routes = Routes::new(gateway.settings.load_full(), &gateway.metrics, gateway.keeper.as_ref());
        let routes = Mutex::new(routes);
        Arc::new(Self { gateway, routes, forwards: TaskTracker::new() })
    }

    /// The routes of the settings in force.
    fn routes(&self) -> Arc<Routes> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = self.gateway.settings.load();
        if !Arc::ptr_eq(&routes.settings, &settings) {
            *routes = Routes::new(Arc::clone(&settings), &self.gateway.metrics, self.gateway.keeper.as_ref());
        }
        Arc::clone(&routes)
    }

    /// Answers one request.
    async fn serve(self: Arc<Self>, request: Request<Incoming>, connection: Arc<Connection>) -> Reply {
        let routes = self.routes();
        let mut record = Record::new(&self.gateway, Arc::clone(&routes.nowhere), connection.peer);
        let (parts, body) = request.into_parts();
        // Whoever asks first has not sent a body yet, and must not be told to go on.
        let asks_first = parts.headers.contains_key(EXPECT);
        let mut body = Some(body);
        match self.handle(&routes, parts, &mut body, &connection, &mut record).await {
            Ok(reply) => reply,
            Err(Refusal { rejection, route }) => {
                let methods = route.as_ref().map_or(&[][..], |route| &route.source.methods);
                let unread = body.filter(|body| !body.is_end_stream());
                // Nothing more is read of a connection whose head was not to be understood.
                let close = unread.is_some() || matches!(rejection, Rejection::MalformedRequest(_));
                let mut reply = respond::rejected(&rejection, methods, close);
                if route.as_ref().is_some_and(|route| route.source.bare_refusals) {
                    respond::strip(&mut reply);
                }
                if let Some(body) = unread.filter(|_| !asks_first) {
                    tokio::spawn(discard(body));
                }
                record.finish(Outcome::Rejected(rejection.reason()), reply.status(), Some(&rejection));
                reply
            }
        }
    }

    /// The walk of one webhook, top to bottom. Takes the body once it is wanted.
    async fn handle(
        self: &Arc<Self>,
        routes: &Routes,
        parts: Parts,
        body: &mut Option<Incoming>,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<Reply, Refusal> {
        check_head(&parts)?;
        let client = routes.settings.client_ip.decide(connection.peer, &parts.headers)?;
        record.client = client;
        let route = routes.find(parts.uri.path())?;
        let source = &route.source;
        let refuse = |rejection| Refusal { rejection, route: Some(Arc::clone(route)) };
        record.enter(source, &route.metrics);
        let may_ask = source.challenges.come_by(&parts.method);
        if !may_ask && !source.methods.contains(&parts.method) {
            return Err(refuse(Rejection::MethodNotAllowed));
        }
        let trusted = routes.settings.client_ip.trusts_headers_of(connection.peer);
        let via = Via::new(client, connection, trusted, &parts.headers);
        let public_base = source.public_base(&parts, &via).into_owned();
        if may_ask && let Some(met) = source.challenge_in_head(client, head_of(&parts, &public_base)).map_err(refuse)? {
            let (max, mut share) = (Challenge::MAX_LEN as u64, Share::of(&self.gateway.budget));
            let read = read_body(body, &parts.headers, max, routes.settings.body_timeout, &mut share);
            record.body_bytes = read.await.map_err(refuse)?.len();
            return Ok(self.meet(source, met, record).await);
        }
        let (claimed, refused) = match source.admit(client, head_of(&parts, &public_base)) {
            Ok(claimed) => (claimed, None),
            Err(rejection) => (None, Some(rejection)),
        };
        let max = source.wants_of_body(refused.as_ref()).map_err(refuse)?;
        let mut share = Share::of(&self.gateway.budget);
        let read = read_body(body, &parts.headers, max, routes.settings.body_timeout, &mut share).await;
        let body = match (read, &refused) {
            (Ok(body), _) => body,
            // Too large for the challenge that needs no signature: then it is the signature that is missing.
            (Err(Rejection::BodyTooLarge), Some(refused)) if max < source.max_body => {
                return Err(refuse(refused.clone()));
            }
            (Err(rejection), _) => return Err(refuse(rejection)),
        };
        record.body_bytes = body.len();

        let received = Received { parts, body, public_base, claimed, share };
        let judged = match refused {
            Some(rejection) => Err((Box::new(received), rejection)),
            None => self.judge(source, received).await,
        };
        let admitted = match judged {
            Ok(mut verified) => match verified.take_challenge() {
                Some(met) => return Ok(self.meet(source, met, record).await),
                None => Admitted::Verified(verified),
            },
            Err((received, rejection)) => {
                let rejection = match source.unsigned_challenge(&received, &rejection) {
                    Ok(Some(met)) => return Ok(self.meet(source, met, record).await),
                    Ok(None) => rejection,
                    Err(closer) => closer,
                };
                match Shadowed::new(source, *received, rejection.clone()) {
                    Some(shadowed) => Admitted::Shadowed(shadowed),
                    None => return Err(refuse(rejection)),
                }
            }
        };
        Ok(self.settle(route, admitted, via, record).await)
    }

    /// Judges a request, with the provider's keys where they are published rather than configured.
    async fn judge(&self, source: &Source, received: Received) -> Result<Verified, (Box<Received>, Rejection)> {
        let now = self.gateway.clock.now();
        let makers = match &source.mode {
            Mode::Proxy => &self.gateway.keys,
            Mode::Store { .. } => &self.gateway.kept_keys,
        };
        let url = match source.key_url(&received) {
            Ok(Some(url)) => url,
            Ok(None) => return verify(source, received, now, makers, None),
            Err(rejection) => return Err((Box::new(received), rejection)),
        };
        let keys = match self.published_keys(source, &url, false).await {
            Ok(keys) => keys,
            Err(rejection) => return Err((Box::new(received), rejection)),
        };
        match verify(source, received, now, makers, Some(&keys)) {
            // The provider may have a new one.
            Err((received, Rejection::UnknownKey)) => match self.published_keys(source, &url, true).await {
                Ok(keys) => verify(source, *received, now, makers, Some(&keys)),
                Err(rejection) => Err((received, rejection)),
            },
            judged => judged,
        }
    }

    async fn published_keys(&self, source: &Source, url: &str, anew: bool) -> Result<Arc<KeySet>, Rejection> {
        let Some(verifier) = source.verifier() else { return Err(Rejection::KeysUnavailable) };
        let documents = &self.gateway.key_documents;
        documents.keys(url, anew, verifier.scheme(), &source.key_memory, &self.gateway.clock).await
    }

    /// Stores the event, or claims and forwards it and settles the claim by what the upstream says.
    async fn settle(&self, route: &Arc<Route>, admitted: Admitted, via: Via, record: &mut Record) -> Reply {
        let source = &route.source;
        record.admitted(&admitted);
        let claim = match &admitted {
            Admitted::Verified(verified) => verified.claim(),
            Admitted::Shadowed(_) => None,
        };
        let place = source.route_of(&admitted);
        record.routed(place);
        let reach = match route.way(place) {
            Way::Forward(reach) => reach,
            Way::Keep(keeper) => {
                let (gateway, route) = (Arc::clone(&self.gateway), Arc::clone(route));
                let work = keep(gateway, Arc::clone(keeper), route, place, admitted, via, record.take());
                return detach::finish(work, &self.forwards).await;
            }
            Way::Drop => return finish_accepted(source, Outcome::Dropped, record),
        };
        let lease = match claim {
            None => None,
            Some(keys) => match self.gateway.dedup.claim(keys, source.lease, self.gateway.clock.monotonic()) {
                Claim::Granted(lease) => Some(lease),
                Claim::Ask(claimed) => return self.ask(route, reach, admitted, via, claimed, record).await,
                Claim::Denied(denial) => {
                    // The owner has the same bytes: these make room while this copy waits.
                    drop(admitted);
                    return answer_copy(route, denial, record).await;
                }
            },
        };
        // From here on the work is finished, also if the client hangs up.
        let possible_duplicate = lease.as_ref().is_some_and(|lease| lease.possible_duplicate);
        let outgoing = outgoing(source, reach, admitted, via, possible_duplicate, &self.gateway.clock);
        let (gateway, reach) = (Arc::clone(&self.gateway), Arc::clone(reach));
        let work = forward(gateway, Arc::clone(route), reach, outgoing, lease, record.take());
        respond::with_answer(detach::finish(work, &self.forwards).await)
    }

    /// Asks the store that gateways share, and goes on from there. A client that hangs up while the store is asked
    /// leaves no claim behind that nobody settles; one that waits for another's outcome may go.
    async fn ask(
        &self,
        route: &Arc<Route>,
        reach: &Arc<Reach>,
        admitted: Admitted,
        via: Via,
        claimed: Lease,
        record: &mut Record,
    ) -> Reply {
        let (gateway, ours) = (Arc::clone(&self.gateway), Arc::clone(route));
        let work = ask_and_forward(gateway, ours, Arc::clone(reach), admitted, via, claimed, record.take());
        match detach::finish(work, &self.forwards).await {
            Asked::Forwarded(answer) => respond::with_answer(answer),
            Asked::Denied(denial, mut record) => answer_copy(route, denial, &mut record).await,
        }
    }
}

/// Answers a request whose event is not ours to forward.
async fn answer_copy(route: &Route, denial: Denial, record: &mut Record) -> Reply {
    match denial {
        Denial::InFlight(owner) => share_outcome(&route.source, owner, record).await,
        Denial::Crowded => finish_busy(Outcome::Busy, record),
        Denial::Committed { conflict } => {
            if conflict {
                route.metrics.conflicts.inc();
                record.conflict();
            }
            finish_accepted(&route.source, Outcome::Duplicate, record)
        }
        Denial::StoreDown => finish_busy(Outcome::StoreDown, record),
    }
}

/// Waits for the owner of the event, and answers what it is answered.
async fn share_outcome(source: &Source, owner: Waiter, record: &mut Record) -> Reply {
    match timeout(source.wait, owner).await {
        Ok(Ok(Fate::Answered(answer))) => {
            let outcome = if answer.status.is_success() { Outcome::SharedSuccess } else { Outcome::SharedFailure };
            record.finish(outcome, answer.status, None);
            respond::with_answer(answer)
        }
        Ok(Ok(Fate::Committed)) => finish_accepted(source, Outcome::SharedSuccess, record),
        Ok(Ok(Fate::Released)) => finish_busy(Outcome::SharedFailure, record),
        Ok(Ok(Fate::StoreDown)) => finish_busy(Outcome::StoreDown, record),
        Ok(Err(_)) | Err(_) => finish_busy(Outcome::Busy, record),
    }
}

fn finish_accepted(source: &Source, outcome: Outcome, record: &mut Record) -> Reply {
    let reply = respond::accepted(source);
    record.finish(outcome, reply.status(), None);
    reply
}

fn finish_busy(outcome: Outcome, record: &mut Record) -> Reply {
    let reply = respond::busy();
    record.finish(outcome, reply.status(), None);
    reply
}

/// A rejection on its way to becoming a response.
struct Refusal {
    rejection: Rejection,
    route: Option<Arc<Route>>,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, route: None }
    }
}
