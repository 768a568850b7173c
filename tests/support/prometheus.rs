//! The text format of Prometheus, read strictly, and the conventions of its names.

use std::collections::{BTreeMap, BTreeSet};

/// A scrape.
pub(crate) struct Scrape {
    /// By name of the family.
    pub(crate) families: BTreeMap<String, Family>,
}

/// A name with its help, its type and its samples.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// A line of figures.
#[derive(Debug)]
pub(crate) struct Sample {
    /// With `_bucket`, `_sum` or `_count` where it is one of a histogram.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Scrape {
    /// Reads a scrape; what the format does not allow fails the test.
    pub(crate) fn read(text: &str) -> Scrape {
        let mut families = BTreeMap::<String, Family>::new();
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                let known =
                    families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
                assert!(known.is_none(), "{name} is there twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                let family = families.get_mut(name).unwrap_or_else(|| panic!("no help before {line}"));
                assert!(family.kind.is_empty() && family.samples.is_empty(), "{name} has its type twice");
                kind.clone_into(&mut family.kind);
            } else {
                let sample = sample(line).unwrap_or_else(|| panic!("no sample: {line}"));
                let family = families.get_mut(family_of(&sample.name));
                let family = match family {
                    Some(family) => family,
                    None => families.get_mut(&sample.name).unwrap_or_else(|| panic!("no type: {line}")),
                };
                let is_new = |known: &Sample| (&known.name, &known.labels) != (&sample.name, &sample.labels);
                assert!(family.samples.iter().all(is_new), "there twice: {line}");
                family.samples.push(sample);
            }
        }
        Scrape { families }
    }

    /// The value of the only sample with these labels among its own; 0 where there is none.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of_name = self.families.get(name).or_else(|| self.families.get(family_of(name)));
        let is_it = |sample: &&Sample| {
            let has =
                |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|known| known == value);
            sample.name == name && labels.iter().all(has)
        };
        of_name.into_iter().flat_map(|family| &family.samples).filter(is_it).map(|sample| sample.value).sum()
    }

    /// Labels that a metric has, by its name in queries.
    pub(crate) fn labels(&self, name: &str) -> Option<BTreeSet<&str>> {
        let mut samples =
            self.families.values().flat_map(|family| &family.samples).filter(|one| one.name == name);
        let first: BTreeSet<&str> = samples.next()?.labels.keys().map(String::as_str).collect();
        Some(first)
    }

    /// What is against the conventions, in words: names, units, help, types, histograms, bounds of labels.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, family) in &self.families {
            let mut wrong = |what: &str| found.push(format!("{name}: {what}"));
            let well_formed = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if !well_formed || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
                wrong("a name is of lower-case letters, digits and _");
            }
            if !["squall_proxy_", "squall_replay_", "process_"].iter().any(|prefix| name.starts_with(prefix))
            {
                wrong("a name begins with the program");
            }
            if (family.kind == "counter") != name.ends_with("_total") {
                wrong("counters end in _total, and nothing else does");
            }
            if UNITS.iter().any(|unit| name.trim_end_matches("_total").ends_with(unit)) {
                wrong("units are base units: seconds, bytes, ratio");
            }
            if ["_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end)) {
                wrong("this ending belongs to histograms");
            }
            if family.help.trim().is_empty() || !family.help.ends_with('.') {
                wrong("help is a sentence");
            }
            if !["counter", "gauge", "histogram"].contains(&family.kind.as_str()) {
                wrong("has no type of ours");
            }
            if family.samples.is_empty() {
                wrong("has no sample");
            }
            if MOST_SERIES < family.samples.len() {
                wrong("has too many series");
            }
            found.extend(family.samples.iter().filter_map(|sample| sample.problem(family)));
            if family.kind == "histogram" {
                found.extend(family.histogram_problems(name));
            }
        }
        found
    }
}

impl Family {
    /// Buckets that fall, or do not end in +Inf, or count otherwise than `_count`.
    fn histogram_problems(&self, name: &str) -> Vec<String> {
        let mut rows = BTreeMap::<Vec<(&str, &str)>, (Vec<(f64, f64)>, f64)>::new();
        for sample in &self.samples {
            let labels = sample.labels.iter().filter(|(label, _)| *label != "le");
            let row = rows
                .entry(labels.map(|(label, value)| (label.as_str(), value.as_str())).collect())
                .or_default();
            match sample.labels.get("le") {
                Some(le) => row.0.push((le.replace('+', "").parse().unwrap_or(f64::NAN), sample.value)),
                None if sample.name.ends_with("_count") => row.1 = sample.value,
                None => {}
            }
        }
        let is_sound = |(buckets, count): &(Vec<(f64, f64)>, f64)| {
            let rise = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            rise && buckets.last() == Some(&(f64::INFINITY, *count))
        };
        let bad = rows.values().filter(|row| !is_sound(row));
        bad.map(|row| format!("{name}: buckets do not add up: {row:?}")).collect()
    }
}

impl Sample {
    fn problem(&self, family: &Family) -> Option<String> {
        let is_label = |label: &String| label.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let is_short = |value: &String| value.len() <= MOST_LABEL;
        if !self.labels.keys().all(is_label) || !self.labels.values().all(is_short) {
            return Some(format!("{}: labels {:?}", self.name, self.labels));
        }
        let is_count = 0.0 <= self.value && self.value.is_finite();
        (family.kind == "counter" && !is_count).then(|| format!("{} is {}", self.name, self.value))
    }
}

/// The family of a sample of a histogram.
fn family_of(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.to_owned(), value).is_none().then_some(())?;
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A value up to its closing quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            (_, c) => value.push(c),
        }
    }
}

const UNITS: [&str; 8] =
    ["_ms", "_us", "_ns", "_milliseconds", "_microseconds", "_minutes", "_kb", "_percent"];
/// A rule has a handful of series in a family, an edge ten.
const MOST_SERIES: usize = 5_000;
const MOST_LABEL: usize = 256;
