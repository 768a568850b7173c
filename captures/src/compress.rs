//! The zstd frame of a block.

use std::io;

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective::{self, ZSTD_e_end, ZSTD_e_flush};
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

/// Compresses blocks, each into one frame with content size and checksum.
pub(crate) struct Compressor {
    context: CCtx<'static>,
    level: i32,
}

impl Compressor {
    /// Of zstd's levels 1 to 22.
    ///
    /// # Errors
    /// What zstd says about the level.
    pub(crate) fn new(level: i32) -> io::Result<Compressor> {
        if !(1..=22).contains(&level) {
            return Err(io::Error::other("levels are from 1 to 22"));
        }
        let mut context = CCtx::create();
        context.set_parameter(CParameter::ChecksumFlag(true)).map_err(error)?;
        Ok(Compressor { context, level })
    }

    /// Appends the frame of `raw` to `out`. At each of `cuts` the content changes its nature: zstd begins there anew
    /// with its statistics, unless it would be for a few bytes only.
    ///
    /// # Errors
    /// What zstd says.
    pub(crate) fn frame(&mut self, raw: &[u8], cuts: &[usize], out: &mut Vec<u8>) -> io::Result<()> {
        let level = if raw.len() < SMALL { self.level.max(LEVEL_OF_SMALL) } else { self.level };
        self.context.reset(ResetDirective::SessionOnly).map_err(error)?;
        self.context.set_parameter(CParameter::CompressionLevel(level)).map_err(error)?;
        self.context.set_pledged_src_size(Some(raw.len() as u64)).map_err(error)?;
        out.reserve(zstd_safe::compress_bound(raw.len()) + (cuts.len() + 1) * BLOCK_HEAD);
        let before = out.len();
        let mut buffer = OutBuffer::around_pos(out, before);
        let mut start = 0;
        for cut in cuts {
            if SHORTEST <= cut - start && SHORTEST <= raw.len() - cut {
                self.feed(&raw[start..*cut], &mut buffer, ZSTD_e_flush)?;
                start = *cut;
            }
        }
        self.feed(&raw[start..], &mut buffer, ZSTD_e_end)
    }

    fn feed(
        &mut self,
        raw: &[u8],
        out: &mut OutBuffer<'_, Vec<u8>>,
        until: ZSTD_EndDirective,
    ) -> io::Result<()> {
        let mut input = InBuffer::around(raw);
        loop {
            match self.context.compress_stream2(out, &mut input, until).map_err(error)? {
                0 => return Ok(()),
                _ if out.pos() == out.capacity() => return Err(io::Error::other("a frame beyond its bound")),
                _ => {}
            }
        }
    }
}

fn error(code: zstd_safe::ErrorCode) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

/// Blocks of fewer bytes are compressed as well as can be: that takes some milliseconds, and a recording closes such a block
/// only when its time has come, which is once a second.
const SMALL: usize = 16 << 10;
const LEVEL_OF_SMALL: i32 = 19;
/// A part shorter than this gains less than its own statistics cost.
const SHORTEST: usize = 1024;
/// What each cut costs at most.
const BLOCK_HEAD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_and_say_how_long_they_are() {
        let raw: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let mut compressor = Compressor::new(3).unwrap();
        for cuts in [&[][..], &[0, 50_000], &[10, 20_000, 99_999, 100_000]] {
            for raw in [&raw[..], &raw[..50_000], &raw[..0]] {
                let cuts: Vec<usize> = cuts.iter().copied().filter(|cut| *cut <= raw.len()).collect();
                let mut frame = b"kept".to_vec();
                compressor.frame(raw, &cuts, &mut frame).unwrap();
                let frame = frame.strip_prefix(b"kept").unwrap();
                assert_eq!(zstd_safe::get_frame_content_size(frame).unwrap(), Some(raw.len() as u64));
                assert_eq!(zstd::bulk::decompress(frame, raw.len()).unwrap(), raw);
                let mut damaged = frame.to_vec();
                *damaged.last_mut().unwrap() ^= 1;
                assert!(zstd::bulk::decompress(&damaged, raw.len()).is_err(), "there is no checksum");
            }
        }
        assert!(Compressor::new(0).is_err() && Compressor::new(23).is_err());
    }
}
