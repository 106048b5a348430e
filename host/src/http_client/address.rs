//! Which addresses belong to everybody, and which to this machine, its network or its cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::HttpGrant;

/// Which addresses a request may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of the public internet.
    Public,
    /// Those of this machine.
    Loopback,
    /// Those of the public internet, of this machine, and of private networks.
    Private,
    /// This one, whatever it is.
    Only(IpAddr),
    /// All of them.
    Anywhere,
}

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Loopback,
    Private,
    /// Nothing that a name may stand for: clouds answer there with the machine's credentials, or it is no address of one peer.
    Special,
}

/// Where clouds tell a machine about itself, where that is not within the link-local range: Alibaba's, Oracle's, Azure's, and AWS's on
/// IPv6. Tencent's, AWS's, Google's and the containers' of AWS are link-local.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl Reach {
    /// What an entry of `allow.http` allows: an address that it names, loopback where it says `localhost`, a private network where it
    /// says so, and else the public internet.
    pub(super) fn of(grant: &HttpGrant) -> Self {
        match grant.origin.address() {
            Some(address) => Self::Only(address),
            None if grant.private => Self::Private,
            None if grant.origin.is_localhost() => Self::Loopback,
            None => Self::Public,
        }
    }

    pub(super) fn includes(self, address: IpAddr) -> bool {
        match self {
            Self::Public => kind(address) == Kind::Public,
            Self::Loopback => kind(address) == Kind::Loopback,
            Self::Private => kind(address) != Kind::Special,
            Self::Only(named) => address == named,
            Self::Anywhere => true,
        }
    }
}

fn kind(address: IpAddr) -> Kind {
    if METADATA.contains(&address) {
        return Kind::Special;
    }
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

/// By IANA's registry of special-purpose addresses.
fn kind_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127, ..] => Kind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        // Carriers' own networks, and Tailscale's.
        [100, 64..=127, ..] => Kind::Private,
        // Benchmarks and documentation: where a proxy takes over all traffic, its resolver answers with addresses like these (fake IP).
        [198, 18..=19, ..] | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Private,
        // This network; link-local; protocol assignments; 6to4 relays; multicast and what is reserved.
        [0, ..] | [169, 254, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [224..=255, ..] => Kind::Special,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let segments = address.segments();
    let embedded = || {
        let [.., a, b, c, d] = address.octets();
        kind(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        // An IPv4 address in other clothes is what it is without them: mapped, translated (SIIT, NAT64).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(),
        [0xfc00..=0xfdff, ..] => Kind::Private,
        // Teredo, 6to4 and documentation, within what is routed.
        [0x2001, 0, ..] | [0x2002, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Special,
        [0x2000..=0x3fff, ..] => Kind::Public,
        // Unspecified, compatible, link-local, site-local, multicast, and what is not assigned.
        _ => Kind::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; 9] = [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ];
    const LOOPBACK: [&str; 6] =
        ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"];
    const PRIVATE: [&str; 14] = [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "100.127.255.255",
        "fd12:3456::1",
        "fc00::1",
        "::ffff:192.168.1.1",
        "64:ff9b::a00:1",
    ];
    const SPECIAL: [&str; 28] = [
        "0.0.0.0",
        "0.1.2.3",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.23",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::127.0.0.1",
        "::2",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::ffff:0:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378::1",
        "2001:db8::1",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_is_of_one_kind() {
        for (addresses, expected) in [
            (&PUBLIC[..], Kind::Public),
            (&LOOPBACK, Kind::Loopback),
            (&PRIVATE, Kind::Private),
            (&SPECIAL, Kind::Special),
        ] {
            for text in addresses {
                assert_eq!(kind(address(text)), expected, "{text}");
            }
        }
    }

    #[test]
    fn a_mapped_metadata_address_is_one() {
        assert_eq!(kind(address("::ffff:100.100.100.200")), Kind::Special);
        assert_eq!(kind(address("64:ff9b::6464:64c8")), Kind::Special);
    }

    #[test]
    fn names_reach_what_they_may_stand_for() {
        let reaches = |reach: Reach, texts: &[&str]| texts.iter().filter(|text| reach.includes(address(text))).count();
        assert_eq!(reaches(Reach::Public, &PUBLIC), PUBLIC.len());
        for others in [&LOOPBACK[..], &PRIVATE, &SPECIAL] {
            assert_eq!(reaches(Reach::Public, others), 0);
        }
        assert_eq!(reaches(Reach::Loopback, &LOOPBACK), LOOPBACK.len());
        for others in [&PUBLIC[..], &PRIVATE, &SPECIAL] {
            assert_eq!(reaches(Reach::Loopback, others), 0);
        }
        for others in [&PUBLIC[..], &LOOPBACK, &PRIVATE] {
            assert_eq!(reaches(Reach::Private, others), others.len());
        }
        assert_eq!(reaches(Reach::Private, &SPECIAL), 0);
        let named = Reach::Only(address("169.254.169.254"));
        assert_eq!(reaches(named, &SPECIAL), 1);
        assert_eq!(reaches(named, &LOOPBACK), 0);
    }
}
