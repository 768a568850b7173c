//! The name that was probably meant.

/// The one of `names` with the fewest letters to change; `None`: there are no names.
pub(super) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names.min_by_key(|name| distance(wrong, name))
}

/// Letters to insert, remove or replace on the way from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_letters_win() {
        let check = |wrong: &str, near: Option<&str>| {
            assert_eq!(
                nearest(wrong, ["response", "service", "ttfb", "errors"].into_iter()),
                near,
                "{wrong}"
            );
        };
        check("respons", Some("response"));
        check("servise", Some("service"));
        check("error", Some("errors"));
        assert_eq!(nearest("any", [].into_iter()), None);
        assert_eq!((distance("", "abc"), distance("abc", ""), distance("kitten", "sitting")), (3, 3, 3));
    }
}
