//! The packets of a file: pcap in all its byte orders and resolutions, and pcapng.

use std::io::BufRead;
use std::ops::Range;

use super::blocks::{self, Block, Interfaces};
use super::records::{self, Layout};
use crate::import::window::Window;

/// Reads a file packet by packet. Holds one of them.
pub(super) struct Container<R> {
    window: Window<R>,
    kind: Kind,
    /// Packets so far.
    packets: u64,
    /// When the last packet was seen, which is about when the next one was.
    last_us: u64,
}

enum Kind {
    Pcap(Layout),
    PcapNg(Interfaces),
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// From 1, as Wireshark counts.
    pub(super) number: u64,
    /// Where its record begins in the file.
    pub(super) offset: u64,
    pub(super) at_us: u64,
    /// The kind of link that it was captured on.
    pub(super) link: u32,
    /// Length of its record, and where in there its bytes stand.
    record: usize,
    data: Range<usize>,
}

/// What stands next in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Packet(Packet),
    Damage {
        offset: u64,
        why: String,
    },
    /// Packets that the capture lost, as it says itself.
    Dropped(u64),
    End,
}

/// Whether a file begins like one of packets.
pub(super) fn is_pcap(head: &[u8]) -> bool {
    records::layout(head).is_some() || blocks::is_section(head)
}

impl<R: BufRead> Container<R> {
    /// Reads the head of the file.
    ///
    /// # Errors
    /// In words, when it is no file of packets.
    pub(super) fn open(input: R) -> Result<Container<R>, String> {
        let mut window = Window::new(input);
        let available = window.fill(records::HEADER);
        let kind = match records::layout(window.bytes()) {
            Some(_) if available < records::HEADER => return Err("a pcap that is cut in its head".to_owned()),
            Some(layout) => {
                window.advance(records::HEADER);
                Kind::Pcap(layout)
            }
            None if blocks::is_section(window.bytes()) => Kind::PcapNg(Interfaces::default()),
            None => return Err("neither pcap nor pcapng".to_owned()),
        };
        Ok(Container { window, kind, packets: 0, last_us: 0 })
    }

    /// The bytes of the packet that was returned last.
    pub(super) fn data(&self, packet: &Packet) -> &[u8] {
        &self.window.passed(packet.record)[packet.data.clone()]
    }

    /// The next packet. After damage it is the next that is one for certain.
    pub(super) fn next(&mut self) -> Next {
        loop {
            let offset = self.window.offset();
            let found = match &mut self.kind {
                Kind::Pcap(layout) => next_record(&mut self.window, *layout),
                Kind::PcapNg(interfaces) => next_block(&mut self.window, interfaces, self.last_us),
            };
            match found {
                Ok(None) => match self.window.take_failure() {
                    Some(why) => {
                        return Next::Damage { offset, why: format!("the input breaks off here: {why}") };
                    }
                    None => return Next::End,
                },
                Ok(Some((_, Block::Other))) => {}
                Ok(Some((_, Block::Dropped(n)))) => return Next::Dropped(n),
                Ok(Some((record, Block::Packet { at_us, link, data }))) => {
                    self.packets += 1;
                    self.last_us = at_us;
                    return Next::Packet(Packet { number: self.packets, offset, at_us, link, record, data });
                }
                Err(why) => {
                    let cut = self.window.take_failure().map(|why| format!("; the input breaks off: {why}"));
                    self.find_next();
                    return Next::Damage { offset, why: format!("{why}{}", cut.unwrap_or_default()) };
                }
            }
        }
    }

    /// Goes to what stands behind damage, or to the end.
    fn find_next(&mut self) {
        self.window.advance(1);
        loop {
            let available = self.window.fill(SIGHT);
            if available == 0 {
                return;
            }
            let at_end = available < SIGHT;
            let bytes = self.window.bytes();
            let searched = if at_end { available } else { SIGHT / 2 };
            let found = (0..searched).find(|at| match &self.kind {
                Kind::Pcap(layout) => layout.is_certain(&bytes[*at..], self.last_us, at_end),
                Kind::PcapNg(interfaces) => {
                    let len = interfaces.block_len(&bytes[*at..]);
                    len.and_then(|len| bytes.get(*at..at + len))
                        .is_some_and(|block| interfaces.is_whole(block))
                }
            });
            self.window.advance(found.unwrap_or(searched));
            if found.is_some() {
                return;
            }
        }
    }
}

type Found = Result<Option<(usize, Block)>, &'static str>;

