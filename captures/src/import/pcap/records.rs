//! The records of pcap: a head that says byte order, resolution and kind of link, then a header of 16 bytes a packet.

/// What the head of the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) link: u32,
    is_big_endian: bool,
    /// Parts of a second that the second number of a time counts.
    per_second: u64,
    /// A patched tcpdump writes 8 bytes more.
    record_header: usize,
    snapshot: usize,
}

/// The header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) at_us: u64,
    fraction: u64,
    /// Bytes in the file, and on the wire.
    pub(super) captured: usize,
    original: usize,
}

/// Reads the head of a file, or as much of it as there is; `None` when it is none.
pub(super) fn layout(head: &[u8]) -> Option<Layout> {
    let (is_big_endian, per_second, record_header) = match head.first_chunk()? {
        [0xd4, 0xc3, 0xb2, 0xa1] => (false, MICROS, 16),
        [0xa1, 0xb2, 0xc3, 0xd4] => (true, MICROS, 16),
        [0x4d, 0x3c, 0xb2, 0xa1] => (false, NANOS, 16),
        [0xa1, 0xb2, 0x3c, 0x4d] => (true, NANOS, 16),
        [0x34, 0xcd, 0xb2, 0xa1] => (false, MICROS, 24),
        [0xa1, 0xb2, 0xcd, 0x34] => (true, MICROS, 24),
        _ => return None,
    };
    let number = |at: usize| number(head.get(at..)?, is_big_endian);
    // the upper bits tell of checksums behind each frame
    let link = number(20).unwrap_or(1) & 0xffff;
    let snapshot = number(16).unwrap_or(0) as usize;
    Some(Layout { link, is_big_endian, per_second, record_header, snapshot })
}

impl Layout {
    pub(super) fn record_header(&self) -> usize {
        self.record_header
    }

    /// The header that begins here; `None` where it is cut.
    pub(super) fn record(&self, bytes: &[u8]) -> Option<Record> {
        let bytes = bytes.get(..self.record_header)?;
        let number = |at: usize| number(&bytes[at..], self.is_big_endian).map(u64::from);
        let (seconds, fraction) = (number(0)?, number(4)?);
        Some(Record {
            at_us: seconds * MICROS + fraction * MICROS / self.per_second,
            fraction,
            captured: number(8)? as usize,
            original: number(12)? as usize,
        })
    }

    /// Whether it can be one: no packet is so large, and no second has so many parts. After packets of a time that is
    /// known, those that follow are near it.
    pub(super) fn is_plausible(&self, record: &Record) -> bool {
        let largest = MAX_PACKET.max(self.snapshot.min(super::MAX_PACKET));
        record.captured <= largest && record.original <= MAX_ORIGINAL && record.fraction < self.per_second
    }

    /// Whether the bytes begin with a packet for certain: after damage its time must be near that of the last one, and
    /// what follows it must be one too, or the end of all.
    pub(super) fn is_certain(&self, bytes: &[u8], last_us: u64, at_end: bool) -> bool {
        let Some(record) = self.record(bytes).filter(|record| self.is_plausible(record)) else {
            return false;
        };
        let near = last_us == 0 || record.at_us.abs_diff(last_us) < DAY_US;
        let sizes = record.captured != 0 && record.captured <= record.original;
        if !near || !sizes {
            return false;
        }
        match bytes.get(self.record_header + record.captured..) {
            Some([]) => at_end,
            Some(rest) => self.record(rest).is_some_and(|next| {
                self.is_plausible(&next)
                    && next.captured <= next.original
                    && next.at_us.abs_diff(record.at_us) < DAY_US
            }),
            None => false,
        }
    }
}

pub(super) fn number(bytes: &[u8], is_big_endian: bool) -> Option<u32> {
    let bytes = *bytes.first_chunk()?;
    Some(if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

/// The head of the file.
pub(super) const HEADER: usize = 24;
const MICROS: u64 = 1_000_000;
const NANOS: u64 = 1_000_000_000;
const DAY_US: u64 = 86_400 * MICROS;
/// What tcpdump captures of a packet if nobody says otherwise; segmentation offload makes packets of 64 KiB.
const MAX_PACKET: usize = 256 << 10;
const MAX_ORIGINAL: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_all_kinds() {
        let head = |magic: [u8; 4], big: bool| {
            let number = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            [magic, number(0x0004_0002), number(0), number(0), number(65_535), number(0x1000_0071)].concat()
        };
        for (magic, big, per_second, record_header) in [
            ([0xd4, 0xc3, 0xb2, 0xa1], false, MICROS, 16),
            ([0xa1, 0xb2, 0xc3, 0xd4], true, MICROS, 16),
            ([0x4d, 0x3c, 0xb2, 0xa1], false, NANOS, 16),
            ([0xa1, 0xb2, 0x3c, 0x4d], true, NANOS, 16),
            ([0x34, 0xcd, 0xb2, 0xa1], false, MICROS, 24),
        ] {
            let layout = layout(&head(magic, big)).unwrap();
            assert_eq!(
                (layout.is_big_endian, layout.per_second, layout.record_header),
                (big, per_second, record_header)
            );
            assert_eq!((layout.link, layout.snapshot), (0x71, 65_535));
            let fraction = if per_second == NANOS { 5_000 } else { 5 };
            let header: Vec<u8> = [1_700_000_000u32, fraction, 60, 1500]
                .iter()
                .flat_map(|n| if big { n.to_be_bytes() } else { n.to_le_bytes() })
                .chain([0; 8])
                .collect();
            let record = layout.record(&header).unwrap();
            assert_eq!((record.at_us, record.captured, record.original), (1_700_000_000_000_005, 60, 1500));
            assert!(layout.is_plausible(&record) && layout.record(&header[..15]).is_none());
            assert!(!layout.is_plausible(&Record { captured: 1 << 30, ..record }));
        }
        assert_eq!(layout(b"\x0a\x0d\x0d\x0a"), None);
    }
}
