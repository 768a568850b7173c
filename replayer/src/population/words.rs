//! Mistakes in what people type: where they are, and the word that was probably meant.

/// `, did you mean …?` for a wrong word, or what is known where nothing is near.
pub(crate) fn advice(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(right) => format!("did you mean `{right}`?"),
        None => format!("known are {}", known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ")),
    }
}

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if LONGEST < word.len() {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let near = known.iter().map(|known| (edits(&word, &known.to_ascii_lowercase()), *known));
    near.filter(|(edits, known)| *edits <= 1 + known.len() / 4 && *edits < known.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// Parts of a list with the position of each, in characters from 1.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut begin = 0;
    text.split(',').map(move |part| {
        let lead = part.len() - part.trim_start().len();
        let at = text[..begin + lead].chars().count() + 1;
        begin += part.len() + 1;
        (at, part.trim())
    })
}

/// How many letters to insert, delete or replace, or neighbours to swap, until both are the same.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut table: Vec<usize> = vec![0; (a.len() + 1) * width];
    for row in 0..=a.len() {
        for column in 0..width {
            let at = |r: usize, c: usize| table[r * width + c];
            table[row * width + column] = if row == 0 || column == 0 {
                row + column
            } else {
                let differs = usize::from(a[row - 1] != b[column - 1]);
                let mut least = at(row - 1, column - 1) + differs;
                least = least.min(at(row - 1, column) + 1).min(at(row, column - 1) + 1);
                let swapped =
                    1 < row && 1 < column && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1];
                if swapped { least.min(at(row - 2, column - 2) + 1) } else { least }
            };
        }
    }
    table[table.len() - 1]
}

/// Longer words are no slips of the pen.
const LONGEST: usize = 200;
/// Words shown where nothing is near.
const SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_or_all_are_told() {
        let known = ["ramp", "hold", "spike", "step"];
        let check = |word: &str, expect: &str| assert!(advice(word, &known).contains(expect), "{word}");
        check("rmap", "`ramp`");
        check("Spke", "`spike`");
        check("stpe", "`step`");
        check("holdd", "`hold`");
        check("banana", "known are ramp, hold, spike, step");
        check("", "known are");
    }

    #[test]
    fn parts_know_where_they_stand() {
        let all: Vec<_> = parts("ä:1, b ,c,").collect();
        assert_eq!(all, [(1, "ä:1"), (6, "b"), (9, "c"), (11, "")]);
    }
}
