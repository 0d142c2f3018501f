//! The connections of one listener: bounded in all and by client, with a reserve for clients that have few, so that no
//! client can take them all.
//!
//! Where the limit is reached, a connection that waits for its client makes room: the longest idle one, or else the one
//! whose head is unfinished for longest, of the client with the most connections. A request in progress is never cut off.
//!
//! A trusted proxy, and whoever connects to a unix socket, stands for many clients: its connections have no limit of
//! their own, and what counts are the requests in progress of each client that it names.
//!
//! Where there is no room for a connection, a few more may ask for the server's health, and nothing else.

mod counts;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use counts::Counts;
use http::HeaderMap;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::{
    auth::{Peer, forwarded_address, network_of, site_of},
    settings::{Listen, Proxies},
};

/// A head that is unfinished for this long is slow.
const SLOW: Duration = Duration::from_secs(2);
/// The share of a client's connections whose heads may be slow.
const SLOW_SHARE: usize = 8;
/// The share of the connections that is reserved, and for clients with fewer than how many; all networks of a site of
/// IPv6 may have so many of them.
const RESERVE_SHARE: usize = 8;
const FEW_OF_CLIENT: usize = 4;
const FEW_OF_SITE: usize = 16;
/// Connections beyond all others that may ask for the server's health only, of all clients and of one.
pub const MAX_FOR_HEALTH: usize = 16;
const MAX_FOR_HEALTH_OF_CLIENT: usize = 2;
/// Connections that make room for others and whose descriptors are not closed yet.
pub(super) const MAX_CLOSING: usize = 16;

/// Admits the connections of a listener.
#[derive(Debug)]
pub struct Admission {
    capacity: usize,
    /// Of these, those reserved for clients with few.
    reserve: usize,
    /// How many more may ask for the server's health.
    max_for_health: usize,
    limits: ArcSwap<Limits>,
    connections: Mutex<Connections>,
    /// Requests in progress by the client that a trusted proxy names.
    forwarded: Mutex<Counts<IpAddr>>,
    released: Notify,
}

/// The connections there are.
#[derive(Debug, Default)]
struct Connections {
    by_number: HashMap<u64, Arc<Connection>>,
    /// How many each client has; `None`: those that stand for many.
    counts: Counts<Option<IpAddr>>,
    by_site: Counts<Ipv6Addr>,
    /// Those for the server's health, by client: an address, or a site of IPv6.
    for_health: Counts<IpAddr>,
    /// Those that make room and are not dropped yet.
    closing: usize,
    next_number: u64,
}

/// What settings decide.
#[derive(Debug)]
struct Limits {
    /// Connections of a client, or requests in progress of one behind a proxy.
    of_client: usize,
    proxies: Proxies,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRoom {
    /// This client has as many as it may.
    #[error("too many connections or requests at once from this address (listen.connections_per_address)")]
    Client,
    /// There are as many as there may be.
    #[error("too many connections at once")]
    Full,
}

/// A connection, for as long as this lives.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    pub(super) connection: Arc<Connection>,
}

/// A connection that was admitted.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    /// The network of its client; `None` where it stands for many.
    client: Option<IpAddr>,
    /// Whether it may ask for the server's health and nothing else.
    pub(super) is_for_health: bool,
    phase: Mutex<(Phase, Instant)>,
    /// The request that has upgraded it, which is in progress for as long as the connection is there.
    upgrade: OnceLock<ForwardedRequest>,
    closing: CancellationToken,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is new, or part of a head has arrived.
    Head,
    /// A request is in progress.
    Request,
    /// The response was written, but maybe not sent.
    Response,
    /// It waits for the next request.
    Idle,
    /// It has become another protocol's, such as that of a WebSocket.
    Upgraded,
    /// It makes room for another: no request begins any more.
    Closing,
}

/// A request in progress of a client behind a proxy, for as long as this lives.
#[derive(Debug)]
pub(super) struct ForwardedRequest {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Connection {
    /// The next phase, if it follows `from`.
    pub(super) fn advance(&self, from: &[Phase], to: Phase) {
        let mut phase = self.phase();
        if from.contains(&phase.0) {
            *phase = (to, Instant::now());
        }
    }

