//! The shape of one recorded answer against those that its clones were given.
//!
//! Two shapes disagree about a path if one has it wherever it could stand and the other never, or if its types have nothing
//! in common. What a null or an empty array would hold is not known, and about what is not known nobody disagrees. A shape
//! is as odd as the path at which the fewest others agree with it.

use std::collections::{BTreeSet, HashMap};

use crate::drift::shape::{Facts, Types, facts, is_element, parent, shown};

/// How a path of the recorded answer differs now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Change {
    /// `items[].price` is gone.
    Lacks(String),
    /// It has another type: path, recorded, now.
    Type(String, String, String),
    /// It is null.
    Null(String),
    /// The array is empty.
    Empty(String),
    /// It is there, and was not.
    New(String),
    /// The answer is no JSON any more.
    NoJson,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Changes {
    /// The chance that the recording is as odd, were it one of the clones.
    pub(crate) chance: f64,
    pub(crate) changes: Vec<Change>,
    /// Clones that show any of them.
    pub(crate) differing: u64,
    pub(crate) clones: u64,
    /// Clones whose shape is not that of most.
    pub(crate) noisy: u64,
}

/// A shape, and how many have it.
struct View {
    facts: Facts,
    count: u64,
}

/// Compares the recorded shape with those of the clones, as texts.
pub(crate) fn compare<'t>(recorded: &str, clones: impl Iterator<Item = &'t str>) -> Changes {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    clones.for_each(|text| *counts.entry(text).or_default() += 1);
    let clones: u64 = counts.values().sum();
    let most = counts.values().max().copied().unwrap_or(0);
    let nothing = Changes { chance: 1.0, changes: Vec::new(), differing: 0, clones, noisy: clones - most };
    if counts.keys().all(|text| *text == recorded) {
        return nothing;
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts.truncate(VIEWS);
    let mut views = vec![View { facts: facts(recorded), count: 1 }];
    views.extend(counts.into_iter().map(|(text, count)| View { facts: facts(text), count }));
    let agreements = agreements(&views);
    let oddness = |at: usize| agreements.iter().map(|(_, of_views)| of_views[at]).fold(1.0, f64::min);
    let own = oddness(0);
    let changed: Vec<&str> =
        agreements.iter().filter(|(_, of_views)| of_views[0] < 1.0).map(|(path, _)| *path).collect();
    let changed: Vec<&str> = changed.into_iter().filter(|path| is_changed(&views, path)).collect();
    if changed.is_empty() {
        return nothing;
    }
    let as_odd: u64 = (0..views.len()).filter(|at| oddness(*at) <= own).map(|at| views[at].count).sum();
    let all: u64 = views.iter().map(|view| view.count).sum();
    let differs = |view: &&View| changed.iter().any(|path| disagree(&views[0].facts, &view.facts, path));
    Changes {
        chance: as_odd as f64 / all as f64,
        changes: changed.iter().filter_map(|path| change(&views, path)).collect(),
        differing: views[1..].iter().filter(differs).map(|view| view.count).sum(),
        ..nothing
    }
}

/// At each path, the share of those who know of it that agree with each view; the recording only counts where it says
/// something.
fn agreements(views: &[View]) -> Vec<(&str, Vec<f64>)> {
    let paths: BTreeSet<&str> = views.iter().flat_map(|view| view.facts.keys()).map(|path| &**path).collect();
    let at = |path: &str, view: &View| {
        let knowing = views.iter().filter(|other| knows(&other.facts, path));
        let (all, against) = knowing.fold((0, 0), |(all, against), other| {
            let count = if disagree(&view.facts, &other.facts, path) { other.count } else { 0 };
            (all + other.count, against + count)
        });
        if all == 0 || !knows(&view.facts, path) { 1.0 } else { 1.0 - against as f64 / all as f64 }
    };
    let of_path = |path: &'_ str| -> Vec<f64> {
        let mut of_views: Vec<f64> = views.iter().map(|view| at(path, view)).collect();
        if is_open(&views[0].facts, path) {
            of_views[0] = 1.0;
        }
        of_views
    };
    paths.into_iter().map(|path| (path, of_path(path))).collect()
}

