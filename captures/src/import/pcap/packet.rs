//! From a frame of a link to the TCP segment in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

use super::tunnel;

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    /// What its sender had received, where it says so.
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
    /// Bytes of payload that were sent and not captured: the packet was cut.
    pub(super) missing: usize,
}

/// Why a frame holds no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The kind of link is none that we know.
    Link,
    /// ARP, UDP and others.
    Other,
    /// A part of a packet.
    Fragment,
    /// It was cut before its payload began.
    Cut,
}

impl Unfit {
    /// What is counted.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Unfit::Link => "packets of an unknown kind of link",
            Unfit::Other => "packets that are no TCP",
            Unfit::Fragment => "IP fragments",
            Unfit::Cut => "packets cut before their payload",
        }
    }
}

/// The segment in a frame.
pub(super) fn segment(link: u32, frame: &[u8]) -> Result<Segment<'_>, Unfit> {
    let mut packet = sliced(link, frame)?;
    for _ in 0..MAX_DEPTH {
        match tunnel::within(&packet).and_then(|(link, inner)| sliced(link, inner).ok()) {
            Some(inner) => packet = inner,
            None => break,
        }
    }
    let Some(net) = &packet.net else {
        return Err(if packet.stop_err.is_some() { Unfit::Cut } else { Unfit::Other });
    };
    let (from, to, missing) = match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            // 0 where the hardware cuts it into segments
            let said = usize::from(header.total_len()).saturating_sub(header.slice().len());
            let extension = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
            let (from, to) = (IpAddr::from(header.source_addr()), IpAddr::from(header.destination_addr()));
            (from, to, said.saturating_sub(extension + ip.payload().payload.len()))
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let said = usize::from(header.payload_length());
            let extensions = ip.extensions().slice().len();
            let (from, to) = (IpAddr::from(header.source_addr()), IpAddr::from(header.destination_addr()));
            (from, to, said.saturating_sub(extensions + ip.payload().payload.len()))
        }
        LaxNetSlice::Arp(_) => return Err(Unfit::Other),
    };
    let tcp = match (&packet.transport, packet.ip_payload()) {
        (Some(TransportSlice::Tcp(tcp)), _) => tcp,
        (_, Some(payload)) if payload.fragmented => return Err(Unfit::Fragment),
        (None, _) if packet.stop_err.is_some() => return Err(Unfit::Cut),
        _ => return Err(Unfit::Other),
    };
    Ok(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
        missing,
    })
}

/// The headers of a frame, by the kind of its link (`LINKTYPE_…` of tcpdump).
fn sliced(link: u32, frame: &[u8]) -> Result<LaxSlicedPacket<'_>, Unfit> {
    let ether_type = |at: usize, len: usize| {
        let (header, rest) = frame.split_at_checked(len).ok_or(Unfit::Cut)?;
        let kind = u16::from_be_bytes([header[at], header[at + 1]]);
        Ok(LaxSlicedPacket::from_ether_type(EtherType(kind), rest))
    };
    let ip = |at: usize| match frame.get(at..) {
        Some([]) | None => Err(Unfit::Cut),
        Some(packet) => LaxSlicedPacket::from_ip(packet).map_err(|_| Unfit::Other),
    };
    match link {
        ETHERNET => LaxSlicedPacket::from_ethernet(frame).map_err(|_| Unfit::Cut),
        LINUX_COOKED => ether_type(14, 16),
        LINUX_COOKED_2 => ether_type(0, 20),
        CISCO_HDLC => ether_type(2, 4),
        // a family of addresses, which the first half byte of IP says too
        NULL | LOOP => ip(4),
        RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => ip(0),
        PPP => ip(if frame.starts_with(&[0xff, 3]) { 4 } else { 2 }),
        NFLOG => sliced(RAW, nflog(frame).ok_or(Unfit::Cut)?),
        // of a Mac: its head says how long it is, and what follows
        PKTAP | PKTAP_OLD => {
            let number = |at: usize| super::records::number(frame.get(at..)?, false);
            let (len, link) = (number(0).ok_or(Unfit::Cut)?, number(8).ok_or(Unfit::Cut)?);
            match frame.get(len as usize..) {
                Some(inner) if link != PKTAP && link != PKTAP_OLD => sliced(link, inner),
                _ => Err(Unfit::Link),
            }
        }
        _ => Err(Unfit::Link),
    }
}

/// The packet among what netfilter logs: a head of four bytes, then parts that say their length and their type.
fn nflog(frame: &[u8]) -> Option<&[u8]> {
    const PAYLOAD: u16 = 9;
    let mut rest = frame.get(4..)?;
    loop {
        let [l0, l1, t0, t1, ..] = rest else { return None };
        let (len, kind) = (usize::from(u16::from_le_bytes([*l0, *l1])), u16::from_le_bytes([*t0, *t1]));
        let part = rest.get(4..len.max(4).min(rest.len()))?;
        if kind == PAYLOAD {
            return Some(part);
        }
        rest = rest.get(len.max(4).next_multiple_of(4)..)?;
    }
}

