//! How many connections there are descriptors for. Each is counted with the files that its request may open, so that
//! idle connections leave a PUT its descriptors, unless the limit is too low for the fewest connections.

use super::{
    admission::{MAX_CLOSING, MAX_FOR_HEALTH},
    refusal::ANSWERED,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections of all listeners at most. A slow upload holds a thread (`cli::runtime`), and each has 24 KiB of buffers.
const MAX_CONNECTIONS: usize = 2048;
/// Connections of one listener at least, whatever the limit.
const MIN_CONNECTIONS_OF_LISTENER: usize = 4;
/// Of one connection: its socket; and of its request a source, a target, and a folder that is synced.
const FILES_OF_CONNECTION: usize = 4;
/// Of an attempt: a source, a target, a folder.
const FILES_OF_ATTEMPT: usize = 4;
/// Of a listener: its socket, and connections that are refused, that make room or that ask for the server's health.
const FILES_OF_LISTENER: usize = 1 + ANSWERED + MAX_CLOSING + MAX_FOR_HEALTH;
/// Standard streams, databases, the runtime, and requests to others.
const FILES_OF_SERVER: usize = 64;

/// Raises the limit on open files (RLIMIT_NOFILE) to the most that this process may have.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, "the limit on open files (RLIMIT_NOFILE) could not be raised");
    }
}

/// Connections that each of `listeners` may have beside `workers` attempts.
pub fn connections_of_each(listeners: usize, workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(usize::MAX);
    let connections = share(limit, listeners, workers);
    let least = needed(MIN_CONNECTIONS_OF_LISTENER, listeners, workers);
    if limit < least {
        tracing::warn!(
            limit,
            least,
            "requests may fail: the limit on open files (RLIMIT_NOFILE) is lower than what this server needs; \
             raise it, for example with \"ulimit -n\" or LimitNOFILE="
        );
    } else if connections < share(usize::MAX, listeners, workers) {
        tracing::info!(
            limit,
            connections,
            "the limit on open files (RLIMIT_NOFILE) bounds the connections of each port"
        );
    }
    connections
}

fn share(limit: usize, listeners: usize, workers: usize) -> usize {
    let rest = limit.saturating_sub(needed(0, listeners, workers));
    let of_each = (rest / FILES_OF_CONNECTION).min(MAX_CONNECTIONS) / listeners.max(1);
    of_each.max(MIN_CONNECTIONS_OF_LISTENER)
}

/// Files that are open at most.
fn needed(connections_of_each: usize, listeners: usize, workers: usize) -> usize {
    let of_listener = FILES_OF_LISTENER + connections_of_each * FILES_OF_CONNECTION;
    FILES_OF_SERVER + workers * FILES_OF_ATTEMPT + listeners * of_listener
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_descriptors_for_its_request() {
        assert_eq!(share(usize::MAX, 2, 8), 1024);
        assert_eq!(share(1 << 20, 4, 8), 512);
        for workers in [1, 2, 16, 64] {
            for listeners in 2..=4 {
                let least = needed(MIN_CONNECTIONS_OF_LISTENER, listeners, workers);
                for limit in least..least + 9000 {
                    let of_each = share(limit, listeners, workers);
                    assert!(needed(of_each, listeners, workers) <= limit, "{limit} {listeners} {workers}");
                }
            }
        }
        assert_eq!(share(0, 2, 1024), MIN_CONNECTIONS_OF_LISTENER);
    }
}
