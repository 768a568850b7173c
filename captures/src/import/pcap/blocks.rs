//! The blocks of pcapng: sections, interfaces, packets, and others that are passed over.

use std::ops::Range;

use super::records::number;

/// The interfaces of the section at hand.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    is_big_endian: bool,
    all: Vec<Interface>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    link: u32,
    /// Units of a second in which times are counted.
    per_second: u128,
    /// Seconds to add to each time.
    offset_s: i64,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A packet; its bytes stand at that place of the block.
    Packet {
        at_us: u64,
        link: u32,
        data: Range<usize>,
    },
    /// Packets that the capture lost, as it says itself.
    Dropped(u64),
    Other,
}

/// Whether the bytes begin a section, as every file does.
pub(super) fn is_section(bytes: &[u8]) -> bool {
    bytes.starts_with(&SECTION)
        && bytes.get(8..12).is_none_or(|magic| magic == BIG_ENDIAN || magic == LITTLE_ENDIAN)
}

impl Interfaces {
    /// Length of the block that begins here, as its head says; `None` where no block can begin so.
    pub(super) fn block_len(&self, bytes: &[u8]) -> Option<usize> {
        let is_section = is_section(bytes);
        let is_big_endian = if is_section { bytes.get(8..12)? == BIG_ENDIAN } else { self.is_big_endian };
        let kind = number(bytes, is_big_endian)?;
        let len = number(bytes.get(4..)?, is_big_endian)? as usize;
        let is_known = is_section
            || kind < 0x1000
            || kind & 0x8000_0000 != 0
            || kind == CUSTOM
            || kind == CUSTOM_PRIVATE;
        (is_known && len.is_multiple_of(4) && (MIN_BLOCK..=super::MAX_PACKET).contains(&len)).then_some(len)
    }

    /// Whether the whole block stands here: its length is said again at its end.
    pub(super) fn is_whole(&self, block: &[u8]) -> bool {
        let is_big_endian =
            if is_section(block) { block.get(8..12) == Some(&BIG_ENDIAN) } else { self.is_big_endian };
        let said = block.len().checked_sub(4).and_then(|at| number(&block[at..], is_big_endian));
        said == u32::try_from(block.len()).ok()
    }

    /// Reads a whole block. `last_us` is for packets without a time.
    pub(super) fn block(&mut self, block: &[u8], last_us: u64) -> Result<Block, &'static str> {
        if is_section(block) {
            self.is_big_endian = block.get(8..12) == Some(&BIG_ENDIAN);
            self.all.clear();
            return Ok(Block::Other);
        }
        let kind = number(block, self.is_big_endian);
        let body = block.get(8..block.len() - 4).unwrap_or_default();
        match kind {
            Some(INTERFACE) => self.interface(body).map(|()| Block::Other).ok_or("an interface is cut short"),
            Some(PACKET) => self.packet(body, 0, 4, 20),
            Some(OLD_PACKET) => self.packet(body, 2, 4, 20),
            Some(SIMPLE_PACKET) => {
                let original = number(body, self.is_big_endian).ok_or("a packet is cut short")? as usize;
                let link = self.all.first().ok_or(NO_INTERFACE)?.link;
                let len = original.min(body.len() - 4);
                Ok(Block::Packet { at_us: last_us, link, data: 12..12 + len })
            }
            Some(STATISTICS) => Ok(Block::Dropped(self.dropped(body))),
            _ => Ok(Block::Other),
        }
    }

    /// A packet: its interface (of 4 bytes, or of 2 in old ones), its time, two lengths, its bytes.
    fn packet(&self, body: &[u8], short: usize, time: usize, data: usize) -> Result<Block, &'static str> {
        const CUT: &str = "a packet is cut short";
        let at = |at: usize| body.get(at..).and_then(|bytes| number(bytes, self.is_big_endian)).ok_or(CUT);
        let number = match (short, self.is_big_endian) {
            (0, _) => at(0)?,
            (_, true) => at(0)? >> 16,
            (_, false) => at(0)? & 0xffff,
        };
        let interface = self.all.get(number as usize).ok_or(NO_INTERFACE)?;
        let ticks = u128::from(at(time)?) << 32 | u128::from(at(time + 4)?);
        let len = at(time + 8)? as usize;
        if body.len() - data.min(body.len()) < len {
            return Err("a packet is longer than its block");
        }
        Ok(Block::Packet {
            at_us: interface.micros(ticks),
            link: interface.link,
            data: 8 + data..8 + data + len,
        })
    }

    fn interface(&mut self, body: &[u8]) -> Option<()> {
        let two = |bytes: &[u8]| {
            let bytes = *bytes.first_chunk()?;
            Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
        };
        let mut interface = Interface { link: two(body)?.into(), per_second: 1_000_000, offset_s: 0 };
        for (code, value) in self.options(body.get(8..)?) {
            match (code, value) {
                (RESOLUTION, [power, ..]) => {
                    let base: u128 = if power & 0x80 == 0 { 10 } else { 2 };
                    interface.per_second = base.checked_pow(u32::from(power & 0x7f)).unwrap_or(1_000_000);
                }
                (OFFSET, value) => {
                    let value = value.first_chunk().copied().unwrap_or_default();
                    interface.offset_s = match self.is_big_endian {
                        true => i64::from_be_bytes(value),
                        false => i64::from_le_bytes(value),
                    };
                }
                _ => {}
            }
        }
        if self.all.len() < MAX_INTERFACES {
            self.all.push(interface);
        }
        Some(())
    }

    fn dropped(&self, body: &[u8]) -> u64 {
        let counts = self.options(body.get(12..).unwrap_or_default());
        let dropped = counts.filter(|(code, _)| matches!(*code, DROPPED_BY_INTERFACE | DROPPED_BY_SYSTEM));
        dropped
            .filter_map(|(_, value)| value.first_chunk().copied())
            .map(
                |value| {
                    if self.is_big_endian { u64::from_be_bytes(value) } else { u64::from_le_bytes(value) }
                },
            )
            .fold(0, u64::saturating_add)
    }

    /// Code and value of each option.
    fn options<'a>(&self, mut bytes: &'a [u8]) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let is_big_endian = self.is_big_endian;
        std::iter::from_fn(move || {
            let both = number(bytes, is_big_endian)?;
            let (code, len) = match is_big_endian {
                true => ((both >> 16) as u16, (both & 0xffff) as usize),
                false => ((both & 0xffff) as u16, (both >> 16) as usize),
            };
            let value = bytes.get(4..4 + len).filter(|_| code != 0)?;
            bytes = bytes.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
            Some((code, value))
        })
    }
}