    /// The request in progress has the connection upgraded, and both end together.
    pub(super) fn upgrade(&self, request: Option<ForwardedRequest>) {
        self.advance(&[Phase::Request], Phase::Upgraded);
        if let Some(request) = request {
            let _ = self.upgrade.set(request);
        }
    }

    /// Whether it makes room for another.
    pub(super) fn is_closing(&self) -> bool {
        self.phase().0 == Phase::Closing
    }

    /// Has its task drop it, unless a request is in progress; returns whether it does.
    fn close(&self) -> bool {
        let mut phase = self.phase();
        let is_waiting = matches!(phase.0, Phase::Head | Phase::Idle);
        if is_waiting {
            *phase = (Phase::Closing, Instant::now());
            self.closing.cancel();
        }
        is_waiting
    }

    /// Completes once it has to make room for another.
    pub(super) fn closed(&self) -> WaitForCancellationFuture<'_> {
        self.closing.cancelled()
    }

    /// The site of IPv6 that its client is of.
    fn site(&self) -> Option<Ipv6Addr> {
        self.client.and_then(site_of)
    }

    /// Since when its head is unfinished, if that is slow.
    fn slow_since(&self) -> Option<Instant> {
        let (phase, since) = *self.phase();
        (phase == Phase::Head && since.elapsed() >= SLOW).then_some(since)
    }

    fn phase(&self) -> MutexGuard<'_, (Phase, Instant)> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Of a listener that may have `capacity` connections, for clients with addresses, and as many more as
    /// `max_for_health` that may ask for the server's health.
    #[must_use]
    pub fn new(capacity: usize, max_for_health: usize, settings: &Listen) -> Arc<Self> {
        Self::with_reserve(capacity, capacity / RESERVE_SHARE, max_for_health, settings)
    }

    /// Of a unix socket, whose clients cannot be distinguished.
    #[must_use]
    pub fn of_unix_socket(capacity: usize, settings: &Listen) -> Arc<Self> {
        Self::with_reserve(capacity, 0, 0, settings)
    }

