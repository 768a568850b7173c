//! Where connections come from: the addresses of `--bind`, dealt out to workers, and the ports there are for each.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;

use crate::limits;
use crate::report::text::number;

/// A block of addresses, as in `127.0.1.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// Lowest address.
    network: IpAddr,
    prefix: u8,
}

/// The source addresses of one worker, taken in turn.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    addresses: Arc<[IpAddr]>,
    next: usize,
    step: usize,
    first: usize,
}

impl FromStr for Cidr {
    type Err = String;

    /// An address, or an address and the length of its prefix; bits below the prefix are ignored.
    fn from_str(text: &str) -> Result<Cidr, String> {
        let wrong =
            || format!("`{text}` is no block of addresses: write 127.0.1.0/24, 10.0.0.7 or fd00::/120");
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.trim_matches(['[', ']']).parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                prefix.parse::<u8>().ok().filter(|&prefix| prefix <= bits).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        if address.is_unspecified() || address.is_multicast() || prefix == 0 {
            return Err(format!("`{text}`: no connection can come from there"));
        }
        let cidr = Cidr { network: address, prefix };
        if cidr.size() > limits::SOURCES {
            let most = limits::SOURCES;
            let enough = bits - most.ilog2() as u8;
            return Err(format!("`{text}` is more than {most} addresses: write a /{enough} or smaller"));
        }
        let network = match address {
            IpAddr::V4(address) => {
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !(cidr.size() as u32).wrapping_sub(1)))
            }
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !(cidr.size() - 1))),
        };
        Ok(Cidr { network, prefix })
    }
}

impl Cidr {
    /// The addresses that a connection can come from, lowest first. Off loopback the network's own address and its
    /// broadcast address are left out (IPv6: the address of its routers); of 127.0.0.0/8 only 127.255.255.255,
    /// which Linux replaces by 127.0.0.1.
    pub(crate) fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let size = self.size();
        (0..size).filter_map(move |place| {
            let edge = place == 0 || place == size - 1;
            match self.network {
                IpAddr::V4(first) => {
                    let address = Ipv4Addr::from_bits(first.to_bits() + place as u32);
                    let usable = match address.is_loopback() {
                        true => address != LOOPBACK_BROADCAST,
                        false => !edge || self.prefix >= 31,
                    };
                    usable.then_some(IpAddr::V4(address))
                }
                IpAddr::V6(first) => {
                    let usable = place > 0 || self.prefix >= 127;
                    usable.then(|| IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() + place)))
                }
            }
        })
    }

    fn size(self) -> u128 {
        let bits = if self.network.is_ipv4() { 32 } else { 128 };
        1_u128.checked_shl(bits - u32::from(self.prefix)).unwrap_or(u128::MAX)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl Sources {
    /// The share of `worker` (from 0, of `workers`) in `addresses`: every `workers`-th one, so that no two workers
    /// compete for the ports of an address. Where there are fewer addresses than workers, some share one. `None`
    /// without addresses.
    pub(crate) fn of_worker(addresses: &Arc<[IpAddr]>, worker: usize, workers: usize) -> Option<Sources> {
        if addresses.is_empty() {
            return None;
        }
        let first = worker % addresses.len();
        let step = workers.clamp(1, addresses.len());
        Some(Sources { addresses: Arc::clone(addresses), next: first, step, first })
    }

    /// The address for the next connection.
    pub(crate) fn take(&mut self) -> IpAddr {
        let address = self.addresses[self.next];
        self.next += self.step;
        if self.next >= self.addresses.len() {
            self.next = self.first;
        }
        address
    }

    /// How many addresses this worker has: so often an address without a free port is worth another try.
    pub(crate) fn len(&self) -> usize {
        (self.addresses.len() - self.first).div_ceil(self.step)
    }
}

/// Whether this machine has all of `addresses`, each tried once.
///
/// # Errors
/// Words that name the first ones it has not.
pub(crate) fn check_local(addresses: &[IpAddr]) -> Result<(), String> {
    // A datagram socket is bound and gone at once; nothing listens and nothing is sent.
    let foreign: Vec<IpAddr> =
        addresses.iter().copied().filter(|&address| UdpSocket::bind((address, 0)).is_err()).collect();
    let named: Vec<String> = foreign.iter().take(3).map(IpAddr::to_string).collect();
    let (Some(first), more) = (named.first(), foreign.len() - named.len()) else { return Ok(()) };
    let more = if more == 0 { String::new() } else { format!(" and {} more", number(more as u64)) };
    Err(format!(
        "--bind: {}{more} are not addresses of this machine; add them (ip addr add {first} dev eth0, or for a whole \
         block ip route add local BLOCK dev lo), or bind to addresses it has",
        named.join(", ")
    ))
}

/// How many ports the kernel has for connections, from the texts of `ip_local_port_range` and
/// `ip_local_reserved_ports`; `None` where the first makes no sense.
pub(crate) fn ports(range: &str, reserved: &str) -> Option<u64> {
    let mut bounds = range.split_ascii_whitespace().map(str::parse::<u16>);
    let (Some(Ok(low)), Some(Ok(high))) = (bounds.next(), bounds.next()) else { return None };
    let all = u64::from(high.checked_sub(low)?) + 1;
    let mut taken: Vec<(u16, u16)> = reserved
        .trim()
        .split(',')
        .filter_map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to): (u16, u16) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            (from <= high && to >= low).then(|| (from.max(low), to.min(high)))
        })
        .collect();
    taken.sort_unstable();
    let (mut reserved, mut counted_below) = (0, u32::from(low));
    for (from, to) in taken {
        let (from, beyond) = (u32::from(from).max(counted_below), u32::from(to) + 1);
        reserved += u64::from(beyond.saturating_sub(from));
        counted_below = counted_below.max(beyond);
    }
    Some(all.saturating_sub(reserved))
}

