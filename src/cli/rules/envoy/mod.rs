//! Envoy's HTTP fault filter as rules of ours.
//!
//! Envoy rolls for the delay, the abort and the rate limit apart, so each becomes a rule of its own: the ids keep the rolls
//! apart here too, and delays come before faults in both.

mod fault;
mod find;
mod on;
mod order;
mod tree;
mod write;

#[cfg(test)]
mod tests;

use serde_json::Value;

/// The documents of a YAML or JSON text.
pub(super) fn documents(source: &str) -> anyhow::Result<Vec<Value>> {
    if let Ok(one) = serde_json::from_str(source) {
        return Ok(vec![one]);
    }
    serde_saphyr::from_multiple(source).map_err(|error| anyhow::anyhow!("neither YAML nor JSON: {error}"))
}

/// The rule file; `None` where no fault configuration is in the documents.
pub(super) fn rules(documents: &[Value], name: &str) -> Option<String> {
    let found = find::faults(documents);
    if found.is_empty() {
        return None;
    }
    let known = fault::Known { clusters: find::clusters(documents), may_protect: order::may_protect(&found) };
    let mut file = write::File::new(name);
    for found in &found {
        fault::add(found, &known, &mut file);
    }
    Some(file.text())
}
