//! What a stored step has to do with links, as bytes: what to take from its answer, which links its request uses, and
//! which values nobody needs after it.

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// The value at this leaf of the answer, as it is written, becomes the clone's value of that number.
    Take(u16, &'a str),
    /// The request carries the value `value` because of link `link`.
    Use { link: u16, value: u16 },
    /// Nobody needs the value of that number any more.
    Free(u16),
}

/// Appends an entry.
pub(crate) fn push(block: &mut Vec<u8>, entry: Entry<'_>) {
    let (tag, first, second) = match entry {
        Entry::Take(value, leaf) => (TAKE, value, leaf.len() as u16),
        Entry::Use { link, value } => (USE, link, value),
        Entry::Free(value) => (FREE, value, 0),
    };
    block.push(tag);
    block.extend_from_slice(&first.to_le_bytes());
    block.extend_from_slice(&second.to_le_bytes());
    if let Entry::Take(_, leaf) = entry {
        block.extend_from_slice(&leaf.as_bytes()[..usize::from(second)]);
    }
}

/// The entries of a block.
pub(crate) fn entries(block: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let ([tag, a, b, c, d], after) = rest.split_first_chunk::<5>()?;
        let (first, second) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
        let (leaf, after) = after.split_at_checked(if *tag == TAKE { second.into() } else { 0 })?;
        rest = after;
        Some(match *tag {
            TAKE => Entry::Take(first, std::str::from_utf8(leaf).unwrap_or_default()),
            USE => Entry::Use { link: first, value: second },
            _ => Entry::Free(first),
        })
    })
}

const TAKE: u8 = 0;
const USE: u8 = 1;
const FREE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let all = [Entry::Take(3, "json:$.token"), Entry::Use { link: 1, value: 500 }, Entry::Free(65_535)];
        let mut block = Vec::new();
        all.iter().for_each(|entry| push(&mut block, *entry));
        assert_eq!(entries(&block).collect::<Vec<_>>(), all);
        assert_eq!(entries(&block[..block.len() - 1]).count(), 2);
    }
}
