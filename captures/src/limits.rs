//! Every bound of the crate, in one place. Sizes are bytes.

/// Version of the framing, in the head of each file.
pub const FORMAT_VERSION: u16 = 2;
/// The first encoding inside a block; read, no longer written.
pub const ENCODING_VERSION: u16 = 1;
/// The same with messages of streams; read, no longer written.
pub const ENCODING_STREAMS: u16 = 2;
/// Columns; read, no longer written.
pub const ENCODING_COLUMNS: u16 = 3;
/// The encoding inside a block that is written: columns, whose texts have words in common with all blocks.
pub const ENCODING_WORDS: u16 = 4;
/// The same of small blocks that are not written while traffic is recorded: coded by context mixing.
pub const ENCODING_MIXED: u16 = 5;

/// A block before compression. Refused above, so a hostile length or a decompression bomb costs no more.
pub const MAX_BLOCK_RAW: usize = 64 << 20;
/// A block before it is coded by context mixing: that takes two microseconds for each byte, and when it is read again.
pub const MAX_MIXED: usize = 128 << 10;
/// A block's zstd frame: the worst case of zstd for [`MAX_BLOCK_RAW`] is 0.4 % larger than its input.
pub const MAX_BLOCK_PAYLOAD: usize = MAX_BLOCK_RAW + (MAX_BLOCK_RAW >> 7);
/// What a writer may be asked to collect in one block; leaves room for one exchange of the largest size.
pub const MAX_BLOCK_BYTES: usize = 16 << 20;
/// One exchange, all its parts together. Also the bound on what one decoded exchange may take.
pub const MAX_EXCHANGE: usize = 40 << 20;
/// All exchanges of a block, with every shared string counted where it is used: a small block must not
/// unfold without end.
pub const MAX_BLOCK_PLAIN: usize = 256 << 20;

/// Messages that a recording keeps of one exchange; what comes after is counted.
pub const MAX_MESSAGES: usize = 100_000;

/// The frame at the head of the file.
pub const MAX_FILE_HEADER: usize = 64 << 10;
/// A block's header frame: its fixed fields and [`MAX_SHED_REASONS`].
pub const MAX_BLOCK_HEADER: usize = 1024;
/// The session index: about 16 bytes a session.
pub const MAX_INDEX: usize = 64 << 20;
/// Sessions that the index names; what is beyond is found by the blocks' ranges.
pub const MAX_INDEXED_SESSIONS: usize = 1_000_000;
/// Different reasons for shedding in a block header. A writer uses two fewer: a repair adds its own.
pub const MAX_SHED_REASONS: usize = 18;
/// Length of one such reason.
pub const MAX_SHED_REASON: usize = 32;

/// How far into a file whose head is damaged anything of a capture is looked for.
pub const DETECT: u64 = 1 << 20;
/// Damaged records that a tally names; the others are only counted.
pub const MAX_NAMED_DAMAGE: usize = 100;
/// Different routes, and hosts, that an inspection counts apart.
pub const MAX_COUNTED: usize = 1000;

/// Values of one message that are looked at for links.
pub const MAX_LINK_VALUES: usize = 2000;
/// Largest body that is looked into for links, before and after its content coding is undone.
pub const MAX_LINK_BODY: usize = 1 << 20;
/// Largest body that a recording looks into for prints, as it was transferred.
pub const MAX_PRINT_BODY: usize = 64 << 10;
/// The same when its content coding is undone.
pub const MAX_PRINT_PLAIN: usize = 256 << 10;
/// Values of one message, request or answer, that a recording takes prints of; those beyond are counted.
pub const MAX_PRINTS: usize = 256;
/// Different places of values, answers' and requests' each, that are told apart while links are mined.
pub const MAX_LINK_PLACES: usize = 100_000;
/// Values that are held at once while links are mined, 24 bytes each; sessions beyond are left out by hash.
pub const MAX_LINK_HELD: usize = 4 << 20;
/// Pairs of places that were looked at and rejected, and are named.
pub const MAX_NEAR_MISSES: usize = 50;
/// Different routes that a shape tells apart; those beyond count as one.
pub const MAX_ROUTES: usize = 1 << 16;
/// Different pairs of routes that a shape tells apart for certain; rarer ones count together.
pub const MAX_TRANSITIONS: usize = 100_000;
/// Bins of a curve over time; when there are more they become wider.
pub const MAX_CURVE_BINS: usize = 1 << 16;
/// Sessions that a shape holds open, at about 80 bytes each.
pub const MAX_OPEN_SESSIONS: usize = 1_000_000;
/// Key spaces that a synthesis tells apart.
pub const MAX_KEY_SPACES: usize = 4096;
/// Values of one key space that a synthesis remembers.
pub const MAX_KEYS_EACH: usize = 1 << 16;
/// Values of all key spaces together that a synthesis remembers.
pub const MAX_KEYS: usize = 1_000_000;
/// Bytes of recorded exchanges that a synthesis holds to make new ones of.
pub const MAX_EXAMPLES: usize = 256 << 20;
/// Arrivals that a trace may have.
pub const MAX_ARRIVALS: usize = 16_000_000;