    fn with_reserve(capacity: usize, reserve: usize, max_for_health: usize, settings: &Listen) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            reserve,
            max_for_health,
            limits: ArcSwap::from_pointee(Limits::new(capacity, reserve, settings)),
            connections: Mutex::default(),
            forwarded: Mutex::default(),
            released: Notify::new(),
        })
    }

    /// From now on other settings decide.
    pub fn apply(&self, settings: &Listen) {
        self.limits.store(Arc::new(Limits::new(self.capacity, self.reserve, settings)));
    }

    /// Takes a connection, or returns why there is no room.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Result<Admitted, NoRoom> {
        let limits = self.limits.load();
        let client = limits.client(peer);
        let mut connections = self.connections();
        let own = if client.is_some() { connections.counts.of(&client) } else { 0 };
        let site = client.and_then(site_of);
        let of_site = site.map_or(0, |site| connections.by_site.of(&site));
        if own >= limits.of_client && !connections.close_one(false, |other| other.client == client)
            || of_site >= limits.of_client && !connections.close_one(false, |other| other.site() == site)
        {
            return Err(NoRoom::Client);
        }
        let has_few = client.is_some() && own < FEW_OF_CLIENT && of_site < FEW_OF_SITE;
        let room = self.capacity - if has_few { 0 } else { self.reserve };
        let is_full = connections.len() >= room && !connections.close_one(has_few, |_| true);
        let connection = match client {
            _ if !is_full => connections.open(client),
            Some(client) if connections.make_room_for_health(client, self.max_for_health) => {
                connections.open_for_health(client)
            }
            _ => return Err(NoRoom::Full),
        };
        Ok(Admitted { admission: self.clone(), connection })
    }

    /// Completes after a connection has ended.
    pub(super) async fn released(&self) {
        self.released.notified().await;
    }

    /// Closes a connection that waits for its client, if there is one: others need the descriptor.
    pub(super) fn shed(&self) {
        self.connections().close_one(false, |_| true);
    }

    /// Closes connections whose heads are slow, since no more requests are accepted.
    pub(super) fn close_heads(&self) {
        let mut connections = self.connections();
        let slow = connections.by_number.values().filter(|one| one.slow_since().is_some());
        for number in slow.map(|one| one.number).collect::<Vec<_>>() {
            connections.close(number);
        }
    }

    /// Closes slow heads beyond those that a client may have, the oldest first. Where only the server's health may be
    /// asked for, no head may be slow.
    pub(super) fn close_slow_heads(&self) {
        let limits = self.limits.load();
        let mut connections = self.connections();
        let slow = connections.by_number.values().filter(|one| one.client.is_some());
        let mut slow: Vec<_> = slow.filter_map(|one| Some((one.slow_since()?, one.clone()))).collect();
        slow.sort_by_key(|(since, _)| Reverse(*since));
        let mut counts = HashMap::new();
        for (_, connection) in slow {
            let count = counts.entry(connection.client).or_insert(0);
            *count += 1;
            let has_many = connection.is_for_health || *count > (limits.of_client / SLOW_SHARE).max(1);
            if has_many && connections.closing < MAX_CLOSING {
                connections.close(connection.number);
            }
        }
    }

    /// Counts a request by the client that a trusted proxy names; `None` if it is no proxy's.
    pub(super) fn begin(
        self: &Arc<Self>,
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<Option<ForwardedRequest>, NoRoom> {
        let limits = self.limits.load();
        if !limits.is_proxy(peer) {
            return Ok(None);
        }
        let Some(client) = forwarded_address(headers, &limits.proxies).map(network_of) else {
            return Ok(None);
        };
        let mut forwarded = self.forwarded();
        let (own, all) = (forwarded.of(&client), forwarded.all());
        // A proxy's connections have no reserve of their own, so that requests leave one, for clients with few.
        let share = self.capacity / RESERVE_SHARE;
        let room = self.capacity - if own < FEW_OF_CLIENT { share } else { 2 * share };
        if own >= limits.of_client || all >= room {
            return Err(NoRoom::Client);
        }
        forwarded.add(client);
        drop(forwarded);
        Ok(Some(ForwardedRequest { admission: self.clone(), client }))
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forwarded(&self) -> MutexGuard<'_, Counts<IpAddr>> {
        self.forwarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    fn new(capacity: usize, reserve: usize, settings: &Listen) -> Self {
        let of_client = match settings.connections_per_address {
            0 => capacity / 2,
            set => set.min(capacity - reserve),
        };
        Self { of_client, proxies: settings.trusted_proxies.clone() }
    }

    fn is_proxy(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => self.proxies.unix,
            Peer::Network(address) => self.proxies.contains(address.ip()),
        }
    }

    /// The network of the client that a connection is of; `None` where it stands for many.
    fn client(&self, peer: Peer) -> Option<IpAddr> {
        match peer {
            Peer::Network(address) if !self.is_proxy(peer) => Some(network_of(address.ip())),
            Peer::Network(_) | Peer::Unix => None,
        }
    }
}

impl Connections {
    /// Those that count: neither those for the server's health nor those that make room.
    fn len(&self) -> usize {
        self.by_number.len() - self.for_health.all()
    }

    fn open(&mut self, client: Option<IpAddr>) -> Arc<Connection> {
        self.counts.add(client);
        if let Some(site) = client.and_then(site_of) {
            self.by_site.add(site);
        }
        self.insert(client, false)
    }

    /// Whether there is room for one that asks for the server's health, if need be in place of the oldest that has not
    /// asked yet: who asks at once is answered.
    fn make_room_for_health(&mut self, client: IpAddr, max: usize) -> bool {
        let key = site_or_address(client);
        let has_many = self.for_health.of(&key) >= MAX_FOR_HEALTH_OF_CLIENT;
        if !has_many && self.for_health.all() < max {
            return true;
        }
        let of_client = |one: &&Arc<Connection>| !has_many || one.client.map(site_or_address) == Some(key);
        let silent = self.by_number.values().filter(|one| one.is_for_health).filter(of_client);
        let silent = silent.filter(|one| matches!(one.phase().0, Phase::Head | Phase::Idle));
        // They are numbered by age.
        let oldest = silent.map(|one| one.number).min();
        self.closing < MAX_CLOSING && max > 0 && oldest.is_some_and(|number| self.close(number))
    }

