//! Packets within packets: what a mirror of traffic puts around them (VXLAN of Amazon, Geneve, GRE), a tunnel, or a network
//! of access (PPPoE, MPLS).

use etherparse::{IpNumber, LaxIpPayloadSlice, LaxSlicedPacket, TransportSlice};

use super::packet::{ETHERNET, RAW};

/// What a packet carries that holds no TCP itself: the kind of link of what is within, and that.
pub(super) fn within<'a>(packet: &LaxSlicedPacket<'a>) -> Option<(u32, &'a [u8])> {
    match (&packet.net, &packet.transport) {
        (None, _) => {
            let carried = packet.ether_payload()?;
            by_type(carried.ether_type.0, carried.payload)
        }
        (Some(_), Some(TransportSlice::Udp(udp))) => by_port(udp.destination_port(), udp.payload()),
        (Some(_), None) => by_protocol(packet.ip_payload()?),
        _ => None,
    }
}

fn by_type(ether_type: u16, bytes: &[u8]) -> Option<(u32, &[u8])> {
    match (ether_type, bytes) {
        (0x0800 | 0x86dd, _) => Some((RAW, bytes)),
        (0x6558, _) => Some((ETHERNET, bytes)),
        // a length, where LLC and SNAP say the type
        (0..=1500, [0xaa, 0xaa, 3, 0, 0, 0, high, low, rest @ ..]) => {
            by_type(u16::from_be_bytes([*high, *low]), rest)
        }
        (0x8847 | 0x8848, _) => by_label(bytes),
        // PPPoE: a head of six bytes, and the protocol of PPP in two or one
        (
            0x8864,
            [_, 0, _, _, _, _, 0x00, 0x21 | 0x57, rest @ ..] | [_, 0, _, _, _, _, 0x21 | 0x57, rest @ ..],
        ) => Some((RAW, rest)),
        _ => None,
    }
}

/// Labels of MPLS up to that which says that it is the last; IP says by itself that it is.
fn by_label(mut bytes: &[u8]) -> Option<(u32, &[u8])> {
    loop {
        let [_, _, last, _, rest @ ..] = bytes else { return None };
        bytes = rest;
        if last & 1 == 1 {
            let is_ip = matches!(bytes.first()? >> 4, 4 | 6);
            return is_ip.then_some((RAW, bytes));
        }
    }
}

fn by_port(port: u16, bytes: &[u8]) -> Option<(u32, &[u8])> {
    match (port, bytes) {
        (VXLAN | VXLAN_OF_LINUX, [flags, _, _, _, _, _, _, _, frame @ ..]) if flags & 8 != 0 => {
            Some((ETHERNET, frame))
        }
        (GENEVE, [options, _, high, low, _, _, _, _, rest @ ..]) if options >> 6 == 0 => {
            let rest = rest.get(usize::from(options & 0x3f) * 4..)?;
            by_type(u16::from_be_bytes([*high, *low]), rest)
        }
        (GRE_IN_UDP, _) => by_gre(bytes),
        _ => None,
    }
}

fn by_protocol<'a>(carried: &LaxIpPayloadSlice<'a>) -> Option<(u32, &'a [u8])> {
    match carried.ip_number {
        _ if carried.fragmented => None,
        IpNumber::IPV4 | IpNumber::IPV6 => Some((RAW, carried.payload)),
        IpNumber::GRE => by_gre(carried.payload),
        IpNumber::ETHER_IP => Some((ETHERNET, carried.payload.get(2..)?)),
        _ => None,
    }
}

/// GRE: flags say which of its numbers are there. A mirror of Cisco (ERSPAN) has eight bytes more.
fn by_gre(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let [flags, version, high, low, ..] = bytes else { return None };
    let len = 4 + [0x80, 0x20, 0x10].iter().filter(|flag| flags & **flag != 0).count() * 4;
    let rest = bytes.get(len..).filter(|_| version & 7 == 0)?;
    match u16::from_be_bytes([*high, *low]) {
        ERSPAN if flags & 0x10 == 0 => Some((ETHERNET, rest)),
        ERSPAN => Some((ETHERNET, rest.get(8..)?)),
        ether_type => by_type(ether_type, rest),
    }
}