impl Interface {
    fn micros(self, ticks: u128) -> u64 {
        // 64 bits of ticks times a million fit
        let us = ticks * 1_000_000 / self.per_second;
        let us = i128::try_from(us).unwrap_or(i128::MAX) + i128::from(self.offset_s) * 1_000_000;
        u64::try_from(us).unwrap_or(0)
    }
}

/// Type and length of a block, and what tells the byte order of a section.
pub(super) const HEADER: usize = 12;
const MIN_BLOCK: usize = 12;
const NO_INTERFACE: &str = "a packet is of an interface that no block describes";
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BIG_ENDIAN: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const CUSTOM: u32 = 0xbad;
const CUSTOM_PRIVATE: u32 = 0x4000_0bad;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
const DROPPED_BY_INTERFACE: u16 = 5;
const DROPPED_BY_SYSTEM: u16 = 7;
const MAX_INTERFACES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
        let number = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let len = number((12 + body.len() + padding.len()) as u32);
        [&number(kind)[..], &len, body, &padding, &len].concat()
    }

    #[test]
    fn blocks_of_both_byte_orders() {
        for big in [false, true] {
            let number = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            let two = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            let eight = |n: u64| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            let mut interfaces = Interfaces::default();
            let magic = number(0x1a2b_3c4d);
            let section = block(0x0a0d_0d0a, &[&magic[..], &[0; 12]].concat(), big);
            assert_eq!(interfaces.block_len(&section), Some(section.len()));
            assert!(interfaces.is_whole(&section));
            assert_eq!(interfaces.block(&section, 0), Ok(Block::Other));
            // nanoseconds, and an offset of a thousand seconds
            let options =
                [&two(9)[..], &two(1), &[9, 0, 0, 0], &two(14), &two(8), &eight(1000), &two(0), &two(0)]
                    .concat();
            let interface = [&two(113)[..], &[0; 6], &options].concat();
            assert_eq!(interfaces.block(&block(1, &interface, big), 0), Ok(Block::Other));
            let ticks = 5_000_000_123_000u64;
            let time = [number((ticks >> 32) as u32), number(ticks as u32)].concat();
            let body = [&number(0)[..], &time, &number(5), &number(9), b"hello"].concat();
            let packet = block(6, &body, big);
            assert_eq!(interfaces.block_len(&packet), Some(packet.len()));
            let found = interfaces.block(&packet, 0).unwrap();
            assert_eq!(found, Block::Packet { at_us: 6_000_000_123, link: 113, data: 28..33 });
            assert_eq!(&packet[28..33], b"hello");
            let old = block(2, &[&two(0)[..], &two(7), &body[4..]].concat(), big);
            assert_eq!(interfaces.block(&old, 0).unwrap(), found);
            let simple = block(3, &[&number(9)[..], b"hello678"].concat(), big);
            assert_eq!(interfaces.block(&simple, 7), Ok(Block::Packet { at_us: 7, link: 113, data: 12..20 }));
            let statistics =
                [&[0; 12][..], &two(5), &two(8), &eight(3), &two(7), &two(8), &eight(4)].concat();
            assert_eq!(interfaces.block(&block(5, &statistics, big), 0), Ok(Block::Dropped(7)));
            let unknown = [&number(8)[..], &body[4..]].concat();
            assert_eq!(interfaces.block(&block(6, &unknown, big), 0), Err(NO_INTERFACE));
            let lie = [&body[..12], &number(99), &body[16..]].concat();
            assert!(interfaces.block(&block(6, &lie, big), 0).unwrap_err().contains("longer"));
            assert!(interfaces.block(&block(6, &body[..10], big), 0).is_err());
            assert!(!interfaces.is_whole(&packet[..packet.len() - 4]));
            assert_eq!(interfaces.block_len(b"GET / HTTP/1.1"), None);
        }
    }
}
