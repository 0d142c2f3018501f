//! The section `listen`: addresses, unix sockets and TLS of the two ports, and which clients and proxies are trusted.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use serde::Deserialize;
use tintype_pipeline::settings::{Check, SettingsError};

/// Where the two ports listen, and whom they trust.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The S3 endpoint.
    pub s3: SocketAddr,
    /// The HTTP API.
    pub http: SocketAddr,
    /// A unix socket of the S3 endpoint.
    pub s3_unix: Option<PathBuf>,
    /// A unix socket of the HTTP API.
    pub http_unix: Option<PathBuf>,
    /// If set, both ports speak TLS; unix sockets never do.
    pub tls: Option<Tls>,
    /// As written; see [`super::Settings::trusts_loopback`] for whether it is in effect.
    pub trust_loopback: bool,
    /// Proxies whose forwarding headers are trusted.
    pub trusted_proxies: Proxies,
    /// Connections of one client to each port, or requests at once of one behind a trusted proxy; 0: half of all.
    pub connections_per_address: usize,
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and its chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// Proxies whose forwarding headers are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<Network>,
    /// Whether every client of the unix socket is one.
    pub unix: bool,
}

impl Proxies {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// An address, or a network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        // A port that listens on [::] has peers with IPv4-mapped addresses.
        let shift = |whole: u8| u32::from(whole - self.bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (address, bits) = match text.split_once('/') {
                Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
                None => (text, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let (address, max_bits) = match address {
                IpAddr::V4(_) => (address, 32),
                IpAddr::V6(v6) if bits.is_none() => match v6.to_canonical() {
                    v4 @ IpAddr::V4(_) => (v4, 32),
                    v6 @ IpAddr::V6(_) => (v6, 128),
                },
                IpAddr::V6(_) => (address, 128),
            };
            let bits = bits.unwrap_or(max_bits);
            (bits <= max_bits).then_some(Self { address, bits })
        };
        parsed().ok_or_else(|| {
            format!(
                "\"{text}\" is not an address or network; write one like \"10.0.0.5\", \"10.0.0.0/8\" or \"unix\""
            )
        })
    }
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Listen")]
pub(super) struct ListenSection {
    s3: Option<String>,
    http: Option<String>,
    tls_certificate: Option<String>,
    tls_key: Option<String>,
    trust_loopback: Option<bool>,
    trusted_proxies: Option<Vec<String>>,
    connections_per_address: Option<u32>,
    http_unix: Option<String>,
    s3_unix: Option<String>,
}

impl ListenSection {
    pub(super) fn validate(self, check: &Check) -> Result<Listen, SettingsError> {
        let address = |setting, text: Option<String>, default: &str| {
            let text = text.unwrap_or_else(|| default.to_owned());
            socket_address(&text).ok_or(()).or_else(|()| {
                check.fail(
                    setting,
                    format!("\"{text}\" is not an address and port; write one like \"{default}\""),
                )
            })
        };
        let tls = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls { certificate: certificate.into(), key: key.into() }),
            (None, None) => None,
            (Some(_), None) => {
                return check.fail("listen.tls_key", "set it together with listen.tls_certificate");
            }
            (None, Some(_)) => {
                return check.fail("listen.tls_certificate", "set it together with listen.tls_key");
            }
        };
        let s3_unix = socket(check, "listen.s3_unix", self.s3_unix)?;
        let http_unix = socket(check, "listen.http_unix", self.http_unix)?;
        if s3_unix.is_some() && s3_unix == http_unix {
            return check
                .fail("listen.s3_unix", "it equals listen.http_unix; each port needs a socket of its own");
        }
        let connections_per_address = self.connections_per_address.unwrap_or(0);
        let connections_per_address =
            check.within("listen.connections_per_address", connections_per_address, 0, 2048)?;
        let trusted_proxies = proxies(check, self.trusted_proxies.unwrap_or_default())?;
        if trusted_proxies.unix && http_unix.is_none() {
            return check.fail("listen.trusted_proxies", "\"unix\" needs a socket; set listen.http_unix");
        }
        Ok(Listen {
            s3: address("listen.s3", self.s3, "127.0.0.1:9000")?,
            http: address("listen.http", self.http, "127.0.0.1:8080")?,
            s3_unix,
            http_unix,
            tls,
            trust_loopback: self.trust_loopback.unwrap_or(true),
            trusted_proxies,
            connections_per_address: connections_per_address as usize,
        })
    }
}

/// An address with a port. Where only a port is named, or localhost, it is one of this machine: "localhost:9000", ":9000",
/// "9000".
#[must_use]
pub fn socket_address(text: &str) -> Option<SocketAddr> {
    let port = || {
        let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        Some((Ipv4Addr::LOCALHOST, is_number.then(|| port.parse().ok())??).into())
    };
    text.parse().ok().or_else(port)
}

/// The longest path of a socket that all systems accept (Linux: 107 bytes, BSD and macOS: 103).
const MAX_SOCKET_PATH: usize = 103;

fn socket(check: &Check, setting: &str, path: Option<String>) -> Result<Option<PathBuf>, SettingsError> {
    let Some(path) = path else { return Ok(None) };
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return check
            .fail(setting, format!("\"{path}\" is not a file; write one like \"/run/tintype/http.sock\""));
    }
    if path.len() > MAX_SOCKET_PATH {
        return check.fail(
            setting,
            format!("the path has {} bytes; a socket's path has at most {MAX_SOCKET_PATH}", path.len()),
        );
    }
    Ok(Some(path.into()))
}

fn proxies(check: &Check, written: Vec<String>) -> Result<Proxies, SettingsError> {
    let mut proxies = Proxies::default();
    for text in written {
        match text.as_str() {
            "unix" => proxies.unix = true,
            text => {
                let network = text.parse();
                proxies
                    .networks
                    .push(network.or_else(|message: String| check.fail("listen.trusted_proxies", message))?);
            }
        }
    }
    Ok(proxies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_the_addresses_with_their_prefix() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        for (network, inside, outside) in [
            ("10.0.0.5", "10.0.0.5", "10.0.0.4"),
            ("10.0.0.5", "::ffff:10.0.0.5", "::10.0.0.5"),
            ("::ffff:10.0.0.5", "10.0.0.5", "10.0.0.4"),
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.1.2", "11.0.0.1"),
            ("192.168.1.128/25", "192.168.1.200", "192.168.1.127"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
        ] {
            assert!(contains(network, inside), "{inside} in {network}");
            assert!(!contains(network, outside), "{outside} in {network}");
        }
        for invalid in ["", "proxy.example", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8", "10.0.0.1:80"]
        {
            assert!(invalid.parse::<Network>().unwrap_err().contains("10.0.0.0/8"), "{invalid}");
        }
    }
}
