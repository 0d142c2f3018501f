//! Guesses of secrets: how many wrong ones a client may send, and all clients together. A client over its limit is
//! refused before its secret is compared, so it does not learn whether it was right.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use super::{Client, network_of, site_of};

/// Wrong secrets of one client: so many at once, and one more each interval.
const RATE_OF_CLIENT: Rate = Rate { burst: 10, interval: Duration::from_secs(6) };
/// Of all networks of a site of IPv6.
const RATE_OF_SITE: Rate = Rate { burst: 50, interval: Duration::from_secs(1) };
/// Of all clients together, but for this machine's own address and those that have sent the right one. Secrets have 16
/// characters at least, so that the rate matters less than that a few networks do not use it up.
const RATE_OF_ALL: Rate = Rate { burst: 500, interval: Duration::from_millis(100) };
/// Clients that have sent the right one: guesses of others do not count for them.
const MAX_KNOWN: NonZeroUsize = NonZeroUsize::new(1024).expect("it is more than 0");
/// Clients of this machine: of a unix socket, and of loopback's usual addresses.
const LOCAL: [Option<IpAddr>; 3] =
    [None, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))];
/// From how many clients on those without recent guesses are forgotten.
const FORGET_FROM: usize = 1024;

/// Too many wrong secrets were sent; another may be sent after this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong keys were sent; try again in {} s", .0.as_secs_f64().ceil())]
pub struct TooManyGuesses(pub Duration);

/// Limits the guesses of one kind of secret. A client is the network of an address, or whoever has none.
#[derive(Debug, Default)]
pub(super) struct LoginThrottle(Mutex<Guesses>);

#[derive(Debug)]
struct Guesses {
    all: Bucket,
    by_client: Buckets<Option<IpAddr>>,
    by_site: Buckets<Ipv6Addr>,
    known: LruCache<Option<IpAddr>, ()>,
}

impl LoginThrottle {
    /// Whether a secret is right, as `compare` finds. Not called for a client that has sent too many wrong ones.
    ///
    /// # Errors
    /// It has, or all have.
    pub(super) fn attempt(
        &self,
        client: Client,
        compare: impl FnOnce() -> bool,
    ) -> Result<bool, TooManyGuesses> {
        let (network, now) = (client.address.map(network_of), Instant::now());
        let site = network.and_then(site_of);
        // One lock from the check to the count: guesses sent at once count like those sent one by one.
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Strangers must not lock out who was here before, nor an operator who logs in at the machine itself.
        let is_local = client.forwarded_for.is_none() && LOCAL.contains(&network);
        let is_known = is_local || guesses.known.get(&network).is_some();
        let of_site = site.filter(|_| !is_local);
        let mut wait = guesses.by_client.wait(&network, now);
        wait = wait.max(of_site.map_or(Duration::ZERO, |site| guesses.by_site.wait(&site, now)));
        if !is_known {
            wait = wait.max(guesses.all.wait(RATE_OF_ALL, now));
        }
        if !wait.is_zero() {
            return Err(TooManyGuesses(wait));
        }
        if compare() {
            guesses.known.put(network, ());
            return Ok(true);
        }
        if !is_known {
            guesses.all.take(RATE_OF_ALL, now);
        }
        if let Some(site) = of_site {
            guesses.by_site.take(site, now);
        }
        guesses.by_client.take(network, now);
        Ok(false)
    }
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            all: Bucket { empty_at: Instant::now() },
            by_client: Buckets::new(RATE_OF_CLIENT),
            by_site: Buckets::new(RATE_OF_SITE),
            known: LruCache::new(MAX_KNOWN),
        }
    }
}

/// A bucket each. Bounded: one is added by a wrong secret, which [`RATE_OF_ALL`] limits but for known clients, whose
/// number is, too; from [`FORGET_FROM`] on, those without recent guesses are forgotten.
#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    by_key: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, by_key: HashMap::new() }
    }

    fn wait(&self, key: &K, now: Instant) -> Duration {
        self.by_key.get(key).map_or(Duration::ZERO, |own| own.wait(self.rate, now))
    }

    fn take(&mut self, key: K, now: Instant) {
        if self.by_key.len() >= FORGET_FROM {
            self.by_key.retain(|_, own| own.empty_at > now);
        }
        self.by_key.entry(key).or_insert(Bucket { empty_at: now }).take(self.rate, now);
    }
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    interval: Duration,
}

