//! Packets of conversations that the tests make up, and files of them.

use etherparse::PacketBuilder;

/// A conversation between two ends, packet by packet.
pub(crate) struct Talk {
    port: u16,
    /// Next sequence numbers of client and server.
    seq: [u32; 2],
    /// Time, and the packet from its IP header on.
    pub(crate) packets: Vec<(u64, Vec<u8>)>,
    pub(crate) now_us: u64,
    is_ipv6: bool,
}

/// When the first packet of every test is sent.
pub(crate) const T: u64 = 1_700_000_000_000_000;

impl Talk {
    /// One that opens with its handshake.
    pub(crate) fn open(port: u16) -> Talk {
        let mut talk = Talk::midway(port);
        talk.packet(true, b"", "S");
        talk.packet(false, b"", "SA");
        talk.packet(true, b"", "A");
        talk
    }

    /// One whose beginning nobody captured. Sequence numbers wrap around soon.
    pub(crate) fn midway(port: u16) -> Talk {
        Talk { port, seq: [u32::MAX - 50, 1_000], packets: Vec::new(), now_us: T, is_ipv6: false }
    }

    /// Another one of the same port, later.
    pub(crate) fn again(&self) -> Talk {
        let mut talk =
            Talk { seq: [70_000, 90_000], now_us: self.now_us + 50_000, ..Talk::midway(self.port) };
        talk.packet(true, b"", "S");
        talk.packet(false, b"", "SA");
        talk
    }

    pub(crate) fn ipv6(port: u16) -> Talk {
        let mut talk = Talk { is_ipv6: true, ..Talk::midway(port) };
        talk.packet(true, b"", "S");
        talk.packet(false, b"", "SA");
        talk
    }

    /// A packet of a side, a millisecond after the one before, with flags of `SAFR`.
    pub(crate) fn packet(&mut self, from_client: bool, payload: &[u8], flags: &str) {
        let (from, to) = if from_client { (self.port, 80) } else { (80, self.port) };
        let (ours, theirs) = (self.seq[usize::from(!from_client)], self.seq[usize::from(from_client)]);
        let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let builder = match (self.is_ipv6, from_client) {
            (true, _) => PacketBuilder::ipv6([1; 16], [1; 16], 64),
            (false, true) => PacketBuilder::ipv4(client, server, 64),
            (false, false) => PacketBuilder::ipv4(server, client, 64),
        };
        let mut tcp = builder.tcp(from, to, ours, 64_000);
        let has = |flag: char| flags.contains(flag);
        tcp = if has('S') { tcp.syn() } else { tcp };
        tcp = if has('F') { tcp.fin() } else { tcp };
        tcp = if has('R') { tcp.rst() } else { tcp };
        tcp = if has('A') { tcp.ack(theirs) } else { tcp };
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, payload).unwrap();
        self.packets.push((self.now_us, bytes));
        self.now_us += 1_000;
        let len = payload.len() as u32 + u32::from(has('S')) + u32::from(has('F'));
        let seq = &mut self.seq[usize::from(!from_client)];
        *seq = seq.wrapping_add(len);
    }

    /// The client sends, all in one packet.
    pub(crate) fn asks(&mut self, text: impl AsRef<[u8]>) -> &mut Talk {
        self.packet(true, text.as_ref(), "A");
        self
    }

    /// The server sends, all in one packet.
    pub(crate) fn says(&mut self, text: impl AsRef<[u8]>) -> &mut Talk {
        self.packet(false, text.as_ref(), "A");
        self
    }

    /// The same in packets of at most `size`.
    pub(crate) fn pieces(&mut self, from_client: bool, bytes: &[u8], size: usize) -> &mut Talk {
        bytes.chunks(size).for_each(|piece| self.packet(from_client, piece, "A"));
        self
    }

    /// Both close.
    pub(crate) fn close(&mut self) -> &mut Talk {
        self.packet(true, b"", "FA");
        self.packet(false, b"", "FA");
        self.packet(true, b"", "A");
        self
    }

    /// The packet of that number is not captured.
    pub(crate) fn lose(&mut self, number: usize) -> &mut Talk {
        self.packets.remove(number);
        self
    }
}

/// A pcap of raw IP, each packet cut to `snapshot` bytes.
pub(crate) fn pcap(packets: &[(u64, Vec<u8>)], snapshot: usize) -> Vec<u8> {
    linked(packets, 101, b"", snapshot)
}

/// A pcap of another kind of link, with its header before each packet.
pub(crate) fn linked(packets: &[(u64, Vec<u8>)], link: u32, header: &[u8], snapshot: usize) -> Vec<u8> {
    let mut out = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, link].map(u32::to_le_bytes).concat();
    for (at_us, packet) in packets {
        let whole = [header, packet].concat();
        let cut = &whole[..whole.len().min(snapshot)];
        let time = [(at_us / 1_000_000) as u32, (at_us % 1_000_000) as u32];
        out.extend([time[0], time[1], cut.len() as u32, whole.len() as u32].map(u32::to_le_bytes).concat());
        out.extend_from_slice(cut);
    }
    out
}

/// A pcapng with big-endian numbers and times in nanoseconds.
pub(crate) fn pcapng(packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let block = |kind: u32, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let len = (body.len() as u32 + 12).to_be_bytes();
        [&kind.to_be_bytes()[..], &len, &body, &len].concat()
    };
    let mut out = block(0x0a0d_0d0a, [&[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..], &[0xff; 8]].concat());
    out.extend(block(1, vec![0, 101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]));
    for (at_us, packet) in packets {
        let ticks = at_us * 1000;
        let len = packet.len() as u32;
        let head = [0, (ticks >> 32) as u32, ticks as u32, len, len].map(u32::to_be_bytes).concat();
        out.extend(block(6, [&head[..], packet].concat()));
    }
    out
}
