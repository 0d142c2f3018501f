use super::*;
use tintype_pipeline::settings::Sources;

use crate::settings::Settings;

fn listen(section: &str) -> Listen {
    let file = Some(("test".into(), format!("[listen]\n{section}")));
    Settings::load(Sources { file, ..Sources::default() }).unwrap().listen
}

fn peer(address: &str) -> Peer {
    Peer::Network((address.parse::<IpAddr>().unwrap(), 50000).into())
}

/// Connections until none is admitted but for the server's health.
fn fill(admission: &Arc<Admission>, address: &str, phase: Phase) -> Vec<Admitted> {
    let all = std::iter::from_fn(|| admit(admission, address).ok());
    all.take(admission.capacity).inspect(|one| one.connection.advance(&[Phase::Head], phase)).collect()
}

/// As if there were no connections for the server's health.
fn admit(admission: &Arc<Admission>, address: &str) -> Result<Admitted, NoRoom> {
    let admitted = admission.admit(peer(address))?;
    if admitted.connection.is_for_health { Err(NoRoom::Full) } else { Ok(admitted) }
}

fn fill_to(admission: &Arc<Admission>, address: &str, phase: Phase, count: usize) -> Vec<Admitted> {
    let all = std::iter::from_fn(|| admission.admit(peer(address)).ok());
    all.take(count).inspect(|one| one.connection.advance(&[Phase::Head], phase)).collect()
}

#[tokio::test(start_paused = true)]
async fn no_client_takes_all_and_its_networks_are_one_client() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(""));
    let first = fill(&admission, "2001:db8::1", Phase::Request);
    assert_eq!(first.len(), 32);
    assert_eq!(admission.admit(peer("2001:db8::ffff:1")).unwrap_err(), NoRoom::Client);
    let second = fill(&admission, "192.0.2.1", Phase::Request);
    assert_eq!(second.len(), 24, "all but the reserve");
    assert_eq!(admit(&admission, "::ffff:192.0.2.1").unwrap_err(), NoRoom::Full);
    // The reserve is for those with few.
    let few = fill(&admission, "192.0.2.2", Phase::Request);
    assert_eq!(few.len(), FEW_OF_CLIENT);
    let others = fill(&admission, "192.0.2.3", Phase::Request);
    assert_eq!(others.len(), 64 - 32 - 24 - FEW_OF_CLIENT);
    assert_eq!(admit(&admission, "192.0.2.4").unwrap_err(), NoRoom::Full);
    drop(first);
    assert!(admission.admit(peer("192.0.2.4")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_longest_idle_makes_room_and_requests_are_never_cut_off() {
    let admission = Admission::new(16, MAX_FOR_HEALTH, &listen("connections_per_address = 2"));
    let [a, b] = ["192.0.2.1"; 2].map(|from| admission.admit(peer(from)).unwrap());
    a.connection.advance(&[Phase::Head], Phase::Request);
    b.connection.advance(&[Phase::Head], Phase::Request);
    assert!(admission.admit(peer("192.0.2.1")).is_err());
    b.connection.advance(&[Phase::Request], Phase::Response);
    assert!(admission.admit(peer("192.0.2.1")).is_err(), "it may not be sent yet");
    b.connection.advance(&[Phase::Response], Phase::Idle);
    tokio::time::advance(Duration::from_secs(1)).await;
    a.connection.advance(&[Phase::Request], Phase::Idle);
    let _c = admission.admit(peer("192.0.2.1")).unwrap();
    assert!(b.connection.closing.is_cancelled() && !a.connection.closing.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn slow_heads_from_any_number_of_addresses_make_room() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(""));
    let slow: Vec<_> = (0..64).map(|n| admission.admit(peer(&format!("192.0.2.{n}"))).unwrap()).collect();
    assert_eq!(admit(&admission, "198.51.100.1").unwrap_err(), NoRoom::Full);
    tokio::time::advance(SLOW).await;
    let admitted = admission.admit(peer("198.51.100.1")).unwrap();
    assert_eq!(slow.iter().filter(|one| one.connection.closing.is_cancelled()).count(), 1);
    assert!(!admitted.connection.closing.is_cancelled());
    assert_eq!(admission.connections().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn the_client_with_most_slow_heads_makes_room() {
    let admission = Admission::new(16, MAX_FOR_HEALTH, &listen(""));
    let other = admission.admit(peer("192.0.2.2")).unwrap();
    tokio::time::advance(SLOW).await;
    let many = fill(&admission, "192.0.2.1", Phase::Head);
    tokio::time::advance(SLOW).await;
    let more = fill(&admission, "192.0.2.3", Phase::Request);
    assert_eq!((many.len(), more.len(), admission.connections().len()), (8, 8, 14));
    let closed = many.iter().filter(|one| one.connection.closing.is_cancelled()).count();
    assert_eq!(closed, 3);
    assert!(!other.connection.closing.is_cancelled());
    assert!(more.iter().all(|one| !one.connection.closing.is_cancelled()));
}

#[test]
fn a_full_port_admits_a_few_for_health() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(""));
    let networks = (0..24).map(|n| format!("192.0.2.{n}"));
    let all: Vec<_> = networks.flat_map(|from| fill_to(&admission, &from, Phase::Request, 4)).collect();
    assert!(all[..64].iter().all(|one| !one.connection.is_for_health));
    let for_health = &all[64..];
    assert!(for_health.len() == MAX_FOR_HEALTH && for_health.iter().all(|one| one.connection.is_for_health));
    assert_eq!(admission.admit(peer("198.51.100.1")).unwrap_err(), NoRoom::Full, "all of them have asked");
    drop(all);
    assert!(!admission.admit(peer("198.51.100.1")).unwrap().connection.is_for_health);
    assert_eq!(admission.connections().for_health.all(), 0);
}

#[test]
fn who_has_not_asked_for_health_yet_makes_room_for_another() {
    let admission = Admission::new(16, MAX_FOR_HEALTH, &listen(""));
    let all: Vec<_> =
        (0..16).map(|n| fill_to(&admission, &format!("192.0.2.{n}"), Phase::Request, 1)).collect();
    let silent: Vec<_> =
        (0..MAX_FOR_HEALTH).map(|n| admission.admit(peer(&format!("198.51.100.{n}"))).unwrap()).collect();
    let admitted = admission.admit(peer("203.0.113.1")).unwrap();
    assert!(admitted.connection.is_for_health && silent[0].connection.closing.is_cancelled());
    assert!(!silent[1].connection.closing.is_cancelled());
    drop(all);
}

#[tokio::test(start_paused = true)]
async fn many_networks_of_a_site_with_few_each_are_not_spared() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(""));
    let of_site = |n| format!("2001:db8:1:{n:x}::1");
    let all: Vec<_> = (0..8).flat_map(|n| fill_to(&admission, &of_site(n), Phase::Head, 4)).collect();
    let mut others = fill_to(&admission, "192.0.2.1", Phase::Request, 24);
    others.extend(
        ["192.0.2.2", "192.0.2.3"]
            .map(|from| fill_to(&admission, from, Phase::Request, 4))
            .into_iter()
            .flatten(),
    );
    assert_eq!((all.len(), others.len(), admission.connections().len()), (32, 32, 64));
    assert!(admit(&admission, "192.0.2.4").is_ok());
    assert_eq!(all.iter().filter(|one| one.connection.closing.is_cancelled()).count(), 1);
}