/// Whether nearly all clones that know of a path disagree with the recording.
fn is_changed(views: &[View], path: &str) -> bool {
    let knowing = views[1..].iter().filter(|view| knows(&view.facts, path));
    let (all, against) = knowing.fold((0, 0), |(all, against), view| {
        let count = if disagree(&views[0].facts, &view.facts, path) { view.count } else { 0 };
        (all + view.count, against + count)
    });
    KNOWING <= all && NEARLY_ALL * all as f64 <= against as f64
}

/// What most of the clones have in place of the recorded.
fn change(views: &[View], path: &str) -> Option<Change> {
    let recorded = views[0].facts.get(path).copied();
    let now =
        views[1..].iter().find(|view| disagree(&views[0].facts, &view.facts, path))?.facts.get(path).copied();
    let name = || shown(path);
    Some(match (recorded, now) {
        (_, Some(now)) if now.has(Types::OTHER) => Change::NoJson,
        (Some(_), None) => Change::Lacks(name()),
        (None, Some(_)) => Change::New(name()),
        (Some(_), Some(now)) if now.has(Types::EMPTY) && now.of_values() == Types::NONE => {
            Change::Empty(parent(path).map(shown)?)
        }
        (Some(_), Some(now)) if now.of_values() == Types::NONE => Change::Null(name()),
        (Some(recorded), Some(now)) => {
            Change::Type(name(), recorded.of_values().shown(), now.of_values().shown())
        }
        (None, None) => return None,
    })
}

fn disagree(one: &Facts, other: &Facts, path: &str) -> bool {
    if !knows(one, path) || !knows(other, path) {
        return false;
    }
    match (one.get(path), other.get(path)) {
        (Some(one), Some(other)) => {
            let (one, other) = (one.of_values(), other.of_values());
            one != other && !one.has(other)
        }
        (Some(types), None) | (None, Some(types)) => !types.has(Types::OPTIONAL),
        (None, None) => false,
    }
}

/// Whether a shape says anything of a path: what it stands in is there, and can have it.
fn knows(facts: &Facts, path: &str) -> bool {
    let Some(above) = parent(path) else { return true };
    let needed = if is_element(path) { Types::ARRAY } else { Types::OBJECT };
    facts.get(above).is_some_and(|types| types.has(needed))
}

/// Whether the recording has a path and no value at it: any will do.
fn is_open(recorded: &Facts, path: &str) -> bool {
    recorded.get(path).is_some_and(|types| types.of_values() == Types::NONE)
}

impl Change {
    /// As part of a sentence about the JSON: `lacks items[].price`.
    pub(crate) fn words(&self) -> String {
        match self {
            Change::Lacks(path) => format!("lacks {path}"),
            Change::Type(path, recorded, now) => format!("has {now} for {recorded} at {path}"),
            Change::Null(path) => format!("has null at {path}"),
            Change::Empty(path) => format!("has nothing in {path}"),
            Change::New(path) => format!("has {path} in addition"),
            Change::NoJson => "is none any more".to_owned(),
        }
    }
}