const VXLAN: u16 = 4789;
const VXLAN_OF_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const GRE_IN_UDP: u16 = 4754;
const ERSPAN: u16 = 0x88be;

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::super::packet::{Unfit, segment};
    use super::*;

    fn inner() -> Vec<u8> {
        let mut out = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 80, 7, 1024);
        builder.write(&mut out, b"hello").unwrap();
        out
    }

    fn frame(ether_type: [u8; 2], packet: &[u8]) -> Vec<u8> {
        [&[0; 12][..], &ether_type, packet].concat()
    }

    fn udp(port: u16, head: &[u8], packet: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let builder = PacketBuilder::ipv4([9; 4], [8; 4], 64).udp(5000, port);
        builder.write(&mut out, &[head, packet].concat()).unwrap();
        out
    }

    fn ip(protocol: u8, packet: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        PacketBuilder::ipv4([9; 4], [8; 4], 64).write(&mut out, IpNumber(protocol), packet).unwrap();
        out
    }

    #[track_caller]
    fn check(link: u32, whole: &[u8]) {
        let found = segment(link, whole).unwrap();
        assert_eq!((found.from.port(), found.payload, found.missing), (4000, &b"hello"[..], 0));
        for len in 0..whole.len() {
            let _ = segment(link, &whole[..len]);
        }
    }

    #[test]
    fn packets_are_found_within_what_is_around_them() {
        let (ethernet, tagged) =
            (frame([8, 0], &inner()), frame([0x81, 0], &[&[0, 5, 8, 0], &inner()[..]].concat()));
        let vxlan = [8, 0, 0, 0, 0, 0, 5, 0];
        check(RAW, &udp(4789, &vxlan, &ethernet));
        check(RAW, &udp(8472, &vxlan, &tagged));
        check(RAW, &udp(6081, &[2, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8], &ethernet));
        check(RAW, &udp(6081, &[0, 0, 8, 0, 0, 0, 1, 0], &inner()));
        check(RAW, &udp(4754, &[0, 0, 8, 0], &inner()));
        check(RAW, &ip(4, &inner()));
        check(RAW, &ip(97, &[&[0x30, 0], &ethernet[..]].concat()));
        check(RAW, &ip(47, &[&[0x30, 0, 0x65, 0x58, 1, 1, 1, 1, 2, 2, 2, 2], &ethernet[..]].concat()));
        check(
            RAW,
            &ip(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0], &ethernet[..]].concat()),
        );
        check(ETHERNET, &frame([0x88, 0x64], &[&[0x11, 0, 0, 1, 0, 47, 0, 0x21], &inner()[..]].concat()));
        check(ETHERNET, &frame([0x88, 0x64], &[&[0x11, 0, 0, 1, 0, 46, 0x21], &inner()[..]].concat()));
        check(ETHERNET, &frame([0x88, 0x47], &[&[0, 1, 0, 64, 0, 2, 1, 64], &inner()[..]].concat()));
        check(ETHERNET, &frame([0, 53], &[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner()[..]].concat()));
        // one within another
        check(RAW, &ip(4, &udp(4789, &vxlan, &ethernet)));
    }

    #[test]
    fn what_only_looks_like_a_tunnel_is_none() {
        assert_eq!(segment(RAW, &udp(4789, &[0; 8], &frame([8, 0], &inner()))), Err(Unfit::Other));
        assert_eq!(segment(RAW, &udp(4789, b"short", b"")), Err(Unfit::Other));
        assert_eq!(segment(RAW, &ip(47, &[0, 1, 8, 0])), Err(Unfit::Other));
        let endless = (0..9).fold(inner(), |packet, _| ip(4, &packet));
        assert_eq!(segment(RAW, &endless), Err(Unfit::Other));
    }
}