/// Linux binds to it, and sends from 127.0.0.1.
const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn blocks_are_read() {
        let check = |text: &str, shown: &str, count: usize, first: &str, last: &str| {
            let block = cidr(text);
            let all: Vec<String> = block.addresses().map(|address| address.to_string()).collect();
            assert_eq!((block.to_string().as_str(), all.len()), (shown, count), "{text}");
            assert_eq!((all[0].as_str(), all[count - 1].as_str()), (first, last), "{text}");
        };
        check("127.0.1.0/24", "127.0.1.0/24", 256, "127.0.1.0", "127.0.1.255");
        check("127.0.1.77/24", "127.0.1.0/24", 256, "127.0.1.0", "127.0.1.255");
        check("127.255.0.0/16", "127.255.0.0/16", 65_535, "127.255.0.0", "127.255.255.254");
        check("10.0.0.0/24", "10.0.0.0/24", 254, "10.0.0.1", "10.0.0.254");
        check("10.0.0.4/31", "10.0.0.4/31", 2, "10.0.0.4", "10.0.0.5");
        check("10.0.0.7", "10.0.0.7/32", 1, "10.0.0.7", "10.0.0.7");
        check("255.255.255.254", "255.255.255.254/32", 1, "255.255.255.254", "255.255.255.254");
        check(" fd00::/120 ", "fd00::/120", 255, "fd00::1", "fd00::ff");
        check("[::1]", "::1/128", 1, "::1", "::1");
        check("fd00::1/127", "fd00::/127", 2, "fd00::", "fd00::1");
        check("fd00::/112", "fd00::/112", 65_535, "fd00::1", "fd00::ffff");
    }

    #[test]
    fn what_is_no_block_is_told() {
        let refused = |text: &str, word: &str| {
            let why = text.parse::<Cidr>().expect_err(text);
            assert!(why.contains(word), "{text}: {why}");
        };
        for bad in [
            "",
            "/24",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/24",
            "eth0",
            "fd00::/129",
        ] {
            refused(bad, "127.0.1.0/24");
        }
        refused("0.0.0.0", "no connection");
        refused("0.0.0.0/0", "no connection");
        refused("10.0.0.0/0", "no connection");
        refused("::", "no connection");
        refused("224.0.0.1", "no connection");
        refused("127.0.0.0/8", "/16 or smaller");
        refused("fd00::/64", "/112 or smaller");
        refused("fd00::/1", "/112 or smaller");
    }

    #[test]
    fn workers_share_no_address_while_there_are_enough() {
        for (count, workers) in [(1, 1), (7, 2), (256, 2), (16, 16), (3, 64)] {
            let addresses: Arc<[IpAddr]> = cidr("127.0.1.0/24").addresses().take(count).collect();
            let mut seen = std::collections::HashMap::<IpAddr, usize>::new();
            for worker in 0..workers {
                let mut sources = Sources::of_worker(&addresses, worker, workers).expect("addresses");
                let turn: Vec<IpAddr> = (0..sources.len()).map(|_| sources.take()).collect();
                let again: Vec<IpAddr> = (0..sources.len()).map(|_| sources.take()).collect();
                assert_eq!(turn, again);
                turn.into_iter().for_each(|address| *seen.entry(address).or_default() += 1);
            }
            assert_eq!(seen.len(), count);
            assert!(count < workers || seen.values().all(|&takers| takers == 1), "{count} {workers}");
        }
        assert!(Sources::of_worker(&Arc::from([]), 0, 2).is_none());
    }

    #[test]
    fn foreign_addresses_are_named() {
        let block = |text| cidr(text).addresses().collect::<Vec<_>>();
        assert_eq!(check_local(&block("127.0.9.0/28")), Ok(()));
        let why = check_local(&block("203.0.113.0/28")).expect_err("documentation addresses");
        assert!(why.contains("203.0.113.1, 203.0.113.2, 203.0.113.3 and 11 more"), "{why}");
    }

    #[test]
    fn ports_are_counted() {
        let check = |range, reserved, count| assert_eq!(ports(range, reserved), count, "{range} {reserved}");
        check("32768\t60999\n", "\n", Some(28_232));
        check("1024 65535", "8080,9000-9009", Some(64_512 - 11));
        check("32768 60999", "8080,60990-65535,60999", Some(28_232 - 10));
        check("5000 5000", "", Some(1));
        check("60999 32768", "", None);
        check("", "", None);
    }
}