#[test]
fn a_port_without_places_for_health_refuses() {
    let admission = Admission::new(16, 0, &listen(""));
    let all: Vec<_> =
        (0..16).flat_map(|n| fill_to(&admission, &format!("192.0.2.{n}"), Phase::Request, 1)).collect();
    assert_eq!(admission.admit(peer("198.51.100.1")).unwrap_err(), NoRoom::Full);
    drop(all);
}

#[test]
fn the_networks_of_a_site_do_not_take_the_reserve() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(""));
    let of_site = |n| format!("2001:db8:1:{n:x}::1");
    let all: Vec<_> = (0..200).flat_map(|n| fill_to(&admission, &of_site(n), Phase::Request, 3)).collect();
    assert!(all.iter().all(|one| !one.connection.is_for_health));
    assert_eq!(all.len(), 32, "half, as an address");
    let other = |n| format!("2001:db8:3:{n:x}::1");
    let others: Vec<_> = (0..200).flat_map(|n| fill_to(&admission, &other(n), Phase::Request, 3)).collect();
    let counted = others.iter().filter(|one| !one.connection.is_for_health).count();
    assert_eq!(counted, 24, "all but the reserve");
    assert!(!admission.admit(peer("2001:db8:2::1")).unwrap().connection.is_for_health);
    drop((all, others));
    let connections = admission.connections();
    assert_eq!((connections.len(), connections.by_site.all()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn descriptors_that_are_not_closed_yet_are_bounded() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen("connections_per_address = 56"));
    let idle = fill_to(&admission, "192.0.2.1", Phase::Idle, 56);
    let more: Vec<_> = std::iter::from_fn(|| admission.admit(peer("192.0.2.1")).ok()).take(200).collect();
    let counted = more.iter().filter(|one| !one.connection.is_for_health).count();
    assert_eq!(counted, MAX_CLOSING);
    drop(idle);
    assert_eq!(admission.connections().closing, 0);
}

