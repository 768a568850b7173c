//! The rule file as text: what could be said as rules, the rest as comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::on::{On, quoted};

/// One rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) on: On,
    /// The share, and what is to be said of it.
    pub(super) rate: (String, Option<&'static str>),
    pub(super) lines: Vec<String>,
    pub(super) lost: Vec<String>,
}

impl Draft {
    pub(super) fn line(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    /// What it asks for does not exist here.
    pub(super) fn lost(&mut self, why: &str) {
        self.lost.push(why.to_owned());
    }
}

/// The file so far.
#[derive(Debug)]
pub(super) struct File {
    source: String,
    notes: Vec<String>,
    max_active: Option<u64>,
    /// What no rule may touch, each in quotes.
    protect: BTreeSet<String>,
    /// Groups by name, with their members.
    groups: BTreeMap<String, Vec<String>>,
    ids: BTreeSet<String>,
    rules: String,
}

impl File {
    pub(super) fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            notes: Vec::new(),
            max_active: None,
            protect: BTreeSet::new(),
            groups: BTreeMap::new(),
            ids: BTreeSet::new(),
            rules: String::new(),
        }
    }

    /// Something of the configuration that has no counterpart.
    pub(super) fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// A cap of one filter; of several the least holds for all.
    pub(super) fn max_active(&mut self, most: u64) {
        self.max_active = Some(self.max_active.map_or(most, |known| known.min(most)));
    }

    /// Routes that no fault is about and that later ones would take in.
    pub(super) fn protect(&mut self, words: &[String]) {
        self.protect.extend(words.iter().cloned());
    }

    /// The group that a cluster becomes; its name here.
    pub(super) fn group(&mut self, cluster: &str, members: &[String]) -> String {
        let name = id_of(cluster);
        self.groups.insert(name.clone(), members.to_vec());
        name
    }

    pub(super) fn rule(&mut self, draft: Draft) {
        let id = self.unique(&draft.id);
        let lost: Vec<_> = draft.on.lost.iter().chain(&draft.lost).collect();
        let off = if lost.is_empty() { "" } else { "# " };
        let mut text = String::from("\n");
        for why in &lost {
            let _ = writeln!(text, "# Left out: {}", comment(why));
        }
        draft.on.notes.iter().for_each(|note| _ = writeln!(text, "# Note: {}", comment(note)));
        let _ = writeln!(text, "{off}[[rule]]\n{off}id      = {}", quoted(&id));
        if let Some(on) = draft.on.text() {
            let _ = writeln!(text, "{off}on      = {on}");
        }
        let remark = draft.rate.1.map_or(String::new(), |remark| format!("  # {remark}"));
        let _ = writeln!(text, "{off}rate    = \"{}\"{remark}", draft.rate.0);
        draft.lines.iter().for_each(|line| _ = writeln!(text, "{off}{line}"));
        self.rules += &text;
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "# Imported from Envoy's HTTP fault configuration in {} by `squall rules import`.\n\
             # Who is selected follows from the ids below and the seed, so that the same traffic has the same victims.\n",
            comment(&self.source)
        );
        self.notes.iter().for_each(|note| _ = writeln!(text, "# {}", comment(note)));
        text += "version = 1\n";
        text += &self.safety();
        for (name, members) in self.groups.iter().filter(|(_, members)| !members.is_empty()) {
            let members: Vec<_> = members.iter().map(|member| quoted(member)).collect();
            let _ = write!(text, "\n[group.{}]\nmembers = [{}]\n", quoted(name), members.join(", "));
        }
        text + &self.rules
    }

    fn safety(&self) -> String {
        let mut text = String::new();
        if self.max_active.is_none() && self.protect.is_empty() {
            return text;
        }
        text += "\n[safety]\n";
        if let Some(most) = self.max_active {
            text += "# max_active_faults: Envoy spares the requests beyond it; here all rules are lifted when it is reached.\n";
            let _ = writeln!(text, "max_active = {most}");
        }
        if !self.protect.is_empty() {
            let words: Vec<_> = self.protect.iter().map(String::as_str).collect();
            text += "# Routes without faults that come before those of the rules.\n";
            let _ = writeln!(text, "protect = [{}]", words.join(", "));
        }
        text
    }

    fn unique(&mut self, wanted: &str) -> String {
        let base = id_of(wanted);
        let mut id = base.clone();
        let mut n = 1;
        while !self.ids.insert(id.clone()) {
            n += 1;
            id = format!("{base}-{n}");
        }
        id
    }
}

/// Letters, digits, `.`, `_` and `-`, with room for a number behind.
fn id_of(name: &str) -> String {
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    // The end tells more apart than the beginning: `…-delay`, `…-abort`.
    let from = clean.len().saturating_sub(LONGEST_ID);
    let short = clean.get(from..).unwrap_or("envoy").trim_matches('-');
    if short.is_empty() { "envoy".to_owned() } else { short.to_owned() }
}

/// On one line, without control characters.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Ids have at most 64 characters.
const LONGEST_ID: usize = 56;