/// Packets within packets.
const MAX_DEPTH: usize = 4;
const NULL: u32 = 0;
pub(super) const ETHERNET: u32 = 1;
const PPP: u32 = 9;
const RAW_BSD: u32 = 12;
const RAW_OPENBSD: u32 = 14;
pub(super) const RAW: u32 = 101;
const CISCO_HDLC: u32 = 104;
const LOOP: u32 = 108;
const LINUX_COOKED: u32 = 113;
const PKTAP_OLD: u32 = 149;
const IPV4: u32 = 228;
const IPV6: u32 = 229;
const NFLOG: u32 = 239;
const PKTAP: u32 = 258;
const LINUX_COOKED_2: u32 = 276;

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn ipv4(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 80, 7, 1024).ack(9);
        builder.write(&mut out, payload).unwrap();
        out
    }

    fn ipv6(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let builder = PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(4000, 80, 7, 1024).syn();
        builder.write(&mut out, payload).unwrap();
        out
    }

    fn check(link: u32, before: &[u8], packet: &[u8], expect: Result<(&[u8], usize, Option<u32>), Unfit>) {
        let frame = [before, packet].concat();
        let found = segment(link, &frame).map(|segment| {
            assert_eq!((segment.from.port(), segment.to.port(), segment.seq), (4000, 80, 7));
            (segment.payload.to_vec(), segment.missing, segment.ack)
        });
        assert_eq!(
            found,
            expect.map(|(payload, missing, ack)| (payload.to_vec(), missing, ack)),
            "link {link}"
        );
    }

    #[test]
    fn links_of_all_kinds() {
        let (v4, v6) = (ipv4(b"hello"), ipv6(b"hello"));
        let (of_v4, of_v6): (Result<_, _>, Result<_, _>) =
            (Ok((&b"hello"[..], 0, Some(9))), Ok((&b"hello"[..], 0, None)));
        let mac = [0u8; 12];
        check(ETHERNET, &[&mac[..], &[0x08, 0x00]].concat(), &v4, of_v4);
        check(ETHERNET, &[&mac[..], &[0x86, 0xdd]].concat(), &v6, of_v6);
        // one tag of a VLAN, and two
        check(ETHERNET, &[&mac[..], &[0x81, 0, 0, 5, 0x08, 0]].concat(), &v4, of_v4);
        check(ETHERNET, &[&mac[..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd]].concat(), &v6, of_v6);
        // frames are padded to a least length
        check(ETHERNET, &[&mac[..], &[0x08, 0x00]].concat(), &[&v4[..], &[0; 6]].concat(), of_v4);
        check(LINUX_COOKED, &[&[0; 14][..], &[0x08, 0x00]].concat(), &v4, of_v4);
        check(LINUX_COOKED_2, &[&[0x86, 0xdd][..], &[0; 18]].concat(), &v6, of_v6);
        check(NULL, &[2, 0, 0, 0], &v4, of_v4);
        check(LOOP, &[0, 0, 0, 30], &v6, of_v6);
        for link in [RAW, RAW_BSD, RAW_OPENBSD] {
            check(link, &[], &v4, of_v4);
            check(link, &[], &v6, of_v6);
        }
        check(IPV4, &[], &v4, of_v4);
        check(CISCO_HDLC, &[0x0f, 0, 8, 0], &v4, of_v4);
        check(PPP, &[0xff, 3, 0, 0x21], &v4, of_v4);
        check(PPP, &[0, 0x57], &v6, of_v6);
        check(NFLOG, &[2, 0, 0, 0, 5, 0, 10, 0, b'x', 0, 0, 0, 49, 0, 9, 0], &v4, of_v4);
        check(PKTAP, &[16, 0, 0, 0, 1, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0], &v6, of_v6);
        check(PKTAP, &[16, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0], &v6, Err(Unfit::Link));
        check(127, &[], &v4, Err(Unfit::Link));
    }

    #[test]
    fn packets_that_were_cut_say_how_much_is_missing() {
        for packet in [ipv4(b"hello"), ipv6(b"hello")] {
            let ack = (packet[0] >> 4 == 4).then_some(9);
            for cut in 1..=5 {
                let left = &packet[..packet.len() - cut];
                check(RAW, &[], left, Ok((&b"hello"[..5 - cut], cut, ack)));
            }
            check(RAW, &[], &packet[..packet.len() - 6], Err(Unfit::Cut));
            for len in 0..packet.len() {
                let _ = segment(RAW, &packet[..len]);
                let _ = segment(ETHERNET, &packet[..len]);
                let _ = segment(LINUX_COOKED, &packet[..len]);
            }
        }
    }

    #[test]
    fn lengths_that_the_hardware_fills_in() {
        let mut packet = ipv4(b"hello");
        packet[2..4].fill(0);
        check(RAW, &[], &packet, Ok((b"hello", 0, Some(9))));
    }

    #[test]
    fn what_is_no_segment() {
        let mut fragment = ipv4(b"hello");
        fragment[6] = 0x20;
        check(RAW, &[], &fragment, Err(Unfit::Fragment));
        let mut udp = Vec::new();
        PacketBuilder::ipv4([1; 4], [2; 4], 64).udp(1, 2).write(&mut udp, b"x").unwrap();
        check(RAW, &[], &udp, Err(Unfit::Other));
        let arp = [&[0u8; 12][..], &[0x08, 0x06], &[0, 1, 8, 0, 6, 4, 0, 1], &[0; 20]].concat();
        check(ETHERNET, &[], &arp, Err(Unfit::Other));
        check(ETHERNET, &[], b"short", Err(Unfit::Cut));
    }
}