    fn open_for_health(&mut self, client: IpAddr) -> Arc<Connection> {
        self.for_health.add(site_or_address(client));
        self.insert(Some(client), true)
    }

    fn insert(&mut self, client: Option<IpAddr>, is_for_health: bool) -> Arc<Connection> {
        let (number, phase) = (self.next_number, Mutex::new((Phase::Head, Instant::now())));
        let connection = Arc::new(Connection {
            number,
            client,
            is_for_health,
            phase,
            upgrade: OnceLock::new(),
            closing: CancellationToken::new(),
        });
        self.next_number += 1;
        self.by_number.insert(number, connection.clone());
        connection
    }

    /// Removes a connection, if it is there.
    fn remove(&mut self, number: u64) -> Option<Arc<Connection>> {
        let connection = self.by_number.remove(&number)?;
        match connection.client {
            Some(client) if connection.is_for_health => self.for_health.subtract(&site_or_address(client)),
            client => {
                self.counts.subtract(&client);
                if let Some(site) = client.and_then(site_of) {
                    self.by_site.subtract(&site);
                }
            }
        }
        Some(connection)
    }

    /// Removes a connection and has its task drop it, unless a request is in progress by now; until it is dropped there is
    /// one descriptor more than connections.
    fn close(&mut self, number: u64) -> bool {
        let is_closing = self.by_number.get(&number).is_some_and(|connection| connection.close());
        if is_closing {
            self.remove(number);
            self.closing += 1;
        }
        is_closing
    }

    /// Closes the connection among these that can best be spared; `false` if there is none, or too many are not dropped yet.
    fn close_one(&mut self, for_few: bool, among: impl Fn(&Connection) -> bool) -> bool {
        while self.closing < MAX_CLOSING
            && let Some(number) = self.candidate(for_few, &among)
        {
            if self.close(number) {
                return true;
            }
        }
        false
    }

    /// Whether a connection is of a client, and of a site, that has few.
    fn has_few(&self, one: &Connection) -> bool {
        let of_site = one.site().map_or(0, |site| self.by_site.of(&site));
        self.counts.of(&one.client) <= FEW_OF_CLIENT && of_site <= FEW_OF_SITE
    }

    /// The connection to be closed. For a client that has few it may be one whose head is not slow yet, of a client that
    /// has more.
    fn candidate(&self, for_few: bool, among: impl Fn(&Connection) -> bool) -> Option<u64> {
        let counted = self.by_number.values().filter(|one| !one.is_for_health && among(one));
        let waiting = counted.filter_map(|one| {
            let (phase, since) = *one.phase();
            let rank = match phase {
                Phase::Idle => 0,
                Phase::Head if since.elapsed() >= SLOW => 1,
                // Or else heads that are completed just in time would occupy everything.
                Phase::Head if for_few && !self.has_few(one) => 2,
                Phase::Head | Phase::Request | Phase::Response | Phase::Upgraded | Phase::Closing => {
                    return None;
                }
            };
            // Clients with few are spared as long as there are others.
            Some((self.has_few(one), rank, Reverse(self.counts.of(&one.client)), since, one.number))
        });
        waiting.min().map(|(.., number)| number)
    }
}

/// A client as far as the server's health is concerned.
fn site_or_address(client: IpAddr) -> IpAddr {
    site_of(client).map_or(client, IpAddr::V6)
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut connections = self.admission.connections();
        if connections.remove(self.connection.number).is_none() {
            connections.closing -= 1;
        }
        drop(connections);
        self.admission.released.notify_one();
    }
}

impl Drop for ForwardedRequest {
    fn drop(&mut self) {
        self.admission.forwarded().subtract(&self.client);
    }
}
