//! Files that people name, read without trusting their length.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first `most` + 1 bytes of a file: one more than is taken shows that it is too long, and none beyond fill the memory.
///
/// # Errors
/// Those of the system.
pub fn read_at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_to_its_bound() {
        assert_eq!(read_at_most(Path::new("/dev/zero"), 1000).unwrap(), [0; 1001]);
        assert!(read_at_most(Path::new("/no/such/file"), 1000).is_err());
        assert!(read_at_most(Path::new("/"), 1000).is_err());
    }
}