/// A leaky bucket: each guess fills it by an interval, which takes that long to leak.
#[derive(Debug)]
struct Bucket {
    empty_at: Instant,
}

impl Bucket {
    /// Until there is room for one more.
    fn wait(&self, rate: Rate, now: Instant) -> Duration {
        self.empty_at.saturating_duration_since(now).saturating_sub(rate.interval * (rate.burst - 1))
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.empty_at = self.empty_at.max(now) + rate.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: IpAddr) -> Client {
        Client { address: Some(address), ..Client::default() }
    }

    fn number(number: u32) -> Client {
        from(number.to_be_bytes().into())
    }

    fn wrong(throttle: &LoginThrottle, client: Client) -> bool {
        throttle.attempt(client, || false).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_guess_at_a_rate_and_is_then_refused_even_if_right() {
        let throttle = LoginThrottle::default();
        let [one, other] = ["2001:db8::1", "2001:db8::ffff"].map(|text| from(text.parse().unwrap()));
        for _ in 0..RATE_OF_CLIENT.burst {
            assert!(wrong(&throttle, one));
        }
        let compared = || unreachable!("it is not compared");
        assert_eq!(throttle.attempt(other, compared), Err(TooManyGuesses(RATE_OF_CLIENT.interval)));
        assert_eq!(throttle.attempt(number(1), || true), Ok(true));
        assert_eq!(throttle.attempt(Client::default(), || true), Ok(true));
        tokio::time::advance(RATE_OF_CLIENT.interval).await;
        assert_eq!(throttle.attempt(other, || true), Ok(true));
        assert!(wrong(&throttle, other) && !wrong(&throttle, one), "one interval, one guess");
    }

    #[tokio::test(start_paused = true)]
    async fn all_clients_together_are_limited_but_for_those_that_were_right() {
        let throttle = LoginThrottle::default();
        assert_eq!(throttle.attempt(number(0), || true), Ok(true));
        let guesses = (1..10_000).filter(|&one| wrong(&throttle, number(one))).count();
        assert_eq!(guesses, RATE_OF_ALL.burst as usize);
        assert_eq!(throttle.attempt(number(10_000), || true), Err(TooManyGuesses(RATE_OF_ALL.interval)));
        let local = [[127, 0, 0, 1].into(), Ipv6Addr::LOCALHOST.into()].map(from);
        for of_its_own in [number(0), Client::default(), local[0], local[1]] {
            let own = (0..100).filter(|_| wrong(&throttle, of_its_own)).count();
            assert_eq!(own, RATE_OF_CLIENT.burst as usize);
        }
        assert!(!wrong(&throttle, from([127, 0, 0, 2].into())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_a_proxy_names_is_never_of_this_machine() {
        let throttle = LoginThrottle::default();
        (0..10_000).filter(|&one| wrong(&throttle, number(one))).for_each(drop);
        let address = Some([127, 0, 0, 1].into());
        assert!(!wrong(&throttle, Client { forwarded_for: address, address, ..Client::default() }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_networks_of_a_site_do_not_use_up_what_all_have() {
        let throttle = LoginThrottle::default();
        let of_site = |one: u16| from(Ipv6Addr::from([0x2001, 0xdb8, 1, one, 0, 0, 0, 1]).into());
        let guesses = (0..1000).filter(|&one| wrong(&throttle, of_site(one))).count();
        assert_eq!(guesses, RATE_OF_SITE.burst as usize);
        assert!(wrong(&throttle, from("2001:db8:2::1".parse().unwrap())));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let throttle = LoginThrottle::default();
        for one in 0..100_000 {
            throttle.attempt(number(one), || one % 2 == 0).ok();
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let guesses = throttle.0.lock().unwrap();
        assert!(guesses.by_client.by_key.len() <= FORGET_FROM && guesses.known.len() <= MAX_KNOWN.get());
    }

    #[test]
    fn guesses_sent_at_once_count_like_those_sent_one_by_one() {
        let throttle = LoginThrottle::default();
        let guesses: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| wrong(&throttle, number(1))).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // One more may have leaked meanwhile.
        let burst = RATE_OF_CLIENT.burst as usize;
        assert!((burst..=burst + 1).contains(&guesses), "{guesses}");
    }
}
