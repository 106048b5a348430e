//! Where a URL leads: its form as the console takes it, and the addresses of its host.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

use super::Report;
use crate::{caller::Way, fault::Fault};

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    resolved: bool,
    /// Those of the host, where it was looked up.
    pub(super) addresses: Vec<IpAddr>,
}

impl Place {
    /// Whether calls make sense.
    pub(super) fn is_reachable(&self) -> bool {
        self.resolved
    }
}

/// Looks at a URL.
pub(super) async fn check(url: &Url, way: &Way, report: &mut Report) -> Place {
    if let Some(port) = url.port() {
        report.problem(&Fault::new(
            format!("the URL has the port {port}, and WeChat calls 80 (http) and 443 (https) only"),
            "let a proxy pass the path on from there, and enter the URL without a port",
        ));
    }
    if url.fragment().is_some() {
        report.problem(&Fault::new("the URL has a `#`", "enter it without what begins there"));
    }
    if let Some(connect) = way.connect {
        report.note(format_args!("the calls go to {connect}, in place of the host's own address"));
        return Place { resolved: true, addresses: Vec::new() };
    }
    let addresses = match way.resolve(url).await {
        Ok(addresses) => addresses,
        Err(failed) => {
            report.problem(&failed.fault);
            return Place::default();
        }
    };
    let ips: Vec<IpAddr> = addresses.iter().map(|address| address.ip().to_canonical()).collect();
    let shown: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
    if let Some((ip, what)) = ips.iter().find_map(|ip| Some((ip, not_public(*ip)?))) {
        report.note(format_args!(
            "{ip} is {what}: WeChat cannot call it, so the console needs a public address, or a tunnel's"
        ));
    } else if ips.iter().all(IpAddr::is_ipv6) {
        report.warning(&Fault::new(
            format!("the host has only IPv6 addresses ({})", shown.join(", ")),
            "WeChat calls over IPv4: add an A record",
        ));
    } else if let Some(Host::Domain(name)) = url.host() {
        report.ok(format_args!("`{name}` is {}", shown.join(", ")));
    }
    Place { resolved: true, addresses: ips }
}

/// Why an address is none that WeChat reaches.
pub(super) fn not_public(ip: IpAddr) -> Option<&'static str> {
    match ip {
        ip if ip.is_loopback() => Some("this machine itself"),
        ip if ip.is_unspecified() => Some("no address of a host"),
        IpAddr::V4(ip) if ip.is_private() => Some("an address of a private network"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("an address of one link only"),
        IpAddr::V4(ip) if within(ip, Ipv4Addr::new(100, 64, 0, 0), 10) => Some("an address behind a provider's NAT"),
        // RFC 2544 reserves it; proxy tools on developers' machines give it to every name.
        IpAddr::V4(ip) if within(ip, Ipv4Addr::new(198, 18, 0, 0), 15) => {
            Some("made up, as by a proxy tool on this machine")
        }
        IpAddr::V6(ip) if ip.is_unique_local() => Some("an address of a private network"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("an address of one link only"),
        _ => None,
    }
}

fn within(ip: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (ip.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_wechat_cannot_call_are_told_apart() {
        let of = |ip: &str| not_public(ip.parse().unwrap());
        for (ip, what) in [
            ("127.0.0.1", "this machine itself"),
            ("::1", "this machine itself"),
            ("10.1.2.3", "an address of a private network"),
            ("192.168.1.1", "an address of a private network"),
            ("fd00::1", "an address of a private network"),
            ("169.254.1.1", "an address of one link only"),
            ("fe80::1", "an address of one link only"),
            ("100.127.0.1", "an address behind a provider's NAT"),
            ("198.19.255.1", "made up, as by a proxy tool on this machine"),
            ("0.0.0.0", "no address of a host"),
        ] {
            assert_eq!(of(ip), Some(what), "{ip}");
        }
        for ip in ["8.8.8.8", "100.128.0.1", "198.20.0.1", "172.32.0.1", "2400:3200::1"] {
            assert_eq!(of(ip), None, "{ip}");
        }
    }
}