#[tokio::test(start_paused = true)]
async fn heads_completed_just_in_time_make_room_for_clients_with_few() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(""));
    let all: Vec<_> =
        ["192.0.2.1", "192.0.2.2"].into_iter().flat_map(|from| fill(&admission, from, Phase::Head)).collect();
    let few: Vec<_> = (10..12).flat_map(|n| fill(&admission, &format!("192.0.2.{n}"), Phase::Head)).collect();
    assert_eq!((all.len(), admission.connections().len()), (56, 64));
    let closed = |of: &[Admitted]| of.iter().filter(|one| one.connection.closing.is_cancelled()).count();
    assert!(admission.admit(peer("198.51.100.1")).is_ok());
    assert_eq!(admit(&admission, "192.0.2.2").unwrap_err(), NoRoom::Full, "it has many");
    assert_eq!((closed(&few), closed(&all) >= 1), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_client_has_few_slow_heads() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(""));
    let mut slow = fill(&admission, "192.0.2.1", Phase::Head);
    admission.close_slow_heads();
    let closed = |slow: &[Admitted]| slow.iter().filter(|one| one.connection.is_closing()).count();
    assert_eq!((slow.len(), closed(&slow)), (32, 0));
    tokio::time::advance(SLOW).await;
    admission.close_slow_heads();
    assert_eq!(closed(&slow), MAX_CLOSING, "the others once these are dropped");
    slow.retain(|one| !one.connection.is_closing());
    admission.close_slow_heads();
    assert_eq!(admission.connections().len(), 32 / SLOW_SHARE);
}

#[test]
fn a_proxys_requests_count_for_its_clients() {
    let section = "trusted_proxies = [\"192.0.2.1\"]\nconnections_per_address = 2";
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen(section));
    let connections = fill(&admission, "192.0.2.1", Phase::Request);
    assert_eq!(connections.len(), 56, "all but the reserve");
    assert!(admission.admit(peer("198.51.100.1")).is_ok());
    let headers = |address: &str| {
        HeaderMap::from_iter([(http::HeaderName::from_static("x-forwarded-for"), address.parse().unwrap())])
    };
    let begin = |from: &str, address: &str| admission.begin(peer(from), &headers(address));
    let first = begin("192.0.2.1", "2001:db8::1").unwrap();
    let _second = begin("192.0.2.1", "198.51.100.9, 2001:db8::2").unwrap();
    assert_eq!(begin("192.0.2.1", "2001:db8::3").unwrap_err(), NoRoom::Client);
    assert!(begin("192.0.2.1", "2001:db8:0:1::3").unwrap().is_some());
    assert!(begin("198.51.100.1", "2001:db8::3").unwrap().is_none(), "it is no proxy");
    drop(first);
    assert!(begin("192.0.2.1", "2001:db8::3").is_ok());
    admission.apply(&listen(""));
    assert!(begin("192.0.2.1", "2001:db8::3").unwrap().is_none());
}

#[test]
fn clients_behind_a_proxy_leave_room_for_others_behind_it() {
    let admission = Admission::new(64, MAX_FOR_HEALTH, &listen("trusted_proxies = [\"192.0.2.1\"]"));
    let begin = |address: &str| {
        let name = http::HeaderName::from_static("x-forwarded-for");
        let headers = HeaderMap::from_iter([(name, address.parse().unwrap())]);
        admission.begin(peer("192.0.2.1"), &headers)
    };
    let of = |address: &str| std::iter::from_fn(|| begin(address).ok()).take(64).collect::<Vec<_>>();
    let (first, second) = (of("198.51.100.1"), of("198.51.100.2"));
    assert_eq!((first.len(), second.len()), (32, 16));
    assert!(begin("198.51.100.3").is_ok());
}

#[test]
fn a_request_that_begins_is_not_cut_off_and_none_begins_on_a_connection_that_closes() {
    let admission = Admission::new(8, MAX_FOR_HEALTH, &listen(""));
    let first = admission.admit(peer("192.0.2.1")).unwrap();
    first.connection.advance(&[Phase::Head], Phase::Request);
    assert!(!first.connection.close());
    let second = admission.admit(peer("192.0.2.1")).unwrap();
    assert!(second.connection.close());
    second.connection.advance(&[Phase::Head, Phase::Idle, Phase::Response], Phase::Request);
    assert!(second.connection.is_closing());
}

#[test]
fn a_unix_socket_has_no_limit_by_client() {
    let admission = Admission::of_unix_socket(16, &listen("connections_per_address = 2"));
    let all: Vec<_> = (0..16).map(|_| admission.admit(Peer::Unix).unwrap()).collect();
    assert!(admission.admit(Peer::Unix).is_err());
    all[0].connection.advance(&[Phase::Head], Phase::Idle);
    assert!(admission.admit(Peer::Unix).is_ok());
}