/// Different shapes of one exchange that are told apart, the most frequent ones.
const VIEWS: usize = 32;
/// Fewer clones that know of a path say nothing of it.
const KNOWING: u64 = 4;
/// What so many clones have otherwise, has changed.
const NEARLY_ALL: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::shape::{Body, of};

    fn shape(text: &str) -> String {
        match of(text.as_bytes()) {
            Body::Json(shape) => shape,
            _ => crate::drift::shape::no_json(),
        }
    }

    fn compared(recorded: &str, clones: &[(&str, usize)]) -> Changes {
        let shapes: Vec<String> =
            clones.iter().flat_map(|(text, count)| std::iter::repeat_n(shape(text), *count)).collect();
        compare(&shape(recorded), shapes.iter().map(String::as_str))
    }

    #[track_caller]
    fn finds(recorded: &str, clones: &[(&str, usize)], words: &[&str]) {
        let found = compared(recorded, clones);
        let said: Vec<String> = found.changes.iter().map(Change::words).collect();
        assert_eq!(said, words);
        let all: usize = clones.iter().map(|(_, count)| count).sum();
        assert_eq!((found.chance < 0.02, found.clones), (!words.is_empty(), all as u64), "{found:?}");
    }

    const ITEMS: &str = r#"{"items":[{"price":5,"name":"a"}],"ok":true}"#;

    #[test]
    fn what_all_clones_have_otherwise_is_said() {
        finds(ITEMS, &[(r#"{"items":[{"name":"a"}],"ok":true}"#, 99)], &["lacks items[].price"]);
        let text = r#"{"items":[{"price":"5","name":"a"}],"ok":true}"#;
        finds(ITEMS, &[(text, 99)], &["has string for number at items[].price"]);
        finds(ITEMS, &[(r#"{"items":[],"ok":true}"#, 99)], &["has nothing in items"]);
        finds(ITEMS, &[(r#"{"items":null,"ok":true}"#, 99)], &["has null at items"]);
        finds(ITEMS, &[(r#"{"ok":true}"#, 99)], &["lacks items"]);
        let more = r#"{"items":[{"price":5,"name":"a","sum":1}],"ok":true}"#;
        finds(ITEMS, &[(more, 99)], &["has items[].sum in addition"]);
        finds(ITEMS, &[("<html>", 99)], &["is none any more"]);
        finds(ITEMS, &[("[]", 99)], &["has array for object at the whole"]);
        let two = r#"{"items":[{"name":7}],"ok":true}"#;
        finds(ITEMS, &[(two, 99)], &["has number for string at items[].name", "lacks items[].price"]);
    }

    #[test]
    fn what_clones_disagree_about_is_noise() {
        let without = r#"{"items":[{"name":"a"}],"ok":true}"#;
        finds(ITEMS, &[(ITEMS, 50), (without, 50)], &[]);
        finds(without, &[(ITEMS, 50), (without, 50)], &[]);
        assert_eq!(compared(ITEMS, &[(ITEMS, 60), (without, 40)]).noisy, 40);
        // many fields that come and go: no two answers alike, and none is odd
        let random = |word: u32| {
            let fields: Vec<String> = ["a", "b", "c", "d", "e", "f"]
                .iter()
                .enumerate()
                .filter(|(n, _)| word >> n & 1 == 1)
                .map(|(_, name)| format!(r#""{name}":1"#))
                .collect();
            format!("{{{}}}", fields.join(","))
        };
        let texts: Vec<String> = (0..64).map(random).collect();
        let clones: Vec<(&str, usize)> = texts.iter().skip(32).map(|text| (text.as_str(), 2)).collect();
        finds(&texts[33], &clones[..31], &[]);
        // and something else that is gone shows all the same
        let recorded = texts[33].replace('{', r#"{"price":5,"#).replace(",}", "}");
        finds(&recorded, &clones[..31], &["lacks price"]);
    }

    #[test]
    fn null_empty_and_optional_leave_it_open() {
        finds(r#"{"a":null,"b":[]}"#, &[(r#"{"a":5,"b":[{"c":1}]}"#, 99)], &[]);
        // a longer list has what a shorter one lacked
        finds(r#"{"a":[{"x":1}]}"#, &[(r#"{"a":[{"x":1},{"x":2,"y":3}]}"#, 99)], &[]);
        finds(r#"{"a":[{"x":1},{"x":2,"y":3}]}"#, &[(r#"{"a":[{"x":1}]}"#, 99)], &[]);
        finds(r#"{"a":[1,"x"]}"#, &[(r#"{"a":[1]}"#, 99)], &[]);
        finds(r#"{"a":1}"#, &[(r#"{"a":1.5}"#, 99)], &[]);
    }

    #[test]
    fn few_clones_say_little() {
        let found = compared(ITEMS, &[(r#"{"ok":true}"#, 9)]);
        assert_eq!((found.chance, found.differing), (0.1, 9));
        assert_eq!(compared(ITEMS, &[("{}", 3)]).chance, 1.0);
        assert_eq!(compared(ITEMS, &[]).chance, 1.0);
    }
}