fn next_record<R: BufRead>(window: &mut Window<R>, layout: Layout) -> Found {
    let header = layout.record_header();
    if window.fill(header) == 0 {
        return Ok(None);
    }
    let record = layout.record(window.bytes()).ok_or("the header of a packet is cut off")?;
    if !layout.is_plausible(&record) {
        return Err("what stands here is no header of a packet");
    }
    let whole = header + record.captured;
    if window.fill(whole) < whole {
        return Err("a packet is cut off");
    }
    window.advance(whole);
    Ok(Some((whole, Block::Packet { at_us: record.at_us, link: layout.link, data: header..whole })))
}

fn next_block<R: BufRead>(window: &mut Window<R>, interfaces: &mut Interfaces, last_us: u64) -> Found {
    if window.fill(blocks::HEADER) == 0 {
        return Ok(None);
    }
    let len = interfaces.block_len(window.bytes()).ok_or("what stands here is no block")?;
    if window.fill(len) < len {
        return Err("a block is cut off");
    }
    let block = &window.bytes()[..len];
    if !interfaces.is_whole(block) {
        return Err("the length of a block is wrong");
    }
    let block = interfaces.block(block, last_us)?;
    window.advance(len);
    Ok(Some((len, block)))
}

/// How far is looked for what stands behind damage; a packet and its successor fit into half of it.
const SIGHT: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn pcap(packets: &[&[u8]]) -> Vec<u8> {
        let mut out = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
        for (n, data) in packets.iter().enumerate() {
            let len = data.len() as u32;
            out.extend([1_700_000_000 + n as u32, 7, len, len].map(u32::to_le_bytes).concat());
            out.extend_from_slice(data);
        }
        out
    }

    fn pcapng(packets: &[&[u8]]) -> Vec<u8> {
        let block = |kind: u32, body: Vec<u8>| {
            let mut body = body;
            body.resize(body.len().next_multiple_of(4), 0);
            let len = (body.len() as u32 + 12).to_le_bytes();
            [&kind.to_le_bytes()[..], &len, &body, &len].concat()
        };
        let mut out = block(0x0a0d_0d0a, [0x1a2b_3c4d, 1, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat());
        out.extend(block(1, [1, 65_535].map(u32::to_le_bytes).concat()));
        for (n, data) in packets.iter().enumerate() {
            let us = 1_700_000_000_000_007 + n as u64 * 1_000_000;
            let len = data.len() as u32;
            let head = [0, (us >> 32) as u32, us as u32, len, len].map(u32::to_le_bytes).concat();
            out.extend(block(6, [head, data.to_vec()].concat()));
        }
        out
    }

    /// Time and bytes of each packet, and the offsets of damage.
    fn read(bytes: &[u8]) -> (Vec<(u64, String)>, Vec<u64>) {
        let mut container = Container::open(bytes).unwrap();
        let (mut packets, mut damage) = (Vec::new(), Vec::new());
        loop {
            match container.next() {
                Next::End => return (packets, damage),
                Next::Damage { offset, .. } => damage.push(offset),
                Next::Dropped(_) => {}
                Next::Packet(packet) => {
                    let text = String::from_utf8_lossy(container.data(&packet)).into_owned();
                    packets.push((packet.at_us / 1_000_000 - 1_700_000_000, text));
                }
            }
        }
    }

    #[test]
    fn packets_and_what_is_left_of_them() {
        let data: [&[u8]; 4] = [b"first one", b"second", b"third", b"fourth and last"];
        for (bytes, head) in [(pcap(&data), 24), (pcapng(&data), 48)] {
            let all: Vec<_> = data
                .iter()
                .enumerate()
                .map(|(n, data)| (n as u64, String::from_utf8_lossy(data).into_owned()))
                .collect();
            assert_eq!(read(&bytes), (all.clone(), vec![]));
            let starts: Vec<usize> = data
                .iter()
                .map(|data| bytes.windows(data.len()).position(|part| part == *data).unwrap())
                .collect();
            let headers = if head == 24 { 16 } else { 28 };
            // a length that lies, in the second packet
            for lie in [0xff, 0x7f] {
                let mut damaged = bytes.clone();
                let len_at = if head == 24 { 8 } else { 4 };
                damaged[starts[1] - headers + len_at + 3] = lie;
                let (packets, damage) = read(&damaged);
                let rest: Vec<_> = all.iter().filter(|(n, _)| *n != 1).cloned().collect();
                assert_eq!((packets, damage), (rest, vec![(starts[1] - headers) as u64]));
            }
            let (packets, damage) = read(&bytes[..bytes.len() - 5]);
            assert_eq!((packets.len(), damage), (3, vec![(starts[3] - headers) as u64]));
        }
        assert!(Container::open(&pcap(&[])[..20]).err().unwrap().contains("cut"));
        assert!(Container::open(&b"GET /"[..]).err().unwrap().contains("neither"));
    }
}
